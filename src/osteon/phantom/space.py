"""Space, motions and rays. Patient axes in mm: x towards the thumb, y to the back of the hand, z to the fingers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Image = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Motion:
    """A rigid motion: p ↦ rotation · (p − about) + about + shift.

    Attributes:
        rotation: (3, 3), orthonormal.
        about, shift: (3,) mm.
    """

    rotation: Floats
    about: Floats
    shift: Floats

    def __call__(self, points: ArrayLike) -> Floats:
        """Move (..., 3) points."""
        return (np.asarray(points, float) - self.about) @ self.rotation.T + self.about + self.shift


def shifted_by(shift: ArrayLike) -> Motion:
    """A motion without rotation."""
    return Motion(np.eye(3), np.zeros(3), np.asarray(shift, float))


def rotation_about(axis: ArrayLike, angle_deg: float) -> Floats:
    """(3, 3) rotation matrix, right-handed, about an axis through the origin (Rodrigues)."""
    x, y, z = np.asarray(axis, float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(angle_deg)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


@dataclass(frozen=True, eq=False)
class View:
    """Horizontal parallel rays. `along` is their direction, `across` that of growing columns; both unit, in (x, y)."""

    across: Floats
    along: Floats


def view_at(angle_deg: float, *, mirrored: bool = False) -> View:
    """Rays at an angle about the forearm: 0 runs along y (AP, PA), 90 along x (lateral).

    `mirrored` lets the columns run the other way, as they do for the other side of the body.
    """
    angle = np.deg2rad(angle_deg)
    across = np.array([np.cos(angle), -np.sin(angle)])
    return View(-across if mirrored else across, np.array([np.sin(angle), np.cos(angle)]))
