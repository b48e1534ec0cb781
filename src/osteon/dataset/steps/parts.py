"""One radiograph for each limb on a plate: the step that splits, its rule, and the published rule beside it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps.limb import limbs, shrunk
from osteon.types import Cover, Radiograph

Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]  # left, top, right, bottom


@dataclass(frozen=True)
class PartSplitter:
    """Make a radiograph of each limb, left to right and top to bottom; a plate with one limb stays as it is.

    Limbs are found by `osteon.dataset.steps.limb.limbs`. A part is the window about its limb; where another limb
    reaches into it, that one is hidden under the level of the ground. Judged is the whole source as its file shows it,
    whatever the frame by now, so that a part is recognised as one: the other limbs lie outside it or are hidden.

    Attributes:
        margin: what a window leaves around its limb, as a share of the plate's longer side.
    """

    margin: float = 0.03

    def __post_init__(self) -> None:
        if not 0 <= self.margin <= 0.5:
            raise ValueError(f"margin is a share of the plate from 0 to 0.5, not {self.margin!r}")

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        radiograph = frame.proxy_of(radiograph)
        plate = frame.as_filed(radiograph)
        seen = frame.seen(plate)
        found = limbs(seen)
        if len(found) < 2:
            return [_carrying(radiograph, found, plate, seen)]
        found = [limb for limb in found if _visible_share(radiograph, plate, seen.shape, limb) > 0.5]
        if len(found) < 2:
            return [_carrying(radiograph, found, plate, seen)]
        boxes = [_box(radiograph, plate, seen.shape, limb, self.margin) for limb in found]
        order = reading_order(boxes)
        parts = []
        for number, k in enumerate(order, start=1):
            left, top, right, bottom = boxes[k]
            part = frame.window(radiograph, top=top, left=left, height=bottom - top, width=right - left)
            covers = _covers(part, plate, seen, found, k)
            hidden = "; the other limbs in it hidden" if covers else ""
            note = f"part {number} of {len(found)}: {right - left} × {bottom - top} px from ({left}, {top}){hidden}"
            part = frame.with_limb(frame.covered(part, covers), found[k], plate)
            parts.append(frame.noted(part, note))
        return parts

    def __str__(self) -> str:
        return "make an image of each limb"


def split(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The parts of a (h, w) uint8 image that shows bone white, in reading order; the image itself if it has one."""
    return [frame.render(part) for part in PartSplitter()(Radiograph(image, 255))]


