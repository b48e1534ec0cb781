"""Body parts that a radiograph can show: how they are built, seen and laid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import Part, Person
from osteon.phantom.arm import arm
from osteon.phantom.leg import foot, leg
from osteon.phantom.solids import Tube
from osteon.phantom.space import Floats
from osteon.phantom.trunk import trunk


@dataclass(frozen=True)
class Site:
    """What a radiograph of a body part shows.

    Attributes:
        region: its SNOMED code and meaning, as in PS3.16 CID 4.
        build: the parts of a person, and the chance that makes no two alike.
        views: view position → angle of the rays about the limb, in degrees.
        centre_mm: height of the limb at the middle of the exposure, at average size.
        field_mm: smallest and largest height of the field.
        thickness: share of the attenuation that a harder beam leaves.
        usual_deg: how it is commonly shown: 0 with the distal end up, 180 with it down.
    """

    region: tuple[str, str]
    build: Callable[[Person, Generator], list[Part]]
    views: dict[str, float]
    centre_mm: float
    field_mm: tuple[float, float]
    thickness: float = 1.0
    usual_deg: float = 0.0


_ARM_VIEWS = {"PA": 0.0, "LAT": 90.0, "OBL": 45.0}
_LEG_VIEWS = {"AP": 0.0, "LAT": 90.0}

SITES: dict[str, Site] = {
    "wrist": Site(("8205005", "Wrist"), arm, _ARM_VIEWS, -4, (135, 190)),
    "hand": Site(("85562004", "Hand"), arm, _ARM_VIEWS, 68, (225, 265)),
    "forearm": Site(("14975008", "Forearm"), arm, {"AP": 0.0, "LAT": 90.0}, -120, (290, 350)),
    "elbow": Site(("16953009", "Elbow joint"), arm, {"AP": 0.0, "LAT": 90.0}, -250, (160, 230), usual_deg=180),
    "leg": Site(("30021000", "Lower leg"), leg, _LEG_VIEWS, -190, (400, 480), 0.9, 180),
    "ankle": Site(("70258002", "Ankle joint"), leg, _LEG_VIEWS, -15, (180, 240), 1.0, 180),
    "knee": Site(("72696002", "Knee"), leg, _LEG_VIEWS, -385, (220, 300), 0.8, 180),
    "foot": Site(("56459004", "Foot"), foot, {"AP": 0.0, "OBL": 30.0}, 10, (290, 330)),
    "chest": Site(("51185008", "Chest"), trunk, {"PA": 0.0}, -30, (400, 440), 0.4),
}
"""Body parts that a plate can show."""


def bones_of(parts: Sequence[Part]) -> list[Part]:
    """The bones among parts: what neither bends nor is metal."""
    return [p for p in parts if p.role != "bends" and p.name not in ("plate", "wires")]


def soft_of(parts: Sequence[Part]) -> list[Part]:
    """Soft tissue among parts."""
    return [p for p in parts if p.role == "bends" and p.name != "cast"]


def outline(parts: Sequence[Part], across: Floats, low: float, high: float) -> Floats:
    """Points (n, 2) as (u, z) in mm on both sides of the tubes of parts, between two heights."""
    found = []
    for part in parts:
        shape = part.layers[0].solid.shape
        if isinstance(shape, Tube):
            z = shape.z[(shape.z >= low) & (shape.z <= high)][::4]
            sections = shape.sections(z)
            x, y = across
            xx, xy, yy = sections.spread.T
            half = np.sqrt(x * x * xx + 2 * x * y * xy + y * y * yy)
            middle = sections.centre @ across
            found += [np.column_stack([middle - half, z]), np.column_stack([middle + half, z])]
    return np.vstack(found)
