"""Side letters, dots and burnt-in text: found by their sharp, even strokes on open ground, and covered with its value.

A mark is small, ends within a pixel or two, and is far in value from the ground on all its sides, as lead and ink are.
Bone is none of this: it shades off, it is not far from what lies about it, and its neighbour is soft tissue on one side
and more bone on the other. A plate on a bone is sharp and even, but the bone about it is not open ground.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.strokes import Spot, spots
from osteon.types import Cover, Radiograph

KINDS = ("letter", "dot", "text")

WORK = 512
"""Longer side in pixels of the copy on which marks are sought."""

_FILL = 0.25  # of the box of a text: the boxes of its lines
_TEXT_HEIGHT = 0.045  # of the longer side: characters of a text are not higher
_OFF_BONE = 0.85  # rank of the ground up to which a mark is covered: bone is the brightest part of an image
_ROOM = 0.61, 0.45  # of the pixels some way off: they lie on the ground of a mark; the second, if it is common
_COMMON = 0.3  # of the image, from which a ground is too much to be metal
_MARGIN = 1.5  # pixels, by which the polygon of a mark is drawn larger than what was found of it
_NOISY = 6.0  # grey levels: mean difference to a median over 3 × 3 pixels

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mark:
    """Something written on an image.

    Attributes:
        kind: "letter" (a letter or two, a tile with one), "dot" (a disc or ring) or "text" (several characters).
        polygon: (n, 2) float64, corners (x, y) in pixels; pixel centres at whole numbers.
        ground: the grey value around it, 0..255.
        rank: share of the image that is darker than this ground, or lighter if the mark is darker than its ground: near
            0 on air, near 1 on bone.
        room: share of the pixels 3 to 14 px of the proxy away that have this ground's value: small on a metal plate.
        common: share of the image that has this ground's value or lies yet further from the mark: small for metal.
    """

    kind: str
    polygon: Floats
    ground: int
    rank: float
    room: float
    common: float


@dataclass(frozen=True)
class MarkerRemoval:
    """Cover side letters, dots and burnt-in text with the value of the ground around them.

    Found marks are those of `find_marks`. The rule that keeps bone whole: a mark is covered only if the ground around
    it, 3 to 5 px of the proxy away, is even and far from it in value, is not among the brightest sixth of the image,
    and goes on for some way (further, if little of the image has this value); so a mark may lie on air or on soft
    tissue, and one that touches bone or lies on it stays as it is, and so do the holes of a plate. Sought is on the
    proxy itself: what `frame.seen` shows may be resampled, which blurs the edges that tell a mark.

    Attributes:
        letters, dots, texts: which kinds are covered.
    """

    letters: bool = True
    dots: bool = True
    texts: bool = True

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        radiograph = frame.proxy_of(radiograph)
        placed = frame.frame_of(radiograph)
        wanted = {"letter": self.letters, "dot": self.dots, "text": self.texts}
        image, corner, block = _view(radiograph)
        marks = [mark for mark in find_marks(image) if wanted[mark.kind] and _may_go(mark)]
        covers = [_cover((mark.polygon + corner) * block + (block - 1) / 2, mark.ground, placed.grey) for mark in marks]
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
    return mark.rank <= _OFF_BONE and mark.room >= _ROOM[mark.common >= _COMMON]


def _view(radiograph: Radiograph) -> tuple[NDArray[np.uint8], tuple[int, int], int]:
    """What the frame shows of the proxy, bare of patches: the upright box about it, its left and top, and the pixels of
    the source along a pixel of it. Patches are left out so that a second application finds what the first one found.
    """
    proxy, placed = frame.proxy_pixels(radiograph), frame.frame_of(radiograph)
    block = math.ceil(max(radiograph.pixels.shape) / frame.PROXY)
    height, width = placed.size
    corners = np.array([(x, y) for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
    edges = (corners @ placed.matrix[:, :2].T + placed.matrix[:, 2] + 0.5) / block
    left, top = (max(0, math.floor(low)) for low in edges.min(axis=0))
    right, bottom = (max(0, math.ceil(high)) for high in edges.max(axis=0))
    return frame.looked_up(proxy[top:bottom, left:right], frame.proxy_grey(radiograph)), (left, top), block


def _cover(points: Floats, ground: int, grey: NDArray[np.uint8]) -> Cover:
    return Cover(points, int(np.abs(grey.astype(int) - ground).argmin()))


def without_marks(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `MarkerRemoval` leaves of a (h, w) uint8 image."""
    (covered,) = MarkerRemoval()(Radiograph(image, 255))
    return frame.render(covered)


