"""How limbs are laid on a plate: which views, how far turned, at what scale, side by side without touching."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from osteon.errors import unknown_name
from osteon.phantom.dirt import Dirt
from osteon.phantom.exposures import Pose, Subject, rays_of, width_of
from osteon.phantom.limbs import SITES
from osteon.phantom.space import View

GAP_MM = (8.0, 30.0)
"""Between two limbs of one exposure."""


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A limb in one view, before it has a place.

    Attributes:
        focus_z: height of the limb that lies at the middle of its place, mm.
        lean_deg: how far it is turned beside the turn of the plate.
        field_mm: height of the field that suits it.
        ends: leftmost and rightmost mm that are seen of it, upright but for its lean.
    """

    subject: Subject
    view: str
    rays: View
    focus_z: float
    lean_deg: float
    field_mm: float
    ends: tuple[float, float]

    @property
    def width(self) -> float:
        """mm across."""
        return self.ends[1] - self.ends[0]


@dataclass(frozen=True)
class Room:
    """Where limbs are laid: the exposed part of a plate, its middle (x, y) and (rows, columns), in pixels."""

    middle: tuple[float, float]
    size: tuple[float, float]


def exhibits_of(subject: Subject, view: str, rng: Generator, count: int) -> list[Exhibit]:
    """A limb in one view; or in two views, or both of its sides in one view."""
    views = list(SITES[subject.site].views)
    first, second = (views[k] for k in rng.permutation(len(views))[[0, -1]])
    if view and view not in views:
        raise unknown_name(f"view of a {subject.site}", view, views)
    first = view or first
    both_sides = bool(rng.random() < 0.5)
    other = replace(subject, side="R" if subject.side == "L" else "L")
    shown = [(subject, first), (other, first) if both_sides else (subject, second)]
    field = float(rng.uniform(*SITES[subject.site].field_mm)) * subject.person.size
    shift = float(rng.normal(0, 0.03)) * field
    made = []
    for whose, seen in shown:
        rays = rays_of(whose, seen, float(np.clip(rng.normal(0, 4), -9, 9)))
        focus = SITES[whose.site].centre_mm * whose.person.size + shift
        lean = float(np.clip(rng.normal(0, 2.5), -5, 5)) if count > 1 else 0.0
        ends = width_of(whose, rays, focus, 0.52 * field, lean)
        made.append(Exhibit(whose, seen, rays, focus, lean, field, ends))
    return made[:count]


def seen_within(exhibits: Sequence[Exhibit], reach_mm: float) -> list[Exhibit]:
    """The same limbs, with the ends that they have within a reach: further off, an arm grows wider."""
    return [replace(e, ends=width_of(e.subject, e.rays, e.focus_z, reach_mm, e.lean_deg)) for e in exhibits]


def draw_turn(rng: Generator, dirt: Dirt, usual_deg: float = 0.0) -> float:
    """How far a plate is turned, counter-clockwise, in (−180, 180]."""
    which, sign = rng.random(2)
    tilt, free = float(rng.normal(0, dirt.tilt_deg)), float(rng.uniform(-180, 180))
    edges = np.cumsum((dirt.turned, dirt.quarter, dirt.upside_down))
    quarter = 90.0 if sign < 0.5 else -90.0
    turn = free if which < edges[0] else tilt + (quarter if which < edges[1] else 180.0 if which < edges[2] else 0.0)
    return wrapped_angle(usual_deg + turn)


def wrapped_angle(turn_deg: float) -> float:
    """The same angle in (−180, 180]."""
    return 180.0 - (180.0 - turn_deg) % 360.0


def spacing_of(exhibits: Sequence[Exhibit], turn_deg: float, room: Room) -> float:
    """Pixel spacing in mm at which the limbs fit across their room and fill it along."""
    rows, columns = room.size
    c, s = abs(np.cos(np.deg2rad(turn_deg))), abs(np.sin(np.deg2rad(turn_deg)))
    along, across = rows * c + columns * s, columns * c + rows * s
    width = sum(e.width for e in exhibits) + (len(exhibits) - 1) * sum(GAP_MM) / 2
    field = max(e.field_mm for e in exhibits)
    # A limb that is wider than its field is high (a trunk, a knee) is cut at its sides, as in life.
    return float(max(field / along, min(width * 1.06, field if len(exhibits) == 1 else np.inf) / across))


def draw_poses(
    exhibits: Sequence[Exhibit], turn_deg: float, room: Room, spacing_mm: float, dirt: Dirt, rng: Generator
) -> list[Pose]:
    """Limbs side by side about the middle of their room, or pushed over one of its sides."""
    rows, columns = room.size
    gap, slide, touching, far, sign = (*rng.uniform(*GAP_MM, 1), *rng.normal(0, 0.02, 1), *rng.random(3))
    total = sum(e.width for e in exhibits) + gap * (len(exhibits) - 1)
    angle = np.deg2rad(turn_deg)
    across = (columns * abs(np.cos(angle)) + rows * abs(np.sin(angle))) * spacing_mm
    shift = slide * across
    if touching < dirt.touching:
        outermost = exhibits[0 if sign < 0.5 else -1]
        shift = (across - total) / 2 + (0.1 + 0.17 * far) * outermost.width
        shift = -shift if sign < 0.5 else shift
    left, poses = shift - total / 2, []
    for e in exhibits:
        right_mm = left - e.ends[0]  # where the axis of the limb lies, right of the middle
        left += e.width + gap
        x = room.middle[0] + right_mm * np.cos(angle) / spacing_mm
        y = room.middle[1] - right_mm * np.sin(angle) / spacing_mm
        turn = wrapped_angle(turn_deg + e.lean_deg)
        poses.append(Pose(e.rays, (0.0, e.focus_z), (float(x), float(y)), turn, spacing_mm))
    return poses


DIVISIONS = ("white line", "black line", "white gap", "black gap")
"""What lies between two exposures on one plate."""

Tile = tuple[tuple[int, int], tuple[int, int]]
"""(row, column) of its first pixel, and (rows, columns)."""


def draw_tiles(size: tuple[int, int], turn_deg: float, rng: Generator) -> tuple[list[Tile], str]:
    """Two places on a plate, beside each other along the limbs, or (one in seven) end to end; and what divides them."""
    rows, columns = size
    lying = abs(np.sin(np.deg2rad(turn_deg))) > np.sqrt(0.5)
    stacked = bool(lying) != bool(rng.random() < 1 / 7)
    kind = DIVISIONS[int(rng.integers(len(DIVISIONS)))]
    long = rows if stacked else columns
    wide = round(rng.uniform(1, 5)) if kind.endswith("line") else round(long * rng.uniform(0.01, 0.06))
    first = round((long - wide) * rng.uniform(0.44, 0.56))
    last = long - wide - first
    if stacked:
        return [((0, 0), (first, columns)), ((rows - last, 0), (last, columns))], kind
    return [((0, 0), (rows, first)), ((0, columns - last), (rows, last))], kind
