"""The figure of an audit as SVG text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from osteon.audit.gate import CONFOUNDED, SHORTCUT
from osteon.drawing import BLUE, INK, LINE, ORANGE, QUIET, drawing
from osteon.evaluate.figures import forest_size, short
from osteon.evaluate.words import number

Part = Mapping[str, Any]


def carried(rows: Sequence[Part], findings: Mapping[str, str], threshold: float) -> str:
    """What each attribute carries, with its corrected interval; orange beyond the threshold, which is dashed."""
    with drawing("carried", forest_size(rows), "AUROC that each attribute carries") as (figure, svg):
        axes = figure.subplots()
        ends = [v for row in rows for v in (row["carried"]["low"], row["carried"]["high"]) if v is not None]
        left, right = min([-0.03, *ends]) - 0.01, max([threshold + 0.03, *ends]) + 0.01
        for y, row in enumerate(rows):
            _line(axes, y, row["carried"], ORANGE if findings[row["name"]] in (SHORTCUT, CONFOUNDED) else BLUE, left)
        axes.axvline(0, color=LINE, lw=1)
        axes.axvline(threshold, color=ORANGE, lw=1, ls="--")
        axes.set(yticks=range(len(rows)), ylim=(len(rows) - 0.4, -0.6), xlim=(left, right))
        axes.set_yticklabels([short(row["title"]) for row in rows], color=INK)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("AUROC carried, corrected interval; dashed: threshold of the gate")
    return svg.text


def _line(axes: Any, y: int, found: Part, colour: str, left: float) -> None:
    if found["value"] is None:
        axes.text(left, y, f" {found['note']}", va="center", color=colour, fontsize=8, style="italic")
        return
    if found["low"] is not None:
        axes.hlines(y, found["low"], found["high"], color=colour, lw=1.6)
    axes.plot(found["value"], y, "o", color=colour, ms=5)
    told = number(found["value"], 3)
    told += (
        f" ({number(found['low'], 3)} to {number(found['high'], 3)})" if found["low"] is not None else ", no interval"
    )
    axes.text(1.015, y, told, va="center", fontsize=8, color=QUIET, transform=axes.get_yaxis_transform())
