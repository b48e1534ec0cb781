"""Where limbs lie on a plate: what the steps that split, turn and crop look at.

Everything here works on a copy of at most LOOKED_AT pixels a side of an image that shows bone white. Ground is darker
than soft tissue; lead (what the collimator shuts off, dividers, bands beside the plate) is white, even and sharp-edged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.dividing import full_lines, half_parted, lines_across
from osteon.dataset.steps.lead import bands, bars, fields_in_lead
from osteon.dataset.steps.levels import Levels, levels_of
from osteon.dataset.steps.shapes import components, inner, opened, rectangularity, rim_of
from osteon.types import Radiograph

LOOKED_AT = 256
"""Longer side in pixels of the copy on which limbs are found."""

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_DEPTH = 3  # fields within fields: a plate, its exposures, a shutter's field in each
_LEAST = 0.015  # of the image: smaller things are marks, not limbs
_INSET = 5  # pixels left off inside a field's edge: its penumbra


def shrunk(image: Grey, longest: int = LOOKED_AT) -> Grey:
    """The (h, w) uint8 image at no more than `longest` pixels a side, by area averaging."""
    shrink = min(1.0, longest / max(image.shape))
    if shrink == 1.0:
        return image
    height, width = (max(1, round(side * shrink)) for side in image.shape)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


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
    return _without_scatter(small, _weighty(small, np.ones(small.shape, bool), found))


def foremost(image: Grey) -> tuple[Grey, Mask | None]:
    """The (h, w) uint8 image as `shrunk`, and the mask of the largest of its limbs; None if it shows none."""
    return shrunk(image), max(limbs(image), key=np.count_nonzero, default=None)


def carried(radiograph: Radiograph) -> tuple[Radiograph, Mask | None]:
    """The radiograph with the limb that it shows, looked for unless it carries one of which a part can be seen; and the
    limb's mask, of the size of what `frame.seen` shows at LOOKED_AT. It carries none if it shows none.
    """
    mask = frame.seen_limb(radiograph, LOOKED_AT)
    if mask is not None and np.count_nonzero(mask) >= _LEAST * mask.size:
        return radiograph, mask
    _, found = foremost(frame.seen(radiograph))
    if found is None:
        return replace(radiograph, limb=None), None
    radiograph = frame.with_limb(radiograph, found, radiograph)
    return radiograph, frame.seen_limb(radiograph, LOOKED_AT)


def _limbs_in(small: Grey, region: Mask, depth: int) -> list[Mask]:
    """Limbs in a region, by its own levels."""
    if np.count_nonzero(region) < 0.01 * small.size:
        return []
    levels = levels_of(small[region])
    if levels.white <= levels.tissue:
        return []
    if depth < _DEPTH:
        fields = fields_in_lead(small, region, levels)
        if fields:
            return [limb for field in fields for limb in _limbs_in(small, field, depth + 1)]
    lead = bands(small, levels) if depth == 0 else None
    if lead is not None:
        region = region & ~lead
        if np.count_nonzero(region) < 0.05 * small.size:
            return []
        levels = levels_of(small[region])
    lead = bars(small, region, levels)
    region = region if lead is None else region & ~lead
    found = _bodies(small, region, levels, levels.tissue, depth)
    found = found or _bodies(small, region, levels, levels.bone, _DEPTH)
    return _weighty(small, region, found)


def _bodies(small: Grey, region: Mask, levels: Levels, threshold: float, depth: int) -> list[Mask]:
    """What is brighter than a threshold, cleaned, with fields looked into and pairs parted."""
    wide = max(3, round(0.012 * max(small.shape)) | 1)
    bright = opened(region & (small > threshold), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide)))
    found: list[Mask] = []
    for body, area in components(bright, _LEAST * small.size):
        box = cv2.boundingRect(body.view(np.uint8))
        if _is_strip(box, area, small.shape):
            continue
        filled, hull, rectangle = rectangularity(body)
        if depth < _DEPTH and hull > 0.94 and filled > 0.85 and area > 0.04 * small.size:
            inside = [
                limb
                for tile in _tiles(inner(small.shape, rectangle, _INSET) & region, full_lines(small, body), 1.0)
                for limb in _limbs_in(small, tile, depth + 1)
            ]
            if inside:
                found += inside
                continue
        found += _parted(small, body, box, levels.ground)
    return found


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
    contrast, area = _weights(small, found)
    keep = (contrast > 0.3 * contrast.max()) & (area > 0.06 * area.max())
    rim = rim_of(region, 9)
    apart = ~np.array([bool((m & rim).any()) for m in found])
    keep &= apart | (contrast > 0.5 * contrast.max()) | (area > 0.35 * area.max())
    return [m for m, kept in zip(found, keep, strict=True) if kept]


def _is_strip(box: Sequence[int], area: int, shape: tuple[int, ...]) -> bool:
    """Whether a component is a low strip along one side of the image."""
    x, y, width, height = box
    rows, columns = shape[0], shape[1]
    low = (y <= 3 or y + height >= rows - 3) and height < 0.12 * rows and width > 0.3 * columns
    slim = (x <= 3 or x + width >= columns - 3) and width < 0.1 * columns and height > 0.3 * rows
    return low or (slim and area < 0.06 * rows * columns)


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


def _without_scatter(small: Grey, found: list[Mask]) -> list[Mask]:
    """Those limbs of an image that are no stray light: no pale stripe along a side, no pale patch.

    A stripe is paler than a limb that the side cuts; a patch is paler still, and smaller than the limb. The shares were
    set on half A of FracAtlas, as `benchmarks/parts.py` divides it, and on phantoms.
    """
    if len(found) < 2:
        return found
    contrast, area = _weights(small, found)
    stripe = np.array([_lies_along_a_side(m) for m in found]) & (contrast < 0.8 * contrast.max()) & (area < area.max())
    patch = (contrast < 0.55 * contrast.max()) & (area < 0.5 * area.max())
    return [m for m, is_stray in zip(found, stripe | patch, strict=True) if not is_stray]


def _weights(small: Grey, found: list[Mask]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much brighter than ground limbs are, by their brightest tenth, and how many pixels they have."""
    ground = np.percentile(small[::4, ::4], 5)
    contrast = np.array([np.percentile(small[m], 90) - ground for m in found])
    return contrast, np.array([np.count_nonzero(m) for m in found], float)


def _lies_along_a_side(mask: Mask) -> bool:
    """Whether what is masked touches a side of the image along nearly all of its length, and is longer than wide."""
    for turns in range(4):
        turned = np.rot90(mask, turns)
        _, _, long, wide = cv2.boundingRect(np.ascontiguousarray(turned).view(np.uint8))
        if np.count_nonzero(turned[:4].any(axis=0)) >= 0.85 * long and 1.5 * wide <= long and wide < len(turned) / 2:
            return True
    return False