def otsu_parts(image: NDArray[np.uint8], least: float = 0.02) -> list[Mask]:
    """The rule of de Cid 2021, section 4.2: Otsu, components, without those small relative to the image.

    Args:
        image: (h, w) uint8.
        least: smallest share of the image that a part covers; the thesis gives no figure.

    Returns:
        (h, w) masks of the parts.
    """
    _, bright = cv2.threshold(image, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(bright)
    return [labels == k for k in range(1, count) if boxes[k, cv2.CC_STAT_AREA] >= least * image.size]


def reading_order(boxes: list[Box]) -> list[int]:
    """Indices of boxes (left, top, right, bottom) row by row, left to right in each.

    A box joins the row above if it shares half of its height, or of that of the row's first box, with that box.
    """
    rows: list[list[int]] = []
    for k in sorted(range(len(boxes)), key=lambda i: boxes[i][1] + boxes[i][3]):
        _, top, _, bottom = boxes[k]
        if rows:
            _, first_top, _, first_bottom = boxes[rows[-1][0]]
            shared = min(bottom, first_bottom) - max(top, first_top)
            if shared >= 0.5 * min(bottom - top, first_bottom - first_top):
                rows[-1].append(k)
                continue
        rows.append([k])
    return [k for row in rows for k in sorted(row, key=lambda i: boxes[i][0])]


def _carrying(radiograph: Radiograph, found: list[Mask], plate: Radiograph, seen: NDArray[np.uint8]) -> Radiograph:
    """The radiograph with its one limb, and with what was seen of its plate, for the steps after this one; unless it
    carries a limb, or none was found."""
    if radiograph.limb is not None or not found:
        return radiograph
    return frame.with_look(frame.with_limb(radiograph, found[0], plate), seen, plate)


def _to_source(
    plate: Radiograph, seen: tuple[int, ...], limb: Mask, points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n, 2) points (x, y) in pixels of a limb's mask as source pixels."""
    scale = np.array([seen[1] / limb.shape[1], seen[0] / limb.shape[0]])
    return frame.to_source(plate, (points + 0.5) * scale - 0.5)


def _to_frame(radiograph: Radiograph, source: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) source points in pixels of the present output."""
    matrix = frame.frame_of(radiograph).matrix
    inside: NDArray[np.float64] = (source - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    return inside


def _visible_share(radiograph: Radiograph, plate: Radiograph, seen: tuple[int, ...], limb: Mask) -> float:
    """Share of a limb that lies within the present output and under no cover."""
    rows, columns = np.nonzero(limb)
    source = _to_source(plate, seen, limb, np.column_stack([columns, rows]).astype(float))
    height, width = frame.frame_of(radiograph).size
    x, y = _to_frame(radiograph, source).T
    shown = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    block = max(1.0, radiograph.pixels.shape[0] / limb.shape[0], radiograph.pixels.shape[1] / limb.shape[1])
    hidden = np.zeros(limb.shape, np.uint8)
    for cover in frame.frame_of(radiograph).covers:
        cv2.fillPoly(hidden, [np.round((cover.points + 0.5) / block - 0.5).astype(np.int32)], 1)
    return float((shown & (hidden[rows, columns] == 0)).mean())


def _box(radiograph: Radiograph, plate: Radiograph, seen: tuple[int, ...], limb: Mask, margin: float) -> Box:
    """The window about a limb in the present output, with its margin."""
    rows, columns = np.nonzero(limb)
    centres = np.column_stack([columns, rows]).astype(float)
    points = _to_frame(radiograph, _to_source(plate, seen, limb, centres))
    height, width = frame.frame_of(radiograph).size
    # A mask's pixel is several pixels wide: half of it belongs to the box, and the margin holds that too.
    around = margin * max(height, width)
    low, high = points.min(axis=0) - around, points.max(axis=0) + around
    left, top = (max(0, int(np.floor(v))) for v in low)
    right, bottom = min(width, int(np.ceil(high[0])) + 1), min(height, int(np.ceil(high[1])) + 1)
    return min(left, width - 1), min(top, height - 1), max(right, left + 1), max(bottom, top + 1)


def _covers(part: Radiograph, plate: Radiograph, seen: NDArray[np.uint8], found: list[Mask], own: int) -> list[Cover]:
    """Patches that hide what of the other limbs reaches into a part, at the level of its ground."""
    small = shrunk(frame.proxy_pixels(plate), max(found[own].shape))
    anything = np.any(found, axis=0)
    height, width = frame.frame_of(part).size
    covers = []
    for k, other in enumerate(found):
        if k == own:
            continue
        grown = cv2.dilate(other.astype(np.uint8), np.ones((5, 5), np.uint8))
        grown[found[own]] = 0
        outlines, _ = cv2.findContours(grown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for outline in outlines:
            if len(outline) < 3:
                continue
            points = _to_source(plate, seen.shape, other, outline[:, 0, :].astype(float))
            low, high = (limit(_to_frame(part, points), axis=0) for limit in (np.min, np.max))
            if (low < (width, height)).all() and (high > -1).all():
                covers.append(Cover(points, _ground(small, anything, part)))
    return covers


def _ground(small: NDArray[np.uint8], anything: Mask, part: Radiograph) -> int:
    """The source value that is commonest beside limbs."""
    beside = small[: anything.shape[0], : anything.shape[1]][~anything[: small.shape[0], : small.shape[1]]]
    level = float(np.median(beside)) if beside.size else 0.0
    return round(level / 255 * part.white)
