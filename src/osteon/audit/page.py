"""audit.html: one file that needs no other, for a screen and for A4 paper."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
from markupsafe import Markup

from osteon import pages
from osteon.audit import drift_page, figures
from osteon.audit.gate import CONFOUNDED, SHORTCUT
from osteon.dataset.prepared import pixels_of
from osteon.drawing import with_ids
from osteon.evaluate.page import figure, share

TEMPLATE = "audit.html.j2"
SHOWN = 24
"""Images to be read again whose thumbnails are on the page."""

SIDE = 120
"""Longer side of a thumbnail, in pixels."""


def page(audit: Mapping[str, Any], suspects: Sequence[Mapping[str, Any]], images: Mapping[str, Path] | None) -> str:
    """The audit as one HTML page; whatever comes from the data is escaped.

    Args:
        audit: as `osteon.audit.audit.audit` returned it, or as it was read back from audit.json.
        suspects: the labels to be read again, as dictionaries; at most SHOWN are shown.
        images: image id → prepared PNG, for thumbnails; None shows none.
    """
    environment = pages.environment("osteon.audit")
    environment.filters.update({**drift_page.FILTERS, "figure": figure, "share": share, "percent": percent})
    rows = audit["shortcuts"]["rows"]
    drawn = {}
    if rows:
        svg = figures.carried(rows, audit["gate"]["findings"], audit["gate"]["threshold"])
        # Safe as markup: matplotlib has escaped the texts inside, and what is around them is our own.
        drawn["carried"] = Markup(with_ids(svg, "carried"))
    told = {
        "audit": audit,
        "pictures": drawn,
        "drift_pictures": drift_page.pictures(audit["drift"]) if not audit["drift"]["reason"] else {},
        "suspects": [{**row, "thumbnail": _thumbnail(row["image"], images)} for row in suspects[:SHOWN]],
        "bad": (SHORTCUT, CONFOUNDED),
    }
    return environment.get_template(TEMPLATE).render(**told) + "\n"


def percent(estimate: Mapping[str, Any] | None) -> Markup:
    """A share with its interval, in per cent: 4.1 % (2.8 to 5.9)."""
    if estimate is None or estimate["value"] is None:
        return figure(estimate)
    value = f"{100 * estimate['value']:.1f}\u202f%"
    if estimate["low"] is None:
        return Markup('<b>{}</b> <span class="quiet">no interval</span>').format(value)
    ends = f"({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"
    return Markup('<b>{}</b> <span class="interval">{}</span>').format(value, ends)


def _thumbnail(image: str, images: Mapping[str, Path] | None) -> str:
    """A PNG as a data address, or "" if the image is not at hand."""
    if images is None or image not in images:
        return ""
    pixels = pixels_of(images[image])
    scale = SIDE / max(pixels.shape)
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", small)[1].tobytes()).decode()
