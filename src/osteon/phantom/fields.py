"""Where a plate is exposed and what frames it: collimated fields, shutters, borders of scanners, dividing lines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from osteon.phantom.marks import Mask
from osteon.phantom.space import Floats, Image


@dataclass(frozen=True, eq=False)
class Field:
    """The exposed part of a plate: (4, 2) corners (x, y) in pixels, in order."""

    corners: Floats

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the smallest box about it."""
        low, high = np.rint(self.corners.min(axis=0)).astype(int), np.rint(self.corners.max(axis=0)).astype(int)
        return int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)

    @property
    def middle(self) -> tuple[float, float]:
        """Its middle (x, y)."""
        x, y = self.corners.mean(axis=0)
        return float(x), float(y)

    @property
    def size(self) -> tuple[float, float]:
        """Lengths of its sides: (along the columns, along the rows) of the plate, in pixels."""
        wide, tall = (
            np.linalg.norm(self.corners[1] - self.corners[0]),
            np.linalg.norm(self.corners[2] - self.corners[1]),
        )
        return float(tall), float(wide)

    def cover(self, shape: tuple[int, int]) -> Image:
        """Share of each pixel that is exposed; (rows, columns), 0..1."""
        drawn = np.zeros(shape, np.uint8)
        fixed = np.rint(self.corners * 16).astype(np.int32)
        cv2.fillConvexPoly(drawn, fixed, 255, cv2.LINE_AA, 4)
        return drawn.astype(np.float32) / np.float32(255)


def draw_field(shape: tuple[int, int], turn_deg: float, rng: Generator) -> Field:
    """A random field inside a plate: each side drawn in by up to a sixth, the whole turned."""
    rows, columns = shape
    top, bottom, left, right = rng.uniform(0.015, 0.16, 4)
    x0, x1, y0, y1 = left * columns, (1 - right) * columns, top * rows, (1 - bottom) * rows
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    middle, angle = corners.mean(axis=0), np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    turned = (corners - middle) @ turn.T
    # A turned field is shrunk until it fits the plate, so that its edges are seen on all sides.
    room = np.minimum(middle, np.array([columns - 1, rows - 1]) - middle)
    shrink = min(1.0, float((room / np.abs(turned).max(axis=0)).min()))
    return Field(turned * shrink + middle)


BORDERS = ("white", "black", "film")
"""Frames: an even white or black border, or a film that lies a little askew on a bright scanner."""


def border_mask(kind: str, shape: tuple[int, int], rng: Generator) -> Mask:
    """Where a frame lies: even borders of 1 to 7 % of a side, not the same on all four."""
    rows, columns = shape
    widths = rng.uniform(0.01, 0.07, 4) * (rows, rows, columns, columns)
    top, bottom, left, right = (max(2, round(w)) for w in widths)
    inside = np.array(
        [(left, top), (columns - 1 - right, top), (columns - 1 - right, rows - 1 - bottom), (left, rows - 1 - bottom)],
        float,
    )
    askew = rng.normal(0, 0.006, (4, 2)) * min(shape)
    if kind == "film":
        inside += askew
    drawn = np.ones(shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.rint(inside).astype(np.int32), 0)
    return drawn.astype(bool)
