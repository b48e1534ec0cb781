"""From a lesion map to what a reader can point at: its peak, and boxes with scores."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from scipy.special import expit

from osteon.dataset.placement import Placement
from osteon.evaluate.localisation import iou
from osteon.types import Box

Floats = NDArray[np.float64]

FINE = 4
"""Pixels of the grid on which the peak is looked for: a map of stride 16 is enlarged so far."""


@dataclass(frozen=True)
class BoxRule:
    """Which boxes of a lesion map are kept: one at each top of its hills, unless a higher top's box covers the same.

    Attributes:
        least: probability that a top must reach to be found at all.
        overlap: intersection over union with the box of a higher top, above which a box is left out.
        most: boxes per image, those of the highest tops.
    """

    least: float = 0.05
    overlap: float = 0.3
    most: int = 5

    def __post_init__(self) -> None:
        if not (0 < self.least < 1 and 0 <= self.overlap < 1 and self.most >= 1):
            raise ValueError(f"least and overlap lie in 0..1, 1 excluded, and most is 1 or more, not {self}")


def peak_of(cells: NDArray[np.floating], stride: int, size: tuple[int, int]) -> tuple[float, float, float]:
    """Where a lesion map is highest.

    Args:
        cells: (h, w) log odds.
        stride: pixels of the image per cell.
        size: (height, width) of the image; nothing beyond it is pointed at.

    Returns:
        x and y in pixels of the image, 0 at the outer corner of the first pixel, and the largest probability of a cell.
    """
    fine = _enlarged(cells, stride, size)
    row, column = np.unravel_index(int(np.argmax(fine)), fine.shape)
    x, y = (min((place + 0.5) * FINE, side - 0.5) for place, side in ((column, size[1]), (row, size[0])))
    return float(x), float(y), float(expit(np.asarray(cells, float).max()))


def boxes_of(
    maps: NDArray[np.floating], stride: int, size: tuple[int, int], rule: BoxRule | None = None
) -> tuple[Floats, Floats]:
    """Boxes at the tops of a lesion map, the highest first.

    Args:
        maps: (5, h, w) as `osteon.learn.detector.network.Lesions` has them.
        stride: pixels of the image per cell.
        size: (height, width) of the image, at which boxes end.
        rule: which boxes are kept.

    Returns:
        Boxes (k, 4), x, y, width and height in pixels of the image as in `osteon.dataset.boxes`, and the probability
        (k,) of the cell that each was read at.
    """
    rule = rule or BoxRule()
    probability, reach = expit(np.asarray(maps[0], float)), np.exp(np.asarray(maps[1:], float))
    tops = (probability == maximum_filter(probability, size=3)) & (probability >= rule.least)
    rows, columns = np.nonzero(tops)
    centre, sides = (np.stack([columns, rows], axis=1) + 0.5) * stride, np.array(size[::-1], float)
    to_left_and_up, to_right_and_down = (
        reach[pair, rows[:, None], columns[:, None]] * sides for pair in ([0, 1], [2, 3])
    )
    low, high = np.clip(centre - to_left_and_up, 0, sides), np.clip(centre + to_right_and_down, 0, sides)
    corners, scores = np.concatenate([low, high - low], axis=1), probability[rows, columns]
    left = [one for one in np.argsort(-scores, kind="stable") if corners[one, 2:].min() > 0]
    kept = list[int]()
    while left and len(kept) < rule.most:
        first, *left = left
        kept.append(int(first))
        shared = iou(corners[[first]], corners[left])[0]
        left = [one for one, share in zip(left, shared, strict=True) if share <= rule.overlap]
    return corners[kept], scores[kept]


def on_grid(maps: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Maps (m, 5, h, w) on another grid over the same images."""
    if maps.shape[2:] == shape:
        return maps
    moved = [cv2.resize(one, shape[::-1], interpolation=cv2.INTER_LINEAR) for one in maps.reshape(-1, *maps.shape[2:])]
    return np.array(moved, np.float32).reshape(*maps.shape[:2], *shape)


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


def _enlarged(cells: NDArray[np.floating], stride: int, size: tuple[int, int]) -> Floats:
    """(⌈height / FINE⌉, ⌈width / FINE⌉) values of a map on the finer grid, cubically: a peak may lie between cells."""
    values = np.asarray(cells, np.float32)
    shape = (values.shape[1] * stride // FINE, values.shape[0] * stride // FINE)
    rows, columns = (-(-side // FINE) for side in size)
    return np.asarray(cv2.resize(values, shape, interpolation=cv2.INTER_CUBIC)[:rows, :columns], float)
