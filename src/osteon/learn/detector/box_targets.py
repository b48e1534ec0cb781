"""Boxes as targets for the cells of a map: how much of each belongs to a finding, and how far its box reaches from it.

A grid of stride s over an image of h × w pixels has ⌈h / s⌉ × ⌈w / s⌉ cells; cell (i, j) covers the pixels from s i to
s (i + 1) and from s j to s (j + 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from osteon.dataset.boxes import shown
from osteon.dataset.placement import Placement

Floats = NDArray[np.float64]
Cells = NDArray[np.float32]
Target = Callable[[Floats, tuple[int, int], int], Cells]
"""Boxes (k, 4), the size (h, w) of their image and the stride of the grid → cells (⌈h / s⌉, ⌈w / s⌉) in 0..1."""


def grid_of(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Cells of the grid over an image of this size, down and across."""
    return math.ceil(size[0] / stride), math.ceil(size[1] / stride)


def covered(boxes: Floats, size: tuple[int, int], stride: int) -> Cells:
    """The share of each cell that a box covers; where several do, the largest of their shares."""
    rows, columns = grid_of(size, stride)
    cells = np.zeros((rows, columns), np.float32)
    for x, y, width, height in boxes:
        down, across = _overlap(y, height, rows, stride), _overlap(x, width, columns, stride)
        np.maximum(cells, np.outer(down, across) / stride**2, out=cells, casting="same_kind")
    return cells


def soft(boxes: Floats, size: tuple[int, int], stride: int) -> Cells:
    """A hill over each box: 1 in the cell that holds its centre, exp(-2) where a cell's centre lies on its edge.

    A side counts as one stride at least, so that a crack narrower than a cell is taught as surely as a wide one.
    """
    rows, columns = grid_of(size, stride)
    middles = (np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride
    cells = np.zeros((rows, columns), np.float32)
    for x, y, width, height in boxes:
        down = np.abs(middles[0] - (y + height / 2)) / max(height / 2, stride / 2)
        across = np.abs(middles[1] - (x + width / 2)) / max(width / 2, stride / 2)
        hill = np.exp(-2 * np.square(down))[:, None] * np.exp(-2 * np.square(across))[None]
        np.maximum(cells, hill / hill.max(), out=cells, casting="same_kind")
    return cells


TARGETS: Mapping[str, Target] = {"covered": covered, "soft": soft}
"""Name → how boxes become targets."""


def mirrored(boxes: Floats, size: tuple[int, int], flip: int) -> Floats:
    """Boxes (k, 4) of an image as they lie in one of its flips.

    Args:
        boxes: of the image as it is.
        size: (h, w) of the image.
        flip: 0 as it is, 1 left and right exchanged, 2 top and bottom, 3 both: the place of the flip in a bank.
    """
    x, y, width, height = np.asarray(boxes, float).reshape(-1, 4).T
    x = size[1] - x - width if flip % 2 else x
    y = size[0] - y - height if flip >= 2 else y
    return np.stack([x, y, width, height], axis=1)


def seen_in(drawn: Floats, size: tuple[int, int], view: int, *, flips: int = 2, moved: Floats | None = None) -> Floats:
    """Boxes (k, 4) of an image as they lie in one of its views: a flip of the image, or of a moved copy.

    Args:
        drawn: on the image as it is.
        size: (height, width) of the image, and of its copies.
        view: `flips` · copy + flip, copy 0 being the image itself.
        flips: of the image and of each copy.
        moved: (copies, 2, 3) from pixel centres of each copy to those of the image (`osteon.learn.detector.views`).
    """
    copy, flip = divmod(view, flips)
    if moved is not None and copy:
        drawn = shown(Placement(size, moved[copy - 1]).to_prepared(drawn), size)
    return mirrored(drawn, size, flip)


def reaches(boxes: Floats, size: tuple[int, int], stride: int) -> Cells:
    """How far the box about a cell's centre reaches from it: (4, rows, columns), NaN for cells in no box.

    To the left, up, to the right and down, as a share of the image's width or height, half a pixel at least; of several
    boxes the smallest counts. The cell that holds a box's centre is in it, also where the box is narrower than a cell.
    """
    rows, columns = grid_of(size, stride)
    height, width = size
    found = np.full((4, rows, columns), np.nan, np.float32)
    down, across = np.meshgrid((np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, indexing="ij")
    for x, y, wide, high in sorted(boxes.tolist(), key=lambda box: -box[2] * box[3]):
        reach = np.stack([across - x, down - y, x + wide - across, y + high - down])
        inside = np.asarray((reach > 0).all(axis=0))
        middle = int((y + high / 2) // stride), int((x + wide / 2) // stride)
        inside[min(middle[0], rows - 1), min(middle[1], columns - 1)] = True
        shares = np.maximum(reach, 0.5) / np.array([width, height, width, height])[:, None, None]
        found = np.where(inside, shares.astype(np.float32), found)
    return found


def _overlap(start: float, length: float, cells: int, stride: int) -> Floats:
    """How many pixels of each cell along a side lie within start and start + length."""
    edges = np.arange(cells + 1) * stride
    inside = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
    return np.asarray(np.maximum(inside, 0))
