"""Pictures of maps: one over a radiograph, all methods side by side, and the filters of a first layer."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.errors import CannotWrite

Heat = NDArray[np.float32]
"""(height, width) in -1..1, at the size of the image: 1 where the evidence for the finding is strongest, -1 where that
against it is, 0 where there is none."""

FOR, AGAINST = (235, 45, 30), (40, 110, 255)
"""RGB of what speaks for the finding and against it: red and blue, told apart with any common colour-vision defect."""

STRONGEST = 0.6
"""Opacity of an overlay where the evidence is strongest, so that bone stays visible below."""


def overlay(image: NDArray[np.uint8], heat: Heat) -> NDArray[np.uint8]:
    """The image with the map over it, (height, width, 3) uint8 RGB: red for, blue against, the weaker the fainter.

    Args:
        image: (height, width) uint8.
        heat: (height, width) in -1..1.
    """
    if image.shape != heat.shape:
        raise ValueError(f"the map is {heat.shape}, the image {image.shape}")
    strength = np.clip(heat, -1, 1)[..., None]
    colour = np.where(strength > 0, FOR, AGAINST) / 255.0
    opacity = STRONGEST * np.abs(strength)
    mixed = (1 - opacity) * (image[..., None] / 255.0) + opacity * colour
    return np.asarray(np.rint(255 * mixed), np.uint8)


def save_overlay(path: Path, image: NDArray[np.uint8], heat: Heat) -> None:
    """Write the overlay as PNG, whole or not at all; the same map gives the same bytes.

    Raises:
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    save_picture(path, overlay(image, heat))


def save_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture, (height, width, 3) RGB, as PNG, whole or not at all.

    Raises:
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    done, encoded = cv2.imencode(".png", picture[..., ::-1])
    if not done:
        raise CannotWrite(f"{path} could not be encoded as PNG", remedy="check the size of the image")
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
