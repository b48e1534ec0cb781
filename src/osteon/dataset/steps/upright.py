"""Which end of an upright limb is the distal one: a small learnt rule, antisymmetric by construction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset.steps.dividing import percentiles

Grey = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]
Floats = NDArray[np.float64]

HEIGHTS = 12
"""Stretches of equal length into which a limb is cut from end to end."""

MEASURES = ("width", "grey", "spread", "across", "along", "fine", "along : across", "columns", "runs")
"""What is measured of each stretch: width of the limb; mean and deviation of its grey; logarithms of the mean grey step
across and along it, of what a blur by 2 px takes away, and of the ratio of both steps; bones side by side (peaks of the
grey across the limb); and pieces of limb side by side (fingers)."""


@dataclass(frozen=True, eq=False)
class EndRule:
    """Weights of the rule: one hidden layer, whose answer for the limb upside down is subtracted.

    Attributes:
        mean, scale: (MEASURES,) of the measures on the images the rule was fitted on.
        hidden: (MEASURES · HEIGHTS, units). offset, out: (units,).
    """

    mean: Floats
    scale: Floats
    hidden: Floats
    offset: Floats
    out: Floats

    def __call__(self, profile: Floats) -> float:
        """Positive if the upper end of a (MEASURES, HEIGHTS) profile is the distal one, negative if the lower is."""
        scaled = (profile - self.mean[:, None]) / self.scale[:, None]
        answers = [np.tanh(side.ravel() @ self.hidden + self.offset) @ self.out for side in (scaled, scaled[:, ::-1])]
        return float(answers[0] - answers[1])


def distal_up(image: Grey, limb: Mask) -> bool:
    """Whether the upper end of a limb is the distal one (fingers, toes).

    A hand widens and parts into fingers, carries many small bones with edges in all directions, and is thin; a forearm
    is two smooth tubes. The rule weighs such measures over the length of the limb. It was fitted on phantoms and on
    FracAtlas hands by `benchmarks/upright.py`; the report is on others.

    Args:
        image: (h, w) uint8, bone white, the limb upright. limb: (h, w), its mask, which reaches all four sides.
    """
    return fitted()(end_profile(image, limb)) >= 0


def end_profile(image: Grey, limb: Mask, heights: int = HEIGHTS) -> Floats:
    """The (MEASURES, heights) measures of a limb, from its upper end to its lower one; arguments as of `distal_up`."""
    mask, values = limb.astype(np.float32), image[limb]
    low, high = percentiles(values, 2, 98)
    calm = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.7)
    grey = np.asarray((calm - np.float32(low)) / np.float32(max(high - low, 1)), np.float32)
    # Steps at the skin line, and where the plate ends, are none of the limb's.
    inner = cv2.erode(mask, np.ones((5, 5), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    steps = (
        cv2.Sobel(grey, cv2.CV_32F, 1, 0),
        cv2.Sobel(grey, cv2.CV_32F, 0, 1),
        grey - cv2.GaussianBlur(grey, (0, 0), 2.0),
    )
    within = grey * mask
    planes = [mask, inner, within, within * grey, *(np.abs(step) * inner for step in steps)]
    begins = limb.copy()
    begins[:, 1:] &= ~limb[:, :-1]
    planes += [plane.view(np.uint8) for plane in (_peaks(grey, limb), begins)]
    area, inside, sums, squares, across, along, fine, peaks, runs = _stretches(planes, heights)
    area, inside = area + 0.5, inside + 0.5
    mean, across, along, fine = sums / area, across / inside, along / inside, fine / inside
    return np.stack(
        [
            area / area.mean(),
            mean,
            np.sqrt(np.maximum(squares / area - mean**2, 0)),
            np.log(across + 0.02),
            np.log(along + 0.02),
            np.log(fine + 0.01),
            np.log((along + 0.02) / (across + 0.02)),
            peaks / 3,
            runs / 2,
        ]
    )


@cache
def fitted() -> EndRule:
    """The rule with the weights that `benchmarks/upright.py` wrote."""
    content = json.loads((resources.files(__package__) / "upright.json").read_text(encoding="utf-8"))
    return EndRule(**{name: np.asarray(content[name], float) for name in EndRule.__dataclass_fields__})


def _stretches(planes: Sequence[NDArray[Any]], heights: int) -> Floats:
    """The sums of rows of each plane, averaged over the rows of each stretch; (planes, heights)."""
    rows = np.hstack([cv2.reduce(plane, 1, cv2.REDUCE_SUM, dtype=cv2.CV_64F) for plane in planes])
    return np.asarray(cv2.resize(rows, (len(planes), heights), interpolation=cv2.INTER_AREA).T, float)


def _peaks(grey: Plane, limb: Mask) -> Mask:
    """(h, w - 4): where the grey across the limb has a peak, as a bone makes it."""
    if grey.shape[1] < 5:
        return np.zeros((grey.shape[0], 1), bool)
    calm = cv2.GaussianBlur(grey, (0, 0), sigmaX=1.5, sigmaY=2.5)
    here, step = calm[:, 2:-2], 0.006
    nearby = (here >= calm[:, 1:-3]) & (here > calm[:, 3:-1])
    return np.asarray(nearby & (here > calm[:, :-4] + step) & (here > calm[:, 4:] + step) & limb[:, 2:-2])
