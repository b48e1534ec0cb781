"""Plates as a hospital stores them: one or several limbs, collimated, framed, marked, noisy, turned, inverted.

    from numpy.random import default_rng
    from osteon.phantom.plates import CLEAN, Dirt, draw_plate

    plate = draw_plate(default_rng(7))                                   # a wrist with a realistic mix of dirt
    pair = draw_plate(default_rng(7), kind="two", dirt=Dirt(inverted=1.0))
    only_turned = draw_plate(default_rng(7), kind="hand", dirt=replace(CLEAN, turned=1.0))

`plate.values` is the image as displayed, `plate.radiograph()` the same as a `Radiograph`; the rest is truth from the
geometry: masks, a box and a turn for each limb, the polygon of each mark, the exposed field, the frame. Every kind of
dirt is a chance in `Dirt`; `CLEAN` has none, and `dataclasses.replace(CLEAN, …)` isolates one. Same generator, same
plate; each aspect has a source of chance of its own, so that artefacts do not shift each other (only a collimated field
scales and moves the limb, which is laid inside it).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from osteon.errors import unknown_name
from osteon.phantom import layout
from osteon.phantom.detector import Exposure
from osteon.phantom.dirt import CLEAN, Dirt
from osteon.phantom.exposures import Laid, Subject, draw_subject, expose, fracture_box, lay, truth_masks
from osteon.phantom.fields import BORDERS, Field, border_mask, draw_field
from osteon.phantom.limbs import SITES
from osteon.phantom.marking import lead_letters, paint
from osteon.phantom.marks import Mark, Mask
from osteon.phantom.space import Floats, Image
from osteon.types import Header, Radiograph

__all__ = ["CLEAN", "KINDS", "Dirt", "Limb", "Mark", "Plate", "draw_plate"]

KINDS = (*SITES, "two", "joined")
"""What a plate can show: one body part, two limbs in one exposure, or two exposures joined on one plate."""


@dataclass(frozen=True, eq=False)
class Limb:
    """A limb on a plate.

    Attributes:
        kind: a key of SITES. view: position, as PA or LAT. side: "L" or "R".
        box: x, y, width, height in pixels of what is seen of it.
        turn_deg: how far its distal end is turned from "up", counter-clockwise, in (−180, 180].
        fracture: x, y, width, height of the box about a fracture, None without one.
    """

    kind: str
    view: str
    side: str
    box: tuple[int, int, int, int]
    turn_deg: float
    fracture: tuple[float, float, float, float] | None = None

    @property
    def upright(self) -> bool:
        """Whether the distal end (fingers, toes, head) is up."""
        return abs(self.turn_deg) < 90


@dataclass(frozen=True, eq=False)
class Plate:
    """A plate and its truth. Pixel centres lie at whole numbers, x runs right and y down.

    Attributes:
        values: (h, w) uint16, as displayed: 0 black, `white` white.
        inverted: whether the picture is a negative: bone dark, air bright.
        parts: the limbs that are seen, in the order of `owner`.
        bone, body: (h, w) bool, where bone, or any of a limb, is seen.
        owner: (h, w) uint8, 1 + index of the limb that a pixel of the body belongs to, 0 elsewhere.
        markers: letters, dots and texts that are seen.
        collimation: x, y, width, height of the smallest box about the exposed field (all of them, on a joined
            plate); None where the whole plate is exposed.
        fields: (4, 2) corners of each exposed field.
        border: "", or the kind of frame. divided: kind of division of a joined plate, or "".
        noisy, fogged: whether the plate is.
        spacing_mm: of its pixels.
    """

    kind: str
    values: NDArray[np.uint16]
    white: int
    inverted: bool
    parts: tuple[Limb, ...]
    bone: Mask
    body: Mask
    owner: NDArray[np.uint8]
    markers: tuple[Mark, ...]
    collimation: tuple[int, int, int, int] | None
    fields: tuple[Floats, ...]
    border: str
    divided: str
    noisy: bool
    fogged: bool
    spacing_mm: float
    subject: Subject

    def radiograph(self) -> Radiograph:
        """The plate as the reader of DICOM files would give it."""
        bits = self.white.bit_length()
        header = Header(bits=bits, spacing_mm=(self.spacing_mm, self.spacing_mm), spacing_source="phantom")
        return Radiograph(pixels=self.values, white=self.white, header=header)


@dataclass(frozen=True)
class _Chances:
    """A source of chance for each aspect, so that none shifts another."""

    body: Generator
    pose: Generator
    field: Generator
    marks: Generator
    quanta: Generator
    look: Generator
    frame: Generator
    text: Generator


@dataclass(frozen=True, eq=False)
class _Look:
    """What is decided once for a plate, whatever lies on it; `hidden` is where a frame will be painted."""

    inverted: bool
    noisy: bool
    fogged: bool
    shutter: bool
    border: str
    hidden: Mask


@dataclass(frozen=True, eq=False)
class _Sheet:
    """An exposure on its way to a plate, at a row and column of it: display values 0..1 and their truth."""

    at: tuple[int, int]
    shown: Image
    limbs: tuple[Laid, ...]
    bone: Mask
    owner: NDArray[np.uint8]
    marks: tuple[Mark, ...]
    field: Field | None


def draw_plate(
    rng: Generator,
    *,
    kind: str = "wrist",
    rows: int = 900,
    columns: int = 700,
    dirt: Dirt | None = None,
    subject: Subject | None = None,
    view: str = "",
    fractured: bool = False,
) -> Plate:
    """A random plate.

    Args:
        rng: source of chance; the same generator gives the same plate.
        kind: one of KINDS.
        rows: its height in pixels.
        columns: its width in pixels.
        dirt: chances of the artefacts; default: `Dirt()`.
        subject: whose limb; default: a random one.
        view: view position of the first limb, one of its site's; default: a random one.
        fractured: whether the distal radius of a random subject is broken. Nothing else depends on it.

    Raises:
        UnknownName: if there is no such kind or view.
    """
    if kind not in KINDS:
        raise unknown_name("kind of plate", kind, KINDS)
    chance, dirt = _Chances(*rng.spawn(8)), dirt or Dirt()
    paired = str(chance.pose.choice(("wrist", "hand"), p=(0.65, 0.35)))
    if subject is None:
        site = kind if kind in SITES else paired
        subject = draw_subject(chance.body, site, fractured=fractured, hardware=dirt.hardware, cast=dirt.cast)
    exhibits = layout.exhibits_of(subject, view, chance.pose, 1 if kind in SITES else 2)
    turn = layout.draw_turn(chance.pose, dirt, SITES[subject.site].usual_deg)
    tiles, divided = [((0, 0), (rows, columns))], ""
    if kind == "joined":
        tiles, divided = layout.draw_tiles((rows, columns), turn, chance.frame)
    shown = [exhibits] if kind != "joined" else [[e] for e in exhibits]
    fields = [_draw_field(size, dirt, chance.field) for _, size in tiles]
    rooms = [_room(field, size) for field, (_, size) in zip(fields, tiles, strict=True)]
    spacing = max(layout.spacing_of(e, turn, room) for e, room in zip(shown, rooms, strict=True))
    if kind == "two":  # no part of the limbs that is seen may touch the other
        shown = [layout.seen_within(exhibits, spacing * float(np.hypot(rows, columns)) / 2)]
    look = _draw_look(dirt, (rows, columns), chance)
    sheets = []
    for on_it, (at, size), field, room in zip(shown, tiles, fields, rooms, strict=True):
        poses = layout.draw_poses(on_it, turn, room, spacing, dirt, chance.pose)
        laid = [lay(e.subject, e.view, pose, size) for e, pose in zip(on_it, poses, strict=True)]
        sheets.append(_sheet(at, laid, field, dirt, look, chance))
    return _finished(kind, sheets, divided, look, dirt, chance)


def _draw_field(size: tuple[int, int], dirt: Dirt, rng: Generator) -> Field | None:
    collimated, skewed = rng.random(2)
    turn = float(rng.uniform(-8, 8))
    field = draw_field(size, turn if skewed < dirt.skewed else 0.0, rng)
    return field if collimated < dirt.collimated else None


def _room(field: Field | None, size: tuple[int, int]) -> layout.Room:
    if field is not None:
        return layout.Room(field.middle, field.size)
    return layout.Room(((size[1] - 1) / 2, (size[0] - 1) / 2), size)


def _draw_look(dirt: Dirt, size: tuple[int, int], chance: _Chances) -> _Look:
    inverted, noisy, fogged, shutter, border = chance.look.random(5)
    kind = BORDERS[int(chance.frame.integers(len(BORDERS)))]
    mask = border_mask(kind, size, chance.frame)
    framed = bool(border < dirt.border)
    return _Look(
        inverted=bool(inverted < dirt.inverted),
        noisy=bool(noisy < dirt.noisy),
        fogged=bool(fogged < dirt.fog),
        shutter=bool(shutter < dirt.shutter),
        border=kind if framed else "",
        hidden=mask if framed else np.zeros(size, bool),
    )


def _sheet(
    at: tuple[int, int], laid: list[Laid], field: Field | None, dirt: Dirt, look: _Look, chance: _Chances
) -> _Sheet:
    """Expose limbs that lie on a plate."""
    size = laid[0].shape
    lit = np.ones(size, bool) if field is None else field.cover(size) > 0.99
    bone, owner = truth_masks(laid, field)
    hidden = look.hidden[at[0] : at[0] + size[0], at[1] : at[1] + size[1]]
    lead, marks = lead_letters(laid, bone, owner, hidden | ~lit, dirt, chance.marks)
    few, many = (float(np.exp(chance.quanta.uniform(*np.log(r)))) for r in ((1.5e3, 8e3), (4e4, 3e5)))
    exposure = Exposure(few if look.noisy else many, float(chance.quanta.uniform(0.2, 0.5)))
    logged = expose(laid, lead, field, exposure, chance.quanta)
    low, high = np.quantile(logged[lit & (lead == 0)][::7], (0.01, 0.996))
    shown = np.clip((logged - low) / max(high - low, 0.1), 0, 1) ** np.float32(chance.look.uniform(0.75, 1.2))
    return _Sheet(at, shown.astype(np.float32), tuple(laid), bone, owner, marks, field)


def _finished(kind: str, sheets: list[_Sheet], divided: str, look: _Look, dirt: Dirt, chance: _Chances) -> Plate:
    """Put the exposures on their plate, and do to it what machines, scanners and people do."""
    size = look.hidden.shape
    shown, lit = np.zeros(size, np.float32), np.zeros(size, bool)
    bone, owner, covered = np.zeros(size, bool), np.zeros(size, np.uint8), np.zeros(size, bool)
    limbs: list[Laid] = []
    marks: list[Mark] = []
    corners: list[Floats] = []
    for sheet in sheets:
        (row, column), (rows, columns) = sheet.at, sheet.bone.shape
        here = slice(row, row + rows), slice(column, column + columns)
        shown[here], bone[here], covered[here] = sheet.shown, sheet.bone, True
        owner[here] = np.where(sheet.owner > 0, sheet.owner + len(limbs), 0)
        lit[here] = True if sheet.field is None else sheet.field.cover((rows, columns)) > 0.5
        marks += [m.shifted(column, row) for m in sheet.marks]
        corners += [sheet.field.corners + np.array([column, row])] if sheet.field else []
        limbs += sheet.limbs
    shown = _developed(shown, look, chance.look)
    if look.shutter:
        shown[covered & ~lit] = 0
    shown[~covered] = divided.startswith("white")
    shown[look.hidden] = look.border != "black"
    bone &= ~look.hidden
    owner[look.hidden] = 0
    marks += paint(shown, bone, owner > 0, marks, dirt, chance.text)
    white = 2 ** int(chance.look.choice((8, 10, 12))) - 1
    return Plate(
        kind=kind,
        values=np.rint(shown * white).astype(np.uint16),
        white=white,
        inverted=look.inverted,
        parts=_limbs(limbs, owner, [s.at for s in sheets for _ in s.limbs]),
        bone=bone,
        body=owner > 0,
        owner=owner,
        markers=tuple(marks),
        collimation=_box_of(np.vstack(corners)) if corners else None,
        fields=tuple(corners),
        border=look.border,
        divided=divided,
        noisy=look.noisy,
        fogged=look.fogged,
        spacing_mm=limbs[0].pose.spacing_mm,
        subject=limbs[0].subject,
    )


def _developed(shown: Image, look: _Look, rng: Generator) -> Image:
    """A picture with its film grain, its veil, and the wrong way round if it is so."""
    rows, columns = shown.shape
    deviation, size, base, slope, heading = rng.uniform((0.02, 0.5, 0.12, 0.0, 0), (0.12, 1.2, 0.5, 0.3, 2 * np.pi))
    grain = rng.standard_normal((rows, columns), dtype=np.float32)
    if look.fogged:
        y, x = np.ogrid[-0.5 : 0.5 : rows * 1j, -0.5 : 0.5 : columns * 1j]
        veil = (base + slope * (x * np.cos(heading) + y * np.sin(heading))).astype(np.float32)
        shown = veil + (1 - veil) * shown
    if look.noisy:
        grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), size), np.float32)
        shown = shown + grain * np.float32(deviation / grain.std())
    shown = np.clip(shown, 0, 1)
    return 1 - shown if look.inverted else shown


def _limbs(laid: list[Laid], owner: NDArray[np.uint8], places: list[tuple[int, int]]) -> tuple[Limb, ...]:
    found = []
    for number, (limb, (row, column)) in enumerate(zip(laid, places, strict=True), start=1):
        rows, columns = (np.flatnonzero((owner == number).any(axis=k)) for k in (1, 0))
        x, y = (int(v[0]) if len(v) else 0 for v in (columns, rows))
        box = (x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1) if len(rows) else (0, 0, 0, 0)
        broken = fracture_box(limb)
        if broken is not None:
            broken = (broken[0] + column, broken[1] + row, broken[2], broken[3])
        found.append(Limb(limb.subject.site, limb.view, limb.subject.side, box, limb.pose.turn_deg, broken))
    return tuple(found)


def _box_of(corners: Floats) -> tuple[int, int, int, int]:
    low, high = np.rint(corners.min(axis=0)).astype(int), np.rint(corners.max(axis=0)).astype(int)
    return int(low[0]), int(low[1]), int(high[0] - low[0] + 1), int(high[1] - low[1] + 1)
