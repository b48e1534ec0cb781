"""From what a detector took in to what a file holds: stored values, their window, and which way the patient lies."""

from __future__ import annotations

import numpy as np

from osteon.phantom import detector
from osteon.phantom.space import Floats, Image
from osteon.phantom.syntaxes import Stored
from osteon.phantom.write import Device


def stored_picture(logged: Image, device: Device, *, inverted: bool = False) -> tuple[Stored, tuple[int, int]]:
    """Stored values of a machine and their VOI window (centre, width).

    Args:
        logged: (rows, columns), the negative logarithm of the signal.
        device: its bits and photometric interpretation.
        inverted: stored the wrong way round, so that the tags lie.
    """
    values = detector.stored_values(logged, device.bits)
    centre, width = detector.window_of(values)
    white = 2**device.bits - 1
    # MONOCHROME1 shows small values white; an image whose tags lie is stored the wrong way round.
    if (device.photometric == "MONOCHROME1") != inverted:
        return (white - values).astype(np.uint16), (white - centre + 1, width)  # windows are symmetric about centre − ½
    return values, (centre, width)


def facing(direction: Floats, x: str, y: str) -> str:
    """The patient directions that a (2,) unit vector in x and y points to, strongest first, as in PS3.3 C.7.6.1.1.1.

    Args:
        direction: of growing columns, for example.
        x, y: letters of the patient directions that each axis grows to and falls to: "LR", "PA".
    """
    named = {x[0]: direction[0], x[1]: -direction[0], y[0]: direction[1], y[1]: -direction[1]}
    strong = sorted((n for n, share in named.items() if share > 0.38), key=lambda n: -named[n])
    return "".join(strong)


def box_of(pixels: Floats) -> tuple[float, ...]:
    """x, y, width, height and centre x, y of the smallest box about (n, 2) points, in pixels."""
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    return (*map(float, low), *map(float, high - low), *map(float, (low + high) / 2))
