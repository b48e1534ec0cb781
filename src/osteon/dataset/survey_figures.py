"""The figures of the survey as SVG text; the flow also as PNG, for a paper."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import NullFormatter

from osteon.drawing import BLUE, GREY_BLUE, INK, LINE, ORANGE, QUIET, Drawing, drawing

Part = Mapping[str, Any]

UNITS = ("images", "studies", "patients")

_LINE = 0.19  # inches of a line of text in the flow diagram
_WRAP = {"stage": 46, "left": 70}  # characters of a line in its boxes


def flow(survey: Part) -> Drawing:
    """The flow diagram of STARD 2015: boxes of what remained, and beside each arrow what was left out and why."""
    boxes = [(_stage_lines(stage), _left_lines(stage["left_out"])) for stage in survey["flow"]]
    boxes[-1][0].extend(_class_lines(survey))
    gaps = [max(3, len(left) + 2) for _, left in boxes[1:]]
    height = sum(len(lines) + 1 for lines, _ in boxes) + sum(gaps)
    says = "Flow of files, studies and patients from the export to the manifest"
    with drawing("flow", (8.4, _LINE * height + 0.2), says, png_dpi=200) as (figure, svg):
        axes = figure.subplots()
        axes.set(xlim=(-0.5, 100.5), ylim=(height + 0.2, -0.2))
        axes.axis("off")
        top = 0.0
        for number, (lines, left) in enumerate(boxes):
            if number:
                gap = gaps[number - 1]
                _arrow(axes, (22, top), (22, top + gap))
                if left:
                    _arrow(axes, (22, top + gap / 2), (46, top + gap / 2))
                    _box(axes, 46, top + (gap - len(left) - 1) / 2, 54, left, LINE)
                top += gap
            _box(axes, 0, top, 44, lines, BLUE)
            top += len(lines) + 1
    return svg


def _stage_lines(stage: Part) -> list[str]:
    return [*textwrap.wrap(stage["title"].capitalize(), _WRAP["stage"]), _counts(stage)]


def _class_lines(survey: Part) -> list[str]:
    cases = survey["cases"]
    classes = [(survey[kind], [cases[f"{kind}_{unit}"] for unit in UNITS]) for kind in ("positive", "negative")]
    return [
        f"   {name}: {_counts(dict(zip(('files', 'studies', 'patients'), counts, strict=True)))}"
        for name, counts in classes
        if any(counts)
    ]


def _left_lines(left: Sequence[Part]) -> list[str]:
    lines = []
    for one in left:
        first, *more = textwrap.wrap(f"{one['why']}: {_counts(one)}", _WRAP["left"])
        lines += [first, *(f"   {line}" for line in more)]
    return lines


def _counts(of: Part) -> str:
    counts = [(of["files"], "file", "files")]
    if of["studies"] is not None:
        counts += [(of["studies"], "study", "studies"), (of["patients"], "patient", "patients")]
    return ", ".join(
        f"{number:,} {one if number == 1 else many}".replace(",", "\u202f") for number, one, many in counts
    )


def _box(axes: Axes, left: float, top: float, width: float, lines: Sequence[str], edge: str) -> None:
    shape = FancyBboxPatch(
        (left, top), width, len(lines) + 1, boxstyle="round,pad=0,rounding_size=0.4", fc="white", ec=edge, lw=1.2
    )
    axes.add_patch(shape)
    for number, line in enumerate(lines):
        axes.text(left + 1.5, top + 1 + number, line, va="center", fontsize=8.5, color=INK)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": QUIET, "lw": 1, "shrinkA": 0, "shrinkB": 0})


def instances(part: Mapping[str, Mapping[int, int]], positive: str, negative: str, limit: int) -> str:
    """Images per study, by class and of all, as in figure 3.2 of de Cid 2021; beyond `limit` in one hatched bar."""
    last = min(limit, max(part["all"]))
    panels = [(positive, part["positive"], ORANGE), (negative, part["negative"], GREY_BLUE), ("all", part["all"], BLUE)]
    with drawing("instances", (10.2, 3.0), "Number of images per study, by class and of all studies") as (figure, svg):
        for axes, (name, counts, colour) in zip(figure.subplots(1, 3, sharex=True), panels, strict=True):
            heights = [sum(n for size, n in counts.items() if size == bar) for bar in range(1, last + 1)]
            beyond = sum(n for size, n in counts.items() if size > limit)
            axes.bar(range(1, last + 1), heights, color=colour, alpha=0.75, width=0.85)
            if beyond:
                axes.bar(
                    limit + 1, beyond, color=colour, alpha=0.75, width=0.85, hatch="//", label=f"more than {limit}"
                )
                axes.legend(loc="upper right")
            axes.set(xlabel="images per study", ylabel="studies", title=f"{name} ({sum(counts.values())})")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.yaxis.get_major_locator().set_params(integer=True)
    return svg.text


def sizes(part: Part) -> str:
    """Height against width, a dot for each size, larger for more images: figures 3.3 and 4.11 of de Cid 2021."""
    rows, columns, images = zip(*part["commonest"], strict=True)
    most = max(images)
    with drawing("sizes", (5.0, 4.7), "Height against width of the images") as (figure, svg):
        axes = figure.subplots()
        side = 1.05 * max(*rows, *columns)
        axes.plot([0, side], [0, side], color=LINE, lw=1)
        axes.scatter(
            columns, rows, s=[6 + 194 * (n - 1) / max(most - 1, 20) for n in images], color=BLUE, alpha=0.45, lw=0
        )
        axes.set(xlabel="width, pixels", ylabel="height, pixels", xlim=(0, side), ylim=(0, side), aspect="equal")
    return svg.text


def body_part(part: Part) -> str:
    """The commonest spellings of the body part and what they mean, as in figure 4.4 of de Cid 2021; beside them, images
    of each spelling by rank, where a straight line is Zipf's law."""
    shown = part["shown"]
    size = 10.2, 0.9 + 0.22 * max(8, len(shown))
    with drawing("body-part", size, "Commonest spellings of the body part, and what they mean") as (figure, svg):
        axes, ranks = figure.subplots(1, 2, width_ratios=(3, 2))
        axes.barh(range(len(shown)), [one["images"] for one in shown], color=BLUE, alpha=0.75)
        labels = [f"{textwrap.shorten(one['value'], 34, placeholder='…')} → {one['resolved'] or '?'}" for one in shown]
        axes.set(ylim=(max(8, len(shown)) - 0.4, -0.6), xlabel="images")
        axes.set_yticks(range(len(shown)), labels, color=INK)
        axes.grid(axis="y", visible=False)
        ranks.plot(range(1, len(part["ranks"]) + 1), part["ranks"], "o", color=BLUE, ms=3)
        ranks.set(xscale="log", yscale="log", xlabel="rank of the spelling", ylabel="images")
        for axis in (ranks.xaxis, ranks.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(NullFormatter())
    return svg.text
