from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.random import default_rng

from osteon.dataset import frame
from osteon.dataset.steps import PartSplitter
from osteon.dataset.steps.limb import limbs
from osteon.dataset.steps.parts import otsu_parts, reading_order, split
from osteon.phantom.plates import CLEAN, Plate, draw_plate
from osteon.types import Radiograph
from tests.dataset.steps.making import FRACATLAS, radiographs


def a_plate(kind: str, seed: int) -> Plate:
    return draw_plate(default_rng([7, seed]), kind=kind, rows=480, columns=400, dirt=CLEAN)


@pytest.mark.parametrize("kind", ["two", "joined", "wrist", "hand", "leg"])
def test_a_plate_becomes_as_many_images_as_it_shows_limbs(kind: str) -> None:
    for seed in range(4):
        plate = a_plate(kind, seed)
        assert len(PartSplitter()(plate.radiograph())) == len(plate.parts)


@pytest.mark.parametrize("kind", ["two", "joined", "wrist"])
def test_what_the_step_has_seen_changes_nothing_for_those_after_it(kind: str) -> None:
    for part in PartSplitter()(a_plate(kind, 1).radiograph()):
        assert (frame.seen(part) == frame.seen(replace(part, look=None))).all()


def test_each_part_shows_one_limb_nearly_whole_and_little_of_the_other() -> None:
    for seed in range(4):
        plate = a_plate("two", seed)
        owners = []
        for part in PartSplitter()(plate.radiograph()):
            rows, columns = np.nonzero(plate.owner > 0)
            matrix = frame.frame_of(part).matrix
            height, width = frame.frame_of(part).size
            x, y = columns - matrix[0, 2], rows - matrix[1, 2]
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            hidden = np.zeros(plate.owner.shape, np.uint8)
            for cover in frame.frame_of(part).covers:
                cv2.fillPoly(hidden, [np.round(cover.points).astype(np.int32)], 1)
            shown = inside & (hidden[rows, columns] == 0)
            shares = [float(shown[plate.owner[rows, columns] == k].mean()) for k in (1, 2)]
            assert max(shares) > 0.95
            assert min(shares) < 0.1
            owners.append(int(np.argmax(shares)))
        assert sorted(owners) == [0, 1]


def test_a_part_is_a_part_for_good() -> None:
    for seed in range(3):
        for part in PartSplitter()(a_plate("joined", seed).radiograph()):
            assert PartSplitter()(part) == [part]


@settings(max_examples=60)
@given(image=radiographs())
def test_whatever_the_image_every_part_is_left_alone_the_second_time(image: Radiograph) -> None:
    parts = PartSplitter()(image)
    assert parts
    for part in parts:
        (again,) = PartSplitter()(part)
        assert again.notes == part.notes
        assert (frame.render(again) == frame.render(part)).all()


def test_where_boxes_overlap_the_other_limb_is_hidden_under_the_ground() -> None:
    image = np.full((300, 300), 20, np.uint8)
    for start, end in (((20, 180), (180, 20)), ((100, 270), (270, 100))):  # two slanting bars, whose boxes overlap
        cv2.line(image, start, end, 120, 40)
        cv2.line(image, start, end, 220, 14)
    first, second = PartSplitter()(Radiograph(image, 255))
    for part, hidden_at in ((first, (170, 200)), (second, (110, 100))):
        shown = frame.render(part)
        left, top = frame.frame_of(part).matrix[:, 2].astype(int)
        x, y = hidden_at[0] - left, hidden_at[1] - top
        if 0 <= x < shown.shape[1] and 0 <= y < shown.shape[0]:
            assert shown[y, x] < 60
        bone = float((shown > 190).sum()) / float((image > 190).sum())
        assert 0.42 < bone < 0.58
        assert "hidden" in part.notes[-1]


def test_an_image_of_one_limb_is_not_touched() -> None:
    radiograph = a_plate("wrist", 1).radiograph()
    (same,) = PartSplitter()(radiograph)
    assert same.notes == ()
    assert (frame.render(same) == frame.render(radiograph)).all()


def test_limbs_that_touch_are_parted_where_a_dark_valley_runs_between_them() -> None:
    image = np.full((256, 260), 10, np.uint8)
    for x in (75, 185):
        cv2.line(image, (x, 0), (x, 255), 90, 58)
        cv2.line(image, (x, 0), (x, 255), 230, 22)
    image[:60, 100:160] = np.maximum(image[:60, 100:160], 60)  # soft tissue of both touches above
    assert len(limbs(image)) == 2


def test_parts_are_read_row_by_row_from_left_to_right() -> None:
    boxes = [(100, 0, 190, 90), (0, 5, 90, 95), (0, 120, 90, 200), (100, 110, 190, 190)]
    order = reading_order(boxes)
    assert order == [1, 0, 2, 3]
    for one, other in pairwise(order):
        assert boxes[one][1] + 60 < boxes[other][1] or boxes[one][0] < boxes[other][0]


def test_the_published_rule_counts_what_otsu_leaves() -> None:
    image = np.full((100, 100), 10, np.uint8)
    image[10:90, 10:40] = image[10:90, 60:80] = 200
    image[2:5, 2:5] = 250  # a marker is too small to be a part
    assert [int(part.sum()) for part in otsu_parts(image)] == [80 * 30, 80 * 20]
    assert len(otsu_parts(image, least=0.2)) == 1


def test_margins_are_shares() -> None:
    with pytest.raises(ValueError, match="margin is a share"):
        PartSplitter(margin=2)


@pytest.mark.shared
def test_real_plates_with_two_limbs_are_split() -> None:
    for name in ("fa0c14", "fa2fe7", "faa7a4", "fabc24"):
        (path,) = FRACATLAS.glob(f"{name}*.jpg")
        assert len(split(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8))) == 2


def test_each_part_carries_its_own_limb_for_the_steps_after_it() -> None:
    for seed in range(3):
        plate = a_plate("two", seed)
        for part in PartSplitter()(plate.radiograph()):
            assert part.limb is not None
            matrix = part.limb.matrix
            rows, columns = np.nonzero(part.limb.mask)
            x, y = np.rint(matrix[:, :2] @ [columns, rows] + matrix[:, 2:]).astype(int)
            height, width = plate.owner.shape
            owners = plate.owner[y.clip(0, height - 1), x.clip(0, width - 1)]
            assert max(np.mean(owners == 1), np.mean(owners == 2)) > 0.85


def test_a_pale_stripe_along_a_side_is_no_limb_but_one_with_a_bone_in_it_is() -> None:
    image = np.full((300, 300), 10, np.uint8)
    for left in (60, 240):
        image[30:270, left : left + 60] = 90
    image[40:260, 75:105] = 220
    assert len(limbs(image)) == 1
    image[40:260, 255:285] = 220
    assert len(limbs(image)) == 2
