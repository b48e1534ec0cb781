"""Fractures: a rough surface through a bone, a gap between its two sides, and the motion of the far side.

The two sides are `Fragment`s of one `Fracture`. A fragment answers one question: of the stretch of a ray between two
points, how many mm lie in me? Outside the fracture's zone the answer is all or nothing; inside, the share of each small
cell of the ray is summed (the share is that of a plane through the cell, so that a gap thinner than a pixel still
takes away what it should).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osteon.phantom.solids import Solid
from osteon.phantom.space import Floats, Image, Motion, View, shifted_by

CELL_MM = 0.5
"""Length of the cells of a ray inside the zone of a fracture."""


@dataclass(frozen=True, eq=False)
class Crack:
    """A second, plane gap that splits the distal side of a comminuted fracture and moves with it.

    Attributes:
        normal: (3,) unit. through: (3,) mm, a point on it. gap_mm: its width.
    """

    normal: Floats
    through: Floats
    gap_mm: float


@dataclass(frozen=True, eq=False)
class Fracture:
    """A fracture of a long bone that runs along z.

    The surface is the set of points where normal · (p − centre) + roughness(p) = 0; the distal side is where it is
    positive. The gap is `gap_mm` wide along the normal, half of it on each side, and closes towards one cortex
    if the fracture is partial.

    Attributes:
        kind: "transverse", "oblique" or "comminuted".
        normal: (3,) unit, upwards. centre: (3,) mm.
        waves: (k, 4) amplitude mm, wave numbers along x and y in rad/mm, phase: the roughness.
        gap_mm: width of the gap.
        opening: (3,) or None. Direction in x, y (unit) and offset in mm of the line about which the gap closes over
            PARTIAL_MM; None for a gap through the whole bone.
        motion: of the distal side.
        displacement_mm: length of the motion's shift. angulation_deg: dorsal tilt; palmar is negative.
        cracks: further gaps of a comminuted fracture.
    """

    kind: str
    normal: Floats
    centre: Floats
    waves: Floats
    gap_mm: float
    opening: Floats | None
    motion: Motion
    displacement_mm: float
    angulation_deg: float
    cracks: tuple[Crack, ...] = ()

    def roughness(self, x: Floats, y: Floats) -> Floats:
        """Height of the surface over its plane, mm, at (x, y) relative to the centre."""
        height = np.zeros(np.broadcast(x, y).shape)
        for amplitude, kx, ky, phase in self.waves:
            height += amplitude * np.sin(kx * x + ky * y + phase)
        return height

    def gap(self, x: Floats, y: Floats) -> Floats:
        """Width of the gap, mm, at (x, y) relative to the centre."""
        if self.opening is None:
            return np.full(np.broadcast(x, y).shape, self.gap_mm)
        dx, dy, offset = self.opening
        return np.asarray(self.gap_mm * np.clip(0.5 + (dx * x + dy * y + offset) / PARTIAL_MM, 0, 1))

    def points(self, bone: Solid, *, whole: bool = False, step_mm: float = 0.4) -> Floats:
        """(n, 3) points of both faces of the gap inside the intact `bone`, the distal ones where they now lie.

        Where a partial gap is closed (less than a tenth of its width) there are none, unless the `whole` surface is
        asked for.
        """
        reach = np.arange(-25, 25 + step_mm, step_mm)
        x, y = (g.ravel() for g in np.meshgrid(reach, reach))
        width = self.gap(x, y)
        faces = []
        for side in (-1, 1):
            z = (side * width / 2 - self.normal[0] * x - self.normal[1] * y - self.roughness(x, y)) / self.normal[2]
            face = np.column_stack([x, y, z]) + self.centre
            face = face[(whole | (width > 0.1 * self.gap_mm)) & contains(bone, face)]
            faces.append(self.motion(face) if side > 0 else face)
        return np.vstack(faces)


PARTIAL_MM = 6.0
"""Length over which the gap of a partial fracture closes."""


def contains(solid: Solid, points: Floats) -> NDArray[np.bool_]:
    """Which of (n, 3) points lie in a solid, planes regarded, hollows not."""
    sections = solid.shape.sections(points[:, 2])
    dx, dy = (points[:, :2] - sections.centre).T
    xx, xy, yy = sections.spread.T
    inside = yy * dx**2 - 2 * xy * dx * dy + xx * dy**2 <= xx * yy - xy**2
    for cut in solid.planes:
        inside &= points @ cut.normal <= cut.offset
    return np.asarray(inside & (xx > 0))


@dataclass(frozen=True, eq=False)
class Fragment:
    """One side of a fracture."""

    fracture: Fracture
    distal: bool

    def ruler(self, view: View, z: Floats, u: Floats, reach: tuple[float, float]) -> Ruler:
        """Measure rays at heights z (rows,) and positions u (columns,) that enter and leave within `reach` (mm)."""
        # Both fragments share one grid of cells, so that what one lacks the other has.
        first, last = int(np.floor(reach[0] / CELL_MM)), int(np.ceil(reach[1] / CELL_MM))
        cells = max(1, last - first)
        t = CELL_MM * (first + np.arange(cells) + 0.5)
        x = u[:, None] * view.across[0] + t * view.along[0]
        y = u[:, None] * view.across[1] + t * view.along[1]
        pixel = abs(float(z[1] - z[0])) if len(z) > 1 else CELL_MM
        normal, rest = self._distance(x, y)
        blur = abs(normal[2]) * pixel + abs(float(normal[:2] @ view.along)) * CELL_MM
        low, high = (float((-rest).min()) - blur / 2) / normal[2], (float((-rest).max()) + blur / 2) / normal[2]
        cracks = self.fracture.cracks if self.distal else ()
        if cracks:
            high = float(z.max())
        zone = (z >= low) & (z <= high)
        share = self._share(rest, normal[2], blur, z[zone])
        for crack in cracks:
            share *= _beside(crack, self.fracture.motion, view, (x, y, z[zone]), pixel)
        measure = np.zeros((len(share), len(u), cells + 1), np.float32)
        np.cumsum(share, axis=2, out=measure[:, :, 1:])
        return Ruler(np.where(self.distal, z > high, z < low), zone, measure * np.float32(CELL_MM), first * CELL_MM)

    def _distance(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Signed distance from this fragment's face as normal[2] · z + rest; positive towards the fingers."""
        f = self.fracture
        motion = f.motion if self.distal else shifted_by((0, 0, 0))
        normal, centre = motion.rotation @ f.normal, motion(f.centre)
        dx, dy = x - centre[0], y - centre[1]
        half_gap = f.gap(dx, dy) / 2 * (-1 if self.distal else 1)
        rest = normal[0] * dx + normal[1] * dy - normal[2] * centre[2] + f.roughness(dx, dy) + half_gap
        return normal, rest

    def _share(self, rest: Floats, slope: float, blur: float, z: Floats) -> Image:
        scale = (1 if self.distal else -1) / blur
        share = (rest * scale + 0.5).astype(np.float32)[None] + (slope * z * scale).astype(np.float32)[:, None, None]
        return np.clip(share, 0, 1, out=share)


