"""The wrist of a random person, from forearm to fingertips; and how its radius breaks.

Origin: the middle of the joint between radius and carpus. Axes as in `osteon.phantom.space`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import Part, Person, bent, bone_layers, moved
from osteon.phantom.breaking import fragments
from osteon.phantom.build import Build, nodule, shaft, wrapped
from osteon.phantom.fracture import Fracture
from osteon.phantom.solids import Ellipsoid, Solid, ellipsoid, plane, tube
from osteon.phantom.space import Motion, rotation_about, shifted_by


def wrist(person: Person, rng: Generator) -> list[Part]:
    """Forearm, carpus and hand of a person: soft tissue, radius, ulna, eight carpals, metacarpals and phalanges."""
    build = Build(person, rng)
    return [*_soft_tissue(build), _radius(build), *_ulna(build), *_carpus(build), *_hand(build)]


def radius_of(parts: Sequence[Part]) -> Part:
    """The part that a distal radius fracture breaks."""
    return next(p for p in parts if p.name == "radius")


def break_radius(parts: Sequence[Part], fracture: Fracture) -> list[Part]:
    """The parts after a fracture: the radius in two, the hand carried along, the soft tissue bent.

    The hand is carried, not turned: the wrist joint takes up the tilt, as a limb laid on a detector does.
    """
    carried = fracture.motion(np.zeros(3))
    height = float(fracture.centre[2])
    broken: list[Part] = []
    for part in parts:
        if part.name == "radius":
            broken += fragments(part, fracture)
        elif part.role == "follows":
            broken.append(moved(part, shifted_by(carried)))
        elif part.role == "bends":
            broken.append(bent(part, carried[:2], height - 15, height + 20))
        else:
            broken.append(part)
    return broken


def _soft_tissue(build: Build) -> list[Part]:
    forearm = build.knots(
        [
            (-160, 0, 0, 38, 34),
            (-90, 0, 0, 34, 29),
            (-55, 0, 0, 31, 25.5),
            (-20, 0, 0, 29.5, 21),
            (0, 0.5, 0, 31, 20),
            (20, 1, -1.5, 36, 19),
            (45, 1, -2, 42, 17),
            (75, 0, -1, 43, 15),
            (96, 0, 0, 40, 12),
            (104, 0, 0, 22, 6),
        ]
    )
    parts = [wrapped("forearm and hand", forearm, build.person.fat_mm)]
    thenar = build.knots(
        [
            (2, 18, -10, 2, 1),
            (12, 22, -11, 9, 7),
            (32, 31, -12, 13, 11),
            (58, 40, -13, 11, 9),
            (80, 47, -13, 8, 7),
            (110, 56, -13, 5, 5),
        ]
    )
    parts.append(wrapped("thumb", thenar, build.person.fat_mm * 0.6))
    for number, (x, length) in enumerate(((27, 70), (9, 82), (-9, 76), (-25, 60)), start=2):
        end = 98 + length
        rows = [(94, x * 0.95, 0, 3, 3), (101, x, 0, 9, 8), (end - 14, x * 1.15, 0, 7.5, 6.5), (end, x * 1.2, 0, 2, 2)]
        parts.append(wrapped(f"finger {number}", build.knots(rows), build.person.fat_mm * 0.5))
    return parts


def _radius(build: Build) -> Part:
    size, cortex = build.person.size, build.person.cortex
    knots = build.knots(
        [
            (-160, 12, 0, 7.2, 6.4),
            (-100, 13, 0.5, 7.4, 6.2),
            (-60, 11.5, 0.5, 7.0, 6.0),
            (-40, 10.2, 0, 7.6, 6.4),
            (-28, 9.4, -0.4, 9.2, 7.4),
            (-18, 9.0, -0.8, 11.8, 8.8),
            (-9, 9.1, -1.0, 14.3, 10.4),
            (-3, 9.4, -0.8, 15.2, 10.9),
            (3, 11.5, -0.6, 13.8, 10.6),
            (8, 16.5, -0.8, 9.0, 8.0),
            (12.5, 20.5, -1.0, 3.5, 3.5),
            (14, 21, -1.0, 1.0, 1.0),
        ]
    )
    walls = np.array([2.6, 2.8, 2.7, 2.2, 1.5, 1.0, 0.75, 0.7, 0.8, 0.9, 0.9, 0.9]) * cortex * size
    tilt = build.rng.normal((22, 11), (2.0, 2.5))  # radial inclination and palmar tilt of the joint surface, degrees
    normal = np.array([-np.tan(np.deg2rad(tilt[0])), -np.tan(np.deg2rad(-tilt[1])), 1.0])
    joint = np.array([9.5, -0.8, 4.2]) * size
    bowl = ellipsoid(build.near((7.0, -0.5, 21.0), 0.3), np.array([19, 15, 19.0]) * size)
    plate = 1.1 * np.sqrt(cortex)
    inner_bowl = Ellipsoid(bowl.centre, bowl.spread * (1 + plate / (17 * size)) ** 2)
    outer = Solid(tube(knots), (plane(normal, joint),), (bowl,))
    under = joint - plate * normal / np.linalg.norm(normal)
    inner = Solid(tube(knots, inset=walls), (plane(normal, under),), (inner_bowl,))
    profile = np.array([(-34, 0.15), (-12, 1)]) * (size, 1)
    return Part("radius", "stays", bone_layers(outer, inner, build.spongy(), profile), np.array([10.0, 0, -20]) * size)


def _ulna(build: Build) -> list[Part]:
    size, cortex = build.person.size, build.person.cortex
    knots = build.knots(
        [
            (-160, -9, 2, 7.5, 7.5),
            (-100, -12, 1.5, 6.6, 6.6),
            (-60, -13.5, 1.5, 6.2, 6.0),
            (-30, -14.8, 1.8, 5.6, 5.5),
            (-17, -15.4, 2.2, 5.9, 5.8),
            (-9, -15.6, 2.4, 7.8, 7.2),
            (-5, -15.6, 2.4, 8.3, 7.6),
            (-1.5, -15.8, 2.4, 7.0, 6.8),
            (0.2, -16.0, 2.4, 3.0, 3.0),
        ]
    )
    walls = np.array([2.4, 2.5, 2.3, 1.9, 1.2, 0.8, 0.8, 1.0, 1.0]) * cortex * size
    outer, inner = Solid(tube(knots)), Solid(tube(knots, inset=walls))
    layers = bone_layers(outer, inner, build.spongy(), np.array([(-26, 0.15), (-10, 1)]) * (size, 1))
    shaft = Part("ulna", "stays", layers, np.array([-15.0, 2, -15]) * size)
    styloid = ellipsoid(build.near((-21.0, 3.6, -0.4)), np.array([2.2, 2.4, 5.2]) * size, rotation_about((0, 1, 0), -9))
    return [shaft, nodule(build, "ulnar styloid", styloid, (), "stays", 0.45)]


_CARPALS: tuple[tuple[str, tuple[float, ...], tuple[float, ...], tuple[float, float, float], float], ...] = (
    # name, centre, semi-axes, axis and angle of the turn
    ("scaphoid", (15.2, -2.0, 14.6), (6.0, 5.8, 11.6), (0.35, 0.94, 0.0), 41.0),
    ("lunate", (2.6, -0.3, 9.6), (7.6, 8.6, 5.9), (0.2, 1.0, 0.0), -12.0),
    ("triquetrum", (-11.8, 0.8, 13.2), (5.6, 6.6, 8.0), (0.1, 1.0, 0.0), -36.0),
    ("pisiform", (-13.2, -11.0, 13.6), (5.2, 4.4, 6.6), (0.0, 1.0, 0.0), 8.0),
    ("trapezium", (23.6, -6.2, 27.4), (6.6, 6.2, 8.0), (0.0, 1.0, 0.0), -34.0),
    ("trapezoid", (13.9, 0.2, 28.9), (5.6, 7.6, 5.9), (0.0, 1.0, 0.0), 18.0),
    ("capitate", (2.6, 0.4, 25.6), (7.0, 8.2, 11.6), (0.0, 1.0, 0.0), 2.0),
    ("hamate", (-9.6, -0.6, 26.2), (6.6, 8.0, 9.4), (0.0, 1.0, 0.0), -16.0),
)


def _carpus(build: Build) -> list[Part]:
    parts = []
    for name, centre, semi_axes, axis, angle in _CARPALS:
        turn = rotation_about(axis, angle + build.rng.normal(0, 3))
        axes = np.asarray(semi_axes) * build.person.size * np.exp(build.rng.normal(0, 0.03, 3))
        body = ellipsoid(build.near(centre), axes * 1.06, turn)
        facets = []
        for k in range(6):  # a carpal bone is an ellipsoid that its neighbours have flattened
            sign = np.zeros(3)
            sign[k // 2] = 1 - 2 * (k % 2)
            normal = turn @ (sign + build.rng.normal(0, 0.12, 3))
            facets.append(plane(normal, body.centre + turn @ (sign * axes * build.rng.uniform(0.9, 1.03))))
        parts.append(nodule(build, name, body, tuple(facets), "follows", 0.65))
    return parts


_RAYS: tuple[tuple[int, tuple[float, ...], float, float, float, tuple[float, ...]], ...] = (
    # number, base of the metacarpal, lean to the side and to the palm (degrees), width, lengths of the bones
    (1, (27.5, -9.0, 36.0), 30.0, 8.0, 1.0, (45, 31, 22)),
    (2, (14.8, 0.0, 36.2), 9.0, 2.0, 1.0, (65, 39, 23, 16)),
    (3, (3.6, 0.8, 38.6), 1.5, 2.0, 1.0, (63, 43, 28, 17)),
    (4, (-7.0, 0.2, 36.6), -6.0, 3.0, 0.85, (56, 40, 27, 17)),
    (5, (-15.6, -1.2, 34.4), -13.0, 5.0, 0.9, (52, 32, 19, 16)),
)


def _hand(build: Build) -> list[Part]:
    parts = []
    for number, base, lean, drop, width, lengths in _RAYS:
        turn = rotation_about((0, 1, 0), lean + build.rng.normal(0, 1.5)) @ rotation_about((1, 0, 0), drop)
        start = build.near(base)
        for k, length in enumerate(lengths):
            name = f"metacarpal {number}" if k == 0 else f"phalanx {number}.{k}"
            long = length * build.person.size
            parts.append(shaft(build, name, long, width * (1 - 0.17 * k), Motion(turn, np.zeros(3), start)))
            start = start + turn @ np.array([0, 0, long + 1.8])
    return parts
