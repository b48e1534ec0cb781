"""Where limbs lie on a plate: what the steps that split, turn and crop look at.

Everything here works on a copy of at most LOOKED_AT pixels a side of an image that shows bone white. Ground is darker
than soft tissue; lead (what the collimator shuts off, dividers, bands beside the plate) is white, even and sharp-edged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset.steps.dividing import full_lines, half_parted, lines_across

LOOKED_AT = 256
"""Longer side in pixels of the copy on which limbs are found."""

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_DEPTH = 3  # fields within fields: a plate, its exposures, a shutter's field in each
_LEAST = 0.015  # of the image: smaller things are marks, not limbs
_INSET, _GLOW = 5, 10  # pixels left off inside a field's edge: its penumbra; beside open lead, stray light


@dataclass(frozen=True)
class Levels:
    """Grey levels of a region: its ground, the step to soft tissue, the step to bone (Otsu), and its white."""

    ground: float
    tissue: float
    bone: float
    white: float


def shrunk(image: Grey, longest: int = LOOKED_AT) -> Grey:
    """The (h, w) uint8 image at no more than `longest` pixels a side, by area averaging."""
    shrink = min(1.0, longest / max(image.shape))
    if shrink == 1.0:
        return image
    height, width = (max(1, round(side * shrink)) for side in image.shape)
    # OpenCV keeps uint8, which its hints do not say.
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def limbs(image: Grey) -> list[Mask]:
    """The limbs on a (h, w) uint8 image that shows bone white.

    Ground is the commonest level below Otsu's threshold; tissue begins four deviations of the ground, or a fifth of
    the way to Otsu's threshold, above it. Lead is left out. A rectangle among what remains is a field on a shuttered
    plate, and is looked at anew by its own levels; a body that a dark valley parts from end to end is two.

    Returns:
        Masks of the size of `shrunk(image)`, none if nothing stands out.
    """
    small = np.asarray(cv2.GaussianBlur(shrunk(image), (0, 0), 0.8), np.uint8)
    regions = _tiles(np.ones(small.shape, bool), lines_across(image), small.shape[0] / image.shape[0])
    depth = 0 if len(regions) == 1 else 1
    found = [limb for region in regions for limb in _limbs_in(small, region, depth)]
    return _weighty(small, np.ones(small.shape, bool), found)


def limb(image: Grey) -> Mask:
    """All limbs of `limbs` in one mask of the size of `shrunk(image)`."""
    joined = np.zeros(shrunk(image).shape, bool)
    for found in limbs(image):
        joined |= found
    return joined


def otsu(counts: NDArray[np.float64]) -> int:
    """Otsu's threshold (1979) of a histogram: the last level of the dark class."""
    weight, moment = np.cumsum(counts), np.cumsum(counts * np.arange(len(counts)))
    dark, bright = weight[:-1], weight[-1] - weight[:-1]
    both = (dark > 0) & (bright > 0)
    apart = np.zeros(len(dark))
    apart[both] = moment[:-1][both] / dark[both] - (moment[-1] - moment[:-1][both]) / bright[both]
    return int(np.argmax(dark * bright * apart**2))


def levels_of(values: Grey) -> Levels:
    """The levels of (n,) values, by the rule that `limbs` states."""
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel().astype(float)
    if np.count_nonzero(counts) < 2:
        return Levels(float(values[0]), values[0] + 4.0, float(values[0]), float(values[0]))
    bone = otsu(counts)
    ground = int(np.argmax(np.convolve(counts, [1, 2, 3, 2, 1], "same")[: bone + 1]))
    below, offset = counts[: ground + 1], np.arange(ground + 1) - ground
    # Soft tissue lies only above the ground level, so that its dark half alone tells how noisy the ground is.
    noise = float(np.sqrt((below * offset**2).sum() / max(below.sum(), 1)))
    white = float(np.searchsorted(np.cumsum(counts), 0.998 * counts.sum()))
    # Where tissue fills so much that it is the commonest level, only bone stands out.
    tissue = min(max(4 * noise, 0.2 * (bone - ground), 4), max(bone - ground, 4))
    return Levels(ground, ground + tissue, bone, white)