@dataclass(frozen=True, eq=False)
class Ruler:
    """Lengths inside a fragment: `whole` (rows,) all of the ray counts, `zone` (rows,) look it up, elsewhere none."""

    whole: NDArray[np.bool_]
    zone: NDArray[np.bool_]
    measure: Image  # (zone rows, columns, cells + 1): mm inside, from the start of the ray to each cell border
    start: float

    def length(self, low: Image, high: Image) -> Image:
        """mm inside the fragment between two points of each ray, (rows, columns)."""
        found = np.where(self.whole[:, None], high - low, np.float32(0))
        if self.zone.any():
            found[self.zone] = self._up_to(high[self.zone]) - self._up_to(low[self.zone])
        return found

    def _up_to(self, t: Image) -> Image:
        place = np.clip((t - self.start) / CELL_MM, 0, self.measure.shape[2] - 1.001)
        cell = place.astype(np.intp)
        before = np.take_along_axis(self.measure, cell[..., None], 2)[..., 0]
        after = np.take_along_axis(self.measure, cell[..., None] + 1, 2)[..., 0]
        return np.asarray(before + (place - cell).astype(np.float32) * (after - before))


def _beside(crack: Crack, motion: Motion, view: View, points: tuple[Floats, Floats, Floats], pixel: float) -> Image:
    """Share of each cell that is not in the crack, (rows, columns, cells)."""
    x, y, z = points
    normal, through = motion.rotation @ crack.normal, motion(crack.through)
    steps = (normal[2] * pixel, float(normal[:2] @ view.across) * pixel, float(normal[:2] @ view.along) * CELL_MM)
    blur = max(map(abs, steps))
    flat = ((normal[0] * (x - through[0]) + normal[1] * (y - through[1])) / blur).astype(np.float32)
    distance = flat[None] + (normal[2] * (z - through[2]) / blur).astype(np.float32)[:, None, None]
    half = np.float32(crack.gap_mm / 2 / blur)
    return np.asarray(1 - (np.clip(distance + half + 0.5, 0, 1) - np.clip(distance - half + 0.5, 0, 1)))
