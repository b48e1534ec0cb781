"""A tibia broken in mid-shaft, with its fibula in the leg's soft tissue, as it looks when each cortex has a grade.

Axes as in `osteon.phantom.space`, for a leg: x to the medial side, y to the back, z to the toes.

A cortex is a sector of the shaft, 90° wide. By its grade (Whelan 2010, modified as in Litrenta 2015) it looks so:

1. the gap is open through it, and there is no callus;
2. the gap is open; a cuff of low density lies on it, and the gap parts the cuff, too;
3. the gap is closed; a dense cuff bridges it;
4. the gap is closed; the callus is gone but for a cortex that is a little thick.

All are solids in one space, so that every view shows the same healing: a cuff in profile in one view lies over the
shaft in the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import CORTEX, MUSCLE, Layer, Part, Person, bent, even_layer, moved
from osteon.phantom.breaking import fragments
from osteon.phantom.draw import rough
from osteon.phantom.fracture import Fracture
from osteon.phantom.healing import CORTICES, Grades
from osteon.phantom.leg import leg
from osteon.phantom.solids import Solid, Tube, ellipsoid, plane
from osteon.phantom.space import Floats, Motion, rotation_about, shifted_by

TOWARDS = np.array([(0.0, -1.0), (0.0, 1.0), (1.0, 0.0), (-1.0, 0.0)])
"""(4, 2) outward direction of each cortex in x and y, in the order of CORTICES."""

SEAM_DEG = 16.0
"""Over which one sector gives way to the next."""

MIDDLE_MM = -200.0
"""Height of the middle of the shaft of an average adult."""


@dataclass(frozen=True)
class Cuff:
    """Ranges from which the callus of a grade is drawn; for each, its value at the first and at the last of all.

    Attributes:
        excess: attenuation beyond that of muscle, 1/mm. thick_mm: out of the shaft. half_mm: half of its length.
    """

    excess: tuple[float, float]
    thick_mm: tuple[float, float]
    half_mm: tuple[float, float]


CUFFS = {
    2: Cuff((0.022, 0.032), (3.0, 4.5), (10.0, 14.0)),
    3: Cuff((0.05, 0.07), (3.5, 6.0), (12.0, 18.0)),
    4: Cuff((CORTEX - MUSCLE, CORTEX - MUSCLE), (0.4, 0.9), (18.0, 26.0)),
}
"""Callus of each grade that has one. Cortical bone exceeds muscle by 0.1, fresh woven bone by a quarter of that."""


@dataclass(frozen=True, eq=False)
class Sectors:
    """Where the gap is open once cortices have healed.

    Attributes:
        open: share of the gap at each cortex, 0..1, in the order of CORTICES.
    """

    open: tuple[float, ...]

    def __call__(self, x: Floats, y: Floats) -> Floats:
        """Share of the full gap, 0..1, at (x, y) mm from the centre of the fracture."""
        return np.asarray(np.tensordot(np.asarray(self.open), sector_shares(x, y), axes=1))


@dataclass(frozen=True, eq=False)
class Shank:
    """A person's leg and what is to break in it.

    Attributes:
        flesh: soft tissue. fibula: whole. tibia: whole.
        fracture: through all of the tibia.
        nature: (4, 3), 0..1: how dense, thick and long the callus of each cortex gets, whatever its grade.
    """

    flesh: Part
    fibula: Part
    tibia: Part
    fracture: Fracture
    nature: Floats

    @property
    def surface(self) -> Tube:
        """The outside of the shaft, carried along where it is displaced."""
        height = float(self.fracture.centre[2])
        return outside_of(self.tibia).bent(self.fracture.motion.shift[:2], height - 2, height + 2)


def draw_shank(person: Person, body: Generator, breaking: Generator) -> Shank:
    """The leg of a person, with a fracture of the tibia; body and fracture have each a source of chance."""
    parts = {p.name: p for p in leg(person, body)}
    # The mid-shaft shows no spongy bone, and its pattern is not missed.
    tibia, fibula = (_plain(parts[name]) for name in ("tibia", "fibula"))
    # At mid-shaft the fibula lies further behind than a straight one that fits knee and ankle.
    fibula = moved(fibula, shifted_by(np.array([-3.0, 5.0, 0.0]) * person.size))
    fracture = draw_shaft_fracture(tibia, person.size, breaking)
    height = float(fracture.centre[2])
    flesh = bent(parts["leg"], fracture.motion.shift[:2], height - 30, height + 30)
    return Shank(flesh, fibula, tibia, fracture, breaking.random((len(CORTICES), 3)))


def outside_of(part: Part) -> Tube:
    """The surface of a part that is a tube."""
    shape = part.layers[0].solid.shape
    if not isinstance(shape, Tube):
        raise TypeError(f"{part.name} is no tube")
    return shape


def draw_shaft_fracture(tibia: Part, size: float, rng: Generator) -> Fracture:
    """A transverse or oblique fracture about the middle of the shaft, 1.5 to 3.5 mm wide, hardly displaced.

    Oblique ones are tilted by at most 20°: a gap that the rays cross at a steeper angle is lost in the view where a
    cortex should show it.
    """
    height = size * (MIDDLE_MM + rng.uniform(-22, 22))
    centre = np.append(outside_of(tibia).sections(np.array([height])).centre[0], height)
    kind = str(rng.choice(("transverse", "oblique")))
    tilt, heading, aside = rng.uniform(
        (8 if kind == "oblique" else 0, 0, 0), (20 if kind == "oblique" else 8, 360, 360)
    )
    facing = rotation_about((0, 0, 1), heading) @ rotation_about((1, 0, 0), tilt)
    gap = float(rng.uniform(1.5, 3.5))
    # It slides in the plane of the gap, so that both faces still meet once the gap has closed.
    shift = rng.uniform(0, 1.5) * facing @ rotation_about((0, 0, 1), aside)[:, 0]
    motion = Motion(np.eye(3), centre, shift)
    return Fracture(kind, facing[:, 2], centre, rough(rng, 0.3), gap, None, motion, float(np.linalg.norm(shift)), 0.0)


def healed(shank: Shank, grades: Grades) -> list[Part]:
    """All parts of a leg when its cortices have the grades (4,), in the order of CORTICES."""
    fracture = replace(shank.fracture, opening=Sectors(tuple(float(g <= 2) for g in grades)))
    layers: list[Layer] = []
    for cortex, grade in enumerate(grades):
        layers += callus(shank, cortex, int(grade))
    anchor = shank.fracture.centre
    grown = [Part("callus", "stays", tuple(layers), anchor)] if layers else []
    return [shank.flesh, shank.fibula, *fragments(shank.tibia, fracture), *grown]


def callus(shank: Shank, cortex: int, grade: int) -> list[Layer]:
    """The callus on a cortex (an index of CORTICES): ellipsoids on the shaft, less the shaft."""
    if grade not in CUFFS:
        return []
    cuff, fracture = CUFFS[grade], shank.fracture
    ranges = (cuff.excess, cuff.thick_mm, cuff.half_mm)
    excess, thick, half = (low + (high - low) * n for (low, high), n in zip(ranges, shank.nature[cortex], strict=True))
    surface = shank.surface
    section = surface.sections(fracture.centre[2:])
    xx, _, yy = section.spread[0]
    towards, reach = TOWARDS[cortex], np.sqrt([xx, yy])  # the shaft is upright, its axes are x and y
    out = np.abs(towards) > 0.5
    axes = np.append(np.where(out, thick, 0.8 * reach), half)
    centre = np.append(section.centre[0] + towards * reach, fracture.centre[2])
    body = ellipsoid(centre, axes)
    if grade > 2:
        return [even_layer(Solid(body, hollows=(surface,)), excess)]
    edges = (fracture.centre + side * fracture.normal * fracture.gap_mm / 2 for side in (-1, 1))
    return [
        even_layer(Solid(body, (plane(-side * fracture.normal, edge),), (surface,)), excess)
        for side, edge in zip((-1, 1), edges, strict=True)
    ]


def sector_shares(x: Floats, y: Floats) -> Floats:
    """(4, …) how far the point (x, y), from the axis of the shaft, belongs to each cortex; the sum over them is 1."""
    angle = np.rad2deg(np.arctan2(y, x))
    middle = np.rad2deg(np.arctan2(TOWARDS[:, 1], TOWARDS[:, 0]))
    off = np.abs((angle - middle.reshape(-1, *[1] * np.ndim(angle)) + 180) % 360 - 180)
    return np.asarray(np.clip(0.5 + (45 - off) / SEAM_DEG, 0, 1))


def _plain(bone: Part) -> Part:
    return replace(bone, layers=tuple(replace(x, grain=np.zeros_like(x.grain)) for x in bone.layers))
