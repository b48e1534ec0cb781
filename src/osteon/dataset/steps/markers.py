"""Side letters, dots and burnt-in text: found by their sharp, even strokes on open ground, and covered with its value.

A mark is small, has the same grey value throughout, ends within a pixel or two, and stands out from the ground on all
sides. Bone is none of this: it shades off, and its neighbour is soft tissue on one side and more bone on the other. A
plate on a bone is sharp and even, but the bone about it is not open ground.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.types import Cover, Radiograph

KINDS = ("letter", "dot", "text")

WORK = 512
"""Longer side in pixels of the copy on which marks are sought."""

_LARGEST = 0.16  # of the longer side: the height of a letter, the width of a character
_SMALLEST = 0.012
_CONTRAST = 45  # grey levels between a mark and its ground
_SHARP = 0.6, 0.35  # of the contrast, a pixel: the slope at the edge of a mark
_STRONG = 120  # grey levels of contrast, as lead and burnt-in text have; such marks may lie closer to other things
_OPEN = 0.85, 0.75  # of the pixels around a mark: they lie apart from it by at least _APART of its contrast
_APART = 0.45
_FREE = 0.93, 0.88  # the same, of the pixels next to it
_EVEN = 0.2, 0.4, 0.8  # of the contrast: spread of the ground, from its first tenth to its third quarter
_OWN_GROUND = 0.4  # of the pixels around a mark: they lie on the same ground as the mark itself
_THREAD = 3.5  # pixels: a line of this width that is three times as long is no stroke of a mark
_FILL = 0.25  # of the box of a text: the boxes of its lines; and of the box of a line, twice its strokes
_TEXT_HEIGHT = 0.045  # of the longer side: characters of a text are not higher
_OFF_BONE = 0.8  # rank of the ground up to which a mark is covered: bone is the brightest fifth, or less, of an image
_COMMON = 0.05  # share of the image from which a ground is taken for one
_MARGIN = 1.5  # pixels, by which the polygon of a mark is drawn larger than what was found of it

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Numbers = NDArray[Any]  # 8 bit; OpenCV's hints do not say so


@dataclass(frozen=True, eq=False)
class Mark:
    """Something written on an image.

    Attributes:
        kind: "letter" (a letter or two, a tile with one), "dot" (a disc or ring) or "text" (several characters).
        polygon: (n, 2) float64, corners (x, y) in pixels; pixel centres at whole numbers.
        ground: the grey value around it, 0..255.
        rank: share of the image that is darker than this ground, or lighter if the mark is darker than its ground: near
            0 on air, near 1 on bone.
        common: share of the image that has this ground's value, give or take 12 of 255: small on a metal plate.
    """

    kind: str
    polygon: Floats
    ground: int
    rank: float
    common: float


@dataclass(frozen=True)
class MarkerRemoval:
    """Cover side letters, dots and burnt-in text with the value of the ground around them.

    Found marks are those of `find_marks`. The rule that keeps bone whole: a mark is covered only if the ground around
    it, 3 to 5 px of the proxy away, is even and apart from it in value, is not among the brightest fifth of the image,
    and has a grey value that is common in it; so a mark may lie on air or on soft tissue, and one that touches bone or
    lies on it stays as it is, and so do the holes of a plate.

    Attributes:
        letters, dots, texts: which kinds are covered.
    """

    letters: bool = True
    dots: bool = True
    texts: bool = True

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        radiograph = frame.proxy_of(radiograph)
        wanted = {"letter": self.letters, "dot": self.dots, "text": self.texts}
        placed = frame.frame_of(radiograph)
        # Sought is what lies under the patches, so that a second application finds what the first one found.
        bare = replace(radiograph, frame=replace(placed, covers=()))
        marks = [mark for mark in find_marks(frame.seen(bare)) if wanted[mark.kind] and _may_go(mark)]
        covers = [_cover(radiograph, placed.grey, mark) for mark in marks]
        old = [cover.points for cover in placed.covers]
        new = [k for k, cover in enumerate(covers) if not any(np.array_equal(cover.points, points) for points in old)]
        if not new:
            return [radiograph]
        counts = Counter(marks[k].kind for k in new)
        said = ", ".join(f"{counts[kind]} {kind}{'s' * (counts[kind] > 1)}" for kind in KINDS if counts[kind])
        return [frame.noted(frame.covered(radiograph, [covers[k] for k in new]), f"covered {said}")]

    def __str__(self) -> str:
        kinds = [kind + "s" for kind, on in zip(KINDS, (self.letters, self.dots, self.texts), strict=True) if on]
        return f"cover {', '.join(kinds) or 'nothing'}"


def _may_go(mark: Mark) -> bool:
    """Whether the ground of a mark is neither bone nor a piece of metal, in which holes are marks, too."""
    return mark.rank <= _OFF_BONE and mark.common >= _COMMON


def _cover(radiograph: Radiograph, grey: NDArray[np.uint8], mark: Mark) -> Cover:
    value = int(np.abs(grey.astype(int) - mark.ground).argmin())
    return Cover(frame.to_source(radiograph, mark.polygon), value)


def without_marks(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `MarkerRemoval` leaves of a (h, w) uint8 image."""
    (covered,) = MarkerRemoval()(Radiograph(image, 255))
    return frame.render(covered)


