"""The figure of drift as SVG text: how large each difference is, beside what chance would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from osteon.audit.drift_words import name_of
from osteon.drawing import GREY_BLUE, INK, LINE, ORANGE, QUIET, drawing

MOST_ROWS = 24
"""Rows of stability indices that are drawn, the surest drift first; the table has all."""

CUTS = ((0.10, "moderate ", "right"), (0.25, " large", "left"))
"""Index, its word, and to which side of its line the word ends or begins, so that the two do not touch."""

Rows = Sequence[Mapping[str, Any]]


def effects(told: Mapping[str, Any]) -> str:
    """Stability index of each comparison and AUROC of the classifier, with intervals and the reach of chance.

    Args:
        told: as `osteon.audit.drift.drift` returned it, as plain JSON.
    """
    shares = [row for row in told["rows"] if row["kind"] == "shares"][:MOST_ROWS]
    ranked = [row for row in told["rows"] if row["kind"] == "classifier"]
    heights = [0.55 + 0.24 * len(rows) for rows in (shares, ranked) if rows]
    with drawing("drift", (7.4, 0.35 + sum(heights)), "How far new studies differ from the reference") as (figure, svg):
        panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        if shares:
            _panel(panels[0], shares, 0.0)
            panels[0].set_xscale("function", functions=(np.sqrt, np.square))
            top = max(0.4, *(_end(row) for row in shares))
            panels[0].set(
                xlim=(0, 1.08 * top), xticks=[t for t in (0, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16) if t <= 1.08 * top]
            )
            panels[0].xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            panels[0].set_xlabel("population stability index, 95 % interval; grey: reach of chance")
            for cut, word, side in CUTS:
                panels[0].axvline(cut, color=QUIET, lw=0.8, ls=":")
                panels[0].text(cut, -0.75, word, fontsize=7, color=QUIET, ha=side)
        if ranked:
            _panel(panels[-1], ranked, 0.5)
            panels[-1].set(xlim=(0.4, 1.02), xlabel="AUROC of telling new from reference, 95 % interval")
    return svg.text


def _panel(axes: Axes, rows: Rows, nothing: float) -> None:
    """A line per row: its effect and interval, on a bar from no effect to what chance reaches once in twenty."""
    for y, row in enumerate(rows):
        effect, colour = row["effect"], ORANGE if row["found"] else GREY_BLUE
        axes.barh(y, row["chance"] - nothing, left=nothing, height=0.62, color=LINE, alpha=0.7, lw=0)
        if effect["low"] is not None:
            axes.plot([effect["low"], effect["high"]], [y, y], color=colour, lw=1.6, solid_capstyle="butt")
        marker = "o" if row["found"] else "D"  # told apart in print too
        axes.plot(effect["value"], y, marker, color=colour if row["found"] else "white", mec=colour, mew=1.2, ms=5)
    axes.set_yticks(range(len(rows)), [name_of(row) for row in rows])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def _end(row: Mapping[str, Any]) -> float:
    effect = row["effect"]
    return float(max(effect["value"] if effect["high"] is None else effect["high"], row["chance"]))
