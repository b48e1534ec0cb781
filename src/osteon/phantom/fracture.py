"""Fractures: a rough surface through a bone, a gap between its two sides, and the motion of the far side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from osteon.phantom.solids import Solid
from osteon.phantom.space import Floats, Motion

PARTIAL_MM = 6.0
"""Length over which the gap of a partial fracture closes."""


class Opening(Protocol):
    """Where a gap that does not part the whole bone is open."""

    def __call__(self, x: Floats, y: Floats) -> Floats:
        """Share of the full gap, 0..1, at (x, y) mm from the centre of the fracture."""


@dataclass(frozen=True)
class HalfOpen:
    """Open on one side of a line, closing over PARTIAL_MM about it: a partial fracture.

    Attributes:
        towards: unit vector in x and y, to the open side. offset_mm: from the line to the centre, along it.
    """

    towards: tuple[float, float]
    offset_mm: float

    def __call__(self, x: Floats, y: Floats) -> Floats:
        dx, dy = self.towards
        return np.clip(0.5 + (dx * x + dy * y + self.offset_mm) / PARTIAL_MM, 0, 1)


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
    positive. The gap is `gap_mm` wide along the normal, half of it on each side, and narrower or closed where the
    fracture is partial, or has healed.

    Attributes:
        kind: "transverse", "oblique" or "comminuted".
        normal: (3,) unit, upwards. centre: (3,) mm.
        waves: (k, 4) amplitude mm, wave numbers along x and y in rad/mm, phase: the roughness.
        gap_mm: width of the gap.
        opening: where the gap is open; None for a gap through the whole bone.
        motion: of the distal side.
        displacement_mm: length of the motion's shift. angulation_deg: dorsal tilt; palmar is negative.
        cracks: further gaps of a comminuted fracture.
    """

    kind: str
    normal: Floats
    centre: Floats
    waves: Floats
    gap_mm: float
    opening: Opening | None
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
        return self.gap_mm * self.opening(x, y)

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


def contains(solid: Solid, points: Floats) -> NDArray[np.bool_]:
    """Which of (n, 3) points lie in a solid, planes regarded, hollows not."""
    sections = solid.shape.sections(points[:, 2])
    dx, dy = (points[:, :2] - sections.centre).T
    xx, xy, yy = sections.spread.T
    inside = yy * dx**2 - 2 * xy * dx * dy + xx * dy**2 <= xx * yy - xy**2
    for cut in solid.planes:
        inside &= points @ cut.normal <= cut.offset
    return np.asarray(inside & (xx > 0))
