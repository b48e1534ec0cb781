"""What else lies in the beam: plate and screws, wires, a cast, a lead letter."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from osteon.phantom.anatomy import MUSCLE, PLASTER, STEEL, Layer, Part
from osteon.phantom.solids import Solid, rod, tube
from osteon.phantom.space import Image, rotation_about

HARDWARE = ("plate", "wires")
"""Kinds of metal: a palmar plate with screws, or Kirschner wires."""

LEAD = 6.0
"""Depth of attenuation of a lead letter."""

_LETTERS = {
    "L": ("#....", "#....", "#....", "#....", "#....", "#....", "#####"),
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
}


def hardware(kind: str, size: float, rng: Generator) -> Part:
    """Steel on the distal radius of a person of that size: "plate" or "wires"."""
    solids = _plate(size, rng) if kind == "plate" else _wires(size, rng)
    return Part(kind, "stays", tuple(_even(s, STEEL - MUSCLE) for s in solids), np.zeros(3))


def cast(size: float, rng: Generator) -> Part:
    """A plaster cast from the forearm to the palm, 4 to 7 mm thick."""
    thick = rng.uniform(4, 7)
    skin = size * np.array(
        [
            (-150, 0, 0, 38, 34),
            (-90, 0, 0, 35, 30),
            (-55, 0, 0, 32, 27),
            (-20, 0, 0, 31, 23),
            (0, 0.5, 0, 33, 22),
            (20, 1, -1.5, 39, 21),
            (38, 1, -2, 43, 19.5),
        ]
    )
    skin[:, 3:] += 1.5
    outside = skin + np.array([0, 0, 0, thick, thick])
    layers = (_even(Solid(tube(outside)), PLASTER), _even(Solid(tube(skin)), -PLASTER))
    return Part("cast", "bends", layers, np.zeros(3))


def letter(side: str, shape: tuple[int, int], spacing_mm: float, rng: Generator) -> Image:
    """Depth of attenuation of a lead letter "L" or "R", 9 mm tall, slightly turned, in some corner; (rows, columns)."""
    glyph = np.array([[c == "#" for c in row] for row in _LETTERS[side]])
    cell = 9.0 / len(glyph) / spacing_mm
    corner = rng.integers(2, size=2)
    margin = rng.uniform(9, 15, size=2) / spacing_mm
    middle = np.where(corner, np.array(shape) - 1 - margin, margin)
    turn = rotation_about((0, 0, 1), rng.uniform(-12, 12))[:2, :2]
    reach = int(np.ceil(7 / spacing_mm))
    found = np.zeros(shape, np.float32)
    low = np.maximum(middle.astype(int) - reach, 0)
    high = np.minimum(middle.astype(int) + reach, shape)
    places = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    row, column = np.moveaxis(((places - middle) @ turn) / cell + np.array(glyph.shape) / 2, -1, 0)
    on = (row >= 0) & (row < glyph.shape[0]) & (column >= 0) & (column < glyph.shape[1])
    lit = np.zeros(on.shape, bool)
    lit[on] = glyph[row[on].astype(int), column[on].astype(int)]
    found[low[0] : high[0], low[1] : high[1]] = LEAD * lit
    return found


def _even(solid: Solid, weight: float) -> Layer:
    return Layer(solid, np.zeros(1), np.array([weight]), np.zeros(1))


def _plate(size: float, rng: Generator) -> list[Solid]:
    x = 9.5 + rng.normal(0, 0.6)
    knots = size * np.array(
        [
            (-62, x + 2, -8.4, 4.6, 1.0),
            (-40, x + 0.8, -8.2, 4.6, 1.0),
            (-24, x, -9.6, 5.2, 1.0),
            (-12, x, -12.0, 9.5, 1.1),
            (-7, x, -12.6, 9.0, 1.1),
        ]
    )
    solids = [Solid(tube(knots))]
    for z in (-56, -49, -42, -35):
        start = np.array([x + 1.5, -9.4, z]) * size
        solids.append(rod(start, start + np.array([0, 15.5, 0]) * size, 1.25))
    for dx in (-6.0, -2.0, 2.0, 6.0):
        start = np.array([x + dx, -13.4, -9.0]) * size
        solids.append(rod(start, start + np.array([dx * 0.15, 18.5, 3.0]) * size, 1.1))
    return solids


def _wires(size: float, rng: Generator) -> list[Solid]:
    solids = []
    for k in range(int(rng.integers(2, 4))):
        start = np.array([23.0 - 4 * k, -2.0 + 2 * k, 13.0]) + rng.normal(0, 1, 3)
        end = np.array([4.0 + 2 * k, 1.0 - 2 * k, -38.0 - 5 * k]) + rng.normal(0, 1.5, 3)
        solids.append(rod(start * size, end * size, 0.8))
    return solids
