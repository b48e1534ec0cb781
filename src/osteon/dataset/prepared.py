"""Reading back what `prepare` wrote: 8-bit grey images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.errors import UnreadableImage

_REMEDY = "run `osteon prepare` again"


def pixels_of(path: Path) -> NDArray[np.uint8]:
    """A prepared image, (height, width) uint8.

    Raises:
        NotFound: if there is no such file.
        UnreadableImage: if it does not decode, or is no 8-bit grey image.
    """
    return decoded(files.must_exist(path, remedy=_REMEDY).read_bytes(), path)


def decoded(content: bytes, path: Path) -> NDArray[np.uint8]:
    """The image, (height, width) uint8, in the bytes of a prepared file; `path` names it in errors.

    Raises:
        UnreadableImage: as `pixels_of`.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None:
        raise UnreadableImage("undecodable", f"{path} cannot be decoded", remedy=_REMEDY)
    if image.ndim != 2 or image.dtype != np.uint8:
        raise UnreadableImage("not_grey", f"{path} is no 8-bit grey image", remedy=_REMEDY)
    return np.asarray(image, np.uint8)
