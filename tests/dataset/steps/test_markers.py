from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.random import default_rng
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.dataset.steps import MarkerRemoval
from osteon.dataset.steps.markers import find_marks, without_marks
from osteon.phantom.plates import KINDS, draw_plate
from osteon.types import Radiograph
from tests.make import a_radiograph


def a_marked_image(kind: str) -> NDArray[np.uint8]:
    image = a_radiograph(500, 400).pixels.astype(np.uint8)
    if kind == "letter":
        cv2.putText(image, "L", (300, 100), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 5)
    if kind == "dot":
        cv2.circle(image, (320, 400), 12, 255, -1)
    if kind == "text":
        cv2.putText(image, "12.05.1998", (230, 480), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    return image


@pytest.mark.parametrize("kind", ["letter", "dot", "text"])
@pytest.mark.parametrize("negative", [False, True])
def test_a_mark_is_found_named_and_covered(kind: str, negative: bool) -> None:
    image, clean = a_marked_image(kind), a_marked_image("")
    changed = image != clean
    if negative:
        image, clean = (255 - image).astype(np.uint8), (255 - clean).astype(np.uint8)
    (mark,) = find_marks(image)
    assert mark.kind == kind
    inside = np.zeros(image.shape, np.uint8)
    cv2.fillPoly(inside, [np.round(mark.polygon).astype(np.int32)], 1)
    assert changed[inside > 0].sum() == changed.sum()
    assert np.abs(without_marks(image).astype(int) - clean)[changed].max() < 20
    assert (without_marks(image) == image)[inside == 0].mean() > 0.999


def test_what_is_covered_can_be_chosen_and_is_said() -> None:
    image = np.maximum(a_marked_image("letter"), a_marked_image("dot"))
    (both,) = MarkerRemoval()(Radiograph(image, 255))
    (dots,) = MarkerRemoval(letters=False)(Radiograph(image, 255))
    assert both.notes == ("covered 1 letter, 1 dot",)
    assert dots.notes == ("covered 1 dot",)
    assert (frame.render(dots) != frame.render(both)).any()


@pytest.mark.parametrize("x", [125, 150, 190])
def test_a_mark_on_bone_stays(x: int) -> None:
    image = a_marked_image("")
    cv2.putText(image, "R", (x, 250), cv2.FONT_HERSHEY_SIMPLEX, 1.2, 255, 5)  # the shaft lies at 133 to 200
    assert (without_marks(image) == image).all()


def test_marks_of_a_large_image_lie_where_they_are_in_it() -> None:
    small = a_marked_image("dot")
    large = cv2.resize(small, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    (there,), (here,) = find_marks(large), find_marks(small)
    assert there.polygon.mean(axis=0) == pytest.approx(4 * here.polygon.mean(axis=0) + 1.5, abs=4)


def test_marks_of_phantom_plates_are_covered_and_bone_is_not() -> None:
    marks = found = hurt = 0
    for seed in range(24):
        plate = draw_plate(default_rng((4_100, seed)), kind=KINDS[seed % len(KINDS)], rows=450, columns=350)
        (done,) = MarkerRemoval()(plate.radiograph())
        covers = np.zeros(plate.values.shape, np.uint8)
        for cover in frame.frame_of(done).covers:
            cv2.fillPoly(covers, [np.round(cover.points).astype(np.int32)], 1)
        hurt += bool((plate.bone & (covers > 0)).any())
        for mark in plate.markers:
            x, y, width, height = mark.box
            marks += 1
            found += bool(covers[max(0, y) : y + height, max(0, x) : x + width].mean() >= 0.5)
    assert hurt <= 1
    assert found >= 0.75 * marks  # half the size of the plates that the results are reported on
