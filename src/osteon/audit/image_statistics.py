"""What a detector, an exposure or a post-processing leaves in the grey values of a prepared image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.prepared import pixels_of
from osteon.types import Progress, silent

STATISTICS: Mapping[str, str] = {
    "brightness": "mean grey value, as a share of white",
    "contrast": "standard deviation of the grey values, as a share of white",
    "black": "share of pixels in the darkest 2 % of the scale",
    "white": "share of pixels in the brightest 2 % of the scale",
    "entropy": "of the grey values, in bits",
    "sharpness": "mean length of the gradient, as a share of white per pixel",
    "noise": "1.4826 times the median deviation of a pixel from its 3 × 3 median, as a share of white",
    "edge": "mean grey value of the outermost 5 % on each side, as a share of white",
}
"""Name → what it is. All are of the prepared image, so a change of recipe changes them too."""

_EXTREME = 5  # grey levels from either end of 0..255
_MARGIN = 20  # of the sides: one twentieth


def statistics_of(image: NDArray[np.uint8]) -> dict[str, float]:
    """Each of STATISTICS of an image (height, width) uint8."""
    counts = np.bincount(image.ravel(), minlength=256)
    shares = counts / image.size
    levels = np.arange(256) / 255
    mean = float(shares @ levels)
    present = shares[shares > 0]
    grey = image.astype(np.float32) / 255
    gradient = cv2.magnitude(
        cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8)
    )
    rough = np.abs(image.astype(np.int16) - cv2.medianBlur(image, 3))
    high, wide = (max(1, side // _MARGIN) for side in image.shape)
    inner = image[high:-high, wide:-wide]
    return {
        "brightness": mean,
        "contrast": float(np.sqrt(shares @ (levels - mean) ** 2)),
        "black": float(shares[: _EXTREME + 1].sum()),
        "white": float(shares[255 - _EXTREME :].sum()),
        "entropy": float(-(present @ np.log2(present))),
        "sharpness": float(gradient.mean()),
        "noise": float(1.4826 * np.median(rough) / 255),
        "edge": float((int(image.sum()) - int(inner.sum())) / (255 * (image.size - inner.size))),
    }


def statistics_table(images: Sequence[str], files: Mapping[str, Path], *, progress: Progress = silent) -> pd.DataFrame:
    """One row per image, in their order, with the columns of STATISTICS.

    Args:
        images: their ids.
        files: image id → prepared file.
        progress: told of images done.

    Raises:
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
    """
    rows = []
    for done, image in enumerate(images, start=1):
        rows.append(statistics_of(pixels_of(files[image])))
        progress(done, len(images))
    return pd.DataFrame(rows, columns=list(STATISTICS))
