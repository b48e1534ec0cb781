"""One exposure of one or several limbs: where they lie, what the detector takes in, what is true of each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from osteon.phantom import detector, extras
from osteon.phantom.anatomy import Part, Person, draw_person
from osteon.phantom.draw import draw_fracture
from osteon.phantom.fields import Field
from osteon.phantom.fracture import Fracture
from osteon.phantom.limbs import SITES, bones_of, outline, soft_of
from osteon.phantom.marks import Mask
from osteon.phantom.projection import Canvas, Grain, depth, draw_grain
from osteon.phantom.space import Floats, Image, View, view_at
from osteon.phantom.wrist import break_radius, radius_of

FINEST_MM = 0.28
"""Limbs are projected at this spacing or that of the plate, whichever is coarser. Little is lost: the pattern of
trabeculae has cells of 0.4 mm."""

BONE_DEPTH, BODY_DEPTH = 0.03, 0.02
"""Depth of attenuation from which a pixel counts as bone (a quarter of a millimetre of cortex) or body (0.7 mm of
tissue)."""

SHUT = 5.0
"""Depth of attenuation of the jaws of a collimator, as seen through them and the tube's stray radiation."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A person whose limb is exposed, once or in several views.

    Attributes:
        site: a key of SITES. side: "L" or "R".
        parts: all that attenuates. intact: the radius before it broke, None without a fracture.
    """

    site: str
    person: Person
    side: str
    parts: tuple[Part, ...]
    grain: Grain
    fracture: Fracture | None = None
    intact: Part | None = None
    hardware: str = ""
    cast: bool = False


def draw_subject(
    rng: Generator, site: str, *, fractured: bool = False, subtle: float = 0.5, hardware: float = 0.0, cast: float = 0.0
) -> Subject:
    """A random subject; the fracture has its own source of chance, so that nothing else depends on the class.

    Args:
        rng: source of chance. site: a key of SITES.
        fractured: whether the distal radius is broken (arms only).
        subtle: chance that a fracture is a hairline.
        hardware, cast: chances of metal, or a plaster (arms only).
    """
    body, breaking, added = rng.spawn(3)
    person = draw_person(body)
    parts = SITES[site].build(person, body)
    grain = draw_grain(body)
    side = "LR"[int(added.integers(2))]
    metal, plaster = added.random(2)
    kind = str(added.choice(extras.HARDWARE))
    shell, steel = extras.cast(person.size, added), extras.hardware(kind, person.size, added)
    has_radius = any(p.name == "radius" for p in parts)
    has_metal, has_cast = bool(has_radius and metal < hardware), bool(has_radius and plaster < cast)
    whole = [*parts, shell] if has_cast else parts
    fracture = intact = None
    if fractured and has_radius:
        fracture = draw_fracture(breaking, subtle=bool(breaking.random() < subtle), gap_mm=(0.2, 4.0))
        intact, whole = radius_of(whole), break_radius(whole, fracture)
    return Subject(
        site=site,
        person=person,
        side=side,
        parts=(*whole, steel) if has_metal else tuple(whole),
        grain=grain,
        fracture=fracture,
        intact=intact,
        hardware=kind if has_metal else "",
        cast=has_cast,
    )


@dataclass(frozen=True, eq=False)
class Pose:
    """How a limb lies on a plate.

    Attributes:
        rays: seen along these.
        focus: (u, z) in mm, the point of the limb that lies at `at`.
        at: (x, y) in pixels.
        turn_deg: how far its distal end is turned away from "up", counter-clockwise.
        spacing_mm: of the plate.
    """

    rays: View
    focus: tuple[float, float]
    at: tuple[float, float]
    turn_deg: float
    spacing_mm: float

    def pixels_of(self, seen: Floats) -> Floats:
        """Where points (n, 2) as (u, z) in mm are seen: (n, 2) as x and y."""
        angle = np.deg2rad(self.turn_deg)
        right, up = (seen - self.focus).T / self.spacing_mm
        x = self.at[0] + right * np.cos(angle) - up * np.sin(angle)
        return np.column_stack([x, self.at[1] - right * np.sin(angle) - up * np.cos(angle)])

    def seen_at(self, pixels: Floats) -> Floats:
        """The inverse of `pixels_of`."""
        angle = np.deg2rad(self.turn_deg)
        x, y = (pixels - self.at).T * self.spacing_mm
        right, up = x * np.cos(angle) - y * np.sin(angle), -x * np.sin(angle) - y * np.cos(angle)
        return np.column_stack([right, up]) + self.focus


@dataclass(frozen=True, eq=False)
class Laid:
    """A subject on a plate: position of the view, pose, and depth of attenuation of its bones, soft tissue and all."""

    subject: Subject
    view: str
    pose: Pose
    bone: Image
    soft: Image
    total: Image

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the plate."""
        rows, columns = self.total.shape
        return rows, columns


