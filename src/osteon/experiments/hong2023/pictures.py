"""The figures of the study, drawn again, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator

from osteon.drawing import BLUE, INK, LINE, QUIET, drawing
from osteon.evaluate.figures import MODEL, forest, forest_size
from osteon.learn.end_to_end import CURVES, MEAN
from osteon.learn.search.flat_heads import MEASURES
from osteon.learn.search.regimes import Searched

RED = "#C0272D"
"""Of training curves, as in the study; validation is blue."""

COLOURS = {"training": RED, "validation": BLUE}

EXAMPLES = 9
"""Example curves of Regime I, from the best trial to the worst."""

SIZE = (5.0, 3.7)

Rows = Sequence[Mapping[str, Any]]


def curves(frame: pd.DataFrame, name: str, *, view_only: float) -> str:
    """AUROC per epoch: each fold thin, the mean bold; training red, validation blue, the view alone dashed."""
    with drawing(f"curves-{name}", SIZE, f"AUROC per epoch of {name}") as (figure, svg):
        axes = figure.subplots()
        _curves(axes, frame)
        axes.axhline(view_only, color=INK, lw=1, ls="--", label="view alone")
        axes.set(xlabel="epoch", ylabel="AUROC, mean of 18 labels")
        axes.legend(loc="lower right", ncols=3, bbox_to_anchor=(1, 1.0), borderaxespad=0.2)
    return svg.text


def long_curves(searched: Searched, trial: int) -> pd.DataFrame:
    """The curves of one trial with the columns of `end_to_end.CURVES`, means over folds included."""
    rows = searched.curves[searched.curves["trial"] == trial]
    parts = []
    for part, names in (("training", MEASURES[:2]), ("validation", MEASURES[2:])):
        named = rows[["fold", "epoch", *names]].rename(columns=dict(zip(names, ("loss", "auroc"), strict=True)))
        mean = named.groupby("epoch", as_index=False)[["loss", "auroc"]].mean().assign(fold=MEAN)
        parts.append(pd.concat([named, mean], ignore_index=True).assign(part=part))
    return pd.concat(parts, ignore_index=True)[list(CURVES)]


def examples(searched: Searched) -> str:
    """Curves of up to nine trials, evenly from the best to the worst."""
    ranked = searched.trials[searched.trials["auroc"].notna()].sort_values(["auroc", "trial"], ascending=[False, True])
    places = np.unique(np.linspace(0, len(ranked) - 1, min(EXAMPLES, len(ranked))).round().astype(int))
    columns = int(np.ceil(np.sqrt(len(places))))
    lines = -(-len(places) // columns)
    with drawing("examples", (10.3, 2.45 * lines + 0.35), "Example curves of Regime I") as (figure, svg):
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(places) :]:
            axes.remove()
        for axes, place in zip(grid.flat, places, strict=False):
            trial = ranked.iloc[place]
            _curves(axes, long_curves(searched, int(trial["trial"])), thin=0.6)
            told = f"rank {place + 1}: batch {int(trial['batch'])}, dropout {trial['dropout']:.2f}"
            axes.set_title(f"{told}\nAUROC {trial['auroc']:.3f}", fontsize=8, color=INK)
        for axes in grid[:, 0]:
            axes.set_ylabel("AUROC")
        for axes in grid.flat[max(0, len(places) - columns) : len(places)]:
            axes.set_xlabel("epoch")
            axes.xaxis.set_tick_params(labelbottom=True)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return svg.text


def scatter(trials: pd.DataFrame) -> str:
    """Regime I: each trial at its batch size and dropout, coloured by AUROC, the best one ringed."""
    done = trials[trials["auroc"].notna()]
    best = done.sort_values(["auroc", "trial"], ascending=[False, True]).iloc[0]
    with drawing("scatter", SIZE, "Regime I: AUROC over batch size and dropout") as (figure, svg):
        axes = figure.subplots()
        dots = axes.scatter(done["batch"], done["dropout"], c=done["auroc"], cmap="viridis", s=46, ec="white", lw=0.6)
        axes.plot(best["batch"], best["dropout"], "o", ms=12, mfc="none", mec=RED, mew=1.6, label="best")
        failed = trials[trials["auroc"].isna()]
        if len(failed):
            axes.plot(failed["batch"], failed["dropout"], "x", color=QUIET, ms=6, label="no score")
        axes.set(xlabel="batch size", ylabel="dropout", xlim=(-40, 2105), ylim=(-0.02, 0.52))
        axes.legend(loc="lower right", ncols=2, bbox_to_anchor=(1, 1.0), borderaxespad=0.2)
        bar = figure.colorbar(dots, ax=axes, label="AUROC, mean of 18 labels")
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_locator(MaxNLocator(5))
    return svg.text


def heat_map(trials: pd.DataFrame) -> str:
    """Regime II: AUROC of each learning rate and epsilon, in colours and numbers, the best cell framed."""
    table = trials.pivot_table(index="learning_rate", columns="epsilon", values="auroc", dropna=False)
    table = table.sort_index(ascending=False).sort_index(axis=1, ascending=False)
    values = table.to_numpy(float)
    with drawing(
        "heat-map", (10.3, 1.1 + 0.42 * values.shape[0]), "Regime II: AUROC over learning rate and epsilon"
    ) as (figure, svg):
        axes = figure.subplots()
        picture = axes.pcolormesh(np.ma.masked_invalid(values), cmap="viridis", edgecolors="white", lw=1.5)
        middle = np.nanmin(values) + 0.6 * (np.nanmax(values) - np.nanmin(values))
        for (row, column), value in np.ndenumerate(values):
            colour = INK if np.isnan(value) or value > middle else "white"
            said = "no score" if np.isnan(value) else f"{value:.3f}"
            axes.text(column + 0.5, row + 0.5, said, ha="center", va="center", fontsize=8, color=colour)
        row, column = np.unravel_index(int(np.nanargmax(values)), values.shape)
        axes.add_patch(_frame(int(column), int(row)))
        _ticks(axes, "x", table.columns.to_numpy(float))
        _ticks(axes, "y", table.index.to_numpy(float))
        axes.set(xlabel="ε of Adam", ylabel="learning rate")
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(picture, ax=axes, label="AUROC")
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_locator(MaxNLocator(4))
    return svg.text


def beside_view(rows: Rows) -> str:
    """The 18-label AUROC of each model with its interval, and below it, in grey, that of the view alone."""
    lines = []
    for row in rows:
        lines.append((row["name"], row["eighteen"]["model"]["macro_auroc"], MODEL))
        lines.append(("view alone", row["eighteen"]["view_only"]["macro_auroc"], QUIET))
    with drawing("beside-view", forest_size(lines), "AUROC of 18 labels beside the view alone") as (figure, svg):
        axes = figure.subplots()
        forest(axes, lines)
        axes.set_xlabel("AUROC, mean of 18 labels, 95 % interval")
    return svg.text


def _curves(axes: Axes, frame: pd.DataFrame, thin: float = 0.8) -> None:
    for part, colour in COLOURS.items():
        mine = frame[frame["part"] == part]
        for fold, line in mine.groupby("fold"):
            bold = fold == MEAN
            style: dict[str, Any] = {"lw": 2.2, "label": part, "zorder": 3} if bold else {"lw": thin, "alpha": 0.4}
            if line["epoch"].nunique() < 2:
                style["marker"] = "o"  # a line of one point would be invisible
            axes.plot(line["epoch"], line["auroc"], color=colour, **style)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(color=LINE)


def _ticks(axes: Axes, which: str, values: np.ndarray[Any, Any]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator((np.arange(len(values)) + 0.5).tolist()))
    axis.set_major_formatter(FixedFormatter([f"{value:.0e}".replace("e-0", "e−") for value in values]))
    axis.set_minor_locator(NullLocator())


def _frame(column: int, row: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, fill=False, ec=RED, lw=1.8, zorder=4)