def _limbs_in(small: Grey, region: Mask, depth: int) -> list[Mask]:
    """Limbs in a region, by its own levels."""
    if np.count_nonzero(region) < 0.01 * small.size:
        return []
    levels = levels_of(small[region])
    if levels.white <= levels.tissue:
        return []
    if depth < _DEPTH:
        fields = _fields_in_lead(small, region, levels)
        if fields:
            return [limb for field in fields for limb in _limbs_in(small, field, depth + 1)]
    lead = _bands(small, levels) if depth == 0 else None
    if lead is not None:
        region = region & ~lead
        if np.count_nonzero(region) < 0.05 * small.size:
            return []
        levels = levels_of(small[region])
    bars = _bars(small, region, levels)
    region = region if bars is None else region & ~bars
    found = _bodies(small, region, levels, levels.tissue, depth)
    found = found or _bodies(small, region, levels, levels.bone, _DEPTH)
    return _weighty(small, region, found)


def _bodies(small: Grey, region: Mask, levels: Levels, threshold: float, depth: int) -> list[Mask]:
    """What is brighter than a threshold, cleaned, with fields looked into and pairs parted."""
    wide = max(3, round(0.012 * max(small.shape)) | 1)
    bright = _opened(region & (small > threshold), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    found: list[Mask] = []
    for body, area in _components(bright, _LEAST * small.size):
        box = cv2.boundingRect(body.view(np.uint8))
        if _is_strip(box, area, small.shape):
            continue
        filled, hull, rectangle = _rectangularity(body)
        if depth < _DEPTH and hull > 0.94 and filled > 0.85 and area > 0.04 * small.size:
            inside = [
                limb
                for tile in _tiles(_inner(small.shape, rectangle, _INSET) & region, full_lines(small, body), 1.0)
                for limb in _limbs_in(small, tile, depth + 1)
            ]
            if inside:
                found += inside
                continue
        found += _parted(small, body, box, levels.ground)
    return found


def _components(mask: Mask, least: float) -> list[tuple[Mask, int]]:
    """Components (neighbours share an edge) of so many pixels or more, with their areas.

    OpenCV's own statistics of components take three times as long as finding them.
    """
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    if width * height < least:
        return []
    here = np.s_[y : y + height, x : x + width]
    _, labels = cv2.connectedComponents(mask.view(np.uint8)[here], connectivity=4)
    areas, found = np.bincount(labels.ravel()), []
    for k in range(1, len(areas)):
        if areas[k] >= least:
            component = np.zeros_like(mask)
            np.equal(labels, k, out=component[here])
            found.append((component, int(areas[k])))
    return found


def _opened(mask: Mask, kernel: cv2.typing.MatLike) -> Mask:
    return np.asarray(cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_OPEN, kernel).view(bool))


def _parted(small: Grey, body: Mask, box: Sequence[int], ground: float) -> list[Mask]:
    """A body as the two that a dark valley from end to end parts, or as it is."""
    x, y, width, height = box
    here = np.s_[y : y + height, x : x + width]
    half = half_parted(small[here], body[here], ground)
    if half is None:
        return [body]
    one = np.zeros_like(body)
    one[here] = half
    return [one, body & ~one]


def _weighty(small: Grey, region: Mask, found: list[Mask]) -> list[Mask]:
    """Those limbs of a region that are not much fainter, nor much smaller, than the foremost.

    What touches the rim of the region must be half as bright as the foremost: scatter and penumbra lie along it.
    """
    if len(found) < 2:
        return found
    ground = np.percentile(small[::4, ::4], 5)
    contrast = np.array([np.percentile(small[m], 90) - ground for m in found])
    area = np.array([m.sum() for m in found], float)
    keep = (contrast > 0.3 * contrast.max()) & (area > 0.06 * area.max())
    rim = _rim(region, 9)
    inner = ~np.array([bool((m & rim).any()) for m in found])
    keep &= inner | (contrast > 0.5 * contrast.max()) | (area > 0.35 * area.max())
    return [m for m, kept in zip(found, keep, strict=True) if kept]


