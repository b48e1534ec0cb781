"""How the parts of a person are made: soft tissue in its skin, long bones, small bones, rays of a hand or foot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import FAT, MUSCLE, Part, Person, bone_layers, even_layer, moved
from osteon.phantom.solids import Ellipsoid, Plane, Solid, ellipsoid, tube
from osteon.phantom.space import Floats, Motion


@dataclass(frozen=True, eq=False)
class Build:
    """A person, and the chance that makes no two alike."""

    person: Person
    rng: Generator

    def knots(self, rows: Sequence[tuple[float, ...]]) -> Floats:
        """Knots of an average adult at this person's size, each half axis off by about 2 %."""
        table = np.asarray(rows, float) * self.person.size
        table[:, 3:] *= np.exp(self.rng.normal(0, 0.02, table[:, 3:].shape))
        return table

    def near(self, point: Sequence[float], spread_mm: float = 0.4) -> Floats:
        """A point of an average adult at this person's size, a little off."""
        return np.asarray(point, float) * self.person.size + self.rng.normal(0, spread_mm, 3)

    def spongy(self) -> float:
        """Attenuation of spongy bone, 1/mm."""
        return 0.026 + 0.034 * self.person.density


def wrapped(name: str, knots: Floats, fat_mm: float) -> Part:
    """Soft tissue: skin, fat of a thickness in mm, muscle; knots as for `tube`."""
    skin_mm = 1.4
    layers = (
        even_layer(Solid(tube(knots)), MUSCLE),  # skin attenuates like muscle
        even_layer(Solid(tube(knots, inset=skin_mm)), FAT - MUSCLE),
        even_layer(Solid(tube(knots, inset=skin_mm + fat_mm)), MUSCLE - FAT),
    )
    return Part(name, "bends", layers, knots[len(knots) // 2][[1, 2, 0]])


def nodule(build: Build, name: str, body: Ellipsoid, facets: tuple[Plane, ...], role: str, wall_mm: float) -> Part:
    """A small bone: a thin cortical shell about spongy bone."""
    wall = wall_mm * np.sqrt(build.person.cortex)
    axes, turn = np.linalg.eigh(body.spread)
    core = ellipsoid(body.centre, np.sqrt(axes) - wall, turn)
    inner = Solid(core, tuple(Plane(f.normal, f.offset - wall) for f in facets))
    layers = bone_layers(Solid(body, facets), inner, 1.05 * build.spongy(), np.array([(0.0, 1.0)]))
    return Part(name, role, layers, body.centre)


def shaft(build: Build, name: str, length: float, width: float, place: Motion) -> Part:
    """A metacarpal or phalanx: flared base, slender shaft, round head."""
    profile = (
        (0, 2.0, 2.0),
        (0.012, 5.0, 5.2),
        (0.04, 6.4, 6.6),
        (0.1, 6.3, 6.6),
        (0.18, 5.4, 5.6),
        (0.32, 4.4, 4.5),
        (0.55, 4.2, 4.3),
        (0.75, 4.8, 4.9),
        (0.88, 6.8, 6.6),
        (0.95, 6.6, 6.4),
        (0.985, 4.8, 4.6),
        (1.0, 1.5, 1.5),
    )
    scale = width * build.person.size
    knots = np.array([(f * length, 0.0, 0.0, a * scale, b * scale) for f, a, b in profile])
    walls = np.array([0.9, 0.8, 0.7, 0.7, 0.9, 1.6, 2.0, 1.6, 0.8, 0.6, 0.7, 0.8]) * build.person.cortex * scale
    inner = Solid(tube(knots, inset=walls))
    # Heights of the profile are those in the limb, which a lean of the bone shortens.
    ends = np.array([(0.1, 1), (0.3, 0.1), (0.7, 0.1), (0.85, 1)])
    ends[:, 0] = place.shift[2] + ends[:, 0] * length * place.rotation[2, 2]
    layers = bone_layers(Solid(tube(knots)), inner, build.spongy(), ends)
    return moved(Part(name, "follows", layers, np.array([0, 0, length / 2])), place)


def long_bone(
    build: Build, name: str, rows: Sequence[tuple[float, ...]], walls_mm: Sequence[float], spongy: Sequence[float]
) -> Part:
    """A long bone along z.

    Args:
        rows: of an average adult, (k, 5) as for `tube`.
        walls_mm: (k,) thickness of a young adult's cortex.
        spongy: (k,) share of the core that is spongy bone.
    """
    size = build.person.size
    knots = build.knots(rows)
    inner = Solid(tube(knots, inset=np.asarray(walls_mm) * build.person.cortex * size))
    profile = np.column_stack([knots[:, 0], spongy])
    layers = bone_layers(Solid(tube(knots)), inner, build.spongy(), profile)
    return Part(name, "stays", layers, knots[len(knots) // 2][[1, 2, 0]])
