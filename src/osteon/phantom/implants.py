"""What else lies in or about a broken leg: a nail, a plate with screws, a cast, a bar that hides a cortex."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import MARROW, MUSCLE, PLASTER, STEEL, Part, even_layer
from osteon.phantom.solids import Sections, Solid, Tube, rod, tube
from osteon.phantom.space import Floats, View
from osteon.phantom.tibia import TOWARDS, Shank, outside_of

BAR_MM = 7.0
"""Radius of a bar: it covers a wall of the shaft and the callus on it."""


def nail(shank: Shank, rng: Generator) -> Part:
    """A steel nail in the marrow canal, from below the knee to above the ankle."""
    axis = shank.surface.trimmed(-330.0, -60.0)
    radius = rng.uniform(4.2, 4.9)
    spread = np.tile([radius**2, 0.0, radius**2], (len(axis.z), 1))
    body = Tube(axis.z, Sections(axis.stack.centre, spread))
    return Part("nail", "stays", (even_layer(Solid(body), STEEL - MARROW),), shank.fracture.centre)


def plate(shank: Shank, rng: Generator) -> Part:
    """A steel plate with six screws on the medial or the lateral surface of the shaft, over the fracture."""
    towards = TOWARDS[2 + int(rng.integers(2))]
    height = float(shank.fracture.centre[2]) + rng.uniform(-8, 8)
    z = height + np.linspace(-62, 62, 9)
    section = shank.surface.sections(z)
    reach = np.sqrt(section.spread[:, 0]) + 1.8
    middle = section.centre + reach[:, None] * towards
    knots = np.column_stack([z, middle, np.full(len(z), 1.8), np.full(len(z), 6.0)])
    solids = [Solid(tube(knots))]
    for off in (-54, -38, -22, 22, 38, 54):
        start = np.append(np.array([np.interp(height + off, z, m) for m in middle.T]), height + off)
        length = 2 * float(np.interp(height + off, z, reach)) + 1
        solids.append(rod(start, start - length * np.append(towards, 0.0), 1.9))
    return Part("plate", "stays", tuple(even_layer(s, STEEL - MUSCLE) for s in solids), shank.fracture.centre)


def leg_cast(shank: Shank, rng: Generator) -> Part:
    """A plaster cast about the leg, 5 to 8 mm thick."""
    skin = outside_of(shank.flesh)
    inside, outside = _swollen(skin, 1.5), _swollen(skin, 1.5 + rng.uniform(5, 8))
    layers = (even_layer(Solid(outside), PLASTER), even_layer(Solid(inside), -PLASTER))
    return Part("cast", "bends", layers, shank.fracture.centre)


def bar(shank: Shank, cortex: int, view: View) -> Part:
    """A steel bar of an external frame, between the tube and the leg, that hides one cortex in one view."""
    height = float(shank.fracture.centre[2])
    section = shank.surface.sections(np.array([height]))
    reach = np.sqrt(section.spread[0][[0, 2]])
    across = float((section.centre[0] + TOWARDS[cortex] * reach) @ view.across)
    place: Floats = across * view.across - 95.0 * view.along
    start, end = (np.append(place, height + off) for off in (-130.0, 130.0))
    return Part(f"bar {cortex}", "stays", (even_layer(rod(start, end, BAR_MM), STEEL),), shank.fracture.centre)


def _swollen(skin: Tube, by_mm: float) -> Tube:
    xx, _, yy = skin.stack.spread.T
    half = np.sqrt(np.column_stack([xx, yy])) + by_mm
    spread = np.column_stack([half[:, 0] ** 2, np.zeros(len(half)), half[:, 1] ** 2])
    return Tube(skin.z, Sections(skin.stack.centre, spread))