def find_marks(image: NDArray[np.uint8]) -> list[Mark]:
    """Letters, dots and text on a (h, w) uint8 image, light or dark, in the order of rows; no radiograph is needed.

    An image of more than WORK pixels a side is shrunk by a whole number first.
    """
    block = math.ceil(max(image.shape) / WORK)
    height, width = (max(1, side // block) for side in image.shape)
    small = image
    if block > 1:
        cut = image[: height * block, : width * block]
        small = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    calm = _calm(small)
    found = [spot for light in (True, False) for spot in _spots(calm if light else 255 - calm, light)]
    below = np.cumsum(np.bincount(calm.ravel(), minlength=256)) / calm.size
    marks = [_mark(spots, block, below) for spots in _joined(found, max(small.shape))]
    return sorted(marks, key=lambda mark: (mark.polygon[:, 1].min(), mark.polygon[:, 0].min()))


class _Spot(NamedTuple):
    """A group of strokes: left, top, right, bottom (exclusive) in work pixels, the value of its ground, its look.

    It is sure if the ground around it is open and even. One that is not may still belong to a text that is sure.
    """

    left: int
    top: int
    right: int
    bottom: int
    ground: int
    light: bool
    disc: bool
    parts: int
    sure: bool


def _calm(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image without the noise of single pixels; a very noisy one is smoothed more."""
    calm = cv2.medianBlur(image, 3)
    noise = float(np.mean(cv2.absdiff(image, calm)))
    return np.asarray(cv2.medianBlur(image, 5) if noise > _NOISY else image, np.uint8)


_NOISY = 6.0  # grey levels: mean difference to a median over 3 × 3 pixels


def _spots(image: NDArray[np.uint8], light: bool) -> Iterable[_Spot]:
    """Light marks, one by one, of an image."""
    longer = max(image.shape)
    side = round(0.7 * _LARGEST * longer) | 1
    # Continued beyond the image, a frame is broad, and as much ground as what it frames.
    wide = cv2.copyMakeBorder(image, side, side, side, side, cv2.BORDER_REPLICATE)
    ground = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))[side:-side, side:-side]
    high = (cv2.subtract(image, ground) > _CONTRAST).astype(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(high, connectivity=8)
    small = (np.maximum(boxes[:, 2], boxes[:, 3]) <= _LARGEST * longer) & (boxes[:, 4] >= 4)
    small[0] = False
    strokes = small.astype(np.uint8)[labels]
    # A letter in a frame is one mark with its frame: what an outline encloses belongs to it.
    outlines, _ = cv2.findContours(
        cv2.dilate(strokes, np.ones((5, 7), np.uint8)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    slope = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    for outline in outlines:
        left, top, width, height = cv2.boundingRect(outline)
        if max(width - 6, height - 4) < _SMALLEST * longer:
            continue
        window = (slice(max(0, top - 5), top + height + 5), slice(max(0, left - 5), left + width + 5))
        down, right = window[0].start, window[1].start
        whole = np.zeros(image[window].shape, np.uint8)
        cv2.drawContours(whole, [outline], -1, 1, cv2.FILLED, offset=(-right, -down))
        core = (whole > 0) & (strokes[window] > 0)
        if _is_thread(core) or _is_cut(core, down, right, image.shape):
            continue
        parts = int(np.unique(labels[window][core]).size)
        spot = _judged(_Window(image[window], ground[window], slope[window]), core, parts, light)
        if spot:
            yield spot._replace(
                left=spot.left + right, right=spot.right + right, top=spot.top + down, bottom=spot.bottom + down
            )


def _is_thread(core: Mask) -> bool:
    """Whether strokes are but a line, as the painted edge of a shutter is in pieces."""
    _, (wide, tall), _ = cv2.minAreaRect(np.argwhere(core).astype(np.float32))
    return min(wide, tall) + 1 <= _THREAD and max(wide, tall) > 3 * _THREAD


def _is_cut(core: Mask, down: int, right: int, shape: tuple[int, ...]) -> bool:
    """Whether strokes reach the edge of the image: more often the rest of a frame than the rest of a letter."""
    rows, columns = np.nonzero(core)
    if not rows.size:
        return True
    low = min(int(rows.min()) + down, int(columns.min()) + right)
    return low < 2 or int(rows.max()) + down > shape[0] - 3 or int(columns.max()) + right > shape[1] - 3


class _Window(NamedTuple):
    """What is to be seen about some strokes: grey values, those of the broad ground, and the spread in 3 × 3 pixels."""

    image: Numbers
    ground: Numbers
    slope: Numbers


def _judged(window: _Window, core: Mask, parts: int, light: bool) -> _Spot | None:
    """The spot that these strokes make in a window of an image, if they are those of a mark."""
    rows, columns = (np.flatnonzero(core.any(axis=axis)) for axis in (1, 0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    height, width = bottom - top, right - left
    # From here on, what is quick to tell comes first: most strokes are no marks.
    if np.count_nonzero(core) < max(10, _FILL / 2 * height * width) or max(height, width) < 5:
        return None
    thick = core.astype(np.uint8)
    outlines, _ = cv2.findContours(thick, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(thick.copy(), outlines, -1, 1, cv2.FILLED)
    near, nearer = cv2.dilate(filled, _DISC_2) > 0, cv2.dilate(filled, np.ones((3, 3), np.uint8)) > 0
    close, ring = near & ~nearer, (cv2.dilate(filled, _DISC_5) > 0) & ~near
    about = np.count_nonzero(ring)
    if about < 12:
        return None
    (level,) = _percentiles(window.image[core], 80)
    (base,) = _percentiles(window.ground[core], 50)
    # A frame or a body beside the mark is ground of another kind; a bone is not, being narrower than the opening.
    same = ring & (window.ground < base + 0.3 * (level - base))
    owned = np.count_nonzero(same)
    if owned < _OWN_GROUND * about:
        return None
    around = window.image[same]
    (middle,) = _percentiles(around, 50)
    contrast = level - middle
    if contrast < _CONTRAST * (1 if owned > 0.97 * about else 2):
        return None
    edge = core & (cv2.erode(thick, np.ones((3, 3), np.uint8)) == 0)
    strong = contrast > _STRONG
    if _percentiles(window.slope[edge], 50)[0] / contrast < _SHARP[strong]:
        return None
    open_share = float(np.mean(around < middle + (1 - _APART) * contrast))
    # Nothing may touch the mark: a screw touches its plate, and the corner of a frame the frame.
    free = float(np.mean(window.image[close] < middle + (1 - _APART) * contrast))
    sure = free >= _FREE[strong] and open_share >= _OPEN[strong]
    if sure:
        low, high = _percentiles(_without_slope(around, same), 10, 75)
        alone = strong and open_share > 0.97 and bool(same[ring].all())
        sure = high - low <= _EVEN[strong + alone] * contrast
    if not (sure or (strong and open_share > 0.5)):
        return None
    value = round(middle)
    value = value if light else 255 - value
    return _Spot(left, top, right, bottom, value, light, _is_disc(thick, height, width), parts, sure)


def _percentiles(values: Numbers, *shares: int) -> list[float]:
    """Percentiles as of NumPy, interpolated linearly; for a few hundred values in a tenth of its time."""
    ordered = np.sort(values)
    places = [(len(ordered) - 1) * share / 100 for share in shares]
    pairs = [(float(ordered[math.floor(at)]), float(ordered[math.ceil(at)]), at % 1) for at in places]
    return [below + (above - below) * part for below, above, part in pairs]


def _without_slope(values: Numbers, where: Mask) -> Floats:
    """Values at some pixels, less the plane that fits them best: ground may lie aslant, as beside the skin."""
    rows, columns = np.nonzero(where)
    design = np.column_stack([rows - rows.mean(), columns - columns.mean()])
    grey = values - values.mean()
    square = design.T @ design + 1e-6 * np.eye(2)
    rest: Floats = grey - design @ np.linalg.solve(square, design.T @ grey)
    return rest


_DISC_2 = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_DISC_5 = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))


def _is_disc(core: NDArray[np.uint8], height: int, width: int) -> bool:
    """Whether strokes are a disc or a ring: their outline fills the circle about it."""
    if max(height, width) > 1.25 * min(height, width) or min(height, width) < 6:
        return False
    outlines, _ = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea)
    _, radius = cv2.minEnclosingCircle(outline)
    # A contour runs through pixel centres, half a pixel inside of what it encloses.
    return cv2.contourArea(outline) > 0.87 * math.pi * radius**2


def _joined(spots: Sequence[_Spot], longer: int) -> list[list[_Spot]]:
    """Spots of one text or letter group together: beside each other, or lines of text below each other."""
    groups: list[list[_Spot]] = []
    for spot in spots:
        touching = [group for group in groups if any(_belong(spot, other, longer) for other in group)]
        groups = [group for group in groups if not any(group is other for other in touching)]
        groups.append([spot, *(other for group in touching for other in group)])
    return [group for group in groups if any(spot.sure for spot in group) and _fill(group) >= _FILL]


def _fill(spots: Sequence[_Spot]) -> float:
    """Share of the box about some spots that their own boxes fill."""
    width = max(s.right for s in spots) - min(s.left for s in spots)
    height = max(s.bottom for s in spots) - min(s.top for s in spots)
    return sum((s.right - s.left) * (s.bottom - s.top) for s in spots) / (width * height)


def _belong(one: _Spot, other: _Spot, longer: int) -> bool:
    if one.disc or other.disc:
        return False
    heights = one.bottom - one.top, other.bottom - other.top
    if not (one.sure and other.sure) and max(heights) > _TEXT_HEIGHT * longer:
        return False
    across = max(one.left, other.left) - min(one.right, other.right)
    down = max(one.top, other.top) - min(one.bottom, other.bottom)
    lines = max(heights) <= _TEXT_HEIGHT * longer or min(one.parts, other.parts) >= 3
    if lines and min(heights) <= _TEXT_HEIGHT * longer:
        return across <= 2 * min(heights) and down <= 1.2 * min(heights)
    return across <= 0.6 * max(heights) and down < 0


def _mark(spots: Sequence[_Spot], block: int, below: Floats) -> Mark:
    left, top = min(s.left for s in spots) - _MARGIN, min(s.top for s in spots) - _MARGIN
    right, bottom = max(s.right for s in spots) - 1 + _MARGIN, max(s.bottom for s in spots) - 1 + _MARGIN
    wide = right - left > 1.8 * (bottom - top)
    several = len(spots) > 1 or spots[0].parts >= 3
    kind = "dot" if len(spots) == 1 and spots[0].disc else "text" if several and (wide or len(spots) > 2) else "letter"
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    ground = int(np.median([s.ground for s in spots]))
    rank = float(below[ground - 1]) if ground else 0.0
    rank = rank if spots[0].light else 1 - float(below[ground])
    common = float(below[min(ground + 12, 255)] - (below[ground - 13] if ground > 12 else 0))
    return Mark(kind, corners * block + (block - 1) / 2, ground, rank, common)
