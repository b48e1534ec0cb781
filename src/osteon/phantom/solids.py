"""Solids whose every horizontal section is an ellipse, and how long a horizontal ray runs inside them.

All rays are horizontal, so one row of an image lies in one height z, where each solid is an ellipse: chords follow in
closed form. Axes are those of `osteon.phantom.space`.

An ellipse is kept like the covariance of a normal distribution: the points p with (p − c)ᵀ S⁻¹ (p − c) ≤ 1, S the
"spread". Its shadow on a direction, its chords and its sections are then those of marginals and conditionals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from osteon.phantom.space import Floats, Image, Motion, View

STEP_MM = 0.5
"""Distance between the sections that a tube keeps; between them, they are interpolated."""


@dataclass(frozen=True, eq=False)
class Sections:
    """Ellipses at n heights: centre (n, 2) mm; spread (n, 3) mm² as xx, xy, yy."""

    centre: Floats
    spread: Floats

    def seen(self, view: View) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Per height: centre across and along; spread across-across, across-along, along-along."""
        (ux, uy), (tx, ty) = view.across, view.along
        xx, xy, yy = self.spread.T
        return (
            self.centre @ view.across,
            self.centre @ view.along,
            ux * ux * xx + 2 * ux * uy * xy + uy * uy * yy,
            ux * tx * xx + (ux * ty + uy * tx) * xy + uy * ty * yy,
            tx * tx * xx + 2 * tx * ty * xy + ty * ty * yy,
        )


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """The points p with (p − centre)ᵀ spread⁻¹ (p − centre) ≤ 1; centre (3,) mm, spread (3, 3) mm²."""

    centre: Floats
    spread: Floats

    @property
    def heights(self) -> tuple[float, float]:
        """Lowest and highest z."""
        half = float(np.sqrt(self.spread[2, 2]))
        return float(self.centre[2]) - half, float(self.centre[2]) + half

    def sections(self, z: Floats) -> Sections:
        """Ellipses at heights (n,); those outside are points."""
        w = z - self.centre[2]
        tilt = self.spread[:2, 2] / self.spread[2, 2]
        flat = self.spread[:2, :2] - np.outer(tilt, self.spread[:2, 2])
        share = np.maximum(0.0, 1 - w**2 / self.spread[2, 2])
        return Sections(self.centre[:2] + w[:, None] * tilt, share[:, None] * flat[[0, 0, 1], [0, 1, 1]])

    def moved(self, motion: Motion) -> Self:
        return replace(self, centre=motion(self.centre), spread=motion.rotation @ self.spread @ motion.rotation.T)


@dataclass(frozen=True, eq=False)
class Tube:
    """A stack of ellipses at ascending heights (k,), STEP_MM apart, linear in between: a swept, bent bone."""

    z: Floats
    stack: Sections

    @property
    def heights(self) -> tuple[float, float]:
        """Lowest and highest z."""
        return float(self.z[0]), float(self.z[-1])

    def sections(self, z: Floats) -> Sections:
        """Ellipses at heights (n,); those outside are points."""
        columns = np.hstack([self.stack.centre, self.stack.spread])
        found = np.stack([np.interp(z, self.z, c) for c in columns.T], axis=1)
        found[(z < self.z[0]) | (z > self.z[-1]), 2:] = 0
        return Sections(found[:, :2], found[:, 2:])

    def moved(self, motion: Motion) -> Self:
        """The tube bent away: its axis moves rigidly, its sections stay horizontal and are those of a tilted cylinder.

        Exact for a cylinder; for a flared bone the flare leans by (flare · tilt), far below what a wrist shows.
        """
        axis = motion(np.column_stack([self.stack.centre, self.z]))
        inverse = np.linalg.inv(motion.rotation.T[:2, :2])
        xx, xy, yy = self.stack.spread.T
        spread = inverse @ np.stack([np.stack([xx, xy], -1), np.stack([xy, yy], -1)], -2) @ inverse.T
        return replace(self, z=axis[:, 2], stack=Sections(axis[:, :2], spread[:, [0, 0, 1], [0, 1, 1]]))

    def trimmed(self, low: float, high: float) -> Self:
        first, last = np.searchsorted(self.z, (low, high))
        kept = slice(max(int(first) - 1, 0), int(last) + 1)
        return replace(self, z=self.z[kept], stack=Sections(self.stack.centre[kept], self.stack.spread[kept]))

    def bent(self, shift: Floats, low: float, high: float) -> Self:
        """The tube with its sections shifted by nothing below `low`, by `shift` (2,) above `high`, smoothly between."""
        share = np.clip((self.z - low) / (high - low), 0, 1)
        share = share**2 * (3 - 2 * share)
        return replace(self, stack=replace(self.stack, centre=self.stack.centre + share[:, None] * shift))


