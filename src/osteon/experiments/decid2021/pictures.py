"""The figures of the report, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from osteon.drawing import BLUE, GREEN, GREY_BLUE, INK, LINE, ORANGE, QUIET, drawing
from osteon.evaluate.figures import forest, forest_size, short

COLOURS = (QUIET, GREY_BLUE, INK, GREEN, ORANGE, BLUE, "#CC79A7", "#8C6D00")
"""Of the lines of a figure, in order; the last two join the palette of Okabe and Ito where it ends."""

MARKERS = "os^Dv*PX"

Report = Mapping[str, Any]


def training(curves: Sequence[tuple[str, pd.DataFrame]], name: str) -> str:
    """Accuracy above, loss below, of every epoch, one column for each training: what was learnt from, and validation.

    Args:
        curves: title and table, with the columns of `training`'s table of epochs.
        name: of the figure.
    """
    with drawing(name, (9.4, 3.7), "Accuracy and loss of every epoch") as (figure, svg):
        grid = figure.subplots(2, len(curves), sharex="col", sharey="row", squeeze=False)
        for (title, table), (above, below) in zip(curves, grid.T, strict=True):
            for axes, kind in ((above, "accuracy"), (below, "loss")):
                for part, colour, mark in (("training", ORANGE, "o"), ("validation", BLUE, "s")):
                    axes.plot(
                        table["epoch"], table[f"{part}_{kind}"], f"{mark}-", color=colour, ms=3, lw=1.3, label=part
                    )
            above.axhline(0.5, color=QUIET, lw=0.8, ls=":")
            above.set_title(title, fontsize=8.5)
            below.set_xlabel("epoch")
            below.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
            below.set_xlim(0.5, max(table["epoch"]) + 0.5)
        grid[0, 0].set_ylabel("accuracy of images")
        grid[1, 0].set_ylabel("cross-entropy")
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return svg.text


def hairlines(report: Report) -> str:
    """AUROC of gap against none, over the width of the gap, with intervals: a line for each network and size."""
    found, arms = report["hairlines"]["arms"], report["arms"]
    kinds = list(dict.fromkeys(arms[name]["title"].split(",")[0] for name in found))
    with drawing("hairlines", (9.4, 4.4), "AUROC against the width of the gap") as (figure, svg):
        grid = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axes, kind in zip(grid, kinds, strict=True):
            mine = [name for name in found if arms[name]["title"].split(",")[0] == kind]
            axes.axhline(0.5, color=QUIET, lw=0.8, ls=":")
            for place, name in enumerate(mine):
                _line_of_gaps(axes, found[name]["rows"], place, len(mine), _told(arms[name]))
            axes.set_title(kind, fontsize=9)
            _gaps_below(axes, [row["gap_mm"] for row in found[mine[0]]["rows"]])
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7.5)
        grid[0].set_ylabel("AUROC: gap against none")
        grid[0].set_ylim(0.0 if _lowest(found) < 0.3 else 0.3, 1.02)
    return svg.text


def layers(report: Report) -> str:
    """The gradient of each layer's weights before training and after, counted from the last layer."""
    with drawing("layers", (8.6, 3.8), "Norm of the gradient of each layer, at the start and at the end") as (
        figure,
        svg,
    ):
        for axes, when in zip(figure.subplots(1, 2, sharey=True), ("at the start", "at the end"), strict=True):
            for (name, rows), colour, mark in zip(report["layers"].items(), COLOURS[2:], MARKERS, strict=False):
                norms = [row["gradient"] for row in rows if row["when"] == when]
                # From the end: the last layers are the same, and the gradient comes from there.
                places = [place - len(norms) + 1 for place in range(len(norms))]
                told = [max(norm, LEAST) for norm in norms]
                axes.semilogy(places, told, f"{mark}-", color=colour, ms=4, lw=1.3, label=report["arms"][name]["title"])
            axes.set_title(when, fontsize=9)
            axes.set_xlabel("layer, counted from the last")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        figure.axes[0].set_ylabel("norm of the gradient of the weights")
        figure.axes[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return svg.text


LEAST = 1e-12
"""The smallest gradient that is drawn: a logarithm knows no 0."""


def protocols(report: Report) -> str:
    """Of every training, the accuracy of studies on the set that chose, and the balanced accuracy on the test set."""
    arms = report["arms"]
    with drawing("protocols", (9.4, 1.3 + 0.36 * len(arms)), "Accuracy where it was chosen, and on the test set") as (
        figure,
        svg,
    ):
        axes = figure.subplots()
        axes.axvline(0.5, color=INK, lw=1)
        for y, arm in enumerate(arms.values()):
            _whisker(axes, arm["study"]["validation"]["at_least_one"], y - 0.14, ORANGE, "o")
            _whisker(axes, arm["honest"]["balanced_accuracy"]["at_least_one"], y + 0.14, BLUE, "s")
        for colour, mark, told in (
            (ORANGE, "o", "validation set, which chose"),
            (BLUE, "s", "sealed test set, balanced accuracy"),
        ):
            axes.plot([], [], mark, color=colour, ms=5, label=told)
        axes.set(yticks=range(len(arms)), ylim=(len(arms) - 0.4, -0.6))
        axes.set_yticklabels([arm["label"] for arm in arms.values()], color=INK, fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("accuracy of studies by at least one image, 95 % interval")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return svg.text


def floors(report: Report) -> str:
    """AUROC of the images of the test set: the main models, and the floors."""
    found = report["floors"]
    rows = [(short(report["arms"][name]["title"]), found[name]["auroc"], BLUE) for name in report["main"]]
    rows += [(short(f"floor: {line['title']}"), line["auroc"], QUIET) for line in found[report["main"][0]]["floors"]]
    with drawing("floors", forest_size(rows), "AUROC of the models and of each floor") as (figure, svg):
        axes = figure.subplots()
        axes.axvline(0.5, color=LINE, lw=1)
        forest(axes, rows)
        axes.set_xlabel("AUROC of the images of the test set, 95 % interval")
    return svg.text


def pointing(report: Report) -> str:
    """The pointing game of the main models, beside the floors of the first."""
    games = {name: report["pointing"]["arms"][name]["pointing"] for name in report["main"]}
    rows = [(short(report["arms"][name]["title"]), game["rate"], BLUE) for name, game in games.items()]
    first = next(iter(games.values()))
    rows += [(short(floor["title"]), floor["rate"], QUIET) for floor in first["floors"]]
    with drawing("pointing", forest_size(rows), "Pointing game of the models and the floors") as (figure, svg):
        axes = figure.subplots()
        forest(axes, rows)
        axes.set_xlabel("share of images whose highest point lies in a true box, 95 % interval")
    return svg.text


def _line_of_gaps(axes: Axes, rows: Sequence[Report], place: int, lines: int, label: str) -> None:
    colour, mark = (BLUE, ORANGE, GREEN, INK)[place % 4], MARKERS[place]
    # Beside each other, so that intervals do not hide one another; the axis is logarithmic.
    at = [row["gap_mm"] * 1.05 ** (place - (lines - 1) / 2) for row in rows]
    for x, row in zip(at, rows, strict=True):
        if row["auroc"]["low"] is not None:
            axes.vlines(x, row["auroc"]["low"], row["auroc"]["high"], color=colour, lw=1.1, alpha=0.7)
    axes.plot(at, [row["auroc"]["value"] for row in rows], f"{mark}-", color=colour, ms=4.5, lw=1.5, label=label)


def _gaps_below(axes: Axes, gaps: Sequence[float]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(gaps[0] * 0.8, gaps[-1] * 1.25)
    axes.set_xticks(list(gaps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("width of the gap, mm")


def _told(arm: Report) -> str:
    form = f"{arm['size']} {arm['fit']}"
    return form if arm["mm"] is None else f"{form}, {arm['mm']:.2f} mm a pixel"


def _lowest(found: Mapping[str, Any]) -> float:
    rows = [row["auroc"] for arm in found.values() for row in arm["rows"]]
    return min(float(row["value"] if row["low"] is None else row["low"]) for row in rows)


def _whisker(axes: Axes, figure: Report, y: float, colour: str, mark: str) -> None:
    if figure["value"] is None:
        return
    if figure["low"] is not None:
        axes.hlines(y, figure["low"], figure["high"], color=colour, lw=1.5)
    axes.plot(figure["value"], y, mark, color=colour, ms=4.5)
