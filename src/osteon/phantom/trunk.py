"""A chest: simple, and never broken. Axes as in `osteon.phantom.space`; z grows to the head, y to the back."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import CORTEX, MUSCLE, Part, Person, even_layer
from osteon.phantom.build import Build, long_bone, wrapped
from osteon.phantom.solids import Plane, Solid, ellipsoid, plane, rod
from osteon.phantom.space import rotation_about

AIR = -0.75 * MUSCLE
"""What a lung adds to the muscle that it is embedded in, 1/mm."""


def trunk(person: Person, rng: Generator) -> list[Part]:
    """A chest: thorax with lungs and heart, ten pairs of ribs, spine and clavicles."""
    build = Build(person, rng)
    size = person.size
    skin = (
        (-330, 0, 0, 150, 105),
        (-160, 0, 0, 158, 108),
        (0, 0, 0, 160, 105),
        (110, 0, 0, 165, 92),
        (165, 0, 0, 150, 78),
        (200, 0, 0, 70, 60),
        (300, 0, 0, 60, 58),
    )
    parts = [wrapped("trunk", build.knots(skin), 2 * person.fat_mm)]
    for x, z in ((72, -10), (-72, -4)):
        lung = ellipsoid(build.near((x, 0, z)), np.array([58, 78, 142]) * size)
        floor = plane((0, 0, -1), (0, 0, -118 * size))
        parts.append(Part("lung", "bends", (even_layer(Solid(lung, (floor,)), AIR),), lung.centre))
    heart = ellipsoid(build.near((22, -25, -72)), np.array([62, 45, 55]) * size, rotation_about((0, 1, 0), 35))
    parts.append(Part("heart", "bends", (even_layer(Solid(heart), 0.6 * MUSCLE),), heart.centre))
    return [*parts, *_ribs(build), *_spine(build)]


def _ribs(build: Build) -> list[Part]:
    """Slices of a shell, cut by planes that fall to the front."""
    size = build.person.size
    cage = ellipsoid((0, 0, -20 * size), np.array([140, 92, 190]) * size)
    inside = ellipsoid((0, 0, -20 * size), np.array([134, 86, 184]) * size)
    parts = []
    for k in range(10):
        through = np.array([0, 0, (128 - 26 * k) * size + build.rng.normal(0, 1.5)])
        normal = np.array([0, -0.42, 0.9])
        half = normal * size * 5.5
        cuts: tuple[Plane, ...] = (plane(normal, through + half), plane(-normal, through - half))
        layers = (
            even_layer(Solid(cage, cuts), 0.55 * (CORTEX - MUSCLE)),
            even_layer(Solid(inside, cuts), -0.55 * (CORTEX - MUSCLE)),
        )
        parts.append(Part(f"rib {k + 1}", "stays", layers, through))
    for side in (-1, 1):
        start, end = np.array([side * 14.0, -40, 132]) * size, np.array([side * 145.0, 0, 162]) * size
        layer = even_layer(rod(start, end, 6.0 * size), 0.5 * (CORTEX - MUSCLE))
        parts.append(Part("clavicle", "stays", (layer,), start))
    return parts


def _spine(build: Build) -> list[Part]:
    rows: list[tuple[float, ...]] = []
    for k in range(26):
        z = -330 + 24.0 * k
        rows += [(z, 0, 55, 17, 15), (z + 4, 0, 55, 20, 17), (z + 19, 0, 55, 20, 17), (z + 22, 0, 55, 17, 15)]
    walls = [1.0] * len(rows)
    return [long_bone(build, "spine", rows, walls, [0.6] * len(rows))]
