"""Strokes of letters, dots and text on an image: small, sharp, even things that stand out on open ground.

Ground is what an opening with a large square leaves (Serra 1982): whatever is narrower than the square and lighter
than what it lies on is gone, and a frame, being broad, is ground itself, so that a mark beside it stands alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST = 0.16
"""Share of the longer side: the height of a letter and the width of a word are not more."""

_SMALLEST = 0.007
_LIGHTER = 50  # grey levels above the ground, from which a pixel may belong to a stroke
_CONTRAST = 95, 55  # grey levels between a mark, or a dot, and its ground: lead and ink are far from it, bone is not
_SHARP = 0.6, 0.35  # of the contrast, a pixel: the slope at the edge of a mark
_STRONG = 120  # grey levels of contrast, as lead and burnt-in text have; such marks may lie closer to other things
_OPEN = 0.85, 0.75  # of the pixels around a mark: they lie apart from it by at least _APART of its contrast
_APART = 0.45
_FREE = 0.93, 0.88  # the same, of the pixels next to it
_EVEN = 0.2, 0.4, 0.8  # of the contrast: spread of the ground, from its first tenth to its third quarter
_OWN_GROUND = 0.4  # of the pixels around a mark: they lie on the same ground as the mark itself
_HOLLOW = 0.2, 0.12  # of the box of a mark, that it encloses; of the contrast, the spread of what is enclosed
_HALF_OPEN = 0.5  # the share of open pixels from which a strong stroke may yet belong to a text
_THREAD = 3.5  # pixels: a line of this width that is three times as long is no stroke of a mark
_LINE = 5  # pixels: a field or a frame may be edged by a line narrower than this
_FILL = 0.12  # of the box of a letter: its strokes
_ROUND = 0.8  # of the circle about a dot: its own area
_ROOM = 3, 14  # pixels from a mark, within which it is asked whether its ground goes on
_LIKE = 15, 0.25  # grey levels, or share of the contrast, within which two pixels lie on the same ground

Image = NDArray[np.uint8]
Numbers = NDArray[Any]  # 8 bit; OpenCV's hints do not say so

_SQUARE = np.ones((3, 3), np.uint8)
_NEAR, _ABOUT = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)) for side in (5, 11))


class Spot(NamedTuple):
    """A group of strokes: left, top, right, bottom (exclusive) in pixels, what it lies on, its look.

    It is sure if the ground around it is open and even. One that is not may still belong to a text that is sure.

    Attributes:
        ground: the grey value around it. room: share of the pixels a little further off that have this value, too.
        disc: whether it is a disc or ring. parts: how many strokes it has.
    """

    left: int
    top: int
    right: int
    bottom: int
    ground: int
    room: float
    light: bool
    disc: bool
    parts: int
    sure: bool


class _Scene(NamedTuple):
    """An image on which marks are light, the ground of each pixel, the mean noise."""

    image: Numbers
    ground: Numbers
    noise: float
    light: bool


def spots(image: Image, light: bool, noise: float) -> Iterable[Spot]:
    """Light marks, one by one, of a (h, w) uint8 image; or dark ones, if it is not `light` but a negative."""
    longest = LARGEST * max(image.shape)
    ground = _ground(image, round(0.7 * longest))
    _, high = cv2.threshold(cv2.subtract(image, ground), _LIGHTER, 1, cv2.THRESH_BINARY)
    strokes = _short(_without_lines(high, longest), longest)
    # A letter in a frame is one mark with its frame: what an outline encloses belongs to it.
    joined = cv2.dilate(strokes, np.ones((5, 7), np.uint8))
    outlines, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    scene = _Scene(image, ground, noise, light)
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        if max(width - 6, height - 4) < _SMALLEST * max(image.shape):
            continue
        down, right = max(0, top - 5), max(0, left - 5)
        window = slice(down, top + height + 5), slice(right, left + width + 5)
        whole = np.zeros(strokes[window].shape, np.uint8)
        cv2.drawContours(whole, [outline], -1, 1, cv2.FILLED, offset=(-right, -down))
        core = whole & strokes[window]
        if _may_be_a_mark(core, right, down, image.shape):
            spot = _judged(scene, core, right, down)
            if spot:
                yield spot


def _ground(image: Image, side: int) -> Numbers:
    """An opening with a square of this side, made of every second pixel and a little broader than what it leaves.

    Broader, because else the slope of every edge of a frame stands out beside it, and joins the marks that it touches.
    """
    least = cv2.erode(image, _SQUARE)[::2, ::2]
    side = side // 2 | 1
    # Continued beyond the image, a frame is broad, and as much ground as what it frames.
    wide = cv2.copyMakeBorder(least, side, side, side, side, cv2.BORDER_REPLICATE)
    wide = cv2.erode(wide, np.ones((side, side), np.uint8))
    wide = cv2.dilate(wide, np.ones((side + 4, side + 4), np.uint8))
    return cv2.resize(wide[side:-side, side:-side], image.shape[::-1], interpolation=cv2.INTER_NEAREST)


def _without_lines(high: Numbers, longest: float) -> Numbers:
    """Pixels (0 or 1) less the upright and level lines, longer than any mark, that edge a field or a frame."""
    upright, level = _upright_lines(high, longest), _upright_lines(cv2.transpose(high), longest)
    high = high if upright is None else cv2.subtract(high, upright)
    return high if level is None else cv2.subtract(high, cv2.transpose(level))


def _upright_lines(high: Numbers, longest: float) -> Numbers | None:
    """Thin lines along the columns, found on blocks of 8 rows: a long line fills whole blocks. None without any."""
    rows, columns = high.shape
    blocks = max(1, rows // 8)
    full = np.minimum.reduce(high[: 8 * blocks].reshape(blocks, -1, columns), axis=1)
    long = cv2.morphologyEx(full, cv2.MORPH_OPEN, np.ones((max(2, round(longest / 8)), 1), np.uint8))
    if not long.any():
        return None
    broad = cv2.morphologyEx(long, cv2.MORPH_OPEN, np.ones((1, _LINE), np.uint8))
    thin = cv2.dilate(cv2.subtract(long, broad), np.ones((3, 1), np.uint8))  # its ends fill their blocks in part
    return cv2.resize(thin, (columns, rows), interpolation=cv2.INTER_NEAREST)


def _short(high: Numbers, longest: float) -> Numbers:
    """Those pixels (0 or 1) that touch no more than a mark is long, specks of less than four pixels left out."""
    x, y, width, height = cv2.boundingRect(high)
    strokes = np.zeros_like(high)
    if width:
        here = np.s_[y : y + height, x : x + width]
        _, labels, boxes, _ = cv2.connectedComponentsWithStats(high[here], connectivity=8, ltype=cv2.CV_16U)
        kept = np.zeros(2**16, np.uint8)
        kept[1 : len(boxes)] = (np.maximum(boxes[1:, 2], boxes[1:, 3]) <= longest) & (boxes[1:, 4] >= 4)
        strokes[here] = cv2.LUT(labels, kept)
    return strokes


def _may_be_a_mark(core: Numbers, x: int, y: int, shape: tuple[int, ...]) -> bool:
    """What is quick to tell of strokes whose window begins at a column and row of the image: most are no marks."""
    left, top, width, height = cv2.boundingRect(core)
    area = cv2.countNonZero(core)
    if max(height, width) < 4 or area < max(7, _FILL * height * width):
        return False
    # At the edge of the image lies more often the rest of a frame than the rest of a letter.
    if min(x + left, y + top) < 2 or x + left + width > shape[1] - 2 or y + top + height > shape[0] - 2:
        return False
    if area > _THREAD * math.hypot(height, width):
        return True
    _, (wide, tall), _ = cv2.minAreaRect(cv2.findNonZero(core))
    return min(wide, tall) + 1 > _THREAD or max(wide, tall) <= 3 * _THREAD


def _judged(scene: _Scene, core: Numbers, x: int, y: int) -> Spot | None:
    """The spot that these strokes make, if they are those of a mark; their window begins at a column and row."""
    left, top, width, height = cv2.boundingRect(core)
    window = slice(y, y + core.shape[0]), slice(x, x + core.shape[1])
    image, ground, inside = scene.image[window], scene.ground[window], core > 0
    slope = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, _SQUARE)  # the spread in 3 × 3 pixels
    (steep,) = _percentiles(slope[core > cv2.erode(core, _SQUARE)], 50)
    if steep < _SHARP[0] * min(_CONTRAST):  # of all gates the one that most strokes fail
        return None
    outlines, _ = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(core.copy(), outlines, -1, 1, cv2.FILLED)
    near = cv2.dilate(filled, _NEAR)
    ring = cv2.dilate(filled, _ABOUT) > near
    (level,), (base,) = _percentiles(image[inside], 80), _percentiles(ground[inside], 50)
    # A frame or a body beside the mark is ground of another kind; a bone is not, being narrower than the opening.
    own = ring & (ground < base + 0.3 * (level - base))
    around, about = image[own], np.count_nonzero(ring)
    if len(around) < max(12, _OWN_GROUND * about):
        return None
    (middle,) = _percentiles(around, 50)
    contrast, disc = level - middle, _is_disc(outlines, height, width)
    strong = contrast > _STRONG
    if contrast < _CONTRAST[disc] or steep < _SHARP[strong] * contrast:
        return None
    # Nothing may touch the mark: a screw touches its plate, and the corner of a frame the frame.
    apart = middle + (1 - _APART) * contrast
    free = float(np.mean(image[near > cv2.dilate(filled, _SQUARE)] < apart))
    open_share = float(np.mean(around < apart))
    sure = free >= _FREE[strong] and open_share >= _OPEN[strong]
    if sure:
        alone = strong and open_share > 0.97 and len(around) == about
        low, high = _percentiles(_without_slope(around, own), 10, 75)
        sure = high - low <= _EVEN[int(strong) + int(alone)] * contrast
    if not (sure or (strong and open_share > _HALF_OPEN)):
        return None
    if _holds_something(
        image[cv2.erode(cv2.subtract(filled, core), _SQUARE) > 0], height * width, contrast, scene.noise
    ):
        return None
    box = x + left, y + top, x + left + width, y + top + height
    value = round(middle if scene.light else 255 - middle)
    room, parts = _room(scene, box, middle, contrast), cv2.connectedComponents(core)[0] - 1
    return Spot(*box, value, room, scene.light, disc, parts, sure)


def _holds_something(enclosed: Numbers, area: int, contrast: float, noise: float) -> bool:
    """Whether the grey values that a mark encloses are no ground: a bangle is sharp, too, but has a wrist in it."""
    if len(enclosed) < max(12, _HOLLOW[0] * area):
        return False
    low, high = _percentiles(enclosed, 10, 90)
    return high - low > _HOLLOW[1] * contrast + 3 * noise


def _room(scene: _Scene, box: tuple[int, int, int, int], middle: float, contrast: float) -> float:
    """Share of the pixels some way off a mark that lie on its ground: little in the hole of a metal plate."""
    left, top, right, bottom = box
    like, least = max(_LIKE[0], _LIKE[1] * contrast) + 2 * scene.noise, []
    for reach in _ROOM:
        part = scene.image[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach]
        same = cv2.inRange(part, np.array(middle - like), np.array(middle + like))
        least.append((cv2.countNonZero(same), part.size))
    (inner, few), (outer, many) = least
    return (outer - inner) / max(1, many - few)


def _percentiles(values: Numbers, *shares: int) -> list[float]:
    """Percentiles as of NumPy, interpolated linearly; for a few hundred values in a tenth of its time."""
    ordered = np.sort(values)
    places = [(len(ordered) - 1) * share / 100 for share in shares]
    pairs = [(float(ordered[math.floor(at)]), float(ordered[math.ceil(at)]), at % 1) for at in places]
    return [below + (above - below) * part for below, above, part in pairs]


def _without_slope(values: Numbers, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values at some pixels, less the plane that fits them best: ground may lie aslant, as beside the skin."""
    rows, columns = np.nonzero(where)
    design = np.column_stack([rows - rows.mean(), columns - columns.mean()])
    grey = values - values.mean()
    square = design.T @ design + 1e-6 * np.eye(2)
    rest: NDArray[np.float64] = grey - design @ np.linalg.solve(square, design.T @ grey)
    return rest


def _is_disc(outlines: Any, height: int, width: int) -> bool:
    """Whether strokes are a disc or a ring: their outline fills the circle about it."""
    if max(height, width) > 1.25 * min(height, width) or min(height, width) < 6:
        return False
    outline = max(outlines, key=cv2.contourArea)
    _, radius = cv2.minEnclosingCircle(outline)
    # A contour runs through pixel centres, half a pixel inside of what it encloses.
    return cv2.contourArea(outline) > _ROUND * math.pi * radius**2