def find_marks(image: NDArray[np.uint8]) -> list[Mark]:
    """Letters, dots and text on a (h, w) uint8 image, light or dark, in the order of rows; no radiograph is needed.

    An image of more than WORK pixels a side is shrunk by a whole number first.
    """
    if not image.size:
        return []
    block = math.ceil(max(image.shape) / WORK)
    height, width = (max(1, side // block) for side in image.shape)
    small = image
    if block > 1:
        cut = image[: height * block, : width * block]
        small = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
    calm, noise = _calm(small)
    found = [*spots(calm, True, noise), *spots(255 - calm, False, noise)]
    if not found:
        return []
    counts = cv2.calcHist([calm], [0], None, [256], [0, 256]).ravel()
    below = np.cumsum(counts, dtype=np.float64) / calm.size
    marks = [_mark(group, block, below) for group in _joined(found, max(small.shape))]
    return sorted(marks, key=lambda mark: (mark.polygon[:, 1].min(), mark.polygon[:, 0].min()))


def _calm(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The image, smoothed if it is very noisy, and its noise: the mean difference to a median, in grey levels."""
    noise = float(cv2.mean(cv2.absdiff(image, cv2.medianBlur(image, 3)))[0])
    return np.asarray(cv2.medianBlur(image, 5) if noise > _NOISY else image, np.uint8), noise


def _joined(found: Sequence[Spot], longer: int) -> list[list[Spot]]:
    """Spots of one text or letter group together: beside each other, or lines of text below each other."""
    groups: list[list[Spot]] = []
    for spot in found:
        touching = [group for group in groups if any(_belong(spot, other, longer) for other in group)]
        groups = [group for group in groups if not any(group is other for other in touching)]
        groups.append([spot, *(other for group in touching for other in group)])
    return [group for group in groups if any(spot.sure for spot in group) and _fill(group) >= _FILL]


def _fill(group: Sequence[Spot]) -> float:
    """Share of the box about some spots that their own boxes fill."""
    width = max(s.right for s in group) - min(s.left for s in group)
    height = max(s.bottom for s in group) - min(s.top for s in group)
    return sum((s.right - s.left) * (s.bottom - s.top) for s in group) / (width * height)


def _belong(one: Spot, other: Spot, longer: int) -> bool:
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


def _mark(group: Sequence[Spot], block: int, below: Floats) -> Mark:
    left, top = min(s.left for s in group) - _MARGIN, min(s.top for s in group) - _MARGIN
    right, bottom = max(s.right for s in group) - 1 + _MARGIN, max(s.bottom for s in group) - 1 + _MARGIN
    wide = right - left > 1.8 * (bottom - top)
    several = len(group) > 1 or group[0].parts >= 3
    kind = "dot" if len(group) == 1 and group[0].disc else "text" if several and (wide or len(group) > 2) else "letter"
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)
    ground = int(np.median([s.ground for s in group]))
    rank = float(below[ground - 1]) if ground else 0.0
    rank = rank if group[0].light else 1 - float(below[ground])
    common = (
        float(below[min(ground + 12, 255)]) if group[0].light else 1 - float(below[ground - 13] if ground > 12 else 0)
    )
    room = max(s.room for s in group)
    return Mark(kind, corners * block + (block - 1) / 2, ground, rank, room, common)
