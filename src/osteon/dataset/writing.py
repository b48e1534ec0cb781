"""Burnt-in writing in a radiograph: where names and numbers were painted into the pixels.

Writing is told from anatomy, metal and lead by what it is: strokes of one brightness, no thicker than a third of a
letter's height, in letters of about one height that stand in a row on one line, on a ground without such strokes.
A row of fewer than three letters is no writing but a mark: the L or R of a side stays, initials beside it included.

The search runs at up to 2048 pixels, four times finer than the proxy of the steps, since a line that a step may miss is
a name that a file may not hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.types import Pixels

Box = tuple[int, int, int, int]
"""x, y, width, height in pixels."""

LONGEST = 2048
"""Pixels of the longer side at which writing is looked for; larger images are reduced."""

FEWEST_LETTERS = 3
"""A row of fewer letters is a mark of the side, not writing."""

_TILE = 96  # pixels; a side of the tiles in which noise is measured

_Grey = NDArray[np.float32]
_Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Letters:
    """What a row of letters looks like; lengths in pixels of the reduced image, ratios of a letter's height.

    Attributes:
        lowest: height of a letter. tallest: the same, as a share of the longer side.
        contrast: to its ground, as a share of white. noise: the same, in standard deviations of the noise there.
        gap: between neighbours. lift: of one baseline against the other. uneven: the taller to the smaller.
        sharp: how much of a letter's contrast lies between neighbouring pixels at its edge.
        ink: brightness from which on a stroke is painted, not shown, as a share of white.
        even_ink: largest difference in brightness between the letters of a row, and within a letter.
        quiet: share of a row's surroundings that may look like strokes.
        marks: letters taller than this share of the longer side may be lead, which needs one more to be writing.
    """

    lowest: int = 6
    tallest: float = 0.04
    contrast: float = 0.22
    noise: float = 5.0
    gap: float = 1.5
    lift: float = 0.3
    uneven: float = 2.0
    sharp: float = 0.85
    ink: float = 0.7
    even_ink: float = 0.12
    quiet: float = 0.12
    marks: float = 0.022


LETTERS = Letters()


def find_writing(pixels: Pixels, white: int, letters: Letters = LETTERS) -> list[Box]:
    """Boxes that cover all writing that is found, in pixels of the image.

    Args:
        pixels: (height, width) presentation values, 0 black to `white`.
        white: the value shown white.
        letters: what counts as a row of letters.
    """
    height, width = pixels.shape
    scale = min(1.0, LONGEST / max(height, width))
    grey = pixels.astype(np.float32) / np.float32(white)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        grey = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    level = _rows_of_both(grey, noise := _noise(grey), letters)
    upright = _rows_of_both(np.ascontiguousarray(np.rot90(grey)), np.ascontiguousarray(np.rot90(noise)), letters)
    steep = [_turned_back(box, grey.shape[1]) for box in upright]
    # Letters that stand below each other in a block of lines are no line of their own.
    steep = [box for box in steep if not any(_meet(box, other) for other in level)]
    return [_grown(box, scale, (height, width)) for box in level + steep]


def _rows_of_both(grey: _Grey, noise: _Grey, letters: Letters) -> list[Box]:
    """Rows of letters written from left to right, bright ones and dark ones."""
    return [box for picture in (grey, 1 - grey) for box in _rows(picture, noise, letters)]


def _rows(grey: _Grey, noise: _Grey, letters: Letters) -> list[Box]:
    """Rows of letters brighter than their ground, written from left to right."""
    least = np.maximum(np.float32(letters.contrast), np.float32(letters.noise) * noise)
    hat = _hat(grey, letters.tallest / 2.5)
    strokes = np.asarray(hat > least) & ~_lead(_hat(grey, letters.tallest) > least, letters)
    shapes = _shapes(grey, hat, strokes, letters)
    if not len(shapes):
        return []
    total = np.asarray(cv2.integral(strokes.astype(np.uint8)), np.int64)
    many = letters.marks * max(grey.shape)
    rows, short = list[Box](), list[Box]()
    for group in _in_rows(shapes, letters):
        box = _box(shapes[group])
        tall = np.median(shapes[group, 3]) > many
        enough = _count(shapes[group]) >= FEWEST_LETTERS + tall and len(group) > 1
        if enough and _is_quiet(box, shapes[group], total, letters):
            rows.append(box)
        elif not enough:
            short.append(box)
    every = _components(strokes)[1][1:, :4].astype(np.int64)
    return [_completed(box, every) for box in rows + _beside(rows, short)]


def _lead(strokes: _Mask, letters: Letters) -> _Mask:
    """Shapes as compact as a letter and taller than those of writing: lead, whose corners would look like letters."""
    label, stats = _components(strokes)
    width, height, area = (stats[:, k].astype(np.int64) for k in (2, 3, 4))
    longest = max(strokes.shape)
    large = (np.maximum(width, height) > letters.tallest * longest) & (np.maximum(width, height) < 0.15 * longest)
    large &= (width < 2 * height) & (height < 2.5 * width) & (area > 0.2 * width * height)
    large[0] = False  # the ground
    return np.asarray(large[label])


def _hat(grey: _Grey, share: float) -> _Grey:
    """How much brighter each pixel is than its ground, if it belongs to something thin: the white top-hat.

    Thin is what is narrower than `share` of the longer side.
    """
    reach = max(5, round(share * max(grey.shape)) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach))
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, kernel), np.float32)


def _noise(grey: _Grey) -> _Grey:
    """Standard deviation of the noise around each pixel, from the smaller deviations from a blur in a tile.

    From the smaller ones, so that writing, which leaves the most of a tile free, does not pass for noise.
    """
    deviation = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2))
    rows, columns = (-(-n // _TILE) for n in grey.shape)
    full = cv2.copyMakeBorder(
        deviation, 0, rows * _TILE - grey.shape[0], 0, columns * _TILE - grey.shape[1], cv2.BORDER_REFLECT
    )
    tiles = full.reshape(rows, _TILE, columns, _TILE).swapaxes(1, 2).reshape(rows, columns, -1)
    middle = (2.2 * np.percentile(tiles[..., ::3], 35, axis=2)).astype(np.float32)
    middle = cv2.dilate(middle, np.ones((3, 3), np.uint8))  # where noise ends, it reaches into a quiet tile
    size = columns * _TILE, rows * _TILE
    return np.asarray(cv2.resize(middle, size, interpolation=cv2.INTER_NEAREST)[: grey.shape[0], : grey.shape[1]])


def _shapes(grey: _Grey, hat: _Grey, strokes: _Mask, letters: Letters) -> NDArray[np.int64]:
    """(n, 5) x, y, width, height and ink (brightness, in thousandths) of the strokes that may be a letter or several.

    Ink is of one brightness, and its edges are as sharp as pixels allow, which those of bone are not.
    """
    label, stats = _components(strokes)
    x, y, width, height, area = (stats[:, k].astype(np.int64) for k in range(5))
    fill = area / np.maximum(width * height, 1)
    fits = (height >= letters.lowest) & (height <= letters.tallest * max(strokes.shape)) & (width >= 2)
    fits &= (width <= 8 * height) & (fill > 0.15)
    fits[0] = False  # the ground
    square = np.ones((3, 3), np.uint8)
    steps = cv2.dilate(grey, square) - cv2.erode(grey, square)
    found = []
    for one in np.flatnonzero(fits):
        here = np.s_[y[one] : y[one] + height[one], x[one] : x[one] + width[one]]
        inside = label[here] == one
        some, best = np.percentile(grey[here][inside], (85, 97))
        if np.percentile(steps[here][inside], 75) < letters.sharp * hat[here][inside].max():
            continue
        touching = width[one] > 1.7 * height[one] and _crossings(inside) < 1.1 * width[one] / height[one]
        if best - some < letters.even_ink and best > letters.ink and not touching:
            found.append((x[one], y[one], width[one], height[one], round(1000 * float(best))))
    return np.array(found, np.int64).reshape(-1, 5)


def _crossings(inside: _Mask) -> int:
    """How many strokes a level line through a shape meets, at its most: letters that touch have one or two each."""
    rows = inside[[round(share * (len(inside) - 1)) for share in (0.3, 0.5, 0.7)]].astype(np.int8)
    return int((np.diff(rows, axis=1, prepend=0) == 1).sum(axis=1).max())


def _components(strokes: _Mask) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Label of each pixel, and x, y, width, height and area of each label; the first is the ground."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    return np.asarray(label, np.int32), np.asarray(stats, np.int32)


def _completed(box: Box, every: NDArray[np.int64]) -> Box:
    """The box with all small strokes that reach into it or stand close beside it: stops, accents, a lost letter."""
    size = min(box[2], box[3])
    for _ in range(2):
        left, top, width, height = box
        right, bottom, reach = left + width, top + height, 0.8 * size
        x, y, wide, tall = every.T
        near = (x < right + reach) & (x + wide > left - reach) & (y < bottom) & (y + tall > top)
        near &= (tall <= 1.6 * size) & (wide <= 4 * size)
        if near.any():
            inside = every[near]
            left, top = min(left, int(inside[:, 0].min())), min(top, int(inside[:, 1].min()))
            right = max(right, int((inside[:, 0] + inside[:, 2]).max()))
            bottom = max(bottom, int((inside[:, 1] + inside[:, 3]).max()))
        box = left, top, right - left, bottom - top
    return box


def _count(shapes: NDArray[np.int64]) -> int:
    """How many letters the shapes of a row are; some touch each other."""
    tall = shapes[:, 3].max()
    return int(np.maximum(1, np.rint(shapes[:, 2] / (0.9 * tall))).sum())


def _box(shapes: NDArray[np.int64]) -> Box:
    left, top = int(shapes[:, 0].min()), int(shapes[:, 1].min())
    right, bottom = int((shapes[:, 0] + shapes[:, 2]).max()), int((shapes[:, 1] + shapes[:, 3]).max())
    return left, top, right - left, bottom - top


def _in_rows(shapes: NDArray[np.int64], letters: Letters) -> list[NDArray[np.intp]]:
    """Indices of the shapes that stand side by side, row by row."""
    order = np.argsort(shapes[:, 0], kind="stable")
    x, y, width, height, ink = shapes[order].T
    parent = list(range(len(order)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i in range(len(order)):
        reach = x[i] + width[i] + letters.gap * letters.uneven * height[i]
        j = np.arange(i + 1, int(np.searchsorted(x, reach, "right")))
        tall, low = np.maximum(height[i], height[j]), np.minimum(height[i], height[j])
        between = x[j] - (x[i] + width[i])
        fits = (between >= -0.3 * tall) & (between <= letters.gap * tall) & (tall <= letters.uneven * low)
        fits &= np.abs(y[i] + height[i] - y[j] - height[j]) <= letters.lift * tall
        fits &= np.abs(ink[i] - ink[j]) <= 1000 * letters.even_ink
        for k in j[fits]:
            parent[root(int(k))] = root(i)
    roots = np.array([root(i) for i in range(len(order))])
    return [order[roots == one] for one in np.unique(roots)]


def _is_quiet(box: Box, shapes: NDArray[np.int64], total: NDArray[np.int64], letters: Letters) -> bool:
    """Whether a row stands on a ground without strokes, as noise and the structure of bone do not."""
    left, top, width, height = box
    right, bottom, gap = left + width, top + height, max(2, int(np.median(shapes[:, 3])) // 3)
    strips = [(left, top - gap - 1, right, top - 1), (left, bottom + 1, right, bottom + gap + 1)]
    shares = sorted(_share(total, *strip) for strip in strips)
    return shares[0] <= letters.quiet and shares[1] <= 4 * letters.quiet


def _beside(rows: list[Box], short: list[Box]) -> list[Box]:
    """Short rows that belong to longer ones: above or below, set to the same left or right edge, or in line."""
    found = []
    for box in short:
        x, y, width, height = box
        for left, top, wide, tall in rows:
            size = min(tall, 2 * height)
            edge = min(abs(x - left), abs(x + width - left - wide)) <= size
            stacked = edge and -size <= max(y - top - tall, top - y - height) <= 1.5 * size
            in_line = abs(y + height - top - tall) <= 0.4 * size and -size <= max(x - left - wide, left - x - width)
            near = in_line and max(x - left - wide, left - x - width) <= 2.5 * size
            if 0.5 * tall <= height <= 1.6 * tall and (stacked or near):
                found.append(box)
                break
    return found


def _sum(total: NDArray[np.int64], left: int, top: int, right: int, bottom: int) -> int:
    return int(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left])


def _share(total: NDArray[np.int64], left: int, top: int, right: int, bottom: int) -> float:
    rows, columns = total.shape
    top, bottom, right = max(top, 0), min(bottom, rows - 1), min(right, columns - 1)
    area = (bottom - top) * (right - left)
    return _sum(total, left, top, right, bottom) / area if area > 0 else 0.0


def _meet(a: Box, b: Box) -> bool:
    return all(a[k] < b[k] + b[k + 2] and b[k] < a[k] + a[k + 2] for k in (0, 1))


def _turned_back(box: Box, columns: int) -> Box:
    """A box in an image turned by 90° counter-clockwise, in the image itself."""
    x, y, width, height = box
    return columns - y - height, x, height, width


def _grown(box: Box, scale: float, shape: tuple[int, int]) -> Box:
    """The box at full size, with a margin for dots, accents and soft edges."""
    x, y, width, height = box
    margin = 0.35 * min(width, height) + 2
    left, top = max(0, int((x - 2 * margin) / scale)), max(0, int((y - margin) / scale))
    right, bottom = (x + width + 2 * margin) / scale, (y + height + margin) / scale
    return left, top, min(shape[1], int(np.ceil(right))) - left, min(shape[0], int(np.ceil(bottom))) - top