def _rim(region: Mask, wide: int) -> Mask:
    """The pixels of a region within half of `wide` pixels of its edge, or of the image's."""
    inner = cv2.erode(
        region.view(np.uint8), np.ones((wide, wide), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(region & (inner == 0))


def _is_strip(box: Sequence[int], area: int, shape: tuple[int, ...]) -> bool:
    """Whether a component is a low strip along one side of the image."""
    x, y, width, height = box
    rows, columns = shape[0], shape[1]
    low = (y <= 3 or y + height >= rows - 3) and height < 0.12 * rows and width > 0.3 * columns
    slim = (x <= 3 or x + width >= columns - 3) and width < 0.1 * columns and height > 0.3 * rows
    return low or (slim and area < 0.06 * rows * columns)


def _fields_in_lead(small: Grey, region: Mask, levels: Levels) -> list[Mask]:
    """The exposed rectangles of a region whose rim is white for more than three tenths."""
    white = region & (small >= math.ceil(levels.ground + 0.85 * (levels.white - levels.ground)))
    rim = _rim(region, 5)
    share = np.count_nonzero(white & rim) / max(1, int(np.count_nonzero(rim)))
    if share <= 0.3:
        return []
    rest = _opened(region & ~white, np.ones((5, 5), np.uint8))
    fields = []
    for field, _ in _components(rest, (0.04 if share > 0.5 else 0.15) * np.count_nonzero(region)):
        _, hull, rectangle = _rectangularity(field)
        if hull > 0.88:
            fields.append(_inner(small.shape, rectangle, _GLOW) & region)
    return fields


def _bands(small: Grey, levels: Levels) -> Mask | None:
    """White bands along the sides of the image, with a straight and sharp inner edge, as a mask; None without any."""
    found = np.zeros(small.shape, bool)
    white = small >= math.ceil(levels.tissue + 0.6 * (levels.white - levels.tissue))
    for turns in range(4):
        depth = _band_depth(np.rot90(white, turns), np.rot90(small, turns), levels)
        if depth is not None:
            np.rot90(found, turns)[np.arange(found.shape[turns % 2])[:, None] < depth + 2] = True
    return found if found.any() else None


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


def _bars(small: Grey, region: Mask, levels: Levels) -> Mask | None:
    """White wedges and bars whose sharp edges border on ground, with a margin; None without any."""
    white = region & (small >= math.ceil(levels.ground + 0.7 * (levels.white - levels.ground)))
    bars = np.zeros(small.shape, np.uint8)
    for found, _ in _components(white, 0.002 * small.size):
        x, y, width, height = cv2.boundingRect(found.view(np.uint8))
        here = np.s_[max(0, y - 6) : y + height + 6, max(0, x - 6) : x + width + 6]
        bar = found[here].astype(np.uint8)
        near = cv2.dilate(bar, np.ones((7, 7), np.uint8))
        ring = (cv2.dilate(near, np.ones((3, 3), np.uint8)) > near) & region[here]
        around = np.count_nonzero(ring)
        dim = small[here] < levels.tissue + 0.15 * (levels.white - levels.tissue)
        if around and np.count_nonzero(dim & ring) > 0.6 * around and _solidity(bar) > 0.75:
            bars[here] |= bar
    return np.asarray(cv2.dilate(bars, np.ones((7, 7), np.uint8)) > 0) if bars.any() else None


def _solidity(mask: NDArray[np.uint8]) -> float:
    """Area of a component relative to that of its convex hull."""
    hull = cv2.convexHull(_outline(mask))
    return float(mask.sum()) / max(1.0, cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1)


def _rectangularity(mask: Mask) -> tuple[float, float, cv2.typing.RotatedRect]:
    """Shares of the smallest rectangle about a component that its outline and its convex hull fill; the rectangle."""
    outline = _outline(mask.view(np.uint8))
    rectangle = cv2.minAreaRect(outline)
    hull = cv2.convexHull(outline)
    area = (rectangle[1][0] + 1) * (rectangle[1][1] + 1)
    # Outlines run through pixel centres: half of their length, and one, make up for the outer halves.
    convex = cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2 + 1
    return cv2.contourArea(outline) / area, convex / area, rectangle


def _outline(mask: NDArray[np.uint8]) -> cv2.typing.MatLike:
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return max(outlines, key=len)


def _inner(shape: tuple[int, ...], rectangle: cv2.typing.RotatedRect, inset: int) -> Mask:
    """The inside of a rectangle, without its edge."""
    centre, (width, height), angle = rectangle
    size = max(width - 2 * inset, 1.0), max(height - 2 * inset, 1.0)
    drawn = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.round(cv2.boxPoints((centre, size, angle))).astype(np.int32), 1)
    return drawn > 0


def _tiles(region: Mask, lines: tuple[tuple[int, int] | None, tuple[int, int] | None], scale: float) -> list[Mask]:
    """A region as the lines across and along it divide it; lines as first and last pixel at 1 / scale."""
    tiles = [region]
    for axis, line in enumerate(lines):
        if line is None:
            continue
        first, last = (round(v * scale) for v in line)
        along = np.arange(region.shape[axis])
        sides = along < first - 1, along > last + 1
        tiles = [t & (s[:, None] if axis == 0 else s[None, :]) for t in tiles for s in sides]
    return tiles