Shape = Tube | Ellipsoid
"""What every horizontal section shows as an ellipse."""


@dataclass(frozen=True, eq=False)
class Plane:
    """The half-space of points p with normal · p ≤ offset."""

    normal: Floats
    offset: float

    def moved(self, motion: Motion) -> Self:
        normal = motion.rotation @ self.normal
        point = motion(self.normal * self.offset)  # the normal has unit length, so this point lies on the plane
        return replace(self, normal=normal, offset=float(normal @ point))


def plane(normal: ArrayLike, through: ArrayLike) -> Plane:
    """The half-space behind `through`, seen along `normal`."""
    unit = np.asarray(normal, float) / np.linalg.norm(normal)
    return Plane(unit, float(unit @ np.asarray(through, float)))


@dataclass(frozen=True, eq=False)
class Solid:
    """A stack of ellipses, cut by planes, less the shapes hollowed out of it."""

    shape: Shape
    planes: tuple[Plane, ...] = ()
    hollows: tuple[Shape, ...] = ()

    def moved(self, motion: Motion) -> Self:
        return replace(
            self,
            shape=self.shape.moved(motion),
            planes=tuple(p.moved(motion) for p in self.planes),
            hollows=tuple(h.moved(motion) for h in self.hollows),
        )

    def trimmed(self, low: float, high: float) -> Self:
        """The solid between two heights, and at most STEP_MM more; an ellipsoid stays whole."""
        return replace(self, shape=self.shape.trimmed(low, high)) if isinstance(self.shape, Tube) else self

    def bent(self, shift: Floats, low: float, high: float) -> Self:
        """As `Tube.bent`; an ellipsoid stays where it is."""
        return replace(self, shape=self.shape.bent(shift, low, high)) if isinstance(self.shape, Tube) else self

    def bounds(self, view: View) -> tuple[float, float, float, float]:
        """Lowest and highest z, lowest and highest position across the rays; planes and hollows are not regarded."""
        low, high = self.shape.heights
        if isinstance(self.shape, Tube):
            across, _, uu, _, _ = self.shape.stack.seen(view)
        else:
            sxy = self.shape.spread[:2, :2]
            across, uu = np.array([self.shape.centre[:2] @ view.across]), np.array([view.across @ sxy @ view.across])
        half = np.sqrt(uu)
        return low, high, float((across - half).min()), float((across + half).max())


Interval = tuple[Image, Image]
"""Where rays enter and leave, in mm along them; equal where they miss. Each (rows, columns) float32."""


def span(solid: Solid, view: View, z: Floats, u: Floats) -> Interval:
    """Where the rays at heights z (rows,) and positions u (columns,) enter and leave a solid; hollows not regarded."""
    low, high = _ellipse_span(solid.shape, view, z, u)
    for cut in solid.planes:
        slope = float(cut.normal[:2] @ view.along)
        rest, lean = cut.offset - cut.normal[2] * z, float(cut.normal[:2] @ view.across) * u
        if abs(slope) < 1e-6:  # the plane holds the rays: all of one or none
            high = np.where(rest[:, None] < lean, low, high)
        else:
            # In double precision: both terms grow without bound as the plane turns into the rays.
            border = ((rest / slope)[:, None] - lean / slope).astype(np.float32)
            low, high = (low, np.minimum(high, border)) if slope > 0 else (np.maximum(low, border), high)
    return low, np.maximum(low, high)


