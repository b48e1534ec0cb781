"""Boxes drawn into pictures: thin, so that what they point at stays in view."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from osteon.learn.detector.box_targets import Floats

LINE = (120, 220, 255)
"""RGB of boxes: light blue, which neither bone nor the colours of a map have."""

SHADE = (10, 20, 30)
"""RGB of the rim round their scores."""

_MARGIN = 4  # pixels between a box and its score


def heat_of(cells: NDArray[np.floating], stride: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """A lesion map (h, w) in log odds as probabilities (height, width) at the size of its image."""
    values = expit(np.asarray(cells, np.float32))
    large = cv2.resize(values, (values.shape[1] * stride, values.shape[0] * stride), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(large[: size[0], : size[1]], 0, 1), np.float32)


def boxed(picture: NDArray[np.uint8], corners: Floats, scores: Floats) -> NDArray[np.uint8]:
    """A copy of a picture with boxes, each with its score.

    Args:
        picture: (height, width, 3) RGB.
        corners: (k, 4) x, y, width, height in its pixels.
        scores: (k,) shown with two digits.
    """
    drawn = np.ascontiguousarray(picture)
    drawn = drawn.copy() if drawn is picture else drawn
    font, size = cv2.FONT_HERSHEY_SIMPLEX, max(0.4, min(picture.shape[:2]) / 1100)
    for (x, y, width, height), score in zip(corners.tolist(), scores.tolist(), strict=True):
        first, last = (round(x), round(y)), (round(x + width) - 1, round(y + height) - 1)
        cv2.rectangle(drawn, first, last, LINE, 1)
        text = f"{score:.2f}"
        (wide, high), _ = cv2.getTextSize(text, font, size, 1)
        above = first[1] - _MARGIN if first[1] - _MARGIN - high >= 0 else last[1] + _MARGIN + high
        place = (max(0, min(first[0], picture.shape[1] - wide)), min(above, picture.shape[0] - 1))
        for colour, thickness in ((SHADE, 3), (LINE, 1)):  # first a dark rim: the score may lie on bone
            cv2.putText(drawn, text, place, font, size, colour, thickness, cv2.LINE_AA)
    return drawn
