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


def covered_points(image: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    (done,) = MarkerRemoval()(Radiograph(image, 255))
    return [cover.points for cover in frame.frame_of(done).covers]


@pytest.mark.parametrize("size", [500, 560, 900, 1300])
def test_a_letter_is_covered_at_any_size_of_the_plate(size: int) -> None:
    image = cv2.resize(a_radiograph(500, 400).pixels.astype(np.uint8), (size * 4 // 5, size)).astype(np.uint8)
    height = size / 28  # 9 px of a proxy of 512 px at most: whole blocks may leave it half as large
    scale = cv2.getFontScaleFromHeight(cv2.FONT_HERSHEY_SIMPLEX, round(height), max(2, round(height / 7)))
    at = round(0.72 * size), round(0.2 * size)
    cv2.putText(image, "R", at, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, max(2, round(height / 7)), cv2.LINE_AA)
    (points,) = covered_points(image)
    assert points.mean(axis=0) == pytest.approx([at[0] + height / 2, at[1] - height / 2], abs=0.4 * height)


def test_a_letter_beside_a_frame_or_across_the_line_about_a_field_is_covered() -> None:
    framed, lined = a_marked_image("letter"), a_marked_image("letter")
    framed[:, 328:] = 255  # the letter ends at 321
    lined[20:480, 310:312] = 230  # and begins at 302
    for image in (framed, lined):
        assert any(
            cv2.pointPolygonTest(points.astype(np.float32), (308, 88), False) > 0 for points in covered_points(image)
        )


def test_the_holes_of_a_plate_stay() -> None:
    image = a_marked_image("")
    cv2.rectangle(image, (155, 120), (173, 380), 250, -1)  # metal on the shaft
    for row in range(140, 380, 40):
        cv2.circle(image, (164, row), 4, 120, -1)
    assert (without_marks(image) == image).all()


def test_a_bangle_stays_with_the_wrist_in_it() -> None:
    image = np.full((500, 400), 60, np.uint8)
    image[:, 180:192] = image[:, 206:222] = 95  # two faint bones
    cv2.ellipse(image, (200, 250), (32, 24), 0, 0, 360, 255, 3)
    assert (without_marks(image) == image).all()


def test_only_what_the_frame_shows_is_looked_at() -> None:
    image = np.maximum(a_marked_image("letter"), a_marked_image("dot"))
    lower = frame.window(Radiograph(image, 255), top=250, left=0, height=250, width=400)
    (done,) = MarkerRemoval()(lower)
    (cover,) = frame.frame_of(done).covers
    assert done.notes == ("covered 1 dot",)
    assert cover.points.mean(axis=0) == pytest.approx([320, 400], abs=1)
    nothing = frame.window(Radiograph(image, 255), top=600, left=500, height=50, width=50)
    assert MarkerRemoval()(nothing)[0].notes == ()


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
    assert found >= 0.8 * marks  # half the size of the plates that the results are reported on
