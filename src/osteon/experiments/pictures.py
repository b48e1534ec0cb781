"""Figures that experiments share, as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from osteon.drawing import INK, drawing
from osteon.evaluate.figures import MODEL

Rows = Sequence[Mapping[str, Any]]


def added(rows: Rows, says: str, axis: str) -> str:
    """What a leak adds to each figure, with intervals; to the right of 0 it flatters.

    Args:
        rows: each with `short`, its label, and `added`, a figure.
        says: the title for screen readers. axis: what the horizontal axis is.
    """
    with drawing("added", (10.3, 0.9 + 0.4 * len(rows)), says) as (figure, svg):
        axes = figure.subplots()
        axes.axvline(0, color=INK, lw=1)
        for y, row in enumerate(rows):
            gap = row["added"]
            if gap["value"] is None:
                continue
            if gap["low"] is not None:
                axes.hlines(y, gap["low"], gap["high"], color=MODEL, lw=1.6)
            axes.plot(gap["value"], y, "o", color=MODEL, ms=5)
        axes.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6))
        axes.set_yticklabels([row["short"] for row in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(axis)
    return svg.text
