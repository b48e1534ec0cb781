"""Limbs beyond the wrist, from the same bricks: a whole arm from the elbow, leg, foot and trunk.

Axes as in `osteon.phantom.space`; z grows to the distal end of a limb (to the head, in the trunk). They are simpler
than the wrist and never break: they are what else lies in a hospital's archive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from scipy.interpolate import PchipInterpolator

from osteon.phantom.anatomy import CORTEX, MUSCLE, Layer, Part, Person, even_layer
from osteon.phantom.build import Build, long_bone, nodule, shaft, wrapped
from osteon.phantom.solids import STEP_MM, Plane, Sections, Solid, Tube, ellipsoid, plane, rod
from osteon.phantom.space import Floats, Motion, rotation_about
from osteon.phantom.wrist import wrist

AIR = -0.75 * MUSCLE
"""What a lung adds to the muscle that it is embedded in, 1/mm."""


@dataclass(frozen=True)
class Site:
    """What a radiograph of a body part shows.

    Attributes:
        build: the parts of a person, and the chance that makes no two alike.
        views: view position → angle of the rays about the limb, in degrees.
        centre_mm: height of the limb at the middle of the exposure, at average size.
        field_mm: smallest and largest height of the field.
        thickness: share of the attenuation that a harder beam leaves.
        usual_deg: how it is commonly shown: 0 with the distal end up, 180 with it down.
    """

    build: Callable[[Person, Generator], list[Part]]
    views: dict[str, float]
    centre_mm: float
    field_mm: tuple[float, float]
    thickness: float = 1.0
    usual_deg: float = 0.0


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


_ARM_VIEWS = {"PA": 0.0, "LAT": 90.0, "OBL": 45.0}
_LEG_VIEWS = {"AP": 0.0, "LAT": 90.0}

SITES: dict[str, Site] = {
    "wrist": Site(arm, _ARM_VIEWS, -4, (135, 190)),
    "hand": Site(arm, _ARM_VIEWS, 68, (225, 265)),
    "forearm": Site(arm, {"AP": 0.0, "LAT": 90.0}, -120, (290, 350)),
    "elbow": Site(arm, {"AP": 0.0, "LAT": 90.0}, -250, (160, 230), usual_deg=180),
    "leg": Site(leg, _LEG_VIEWS, -190, (400, 480), 0.9, 180),
    "ankle": Site(leg, _LEG_VIEWS, -15, (180, 240), 1.0, 180),
    "knee": Site(leg, _LEG_VIEWS, -385, (220, 300), 0.8, 180),
    "foot": Site(foot, {"AP": 0.0, "OBL": 30.0}, 10, (290, 330)),
    "chest": Site(trunk, {"PA": 0.0}, -30, (400, 440), 0.4),
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
