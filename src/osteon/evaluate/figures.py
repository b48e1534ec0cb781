"""The figures of the report as SVG text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from osteon.drawing import BLUE, GREEN, GREY_BLUE, INK, LINE, ORANGE, QUIET, drawing
from osteon.evaluate.words import number

MODEL, FITTED, CUT, POSITIVE, NEGATIVE = BLUE, GREEN, ORANGE, ORANGE, GREY_BLUE
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 3)))
SQUARE, WIDE = (5.0, 4.7), (5.0, 3.7)
MARKER: dict[str, Any] = {
    "ls": "none",
    "color": "white",
    "mec": CUT,
    "mew": 1.5,
    "ms": 6,
    "zorder": 4,
    "clip_on": False,
}
Part = Mapping[str, Any]


def roc(part: Part, points: Sequence[Part], titles: Mapping[str, str]) -> str:
    """ROC curve with its band, the floors, the binormal curve with its band, and the operating points."""
    lines, band, fitted = part["roc"]["lines"], part["roc"]["band"], part["binormal"]
    with drawing("roc", SQUARE, "Receiver operating characteristic of the model and its floors") as (figure, svg):
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=LINE, lw=1)
        _band(axes, band["false_positive_rate"], band, MODEL)
        model, *floors = lines
        _curve(axes, lines[model], color=MODEL, lw=1.8, label=short(titles[model]), zorder=3)
        if not fitted["note"]:
            _band(axes, fitted["false_positive_rate"], fitted, FITTED, 0.10)
            _curve(axes, fitted, color=FITTED, lw=1.1, ls="--", label="binormal fit")
        for point, marker in zip(points, "osD", strict=False):
            x, y = 1 - point["specificity"]["value"], point["sensitivity"]["value"]
            axes.plot(x, y, marker, label=_name(point["name"]), **MARKER)
        for floor, dash in zip(floors, _cycle(DASHES), strict=False):
            _curve(axes, lines[floor], color=QUIET, lw=1, ls=dash, label=short(titles[floor]))
        axes.set(xlabel="1 − specificity (false alarms)", ylabel="sensitivity (findings seen)")
        _unit(axes)
        axes.legend(loc="lower right")
    return svg.text


def precision_recall(part: Part) -> str:
    """Precision against recall with its band; the line at the prevalence is what guessing reaches."""
    curve = part["precision_recall"]
    with drawing("precision-recall", SQUARE, "Precision against recall") as (figure, svg):
        axes = figure.subplots()
        _band(axes, curve["recall"], curve, MODEL)
        axes.plot(curve["recall"], curve["precision"], color=MODEL, lw=1.8, label="model")
        axes.axhline(curve["prevalence"], color=QUIET, ls="--", lw=1, label=f"prevalence {curve['prevalence']:.2f}")
        axes.set(xlabel="recall (sensitivity)", ylabel="precision (positive predictive value)")
        _unit(axes)
        axes.legend(loc="best")
    return svg.text


def reliability(part: Part) -> str:
    """Observed share of positives against the probability told, with intervals; below, how many were told what."""
    rows, counts = part["reliability"], part["histogram"]
    told = [row["mean_probability"] for row in rows]
    with drawing("reliability", SQUARE, "Observed share of positives against the probability told") as (figure, svg):
        axes, below = figure.subplots(2, 1, height_ratios=(5, 1), sharex=True)
        axes.plot([0, 1], [0, 1], color=QUIET, ls="--", lw=1, label="perfect")
        for x, row in zip(told, rows, strict=True):
            _whisker_vertical(axes, x, row["observed"])
        axes.plot(told, [r["observed"]["value"] for r in rows], "o-", color=MODEL, lw=1, ms=5, label="model")
        axes.set(ylabel="observed share of positives", ylim=(-0.02, 1.02), xlim=(-0.02, 1.02))
        axes.legend(loc="upper left")
        images = [p + n for p, n in zip(counts["positives"], counts["negatives"], strict=True)]
        below.stairs(images, counts["edges"], fill=True, color=MODEL, alpha=0.6)
        below.set(xlabel="probability told by the model", ylabel="images")
        below.set_ylim(bottom=0)
        below.locator_params(axis="y", nbins=2, integer=True)
    return svg.text


def histogram(part: Part, cut: float, scale: str) -> str:
    """Scores of positives and negatives, each as a share of its class, with the cut-off."""
    counts = part["histogram"]
    edges = counts["edges"]
    with drawing("histogram", WIDE, "Scores of positive and negative images with the cut-off") as (figure, svg):
        axes = figure.subplots()
        for kind, colour, sign in (("negatives", NEGATIVE, -1), ("positives", POSITIVE, 1)):
            total = max(1, sum(counts[kind]))
            shares = [sign * 100 * count / total for count in counts[kind]]
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.55, lw=0)
            axes.stairs(shares, edges, color=colour, lw=1, label=f"{kind} ({sum(counts[kind])})")
        axes.axhline(0, color=QUIET, lw=0.8)
        axes.axvline(cut, color=INK, ls="--", lw=1, label=f"cut-off (Youden) {cut:.3g}")
        axes.set(xlabel=scale, ylabel="% of the class")
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        axes.legend(loc="best")
    return svg.text


def decision(part: Part) -> str:
    """Net benefit against the threshold probability, beside calling everyone and calling no one."""
    curve = part["decision"]
    x, top = curve["threshold"], max(*curve["high"], *curve["treat_all"], 0.01)
    with drawing("decision", WIDE, "Net benefit against threshold probability") as (figure, svg):
        axes = figure.subplots()
        axes.axhline(0, color=INK, lw=1, label="call none positive")
        axes.plot(x, curve["treat_all"], color=QUIET, ls="--", lw=1, label="call all positive")
        _band(axes, x, curve, MODEL)
        axes.plot(x, curve["net_benefit"], color=MODEL, lw=1.8, label="model")
        axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=(0, 1), ylim=(-0.25 * top, 1.08 * top))
        axes.legend(loc="upper right")
    return svg.text


def floors(figures: Part, model: str) -> str:
    """The model and its floors, one line each: AUROC as mean of the folds with its interval."""
    rows = [(short(model), figures["auroc"], MODEL)]
    rows += [(short(floor["title"]), floor["auroc"], QUIET) for floor in figures["floors"]]
    over = ", mean of the folds" if len(figures["auroc_per_fold"]) > 1 else ""
    with drawing("floors", forest_size(rows), "AUROC of the model and of each floor") as (figure, svg):
        axes = figure.subplots()
        forest(axes, rows)
        axes.axvline(0.5, color=LINE, lw=1)
        axes.set_xlabel(f"AUROC{over}, 95 % interval")
    return svg.text


def subgroups(rows: Sequence[Part], overall: Part) -> str:
    """AUROC within each subgroup with its interval; the line is the figure of all cases."""
    shown = [(f"{short(row['column'])}: {short(row['value'])}", row["auroc"], MODEL) for row in rows]
    with drawing("subgroups", forest_size(shown), "AUROC within each subgroup") as (figure, svg):
        axes = figure.subplots()
        forest(axes, shown)
        axes.axvline(overall["value"], color=CUT, lw=1, ls="--")
        axes.set_xlabel("AUROC of the pooled cases, 95 % interval; dashed: all cases")
    return svg.text


def studies(rules: Sequence[Part], per_image: Part) -> str:
    """AUROC per study by each rule, each above its best floor; the line is the figure per image."""
    rows = []
    for rule in rules:
        rows.append((rule["title"], rule["auroc"], MODEL))
        if rule["best_floor"]:
            rows.append((short(f"its floor: {rule['best_floor']['title']}"), rule["best_floor"]["auroc"], QUIET))
    over = ", mean of the folds" if len(rules[0]["auroc_per_fold"]) > 1 else ""
    with drawing("studies", forest_size(rows), "AUROC per study by each rule, beside its best floor") as (figure, svg):
        axes = figure.subplots()
        forest(axes, rows)
        axes.axvline(per_image["value"], color=CUT, lw=1, ls="--")
        axes.set_xlabel(f"AUROC per study{over}, 95 % interval; dashed: per image")
    return svg.text


def pointing(game: Part, model: str) -> str:
    """Share of images whose highest point lies in a true box: the model, and floors that do not see the image."""
    rows = [(short(model), game["rate"], MODEL)]
    rows += [(short(floor["title"]), floor["rate"], QUIET) for floor in game["floors"]]
    with drawing("pointing", forest_size(rows), "Pointing game of the model and of each floor") as (figure, svg):
        axes = figure.subplots()
        forest(axes, rows)
        axes.set_xlabel("share of images whose highest point lies in a true box, 95 % interval")
    return svg.text


def free_response(found: Part) -> str:
    """Share of the true boxes that are found, against false boxes per image."""
    curve = found["free_response"]
    with drawing("free-response", WIDE, "True boxes found against false boxes per image") as (figure, svg):
        axes = figure.subplots()
        _band(axes, curve["false_boxes"], curve, MODEL)
        axes.plot(curve["false_boxes"], curve["sensitivity"], color=MODEL, lw=1.8, label="model")
        at = [(row["false_boxes"], row["sensitivity"]["value"]) for row in found["sensitivity_at"]]
        axes.plot(*zip(*at, strict=True), "o", label="in the table", **MARKER)
        floor = [(row["false_boxes"], row["floor"]["value"]) for row in found["sensitivity_at"] if row["floor"]]
        if floor:
            axes.plot(*zip(*floor, strict=True), "s--", color=QUIET, lw=1, ms=4, label="the mean box")
        axes.set(xlabel="false boxes per image", ylabel="share of true boxes found", ylim=(-0.02, 1.02), xlim=(0, None))
        axes.legend(loc="best")
    return svg.text


def forest_size(rows: Sequence[Any]) -> tuple[float, float]:
    """Inches that a forest of these rows takes."""
    return 2 * SQUARE[0] + 0.3, 0.7 + 0.29 * len(rows)


def forest(axes: Axes, rows: Sequence[tuple[str, Part, str]]) -> None:
    """A line for each (label, figure, colour): the value and its interval, told in numbers on the right."""
    lowest = min((v for _, f, _ in rows for v in (f["value"], f["low"]) if v is not None), default=0.5)
    left = min(0.45, lowest - 0.03)
    for y, (_, figure, colour) in enumerate(rows):
        if figure["value"] is None:
            axes.text(left + 0.01, y, figure["note"], va="center", color=QUIET, fontsize=8, style="italic")
            continue
        if figure["low"] is not None:
            axes.hlines(y, figure["low"], figure["high"], color=colour, lw=1.6)
        axes.plot(figure["value"], y, "o", color=colour, ms=5)
        axes.text(1.015, y, _interval(figure), va="center", fontsize=8, transform=axes.get_yaxis_transform())
    axes.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6), xlim=(left, 1.005))
    axes.set_yticklabels([label for label, _, _ in rows], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)


def _interval(figure: Part) -> str:
    if figure["low"] is None:
        return number(figure["value"], 3)
    return f"{number(figure['value'], 3)} ({number(figure['low'], 3)} to {number(figure['high'], 3)})"


def _whisker_vertical(axes: Axes, x: float, figure: Part) -> None:
    if figure["low"] is not None:
        axes.vlines(x, figure["low"], figure["high"], color=MODEL, lw=1.2, alpha=0.7)


def _curve(axes: Axes, line: Part, **style: Any) -> None:
    axes.plot(line["false_positive_rate"], line["sensitivity"], **style)


def _band(axes: Axes, x: Sequence[float], band: Part, colour: str, alpha: float = 0.18) -> None:
    if band["low"][0] is not None:
        axes.fill_between(x, band["low"], band["high"], color=colour, alpha=alpha, lw=0)


def _unit(axes: Axes) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")


def _cycle(dashes: Sequence[Any]) -> Iterator[Any]:
    while True:
        yield from dashes


def _name(point: str) -> str:
    return point.replace("_", " ").capitalize()


def short(value: str) -> str:
    """A name that fits beside an axis."""
    return textwrap.shorten(value, 28, placeholder="…")
