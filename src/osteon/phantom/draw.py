"""Random fractures of the distal radius, subtle or obvious."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from osteon.phantom.fracture import Crack, Fracture, HalfOpen
from osteon.phantom.space import Floats, Motion, rotation_about


def draw_fracture(rng: Generator, *, subtle: bool, gap_mm: tuple[float, float]) -> Fracture:
    """A random fracture, 14 to 30 mm from the joint.

    A subtle one is a hairline: a gap of at most 0.8 mm, mostly through a part of the bone, without displacement.
    An obvious one is displaced and tilted, four in five to the back of the hand (Colles), else to the palm (Smith).

    Args:
        rng: source of chance.
        subtle: hairline or displaced.
        gap_mm: narrowest and widest gap.
    """
    kind = str(rng.choice(("transverse", "oblique"), p=(0.6, 0.4) if subtle else (0.55, 0.45)))
    if not subtle and rng.random() < 0.3:
        kind = "comminuted"
    centre = np.array([9.0, -0.8, -rng.uniform(11, 24)])
    normal = _normal(rng, kind)
    narrow, wide = gap_mm
    if subtle:
        gap = float(rng.uniform(narrow, min(wide, max(narrow, 0.8))))
        opening = _opening(rng) if rng.random() < 0.7 else None
        motion, displacement, angulation = Motion(np.eye(3), centre, np.zeros(3)), 0.0, 0.0
    else:
        gap = float(np.clip(rng.gamma(2, 0.6), max(narrow, min(wide, 0.4)), wide))
        opening = None
        motion, displacement, angulation = _displacement(rng, centre)
    cracks = _cracks(rng, centre) if kind == "comminuted" else ()
    return Fracture(kind, normal, centre, rough(rng), gap, opening, motion, displacement, angulation, cracks)


def _normal(rng: Generator, kind: str) -> Floats:
    tilt = rng.uniform(18, 38) if kind == "oblique" else rng.uniform(0, 9)
    heading = rng.uniform(0, 2 * np.pi)
    return rotation_about((np.cos(heading), np.sin(heading), 0), tilt)[:, 2]


def _opening(rng: Generator) -> HalfOpen:
    heading = rng.uniform(0, 2 * np.pi)
    return HalfOpen((float(np.cos(heading)), float(np.sin(heading))), float(rng.uniform(-2, 6)))


def _displacement(rng: Generator, centre: Floats) -> tuple[Motion, float, float]:
    dorsal = 1 if rng.random() < 0.8 else -1
    angulation = float(dorsal * rng.uniform(3, 20))
    # A turn about -x lifts the fingers' side towards the back of the hand, a turn about y leans it to the thumb.
    rotation = rotation_about((-1, 0, 0), angulation) @ rotation_about((0, 1, 0), rng.normal(3, 4))
    shift = np.array([rng.normal(0.8, 1.0), dorsal * rng.gamma(2, 0.9), -rng.uniform(0, 1.5)])
    shift *= min(1.0, 6 / float(np.linalg.norm(shift)))
    return Motion(rotation, centre, shift), float(np.linalg.norm(shift)), angulation


def rough(rng: Generator, height: float = 1.0) -> Floats:
    """Waves of a random surface, as a `Fracture` takes them; `height` scales its roughness."""
    count = 7
    length = np.exp(rng.uniform(np.log(2.0), np.log(14.0), count))
    heading = rng.uniform(0, 2 * np.pi, count)
    k = 2 * np.pi / length
    amplitude = 0.045 * height * length * rng.uniform(0.5, 1.3, count)
    return np.column_stack([amplitude, k * np.cos(heading), k * np.sin(heading), rng.uniform(0, 2 * np.pi, count)])


def _cracks(rng: Generator, centre: Floats) -> tuple[Crack, ...]:
    """A split towards the joint, and in half of the cases a wedge broken off the back."""
    heading = rng.normal(0, 0.35)
    upright, beside = np.array([np.cos(heading), np.sin(heading), 0.0]), np.array([rng.normal(0, 4), 0.0, 0.0])
    split = Crack(upright, centre + beside, float(rng.uniform(0.4, 1.5)))
    if rng.random() < 0.5:
        return (split,)
    steep = np.array([rng.normal(0, 0.2), 0.75, 0.65])
    dorsal = np.array([0.0, rng.uniform(2, 5), 6.0])
    return split, Crack(steep / np.linalg.norm(steep), centre + dorsal, float(rng.uniform(0.4, 1.2)))
