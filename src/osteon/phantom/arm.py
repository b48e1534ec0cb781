"""A whole arm: the wrist of `osteon.phantom.wrist`, with fingers in their flesh and a forearm down to the elbow.

Axes and origin are those of the wrist. A radiograph of any field shows no end of the limb but the fingertips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from scipy.interpolate import PchipInterpolator

from osteon.phantom.anatomy import Layer, Part, Person
from osteon.phantom.build import Build, long_bone, wrapped
from osteon.phantom.solids import STEP_MM, Sections, Tube
from osteon.phantom.wrist import wrist


def arm(person: Person, rng: Generator) -> list[Part]:
    """The wrist of `osteon.phantom.wrist` with a forearm that goes on to the elbow, and the end of the humerus."""
    bones = [p for p in wrist(person, rng) if p.role != "bends"]
    build = Build(person, rng)
    longer = [_prolonged(p, _PROXIMAL[p.name], person.size) if p.name in _PROXIMAL else p for p in bones]
    skin = wrapped("forearm and hand", build.knots(_ARM_SKIN), person.fat_mm)
    fingers = [_finger(build, number, [p for p in bones if _is_of_ray(p, number)]) for number in range(1, 6)]
    return [skin, *fingers, *longer, _humerus(build)]


_ARM_SKIN = (
    (-420, 0, 3, 50, 51),
    (-330, 0, 2, 46, 47),
    (-275, 0, 0, 43, 41),
    (-240, 0, 0, 44, 41),
    (-200, 0, 0, 43, 40),
    (-160, 0, 0, 38, 34),
    (-90, 0, 0, 34, 29),
    (-55, 0, 0, 31, 25.5),
    (-20, 0, 0, 29.5, 21),
    (0, 0.5, 0, 31, 20),
    (20, 1, -1.5, 36, 19),
    (45, 1, -2, 42, 17),
    (75, 0, -1, 42, 14),
    (92, 0, -1, 40, 10.5),
    (104, 0, -1, 38, 6),
    (113, 0, -1, 33, 2),
    (115, 0, -1, 20, 0.4),
)


def _is_of_ray(part: Part, number: int) -> bool:
    return part.name == f"metacarpal {number}" or part.name.startswith(f"phalanx {number}.")


def _finger(build: Build, number: int, bones: Sequence[Part]) -> Part:
    """Soft tissue about the bones of a ray of the hand, from the metacarpal on."""
    size = build.person.size
    half = {1: 11.5, 5: 7.8}.get(number, 9.2) * size
    knots = []
    for k, bone in enumerate(bones):
        shape = bone.layers[0].solid.shape
        low, high = shape.heights
        share = np.array([0.45, 0.7, 0.97]) if k == 0 else np.array([0.05, 0.5, 0.95])
        z = low + share * (high - low)
        flesh = half * (1 - 0.09 * k) * (np.array([1.0, 1.0, 1.04]) if k else np.array([0.55, 0.9, 1.05]))
        deep = flesh * 0.88 if k else flesh * np.array([0.3, 0.75, 0.9])
        knots.append(np.column_stack([z, shape.sections(z).centre, flesh, deep]))
    rows = np.vstack(knots)
    tip = rows[-1] + (3.5 * size, 0, 0, -0.25 * rows[-1, 3], -0.25 * rows[-1, 4])
    end = rows[-1] + (6.5 * size, 0, 0, 0.2 - rows[-1, 3], 0.2 - rows[-1, 4])
    start = rows[0] + (-14 * size, 0, 0, 0.5 - rows[0, 3], 0.5 - rows[0, 4])
    return wrapped(f"finger {number}", np.vstack([start, rows, tip, end]), build.person.fat_mm * 0.5)


_PROXIMAL: dict[str, tuple[tuple[float, ...], ...]] = {
    # z, shift of the centre in mm, half axes relative to those at the old end
    "radius": (
        (-237, 4.5, 0, 0.9, 1.0),
        (-236, 4.5, 0, 1.5, 1.6),
        (-229, 4, 0, 1.5, 1.6),
        (-222, 2, 0, 0.95, 1.0),
        (-209, -1.5, 0, 1.2, 1.2),
        (-195, -1, 0, 1, 1),
        (-160, 0, 0, 1, 1),
    ),
    "ulna": (
        (-266, 4, 9, 0.5, 0.4),
        (-262, 4, 9, 1.1, 0.9),
        (-245, 4, 8, 1.45, 1.1),
        (-232, 3, 3, 1.6, 1.9),
        (-215, 3, 1, 1.2, 1.3),
        (-190, 2, 0, 1.05, 1.05),
        (-160, 0, 0, 1, 1),
    ),
}


def _prolonged(part: Part, rows: Sequence[tuple[float, ...]], size: float) -> Part:
    """A part of tubes that goes on below its lowest section, each layer by the same profile."""
    table = np.asarray(rows) * (size, size, size, 1, 1)
    heights = np.arange(table[0, 0], table[-1, 0] - STEP_MM / 2, STEP_MM)
    profile = PchipInterpolator(table[:, 0], table[:, 1:])(heights)
    layers = []
    for layer in part.layers:
        old = layer.solid.shape
        if not isinstance(old, Tube):
            raise TypeError("only tubes go on")
        centre = old.stack.centre[0] + profile[:, :2]
        spread = old.stack.spread[0] * np.column_stack(
            [profile[:, 2] ** 2, profile[:, 2] * profile[:, 3], profile[:, 3] ** 2]
        )
        stack = Sections(np.vstack([centre, old.stack.centre]), np.vstack([spread, old.stack.spread]))
        layers.append(
            _spongy_below(replace(layer, solid=replace(layer.solid, shape=Tube(np.r_[heights, old.z], stack))), size)
        )
    return replace(part, layers=tuple(layers))


def _spongy_below(layer: Layer, size: float) -> Layer:
    """The core of a bone that is spongy towards its proximal end, too."""
    if not layer.grain.any():
        return layer
    heights = np.r_[np.array([-232.0, -205.0]) * size, layer.heights]
    ends = [(v[-1], v[0]) for v in (layer.weights, layer.grain)]
    return replace(layer, heights=heights, weights=np.r_[ends[0], layer.weights], grain=np.r_[ends[1], layer.grain])


def _humerus(build: Build) -> Part:
    rows = (
        (-420, 1, 4, 11, 11),
        (-330, 1, 4, 10.5, 10),
        (-295, 1, 3, 13, 9),
        (-275, 1, 2, 21, 7.5),
        (-262, 1, 1, 28, 7),
        (-253, 1, 0, 29, 8.5),
        (-246, 2, -1, 22, 10),
        (-240, 3, -1, 20, 9),
        (-238, 3, -1, 8, 5),
    )
    return long_bone(
        build, "humerus", rows, (3.4, 3.4, 2.6, 1.4, 1.0, 0.9, 0.9, 0.9, 1.0), (0, 0, 0.2, 0.7, 1, 1, 1, 1, 1)
    )
