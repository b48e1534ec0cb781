"""What a limb is made of: layers of solids and their attenuation, in mm and 1/mm, and the person they belong to.

A limb is nothing but a list of parts: a further limb is a further module with a function that returns one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from osteon.phantom.fragment import Fragment
from osteon.phantom.solids import Solid
from osteon.phantom.space import Floats, Motion

MUSCLE, FAT, CORTEX, STEEL, PLASTER = 0.0282, 0.0228, 0.128, 2.86, 0.065
"""Linear attenuation in 1/mm at 40 keV, the effective energy of a wrist exposure: mass attenuation times density,
rounded, from Hubbell and Seltzer, NIST tables of X-ray mass attenuation coefficients (plaster: porous, dry gypsum)."""

MARROW = 0.0235
"""Fatty marrow of the shafts, 1/mm."""

GRAIN = 0.42
"""Standard deviation of the trabecular pattern relative to the spongy bone."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A solid and what it adds to the attenuation of what it is embedded in.

    Attributes:
        heights: (k,) z in mm, ascending. weights: (k,) 1/mm at those heights, linear in between.
        grain: (k,) 1/mm, standard deviation of the trabecular pattern at those heights.
    """

    solid: Solid
    heights: Floats
    weights: Floats
    grain: Floats


@dataclass(frozen=True, eq=False)
class Part:
    """A thing of one name: its layers, and how it answers to a fracture of the radius.

    Attributes:
        role: "stays", "follows" (moves along with the hand), "bends" (soft tissue).
        anchor: (3,) mm, a point amid the part.
        fragment: the side of a fracture that this part is, or None if it is whole.
    """

    name: str
    role: str
    layers: tuple[Layer, ...]
    anchor: Floats
    fragment: Fragment | None = None


@dataclass(frozen=True)
class Person:
    """What a body is built from.

    Attributes:
        age_years: 18 to 100. sex: "F" or "M".
        size: scale of all lengths; 1 is an average adult.
        fat_mm: thickness of the fat under the skin.
        density: attenuation of spongy bone relative to a young adult's.
        cortex: thickness of the cortices relative to a young adult's.
    """

    age_years: int
    sex: str
    size: float
    fat_mm: float
    density: float
    cortex: float


def draw_person(rng: Generator) -> Person:
    """A random adult. From 45 on bone is lost: 0.6 % of cortex and 0.9 % of spongy bone a year, more in women."""
    sex = "FM"[int(rng.integers(2))]
    age = int(rng.integers(18, 91))
    years = max(0, age - 45) * (1.15 if sex == "F" else 0.85)
    return Person(
        age_years=age,
        sex=sex,
        size=float(np.clip(rng.normal(0.97 if sex == "F" else 1.05, 0.04), 0.85, 1.18)),
        fat_mm=float(np.clip(rng.gamma(6, 0.5), 1.2, 6)),
        density=float(np.exp(rng.normal(0, 0.10)) * (1 - 0.009 * years)),
        cortex=float(np.exp(rng.normal(0, 0.10)) * (1 - 0.006 * years)),
    )


def even_layer(solid: Solid, weight: float) -> Layer:
    """A layer of one attenuation, 1/mm, without a pattern."""
    return Layer(solid, np.zeros(1), np.array([weight]), np.zeros(1))


def bone_layers(cortex: Solid, core: Solid, spongy: float, profile: Floats) -> tuple[Layer, Layer]:
    """A bone: its cortex, and in its core marrow and spongy bone.

    Args:
        cortex: the whole bone. core: what the cortex encloses.
        spongy: attenuation of spongy bone, 1/mm.
        profile: (k, 2) heights in mm, ascending, and share of the core that is spongy bone there.
    """
    heights, share = profile.T
    more = (spongy - MARROW) * share
    return even_layer(cortex, CORTEX - MUSCLE), Layer(core, heights, MARROW - CORTEX + more, GRAIN * more)


def moved(part: Part, motion: Motion) -> Part:
    """A part after a rigid motion."""
    layers = tuple(replace(layer, solid=layer.solid.moved(motion)) for layer in part.layers)
    return replace(part, layers=layers, anchor=motion(part.anchor))


def bent(part: Part, shift: Floats, low: float, high: float) -> Part:
    """A part whose sections are shifted by nothing below `low`, by `shift` (2,) mm above `high`, smoothly between."""
    layers = tuple(replace(layer, solid=layer.solid.bent(shift, low, high)) for layer in part.layers)
    return replace(part, layers=layers)
