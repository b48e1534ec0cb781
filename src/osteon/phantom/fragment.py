"""The two sides of a fracture: of the stretch of a ray between two points, how many mm lie in one of them?

Away from the surface the answer is all or nothing. In its zone the share of each small cell of the ray is summed; it is
the share of a box that a plane cuts, so that a gap thinner than a pixel still takes away what it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from osteon.phantom.fracture import Crack, Fracture
from osteon.phantom.solids import Interval
from osteon.phantom.space import Floats, Image, View, shifted_by

CELL_MM = 0.5
"""Length of the cells of a ray inside the zone of a fracture."""

ROWS = 12
"""Rows that are summed at a time: few enough for the processor's cache."""


@dataclass(frozen=True, eq=False)
class Fragment:
    """One side of a fracture.

    Attributes:
        distal: the far side, which has moved, or the near one.
        zone: z in mm between which this side has its ragged end; beyond, on its own side, it is whole.
    """

    fracture: Fracture
    distal: bool
    zone: tuple[float, float]

    def lengths(self, view: View, z: Floats, u: Floats, intervals: Sequence[Interval]) -> list[Image]:
        """mm of each interval that lie in the fragment; rays at heights z (rows,), falling, and positions u (columns,).

        The first interval is the whole bone and holds all others. Pixels are square.
        """
        low, high = self.zone
        whole = z > high if self.distal else z < low
        found = [np.where(whole[:, None], leave - enter, np.float32(0)) for enter, leave in intervals]
        pixel = abs(float(z[0] - z[-1])) / max(1, len(z) - 1)
        split = self.distal and bool(self.fracture.cracks)  # then there is no end to the zone
        rows = np.nonzero((z >= low) & ((z <= high) | split))[0]
        for first in range(0, len(rows), ROWS):
            block = slice(int(rows[first]), int(rows[min(first + ROWS, len(rows)) - 1]) + 1)
            columns = np.nonzero((intervals[0][1][block] > intervals[0][0][block]).any(axis=0))[0]
            if len(columns):
                place = block, slice(int(columns[0]), int(columns[-1]) + 1)
                cells = _cells(view, z[place[0]], u[place[1]], (intervals[0][0][place], intervals[0][1][place]), pixel)
                measured = self._measure(cells, [(a[place], b[place]) for a, b in intervals])
                for image, length in zip(found, measured, strict=True):
                    image[place] = length
        return found

    def _measure(self, cells: _Cells, intervals: list[Interval]) -> list[Image]:
        share = self._beyond(cells)
        for crack in self.fracture.cracks if self.distal else ():
            share *= self._beside(crack, cells)
        summed = np.zeros((*share.shape[:2], share.shape[2] + 1), np.float32)
        np.cumsum(share, axis=2, out=summed[:, :, 1:])
        return [_up_to(summed, leave, cells.first) - _up_to(summed, enter, cells.first) for enter, leave in intervals]

    def _beyond(self, cells: _Cells) -> Image:
        """Share of each cell on this side of the gap, (rows, columns, cells)."""
        f = self.fracture
        motion = f.motion if self.distal else shifted_by((0, 0, 0))
        normal, centre = motion.rotation @ f.normal, motion(f.centre)
        dx, dy = cells.x - centre[0], cells.y - centre[1]
        side = 1 if self.distal else -1
        inwards = side * (normal[0] * dx + normal[1] * dy + f.roughness(dx, dy)) - f.gap(dx, dy) / 2
        blur = abs(normal[2]) * cells.pixel + abs(float(normal[:2] @ cells.view.along)) * CELL_MM
        share = _sum_of(side * normal[2] * (cells.z - centre[2]) / blur, inwards / blur + 0.5)
        return np.clip(share, 0, 1, out=share)

    def _beside(self, crack: Crack, cells: _Cells) -> Image:
        """Share of each cell that is not in a crack, (rows, columns, cells)."""
        motion = self.fracture.motion
        normal, through = motion.rotation @ crack.normal, motion(crack.through)
        across, along = (abs(float(normal[:2] @ way)) for way in (cells.view.across, cells.view.along))
        blur = max(abs(normal[2]) * cells.pixel, across * cells.pixel, along * CELL_MM)
        flat = normal[0] * (cells.x - through[0]) + normal[1] * (cells.y - through[1])
        distance = _sum_of(normal[2] * (cells.z - through[2]) / blur, flat / blur)
        half = np.float32(crack.gap_mm / 2 / blur)
        return np.asarray(1 - np.clip(distance + half + 0.5, 0, 1) + np.clip(distance - half + 0.5, 0, 1))


@dataclass(frozen=True, eq=False)
class _Cells:
    """Cells of rays: heights z (rows,); middles x and y (columns, cells); number of the first; mm between rays."""

    view: View
    z: Floats
    x: Floats
    y: Floats
    first: int
    pixel: float


def _cells(view: View, z: Floats, u: Floats, bone: Interval, pixel: float) -> _Cells:
    # All cells lie on one grid, so that what one fragment lacks the other has.
    first = int(np.floor(bone[0].min() / CELL_MM))
    last = max(first + 1, int(np.ceil(bone[1].max() / CELL_MM)))
    t = CELL_MM * (np.arange(first, last) + 0.5)
    x, y = (u[:, None] * view.across[k] + t * view.along[k] for k in (0, 1))
    return _Cells(view, z, x, y, first, pixel)


def _sum_of(rows: Floats, flat: Floats) -> Image:
    """(rows,) plus (columns, cells): (rows, columns, cells)."""
    return np.add(rows.astype(np.float32)[:, None, None], flat.astype(np.float32), dtype=np.float32)


def _up_to(summed: Image, t: Image, first: int) -> Image:
    """mm inside from the start of the ray to t, (rows, columns); `summed` counts cells up to each border."""
    place = np.clip(t / np.float32(CELL_MM) - first, 0, summed.shape[2] - 1.001)
    cell = place.astype(np.intp)[..., None]
    before, after = (np.take_along_axis(summed, cell + k, 2)[..., 0] for k in (0, 1))
    return np.asarray((before + (place - cell[..., 0]).astype(np.float32) * (after - before)) * np.float32(CELL_MM))
