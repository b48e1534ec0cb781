"""Figures of three answers as SVG text: where the limits lie, and how often the truth was kept."""

from __future__ import annotations

from typing import Any

from osteon.drawing import BLUE, GREEN, INK, LINE, ORANGE, QUIET, drawing
from osteon.evaluate.conformal import ANSWERS, INCONCLUSIVE, UNAVAILABLE
from osteon.evaluate.conformal import NEGATIVE as NONE
from osteon.evaluate.conformal import POSITIVE as FOUND
from osteon.evaluate.figures import NEGATIVE, POSITIVE, WIDE, Part, forest, forest_size, short


def limits(three: Part, histogram: Part, scale: str) -> str:
    """Scores by class, with what is answered on either side of the limits and between them."""
    edges = histogram["edges"]
    values = sorted(limit["value"] for limit in three["limits"])
    both = three["limits"][0]["value"] <= three["limits"][1]["value"]
    with drawing("limits", WIDE, "Scores by class, with the limits of the three answers") as (figure, svg):
        axes = figure.subplots()
        axes.axvspan(*values, color=LINE, alpha=0.6, lw=0)
        for kind, colour, sign in (("negatives", NEGATIVE, -1), ("positives", POSITIVE, 1)):
            total = max(1, sum(histogram[kind]))
            shares = [sign * 100 * count / total for count in histogram[kind]]
            axes.stairs(shares, edges, fill=True, color=colour, alpha=0.55, lw=0)
            axes.stairs(shares, edges, color=colour, lw=1, label=f"{kind} ({sum(histogram[kind])})")
        axes.axhline(0, color=QUIET, lw=0.8)
        for value in values:
            axes.axvline(value, color=INK, ls="--", lw=1)
        top = axes.get_ylim()[1]
        band = "inconclusive: may be both" if both else "inconclusive: is like neither"
        axes.text(sum(values) / 2, top, band, ha="center", va="bottom", fontsize=8)
        axes.set(xlabel=scale, ylabel="% of the class", ylim=(None, top))
        axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
        axes.legend(loc="lower right")
    return svg.text


def coverage(three: Part) -> str:
    """Share of each class whose truth was kept, for everyone and by stratum; the line is what was promised."""
    own = {(s["column"], row["value"], row["of"]): row for s in three["strata"] for row in s["rows"]}
    columns = {"", *(s["column"] for s in three["strata"])}
    rows: list[tuple[str, Any, str]] = []
    for row in three["rows"]:
        if row["column"] not in columns or row["of"] == "both":
            continue
        of = f"{short(row['value'])}, {row['of']}" if row["column"] else f"all {row['of']}"
        rows.append((of, row["coverage"], BLUE))
        mine = own.get((row["column"], row["value"], row["of"]))
        if mine:
            rows.append(("own limits", mine["coverage"], GREEN))
    with drawing("coverage", forest_size(rows), "Coverage of each class and stratum") as (figure, svg):
        axes = figure.subplots()
        forest(axes, rows)
        axes.axvline(three["promised"], color=ORANGE, lw=1, ls="--")
        axes.set_xlabel("coverage, a patient counting once, 95 % interval; dashed: promised")
    return svg.text


def answers(learned: Part) -> str:
    """What either way answers to the images of each truth, as bars of shares."""
    rows = sorted(learned["rows"], key=lambda row: ANSWERS.index(row["truth"]))
    colours = {FOUND: POSITIVE, INCONCLUSIVE: LINE, NONE: NEGATIVE, UNAVAILABLE: "white"}
    given = [word for word in ANSWERS if any(row[word]["value"] for row in rows)]
    with drawing("answers", (7.4, 0.8 + 0.34 * len(rows)), "Answers given to the images of each truth") as (
        figure,
        svg,
    ):
        axes = figure.subplots()
        for y, row in enumerate(rows):
            left = 0.0
            for word in given:
                width = 100 * row[word]["value"]
                axes.barh(
                    y, width, left=left, height=0.7, color=colours[word], ec=QUIET, lw=0.5, label="_" * bool(y) + word
                )
                if width >= 6:
                    axes.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center", fontsize=8)
                left += width
        named = [f"{row['truth']} ({row['n']}), {row['by']}" for row in rows]
        axes.set_yticks(range(len(rows)), named)
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5), xlabel="% of the images, by what people said")
        axes.grid(visible=False)
        figure.legend(loc="outside upper center", ncols=len(given))
    return svg.text
