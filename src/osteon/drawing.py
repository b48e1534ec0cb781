"""Figures as SVG text, in one style: same numbers, same bytes; a colour for each role, and a dash for print."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart by readers with any of the common colour-vision defects, and in grey by their dashes.
BLUE, GREEN, ORANGE, GREY_BLUE = "#0072B2", "#009E73", "#D55E00", "#56789A"
INK, QUIET, LINE = "#222222", "#666666", "#C8CCD0"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names come from the data: a dollar sign is a dollar sign
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.4,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.use": True,
}


class Drawing:
    """An empty SVG that a figure function fills; when the block has ended, `text` holds it, and `png` if asked for."""

    text = ""
    png = b""


@contextmanager
def drawing(name: str, size: tuple[float, float], says: str, *, png_dpi: int = 0) -> Iterator[tuple[Figure, Drawing]]:
    """A figure of `size` inches that becomes SVG text; `name` salts its ids, `says` is for screen readers.

    With `png_dpi` dots per inch it becomes a PNG too.
    """
    result = Drawing()
    with mpl.rc_context({**STYLE, "svg.hashsalt": f"osteon-{name}"}):
        figure = Figure(figsize=size)
        yield figure, result
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
        if png_dpi:
            dots = io.BytesIO()
            figure.savefig(dots, format="png", dpi=png_dpi, metadata={"Software": None})
            result.png = dots.getvalue()
    result.text = _inline(buffer.getvalue(), says)


def with_ids(svg: str, prefix: str) -> str:
    """The figure with a prefix to all its ids, so that no two figures of a page share one."""
    for mark in ('id="', 'href="#', "url(#"):
        svg = svg.replace(mark, f"{mark}{prefix}-")
    return svg


def _inline(svg: str, says: str) -> str:
    """SVG for the inside of a page: no prologue and no fixed size."""
    body = svg[svg.index("<svg ") :]
    head, rest = body.split(">", 1)
    box = head[head.index("viewBox=") :].split('"')[1]
    opening = (
        f'<svg class="figure" role="img" aria-label="{says}" viewBox="{box}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return opening + rest.strip()
