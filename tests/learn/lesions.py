"""Planted maps of images with and without a lesion: where it lies, and a marker beside it that gives the label away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from osteon.learn.detector.box_targets import covered, mirrored
from osteon.learn.detector.training import Examples

SIZE = (128, 160)
"""Pixels of the images: 8 × 10 cells at stride 16, 4 × 5 at 32."""

CHANNELS = (3, 2)
"""Of the maps at strides of 16 and 32."""


def some_examples(images: int = 60, *, drawn: float = 1.0, seed: int = 0) -> tuple[Examples, NDArray[np.float64]]:
    """Examples, and the true box of each image (n, 4), NaN where there is none.

    Half of the images have a lesion, which one channel shows. These have a marker as well, elsewhere, which another
    channel shows more clearly, as hardware does. Of the lesions a share is `drawn`.
    """
    rng = np.random.default_rng(seed)
    target = (np.arange(images) % 2 == 0).astype(float)
    truth = np.full((images, 4), np.nan)
    fine = rng.normal(0, 0.5, (images, 2, CHANNELS[0], 8, 10))
    coarse = rng.normal(0, 0.5, (images, 2, CHANNELS[1], 4, 5))
    for row in np.flatnonzero(target):
        left = rng.random() < 0.5
        lesion = np.array([rng.uniform(4, 40), rng.uniform(4, 80), rng.uniform(24, 36), rng.uniform(24, 36)])
        marker = np.array([rng.uniform(90, 130), rng.uniform(4, 90), 24, 24])
        if not left:
            lesion, marker = (mirrored(box[None], SIZE, 1)[0] for box in (lesion, marker))
        truth[row] = lesion
        for flip in range(2):
            fine[row, flip, 0] += 3 * covered(mirrored(lesion[None], SIZE, flip), SIZE, 16)
            fine[row, flip, 1] += 8 * covered(mirrored(marker[None], SIZE, flip), SIZE, 16)
            coarse[row, flip, 0] += 2 * covered(mirrored(lesion[None], SIZE, flip), SIZE, 32)
    maps = np.concatenate([folded(fine), coarse], axis=2).astype(np.float16)
    kept = (target > 0) & (rng.random(images) < drawn)
    boxes = [truth[row][None] if kept[row] else np.empty((0, 4)) for row in range(images)]
    key = [f"image{row}" for row in range(images)]
    return Examples(key, lambda rows, flips: maps[rows, flips], target, boxes, SIZE), truth


def folded(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, f, c, 2 h, 2 w) → (n, f, 4 c, h, w): four channels for each place, as a bank lays maps side by side."""
    n, f, c, h, w = fine.shape
    return (
        fine.reshape(n, f, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 6, 3, 5).reshape(n, f, 4 * c, h // 2, w // 2)
    )


def share_pointed_at(points: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Of the boxes (n, 4) that are there, the share that holds the point (n, 2) of its image."""
    there = ~np.isnan(truth[:, 0])
    low, high = truth[there, :2], truth[there, :2] + truth[there, 2:]
    return float(((points[there] >= low) & (points[there] <= high)).all(axis=1).mean())
