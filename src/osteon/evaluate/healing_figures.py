"""The figures of the report on the healing score, and of agreement between raters, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from osteon.drawing import GREY_BLUE, INK, LINE, QUIET, drawing
from osteon.evaluate.figures import CUT, MODEL, SQUARE, forest, forest_size, short
from osteon.evaluate.metrics import Floats

Part = Mapping[str, Any]

DOT = 3.6
DOT_STYLE: dict[str, Any] = {"color": MODEL, "alpha": 0.38, "mew": 0}
"""A visit; visits that lie on one another make one dot of their joint area."""


def floors(line: Part, model: str, what: str, band: Sequence[float] = ()) -> str:
    """A figure of the model and of each floor with their intervals; a band shades what human raters reach."""
    rows = [(short(model), line["figure"], MODEL)]
    rows += [(short(floor["title"]), floor["figure"], QUIET) for floor in line["floors"]]
    with drawing(f"floors-{what}", forest_size(rows), f"{what} of the model and of each floor") as (figure, svg):
        axes = figure.subplots()
        if band:
            axes.axvspan(*band, color=GREY_BLUE, alpha=0.16, lw=0)
        forest(axes, rows)
        note = "; shaded: human raters with each other" if band else ""
        axes.set_xlabel(f"{what}, 95 % interval{note}")
    return svg.text


def cortices(parts: Sequence[Part]) -> str:
    """Quadratic kappa of each cortex, and of its best floor."""
    rows = []
    for part in parts:
        rows.append((part["cortex"], part["kappa"]["figure"], MODEL))
        if part["kappa"]["best_floor"]:
            rows.append((short(part["kappa"]["best_floor"]["title"]), part["kappa"]["best_floor"]["figure"], QUIET))
    with drawing("cortices", forest_size(rows), "Quadratic kappa of each cortex and its best floor") as (figure, svg):
        axes = figure.subplots()
        forest(axes, rows)
        axes.set_xlabel("quadratic-weighted kappa, 95 % interval")
    return svg.text


def confusion(parts: Sequence[Part], grades: Sequence[int]) -> str:
    """For each cortex, how the rater's grades were called: counts, shaded by their share of the rater's grade."""
    with drawing("confusion", (10.3, 3.1), "Called grade against the rater's grade, for each cortex") as (figure, svg):
        for axes, part in zip(figure.subplots(1, 4, sharey=True), parts, strict=True):
            counts = np.array(part["confusion"], float)
            shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1.15, edgecolors="white", lw=1.5)
            for (row, column), count in np.ndenumerate(counts):
                colour = "white" if shares[row, column] > 0.6 else INK
                weight = "bold" if row == column else "normal"
                place = (column + 0.5, row + 0.5)
                axes.text(*place, f"{count:.0f}", ha="center", va="center", color=colour, fontweight=weight)
            ticks = np.arange(len(grades)) + 0.5
            axes.set(xticks=ticks, yticks=ticks, xticklabels=grades, yticklabels=grades, aspect="equal")
            axes.set(xlabel="called", title=f"{part['cortex']} ({part['view']})")
            axes.title.set(fontsize=9, color=INK)
            axes.grid(visible=False)
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        figure.axes[0].set_ylabel("rater's grade")
        figure.axes[0].invert_yaxis()  # of all four, which share it
    return svg.text


def totals(points: Part, score: Part) -> str:
    """The model's total against the rater's; the dashed lines are the threshold of united."""
    low, high = 4, score["highest"]
    with drawing("totals", SQUARE, "Total by the model against total by the rater") as (figure, svg):
        axes = figure.subplots()
        axes.plot([low, high], [low, high], color=QUIET, lw=1, ls="--", label="agreement")
        for line in (axes.axvline, axes.axhline):
            line(score["united"] - 0.5, color=CUT, lw=1, ls=":")
        _dots(axes, np.array(points["true"], float), np.array(points["said"], float))
        axes.set(xlabel="rater's total", ylabel="model's expected total", aspect="equal")
        axes.set(xlim=(low - 0.5, high + 0.5), ylim=(low - 0.5, high + 0.5))
        axes.locator_params(integer=True)
        axes.plot([], [], "o", ms=DOT, label="visit", **DOT_STYLE)
        axes.plot([], [], color=CUT, lw=1, ls=":", label=f"united from {score['united']}")
        axes.legend(loc="upper left")
    return svg.text


def differences(points: Part, limits: Part, first: str, second: str) -> str:
    """Bland and Altman: difference against mean, with the mean difference and the limits of agreement.

    Args:
        points: `true` and `said` (or any two ratings), in order.
        limits: figures `bias`, `lower_limit`, `upper_limit`.
        first, second: who gave the two; the difference is second − first.
    """
    a, b = np.array(points["true"], float), np.array(points["said"], float)
    with drawing("differences", SQUARE, "Difference of two totals against their mean") as (figure, svg):
        axes = figure.subplots()
        axes.axhline(0, color=LINE, lw=1)
        _dots(axes, (a + b) / 2, b - a)
        for name, colour, dash in (("bias", INK, "-"), ("lower_limit", CUT, "--"), ("upper_limit", CUT, "--")):
            _level(axes, limits[name], colour, dash)
        axes.set(xlabel=f"mean of {short(first)} and {short(second)}", ylabel=f"{short(second)} − {short(first)}")
        axes.margins(x=0.12)
    return svg.text


def _dots(axes: Axes, x: Floats, y: Floats) -> None:
    places, times = np.unique(np.column_stack([x, y]), axis=0, return_counts=True)
    for number in np.unique(times):  # markers of one size share their path, which keeps a page of a thousand small
        axes.plot(*places[times == number].T, "o", ms=DOT * number**0.5, **DOT_STYLE)


def _level(axes: Axes, figure: Part, colour: str, dash: Any) -> None:
    if figure["value"] is None:
        return
    axes.axhline(figure["value"], color=colour, lw=1.2, ls=dash)
    if figure["low"] is not None:
        axes.axhspan(figure["low"], figure["high"], color=colour, alpha=0.10, lw=0)
    axes.annotate(
        f"{figure['value']:+.2f}".replace("-", "−"),
        (1, figure["value"]),
        xycoords=("axes fraction", "data"),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=colour,
    )
