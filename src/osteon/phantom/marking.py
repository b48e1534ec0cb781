"""Marks put on plates: lead letters in the beam, dots and text on the picture; never on bone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from osteon.phantom.dirt import Dirt
from osteon.phantom.exposures import Laid
from osteon.phantom.extras import LEAD
from osteon.phantom.marks import Mark, Mask, dot_stamp, draw_lines, letter_stamp, mark_at, place, text_stamp
from osteon.phantom.space import Image


def lead_letters(
    laid: list[Laid], bone: Mask, owner: NDArray[np.uint8], closed: Mask, dirt: Dirt, rng: Generator
) -> tuple[Image, tuple[Mark, ...]]:
    """Depth of lead letters that name the side of each limb, near it, off its bones; and their marks."""
    shape = (bone.shape[0], bone.shape[1])
    spacing = laid[0].pose.spacing_mm
    lead, marks = np.zeros(shape, np.float32), []
    for number, limb in enumerate(laid):
        wanted, over_skin = rng.random(2) < (dirt.letter, 0.2)
        text = limb.subject.side + (str(rng.choice(_INITIALS)) if rng.random() < 0.15 else "")
        height = max(9.0, float(rng.uniform(6, 13)) / spacing)
        turn = float(rng.choice((0.0, 0.0, 0.0, 90.0, 180.0, -90.0)) + rng.normal(0, 8))
        stamp = letter_stamp(text, height, turn, rng)
        taken = cv2.dilate((bone if over_skin else owner > 0).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        taken |= (lead > 0) | closed
        for other in laid[:number] + laid[number + 1 :]:
            taken |= _nearer(other, limb, shape)
        at = place(stamp, taken, rng, margin_px=0.08 * min(shape), corners=False)
        if wanted and at is not None:
            here = slice(at[0], at[0] + stamp.shape[0]), slice(at[1], at[1] + stamp.shape[1])
            lead[here] += LEAD * np.float32(rng.uniform(0.45, 1)) * stamp
            marks.append(mark_at("letter", text, stamp, at))
    return lead, tuple(marks)


def _nearer(first: Laid, second: Laid, shape: tuple[int, int]) -> Mask:
    """Where a plate is nearer to the middle of one limb than to that of another: one side of a straight line."""
    x, y = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)[:, None]
    a, b = np.array(first.pose.at), np.array(second.pose.at)
    return np.asarray((x * (a - b)[0] + y * (a - b)[1]) > (a @ a - b @ b) / 2)


_INITIALS = (" AB", " MK", "1", "2", " 7", " JR", "T")


def paint(shown: Image, bone: Mask, body: Mask, marks: list[Mark], dirt: Dirt, rng: Generator) -> list[Mark]:
    """Paint a dot and lines of text on a picture, off its bones, in a grey that is seen; returns their marks."""
    shape = shown.shape
    dotted, lettered, over_skin, boxed = rng.random(4) < (dirt.dot, dirt.text, 0.25, 0.2)
    taken = cv2.dilate((bone if over_skin else body).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for mark in marks:
        x, y, width, height = mark.box
        taken[y : y + height, x : x + width] = True
    dot, grey = dot_stamp(float(rng.uniform(0.008, 0.022)) * max(shape), rng)
    lines = draw_lines(rng)
    stamp = text_stamp(lines, float(rng.uniform(0.012, 0.026)) * max(shape), rng)
    found = []
    for kind, said, wanted, drawn in (("dot", "", dotted, dot), ("text", "\n".join(lines), lettered, stamp)):
        at = place(drawn, taken, rng, margin_px=0.03 * min(shape), corners=bool(rng.random() < 0.8))
        if not wanted or at is None:
            continue
        here = slice(at[0], at[0] + drawn.shape[0]), slice(at[1], at[1] + drawn.shape[1])
        ground = float(np.median(shown[here]))
        ink = grey if kind == "dot" and abs(grey - ground) > 0.25 else float(ground < 0.6)
        if kind == "text" and (boxed or shown[here].std() > 0.2):  # on the edge of a field, only a box makes it legible
            shown[here] = 1 - ink
        shown[here] += drawn * (ink - shown[here])
        taken[here] = True
        found.append(mark_at(kind, said, drawn, at))
    return found
