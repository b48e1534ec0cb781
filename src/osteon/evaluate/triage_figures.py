"""The orders of a worklist side by side, as a figure and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from osteon import files
from osteon.drawing import BLUE, INK, ORANGE, QUIET, drawing
from osteon.evaluate.report import plain
from osteon.evaluate.triage import TIMES
from osteon.types import Estimate

JSON, FIGURE, TABLE = "triage.json", "triage.svg", "triage.md"
COLOURS = (QUIET, ORANGE, BLUE)
KINDS = {"positive": "with the finding", "negative": "without it"}


def write(found: Mapping[str, Any], folder: Path) -> None:
    """Write what `osteon.evaluate.triage.triage` found: all figures as JSON, a figure, and a table in Markdown.

    Raises:
        CannotWrite: if the folder cannot be written; what it held before is then as it was.
    """
    with files.replacing(folder / FIGURE) as figure, files.replacing(folder / TABLE) as lines:
        figure.write_text(times(found), encoding="utf-8")
        lines.write_text(table(found), encoding="utf-8")
        files.write_json(folder / JSON, plain(found))


def times(found: Mapping[str, Any]) -> str:
    """Median (dot) and ninth decile (bar's end) of the time to read by each order, as SVG text.

    Args:
        found: as `osteon.evaluate.triage.triage` returned it.
    """
    orders = found["orders"]
    with drawing("triage", (7.0, 2.6), "Time to read by each order of the worklist") as (figure, svg):
        panels = figure.subplots(1, len(KINDS), sharey=True)
        for axes, (kind, title) in zip(panels, KINDS.items(), strict=True):
            for y, (order, colour) in enumerate(zip(orders, COLOURS, strict=True)):
                middle, late = order[kind]["median"], order[kind]["ninth_decile"]
                axes.plot([middle.value, late.value], [y, y], color=colour, lw=2, solid_capstyle="butt")
                axes.plot(middle.value, y, "o", color=colour, ms=6)
                axes.plot(late.value, y, "|", color=colour, ms=10, mew=2)
                axes.text(middle.value, y - 0.22, f"{middle.value:.0f}", ha="center", fontsize=8, color=INK)
                axes.text(late.value, y - 0.22, f"{late.value:.0f}", ha="center", fontsize=8, color=INK)
            axes.set(title=title, xlabel="minutes until read: median, ninth decile", xlim=(0, None))
            axes.set(yticks=range(len(orders)), ylim=(len(orders) - 0.5, -0.6))
            axes.set_yticklabels([order["name"] for order in orders], color=INK)
            axes.tick_params(axis="y", length=0)
            axes.grid(axis="y", visible=False)
            axes.margins(x=0.12)
            axes.set_xlim(left=0)
    return svg.text


def table(found: Mapping[str, Any]) -> str:
    """The figures as a table in Markdown: minutes until read, and how many less than by first come."""
    head = (
        "| order | images | mean | median | ninth decile | longest | mean saved | median saved | ninth decile saved |"
    )
    lines = [head, "|---|---|" + "---:|" * 7]
    for order in found["orders"]:
        for kind, title in KINDS.items():
            row = order[kind]
            told = [_minutes(row[name]) for name in TIMES] + [f"{row['longest']:.0f}"]
            told += [_minutes(row["saved"][name]) for name in TIMES]
            lines.append(f"| {order['name']} | {title} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _minutes(figure: Estimate) -> str:
    if not figure.low <= figure.high:  # NaN compares as false
        return f"{figure.value:.1f}"
    return f"{figure.value:.1f} ({figure.low:.1f} to {figure.high:.1f})".replace("-", "−")
