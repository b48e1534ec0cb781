"""A leg from the thigh to the foot, and a foot seen from above: simple, and never broken.

Axes as in `osteon.phantom.space`; z grows to the toes.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import MUSCLE, Part, Person, even_layer
from osteon.phantom.build import Build, long_bone, nodule, shaft, wrapped
from osteon.phantom.solids import Solid, ellipsoid
from osteon.phantom.space import Motion, rotation_about


def leg(person: Person, rng: Generator) -> list[Part]:
    """Knee to ankle, with the foot pointing forward; the origin lies in the ankle."""
    build = Build(person, rng)
    skin = (
        (-640, 6, 2, 84, 88),
        (-520, 4, 0, 68, 72),
        (-440, 2, 0, 58, 62),
        (-390, 0, 0, 57, 60),
        (-340, 0, 4, 53, 58),
        (-260, 0, 12, 54, 60),
        (-160, 0, 6, 42, 46),
        (-70, 0, 2, 32, 36),
        (-10, 0, 2, 37, 39),
        (30, 0, 4, 36, 44),
        (58, 0, 8, 32, 40),
        (66, 0, 8, 12, 20),
    )
    parts = [wrapped("leg", build.knots(skin), 1.5 * person.fat_mm)]
    sole = ellipsoid(build.near((4, -70, 38)), np.array([40, 105, 24]) * person.size, rotation_about((1, 0, 0), -14))
    parts.append(Part("foot", "bends", (even_layer(Solid(sole), MUSCLE),), sole.centre))
    return [*parts, *_shin(build), *_thigh(build), *_hindfoot(build)]


def _shin(build: Build) -> list[Part]:
    tibia = (
        (-384, 4, 2, 20, 12),
        (-381, 4, 2, 36, 22),
        (-370, 4, 2, 37, 24),
        (-350, 5, 0, 28, 22),
        (-310, 7, -4, 17, 18),
        (-200, 8, -4, 12, 14),
        (-80, 6, -1, 11, 12),
        (-35, 4, 0, 15, 14),
        (-10, 4, 0, 22, 18),
        (-1.5, 4, 0, 22, 17),
        (0, 4, 0, 18, 14),
    )
    walls = (1.2, 1.4, 1.6, 2.0, 4.0, 5.0, 4.2, 2.4, 1.2, 1.0, 1.2)
    spongy = (1, 1, 1, 0.8, 0.2, 0, 0, 0.6, 1, 1, 1)
    fibula = (
        (-368, -34, 14, 6, 6),
        (-362, -34, 14, 10, 10),
        (-340, -30, 13, 7, 7),
        (-200, -20, 10, 6.5, 6.5),
        (-70, -20, 8, 5.5, 6),
        (-25, -22, 6, 7, 8),
        (2, -25, 5, 9, 9),
        (18, -26, 5, 7, 7),
        (24, -26, 5, 2, 2),
    )
    thin = (0.9, 0.9, 1.5, 2.6, 2.6, 1.8, 1.0, 1.0, 1.0)
    bones = [
        long_bone(build, "tibia", tibia, walls, spongy),
        long_bone(build, "fibula", fibula, thin, (1, 1, 0.4, 0, 0, 0.4, 1, 1, 1)),
    ]
    malleolus = ellipsoid(build.near((23, -3, 3)), np.array([5.5, 9, 12]) * build.person.size)
    return [*bones, nodule(build, "malleolus", malleolus, (), "stays", 0.9)]


def _thigh(build: Build) -> list[Part]:
    femur = (
        (-640, 8, -4, 15, 15),
        (-520, 6, -4, 16, 15),
        (-460, 5, -2, 22, 18),
        (-430, 4, 2, 36, 24),
        (-408, 4, 4, 40, 29),
        (-396, 4, 4, 36, 24),
        (-391, 4, 4, 27, 14),
    )
    bone = long_bone(build, "femur", femur, (5, 4.5, 2.6, 1.6, 1.3, 1.2, 1.4), (0, 0, 0.3, 0.9, 1, 1, 1))
    patella = ellipsoid(build.near((4, -40, -425)), np.array([20, 9, 21]) * build.person.size)
    return [bone, nodule(build, "patella", patella, (), "stays", 1.2)]


_HINDFOOT: tuple[tuple[str, tuple[float, ...], tuple[float, ...], float], ...] = (
    # name, centre, semi-axes, turn about x in degrees: negative points down towards the toes
    ("talus", (3, -4, 15), (17, 24, 12), 8.0),
    ("calcaneus", (-4, 22, 42), (15, 34, 15), 14.0),
    ("navicular", (6, -36, 22), (17, 8, 13), 0.0),
    ("cuboid", (-14, -34, 40), (13, 16, 11), -8.0),
    ("cuneiforms", (8, -54, 30), (22, 11, 12), -8.0),
)


def _hindfoot(build: Build) -> list[Part]:
    parts = []
    for name, centre, semi_axes, tilt in _HINDFOOT:
        body = ellipsoid(build.near(centre), np.array(semi_axes) * build.person.size, rotation_about((1, 0, 0), tilt))
        parts.append(nodule(build, name, body, (), "follows", 1.0))
    for k in range(5):
        turn = rotation_about((0, 0, 1), 5.0 * k - 8) @ rotation_about((1, 0, 0), 18)
        body = ellipsoid(build.near((20 - 11 * k, -98 + 4 * k, 44)), np.array([6, 35, 7]) * build.person.size, turn)
        parts.append(nodule(build, f"metatarsal {k + 1}", body, (), "follows", 1.4))
    return parts


def foot(person: Person, rng: Generator) -> list[Part]:
    """A foot seen from above, toes to z; the origin lies at the bases of the metatarsals."""
    build = Build(person, rng)
    skin = (
        (-118, -3, 0, 14, 18),
        (-108, -3, 0, 28, 28),
        (-70, -3, 0, 33, 38),
        (-20, 0, 0, 38, 32),
        (40, 2, 0, 45, 20),
        (78, 2, 0, 46, 14),
        (92, 2, 0, 36, 9),
    )
    parts = [wrapped("foot", build.knots(skin), person.fat_mm)]
    for k, (x, end, wide) in enumerate(((31, 142, 13), (12, 139, 9), (-2, 132, 8.5), (-16, 122, 8), (-28, 110, 8))):
        rows = [(72, x * 0.95, 0, wide, 8), (end - 12, x, 0, wide, 8), (end, x, 0, 3, 3)]
        parts.append(wrapped(f"toe {k + 1}", build.knots(rows), person.fat_mm * 0.5))
    for name, centre, axes in (
        ("calcaneus", (-6, 6, -78), (17, 18, 34)),
        ("talus", (5, -4, -52), (17, 13, 24)),
        ("navicular", (12, -2, -22), (19, 12, 8)),
        ("cuboid", (-15, 2, -18), (13, 12, 17)),
        ("medial cuneiform", (19, 0, -6), (9, 12, 11)),
        ("middle cuneiform", (6, -2, -6), (8, 11, 9)),
    ):
        body = ellipsoid(build.near(centre), np.array(axes) * person.size)
        parts.append(nodule(build, name, body, (), "follows", 0.9))
    return [*parts, *_toes(build)]


_TOES: tuple[tuple[float, float, float, tuple[int, ...]], ...] = (
    # base of the metatarsal, lean to the side (degrees), width, lengths of the bones
    (20, 4.2, 1.45, (62, 30, 22)),
    (7, 1.2, 0.95, (72, 26, 11, 9)),
    (-4, -0.9, 0.9, (68, 24, 9, 8)),
    (-14, -2.4, 0.85, (66, 21, 8, 8)),
    (-23, -4.2, 0.9, (64, 18, 7, 7)),
)


def _toes(build: Build) -> list[Part]:
    parts = []
    for number, (x, lean, width, lengths) in enumerate(_TOES, start=1):
        turn = rotation_about((0, 1, 0), lean + build.rng.normal(0, 1.0))
        start = build.near((x, 0, 5 - 3 * (number > 3)))
        for k, length in enumerate(lengths):
            long = length * build.person.size
            name = f"metatarsal {number}" if k == 0 else f"toe phalanx {number}.{k}"
            parts.append(shaft(build, name, long, width * (1 - 0.15 * k), Motion(turn, np.zeros(3), start)))
            start = start + turn @ np.array([0, 0, long + 1.5])
    return parts
