"""Lead on a plate, by its white and its sharp, straight edges: open collimators, bands beside the image, bars in it."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset.steps.levels import Levels
from osteon.dataset.steps.shapes import components, inner, opened, rectangularity, rim_of, solidity

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_GLOW = 10  # pixels left off inside an exposed field: beside open lead lies stray light


def fields_in_lead(small: Grey, region: Mask, levels: Levels) -> list[Mask]:
    """The exposed rectangles of a region whose rim is white for more than three tenths."""
    white = region & (small >= math.ceil(levels.ground + 0.85 * (levels.white - levels.ground)))
    rim = rim_of(region, 5)
    share = np.count_nonzero(white & rim) / max(1, int(np.count_nonzero(rim)))
    if share <= 0.3:
        return []
    rest = opened(region & ~white, np.ones((5, 5), np.uint8))
    fields = []
    for field, _ in components(rest, (0.04 if share > 0.5 else 0.15) * np.count_nonzero(region)):
        _, hull, rectangle = rectangularity(field)
        if hull > 0.88:
            fields.append(inner(small.shape, rectangle, _GLOW) & region)
    return fields


def bands(small: Grey, levels: Levels) -> Mask | None:
    """White bands along the sides of the image, with a straight and sharp inner edge, as a mask; None without any."""
    found = np.zeros(small.shape, bool)
    white = small >= math.ceil(levels.tissue + 0.6 * (levels.white - levels.tissue))
    for turns in range(4):
        depth = _band_depth(np.rot90(white, turns), np.rot90(small, turns), levels)
        if depth is not None:
            np.rot90(found, turns)[np.arange(found.shape[turns % 2])[:, None] < depth + 2] = True
    return found if found.any() else None


def bars(small: Grey, region: Mask, levels: Levels) -> Mask | None:
    """White wedges and bars whose sharp edges border on ground, with a margin; None without any."""
    white = region & (small >= math.ceil(levels.ground + 0.7 * (levels.white - levels.ground)))
    sharp = np.zeros(small.shape, np.uint8)
    for found, _ in components(white, 0.002 * small.size):
        x, y, width, height = cv2.boundingRect(found.view(np.uint8))
        here = np.s_[max(0, y - 6) : y + height + 6, max(0, x - 6) : x + width + 6]
        bar = found[here].astype(np.uint8)
        near = cv2.dilate(bar, np.ones((7, 7), np.uint8))
        ring = (cv2.dilate(near, np.ones((3, 3), np.uint8)) > near) & region[here]
        around = np.count_nonzero(ring)
        dim = small[here] < levels.tissue + 0.15 * (levels.white - levels.tissue)
        if around and np.count_nonzero(dim & ring) > 0.6 * around and solidity(bar) > 0.75:
            sharp[here] |= bar
    return np.asarray(cv2.dilate(sharp, np.ones((7, 7), np.uint8)) > 0) if sharp.any() else None


def _band_depth(white: Mask, grey: Grey, levels: Levels) -> NDArray[np.float64] | None:
    """How many rows from the top a white band covers in each column, None if there is none."""
    height, width = white.shape
    margin = max(2, int(0.04 * height))
    has = white[: margin + 1].any(axis=0)
    if np.count_nonzero(has) < 0.35 * width:
        return None
    begins = np.argmax(white[: margin + 1], axis=0)
    run = white | (np.arange(height)[:, None] < begins)
    length = np.where(run.all(axis=0), height, np.argmin(run, axis=0)) * has
    columns = np.arange(width)
    beyond = grey[np.clip(length + 3, 0, height - 1), columns]
    sharp = has & (length < 0.5 * height) & (beyond < levels.tissue + 0.35 * (levels.white - levels.tissue))
    if sharp.mean() < 0.25:
        return None
    slope, start = np.polyfit(columns[sharp], length[sharp], 1)
    off = np.abs(length - start - slope * columns)
    near = sharp & (off <= max(3.0, 1.5 * float(np.median(off[sharp]))))
    if near.sum() > 5:
        slope, start = np.polyfit(columns[near], length[near], 1)
    edge = np.clip(start + slope * columns, 0, 0.45 * height)
    near = sharp & (np.abs(length - edge) < 0.08 * height)
    return np.asarray(np.where(near, np.maximum(length, edge), edge), float)