def chord(shape: Shape, view: View, z: Floats, u: Floats) -> Image:
    """How long the rays at heights z (rows,) and positions u (columns,) run inside a whole shape, mm."""
    across, _, uu, ut, tt = shape.sections(z).seen(view)
    return 2 * _half_chord(u, across, uu, np.maximum(tt - ut**2 / np.maximum(uu, TINY), 0))


def without_hollows(solid: Solid, interval: Interval, view: View, z: Floats, u: Floats) -> list[Interval]:
    """The parts of an interval that lie in hollows, which must not overlap each other."""
    low, high = interval
    inside = []
    for hollow in solid.hollows:
        enter, leave = _ellipse_span(hollow, view, z, u)
        start = np.clip(enter, low, high)
        inside.append((start, np.maximum(start, np.clip(leave, low, high))))
    return inside


TINY = 1e-9
"""mm²: an ellipse with less spread than this is a point, which no ray hits."""


def _ellipse_span(shape: Shape, view: View, z: Floats, u: Floats) -> Interval:
    across, along, uu, ut, tt = shape.sections(z).seen(view)
    lean = ut / np.maximum(uu, TINY)
    half = _half_chord(u, across, uu, np.maximum(tt - lean * ut, 0))
    middle = (
        lean.astype(np.float32)[:, None] * u.astype(np.float32) + (along - lean * across).astype(np.float32)[:, None]
    )
    return middle - half, middle + half


def _half_chord(u: Floats, across: Floats, uu: Floats, thickness: Floats) -> Image:
    """√thickness · √(1 − (u − across)² / uu), 0 outside; the other arguments (rows,)."""
    size = np.sqrt(np.maximum(uu, TINY))
    share = np.subtract(u.astype(np.float32), across.astype(np.float32)[:, None])
    share *= (1 / size).astype(np.float32)[:, None]
    np.square(share, out=share)
    np.subtract(1, share, out=share)
    np.maximum(share, 0, out=share)
    np.sqrt(share, out=share)
    share *= (np.sqrt(thickness) * (uu > TINY)).astype(np.float32)[:, None]
    return share


def ellipsoid(centre: ArrayLike, semi_axes: ArrayLike, rotation: Floats | None = None) -> Ellipsoid:
    """An ellipsoid with semi-axes (3,) mm along the columns of `rotation` (default: along x, y, z)."""
    turn = np.eye(3) if rotation is None else rotation
    return Ellipsoid(np.asarray(centre, float), turn @ np.diag(np.asarray(semi_axes, float) ** 2) @ turn.T)


def tube(knots: Floats, *, inset: float | Floats = 0.0) -> Tube:
    """A tube through (k, 5) knots: z, centre x, centre y, half width x, half depth y, in mm, ascending in z.

    Between knots the profile is monotone (PCHIP). `inset` mm are taken off both half axes; an array gives the inset at
    each knot. Where nothing is left the section is a point.
    """
    low, high = knots[0, 0], knots[-1, 0]
    z = np.linspace(low, high, max(2, round((high - low) / STEP_MM) + 1))
    wall = np.broadcast_to(np.asarray(inset, float), (len(knots),))
    profile = PchipInterpolator(knots[:, 0], np.column_stack([knots[:, 1:], wall]))(z)
    half = np.maximum(profile[:, 2:4] - profile[:, 4:], 0)
    spread = np.column_stack([half[:, 0] ** 2, np.zeros(len(z)), half[:, 1] ** 2])
    return Tube(z, Sections(profile[:, :2], spread))


def rod(start: ArrayLike, end: ArrayLike, radius_mm: float) -> Solid:
    """A straight round rod with flat ends: a very long ellipsoid between two planes."""
    first, last = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(last - first))
    axis = (last - first) / length
    side = np.cross(axis, [0.31, 0.59, 0.74])
    side /= np.linalg.norm(side)
    frame = np.column_stack([side, np.cross(axis, side), axis])
    body = ellipsoid((first + last) / 2, (radius_mm, radius_mm, 10 * length), frame)
    return Solid(body, (plane(axis, last), plane(-axis, first)))
