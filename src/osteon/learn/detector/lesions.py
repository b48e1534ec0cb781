"""From a lesion map to what a reader can point at: its peak, and boxes with scores."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from osteon.dataset.placement import Placement
from osteon.types import Box

Floats = NDArray[np.float64]

FINE = 4
"""Pixels of the grid on which peaks and edges are looked for: a map of stride 16 is enlarged so far."""


@dataclass(frozen=True)
class BoxRule:
    """How boxes are drawn about the hills of a lesion map.

    Attributes:
        least: probability that a hill must reach to be found at all.
        share: of its own height at which a hill is cut; the box is about what stands above. A faint hill is as wide as
            a clear one, so a cut at one height would make its box too small.
        most: boxes per image, the highest hills.
    """

    least: float = 0.05
    share: float = 0.5
    most: int = 5

    def __post_init__(self) -> None:
        if not (0 < self.least < 1 and 0 < self.share < 1 and self.most >= 1):
            raise ValueError(f"least and share lie in 0..1 exclusive, and most is 1 or more, not {self}")


def peak_of(cells: NDArray[np.floating], stride: int, size: tuple[int, int]) -> tuple[float, float, float]:
    """Where a lesion map is highest.

    Args:
        cells: (h, w) log odds.
        stride: pixels of the image per cell.
        size: (height, width) of the image; nothing beyond it is pointed at.

    Returns:
        x and y in pixels of the image, 0 at the outer corner of the first pixel, and the largest probability of a cell.
    """
    # Cubically, so that the peak may lie between cells, on the side of the higher neighbour.
    fine = _enlarged(cells, stride, size, cv2.INTER_CUBIC)
    row, column = np.unravel_index(int(np.argmax(fine)), fine.shape)
    x, y = (min((place + 0.5) * FINE, side - 0.5) for place, side in ((column, size[1]), (row, size[0])))
    return float(x), float(y), float(expit(np.asarray(cells, float).max()))


def boxes_of(
    cells: NDArray[np.floating], stride: int, size: tuple[int, int], rule: BoxRule | None = None
) -> tuple[Floats, Floats]:
    """Boxes about the hills of a lesion map, the highest first.

    Args:
        cells: (h, w) log odds.
        stride: pixels of the image per cell.
        size: (height, width) of the image, at which boxes end.
        rule: what counts as a hill, and where it ends.

    Returns:
        Boxes (k, 4), x, y, width and height in pixels of the image as in `osteon.dataset.boxes`, and the probability
        (k,) at the peak of each.
    """
    # Probabilities, and not log odds, and linearly: half of a hill's height lies then where half of a cell is covered.
    rule = rule or BoxRule()
    hills = _enlarged(expit(np.asarray(cells, float)), stride, size, cv2.INTER_LINEAR)
    label = _label(hills >= rule.least)
    peaks = np.array([hills[label == one].max() for one in range(1, label.max() + 1)])
    found, scores = [np.empty((0, 4))], list[float]()
    for one in np.argsort(-peaks, kind="stable")[: rule.most]:
        inside = np.where(label == one + 1, hills, 0)
        above = _label(inside >= rule.share * peaks[one])
        own = above == above.ravel()[np.argmax(inside)]
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        low = np.array([columns[0], rows[0]]) * FINE
        high = np.minimum((np.array([columns[-1], rows[-1]]) + 1) * FINE, size[::-1])
        found.append(np.concatenate([low, high - low])[None].astype(float))
        scores.append(float(peaks[one]))
    return np.concatenate(found), np.array(scores)


def on_grid(cells: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Lesion maps (m, h, w) on another grid over the same images."""
    if cells.shape[1:] == shape:
        return cells
    moved = [cv2.resize(one, shape[::-1], interpolation=cv2.INTER_LINEAR) for one in cells]
    return np.array(moved, np.float32).reshape(-1, *shape)


def on_file(corners: Floats, scores: Floats, placement: Placement, size: tuple[int, int]) -> tuple[Box, ...]:
    """Boxes found in a prepared image as boxes on the file that it was made from, for an `osteon.types.Finding`.

    Args:
        corners: (k, 4) in pixels of the prepared image.
        scores: (k,) of each.
        placement: where the prepared image lies in its file; `Placement.of(frame)` while a recipe is at hand.
        size: (height, width) of the file. What a turned box leaves of it is cut off, and a box that lies beyond it,
            in what the recipe has padded, is left out.
    """
    moved = placement.to_source(corners)
    low, high = np.clip(moved[:, :2], 0, size[::-1]), np.clip(moved[:, :2] + moved[:, 2:], 0, size[::-1])
    return tuple(
        Box(x, y, right - x, bottom - y, score)
        for (x, y), (right, bottom), score in zip(low.tolist(), high.tolist(), scores.tolist(), strict=True)
        if right > x and bottom > y
    )


def _enlarged(cells: NDArray[np.floating], stride: int, size: tuple[int, int], how: int) -> Floats:
    """(⌈height / FINE⌉, ⌈width / FINE⌉) values of a map on the finer grid."""
    values = np.asarray(cells, np.float32)
    shape = (values.shape[1] * stride // FINE, values.shape[0] * stride // FINE)
    rows, columns = (-(-side // FINE) for side in size)
    return np.asarray(cv2.resize(values, shape, interpolation=how)[:rows, :columns], float)


def _label(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The number of the hill that each place belongs to, 0 for none."""
    return np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1], np.int32)
