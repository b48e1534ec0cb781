"""Whether bone is shown white: the step that turns the grey values of a negative round, and its rule."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.types import Radiograph


@dataclass(frozen=True)
class ColourInversion:
    """Invert the grey values of an image that shows dark bone on a light ground.

    A DICOM file states how it is to be shown, and is believed; PNG and JPEG state nothing, and their pixels are judged.
    The rule, on a copy of at most 128 px without its constant edge lines, stretched so that its 1st and 99th
    percentile are 0 and 1: whiteness = (½ - mean) + (½ - mean along the edge) + correlation(grey, roughness), where
    roughness is |grey - its blur by 2 px|. Where bone is white, most of the image and most of its edge are dark
    ground or soft tissue, and the bright places are the rough ones.
    The image is inverted if its negative has the larger whiteness. Judged is the whole source as its file shows it,
    whatever the frame by now, so that a second application decides the same.

    Attributes:
        believe_tags: whether DICOM files are believed. White shutters and bodies that fill the plate mislead the rule
            more often than tags are wrong, unless an archive is known for wrong tags.
    """

    believe_tags: bool = True

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        if self.believe_tags and radiograph.header.photometric:
            return [radiograph]
        radiograph = frame.proxy_of(radiograph)
        grey = frame.frame_of(radiograph).grey
        if shows_dark_bone(frame.proxy_pixels(radiograph)) == bool(grey[0] > grey[-1]):
            return [radiograph]
        return [frame.noted(frame.inverted(radiograph), "inverted, because bone was shown dark on a light ground")]

    def __str__(self) -> str:
        return "show bone white" if self.believe_tags else "show bone white, whatever the tags say"


def shows_dark_bone(image: NDArray[np.uint8]) -> bool:
    """Whether a (h, w) uint8 image shows dark bone on a light ground, by the rule that `ColourInversion` states."""
    shrink = min(1.0, 128 / max(image.shape))
    height, width = (max(1, round(side * shrink)) for side in image.shape)
    small = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    inner = _without_constant_edges(small.astype(np.float32))
    return _whiteness(255 - inner) > _whiteness(inner)


def _whiteness(image: NDArray[np.float32]) -> float:
    low, high = np.percentile(image, [1, 99])
    if high - low < 1:
        return 0.0
    grey = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    rough = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0))
    width = max(2, min(grey.shape) // 16)
    edge = np.ones(grey.shape, bool)
    edge[width:-width, width:-width] = False
    spread = float(grey.std() * rough.std())
    covariance = float(np.mean((grey - grey.mean()) * (rough - rough.mean())))
    return 1.0 - float(grey.mean()) - float(grey[edge].mean()) + (covariance / spread if spread > 0 else 0.0)


def _without_constant_edges(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image without edge rows and columns of one grey value, such as frames and scanner borders have.

    At most an eighth is taken from each side: the even ground beside a limb is evidence, and stays.
    """
    height, width = image.shape
    top, bottom = (_constant_lines(image[::way], height // 8) for way in (1, -1))
    left, right = (_constant_lines(image.T[::way], width // 8) for way in (1, -1))
    return image[top : height - bottom, left : width - right]


def _constant_lines(image: NDArray[np.float32], most: int) -> int:
    """How many of the first rows, up to `most`, hold one value: 90 % of the row within 6 grey levels."""
    low, high = np.percentile(image[:most], [5, 95], axis=1) if most else (np.zeros(0), np.zeros(0))
    varied = np.flatnonzero(high - low > 6)
    return int(varied[0]) if varied.size else most
