"""Crop to the exposed field: what a collimator, a shutter or a frame leaves dark, bright or empty is cut off."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.field import Field, exposed_field
from osteon.types import Radiograph

LEAST = 0.02
"""Share of a side below which nothing is cut off there."""

_UPRIGHT_DEG = 1.5  # a field that is turned by less is cropped as it lies
_SMALLEST = 32  # pixels a side: smaller crops are not made


@dataclass(frozen=True)
class CollimationCrop:
    """Crop to the exposed field, as `steps.field.exposed_field` finds it; turn it upright if it lies askew.

    A side is cropped where at least `LEAST` of it would go. Only a field whose four sides are all seen, and which
    lies 1.5° or more askew, is turned (by at most 45°). What is left is looked at again, for a shutter inside a frame,
    until nothing is found; so a second application finds nothing either.
    """

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        before, turned, radiograph = frame.frame_of(radiograph).size, 0.0, frame.proxy_of(radiograph)
        while True:
            cropped, degrees = _cropped_once(radiograph)
            if cropped is radiograph:
                break
            radiograph, turned = cropped, turned + degrees
        after = frame.frame_of(radiograph).size
        if after == before and turned == 0:
            return [radiograph]
        note = f"cropped to the exposed field, from {before[1]} × {before[0]} to {after[1]} × {after[0]} px"
        return [frame.noted(radiograph, note + (f", after a turn by {turned:.1f}°" if turned else ""))]

    def __str__(self) -> str:
        return "crop to the exposed field"


def cropped_to_field(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `CollimationCrop` leaves of a (h, w) uint8 image."""
    (cropped,) = CollimationCrop()(Radiograph(image, 255))
    return frame.render(cropped)


def _cropped_once(radiograph: Radiograph) -> tuple[Radiograph, float]:
    """The radiograph cropped to the field that it shows, or as it is; and by how many degrees it was turned."""
    field = exposed_field(frame.seen(radiograph))
    if not field.edges:
        return radiograph, 0.0
    height, width = frame.frame_of(radiograph).size
    # Corners from the middle of the image, in pixels of the output; half a pixel lies between centres and edges.
    corners = (field.corners + 0.5) * [width / field.size[1], height / field.size[0]] - [width / 2, height / 2]
    slant = _slant(field)
    if slant:
        turned = frame.turned(radiograph, slant)
        cosine, sine = math.cos(math.radians(slant)), math.sin(math.radians(slant))
        box = _box(corners @ np.array([[cosine, -sine], [sine, cosine]]), frame.frame_of(turned).size)
    else:
        turned, box = radiograph, _without_slivers(_box(corners, (height, width)), (height, width))
    left, top, right, bottom = box
    # Each crop takes a share of the area, so that looking again comes to an end.
    if min(right - left, bottom - top) < _SMALLEST or (right - left) * (bottom - top) > (1 - LEAST) * height * width:
        return radiograph, 0.0
    return frame.window(turned, top=top, left=left, height=bottom - top, width=right - left), slant


def _slant(field: Field) -> float:
    """Degrees, within ±45, by which a turn counter-clockwise makes the field upright; 0 unless it shows four sides."""
    angles = np.array([math.degrees(math.atan2(edge.down, edge.across)) for edge in field.edges])
    slant = float(np.degrees(np.angle(np.exp(4j * np.radians(angles)).mean()))) / 4
    sides = {int(side) % 4 for side in np.round((angles - slant) / 90)}
    return slant if len(sides) == 4 and abs(slant) >= _UPRIGHT_DEG else 0.0


def _without_slivers(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box (left, top, right, bottom), out to the edge of the image where it would cut off less than LEAST."""
    (left, top, right, bottom), (height, width) = box, size
    return (
        left if left >= LEAST * width else 0,
        top if top >= LEAST * height else 0,
        right if width - right >= LEAST * width else width,
        bottom if height - bottom >= LEAST * height else height,
    )


def _box(corners: NDArray[np.float64], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) in whole pixels about corners given from the middle of an image of this size."""
    middle = np.array([size[1] / 2, size[0] / 2])
    low = np.floor(corners.min(axis=0) + middle + 1e-6).astype(int)
    high = np.ceil(corners.max(axis=0) + middle - 1e-6).astype(int)
    return max(0, int(low[0])), max(0, int(low[1])), min(size[1], int(high[0])), min(size[0], int(high[1]))
