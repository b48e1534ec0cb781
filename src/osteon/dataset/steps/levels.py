"""Grey levels of an image of white bone: its ground, where soft tissue begins, and where bone does."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Levels:
    """Grey levels of a region: its ground, the step to soft tissue, the step to bone (Otsu), and its white."""

    ground: float
    tissue: float
    bone: float
    white: float


def otsu(counts: NDArray[np.float64]) -> int:
    """Otsu's threshold (1979) of a histogram: the last level of the dark class."""
    weight, moment = np.cumsum(counts), np.cumsum(counts * np.arange(len(counts)))
    dark, bright = weight[:-1], weight[-1] - weight[:-1]
    both = (dark > 0) & (bright > 0)
    apart = np.zeros(len(dark))
    apart[both] = moment[:-1][both] / dark[both] - (moment[-1] - moment[:-1][both]) / bright[both]
    return int(np.argmax(dark * bright * apart**2))


def levels_of(values: NDArray[np.uint8]) -> Levels:
    """The levels of (n,) values, by the rule that `limb.limbs` states."""
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
