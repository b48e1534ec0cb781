"""Reading back what `osteon prepare` wrote."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.errors import UnreadableImage

_REMEDY = "run osteon prepare again"


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """A prepared image, (h, w) uint8.

    Raises:
        NotFound: if there is no such file.
        UnreadableImage: if it does not decode, or is no 8-bit grey image.
    """
    files.must_exist(path, remedy=_REMEDY)
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableImage("undecodable", f"{path} cannot be decoded", remedy=_REMEDY)
    if pixels.ndim != 2 or pixels.dtype != np.uint8:
        raise UnreadableImage("not_grey", f"{path} is no 8-bit grey image", remedy=_REMEDY)
    return np.asarray(pixels, np.uint8)