def rays_of(subject: Subject, view: str, off_deg: float) -> View:
    """The rays of a view position, some degrees off."""
    return view_at(SITES[subject.site].views[view] + off_deg, mirrored=subject.side == "R")


def lay(subject: Subject, view: str, pose: Pose, shape: tuple[int, int]) -> Laid:
    """Project a subject onto a plate of (rows, columns)."""
    spacing = max(pose.spacing_mm, FINEST_MM)
    rows, columns = shape
    corners = pose.seen_at(np.array([(0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)], float))
    low, high = corners.min(axis=0), corners.max(axis=0)
    size = np.ceil((high - low) / spacing).astype(int) + 3
    middle = (low + high) / 2
    canvas = Canvas.around((float(middle[0]), float(middle[1])), (int(size[1]), int(size[0])), spacing)
    bones, soft = bones_of(subject.parts), soft_of(subject.parts)
    named = {id(p) for p in (*bones, *soft)}
    rest = [p for p in subject.parts if id(p) not in named]
    share = SITES[subject.site].thickness
    drawn = [_warped(share * depth(p, pose.rays, canvas, subject.grain), canvas, pose, shape) for p in (bones, soft)]
    total = drawn[0] + drawn[1]
    if rest:
        total = total + _warped(depth(rest, pose.rays, canvas, subject.grain), canvas, pose, shape)
    return Laid(subject, view, pose, drawn[0], drawn[1], np.maximum(total, 0))


def _warped(upright: Image, canvas: Canvas, pose: Pose, shape: tuple[int, int]) -> Image:
    """What an upright canvas shows, turned onto a plate."""
    step = float(canvas.u[1] - canvas.u[0])
    corners = np.array([(0, 0), (1, 0), (0, 1)], float)
    seen = pose.seen_at(corners)
    places = np.column_stack([(seen[:, 0] - canvas.u[0]) / step, (canvas.z[0] - seen[:, 1]) / step])
    matrix = np.column_stack([places[1] - places[0], places[2] - places[0], places[0]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(upright, matrix, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, np.float32)


def width_of(
    subject: Subject, rays: View, focus_z: float, reach_mm: float, turn_deg: float = 0.0
) -> tuple[float, float]:
    """Left and right end, in mm, of what a turned limb shows within a reach of its focus (0, focus_z)."""
    points = outline(soft_of(subject.parts), rays.across, focus_z - reach_mm, focus_z + reach_mm)
    angle = np.deg2rad(turn_deg)
    across = points[:, 0] * np.cos(angle) - (points[:, 1] - focus_z) * np.sin(angle)
    return float(across.min()), float(across.max())


def truth_masks(laid: Sequence[Laid], field: Field | None) -> tuple[Mask, NDArray[np.uint8]]:
    """Where bone is seen within the field, and 1 + index of the limb to which a pixel of the body belongs, else 0."""
    shape = laid[0].shape
    lit = np.ones(shape, bool) if field is None else field.cover(shape) > 0.5
    bone, owner = np.zeros(shape, bool), np.zeros(shape, np.uint8)
    for number, limb in enumerate(laid, start=1):
        here = limb.bone > BONE_DEPTH
        bone |= here
        owner[here | (limb.soft > BODY_DEPTH)] = number
    owner[~lit] = 0
    return bone & lit, owner


def expose(
    laid: Sequence[Laid], cover: Image, field: Field | None, exposure: detector.Exposure, rng: Generator
) -> Image:
    """The negative logarithm of the signal of a plate, (rows, columns); `cover` is the depth of lead on it."""
    matter = laid[0].total.copy()
    for limb in laid[1:]:
        matter += limb.total
    spacing = laid[0].pose.spacing_mm
    if field is not None:
        lit = field.cover(laid[0].shape)
        matter += SHUT * (1 - cv2.GaussianBlur(lit, (0, 0), max(0.6, 0.5 / spacing)))  # the focal spot has a size
    return detector.expose(matter, cover, exposure, spacing, rng)


def fracture_box(limb: Laid) -> tuple[float, float, float, float] | None:
    """x, y, width, height in pixels of the box about the open gap; None without a fracture."""
    subject = limb.subject
    if subject.fracture is None or subject.intact is None:
        return None
    points: NDArray[Any] = subject.fracture.points(subject.intact.layers[0].solid)
    seen = limb.pose.pixels_of(np.column_stack([points[:, :2] @ limb.pose.rays.across, points[:, 2]]))
    low, high = seen.min(axis=0), seen.max(axis=0)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
