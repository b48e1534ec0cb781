"""Peaks and boxes of lesion maps are those of the hills that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.dataset.placement import Placement
from osteon.learn.detector.box_targets import covered, reaches
from osteon.learn.detector.lesions import FINE, BoxRule, boxes_of, on_file, peak_of
from osteon.types import Box

SIZE = (224, 192)


def maps_of(*boxes: tuple[float, float, float, float], height: float = 0.9) -> NDArray[np.float64]:
    """(5, 14, 12) of a network that is sure of the share of each cell that these boxes cover, and knows their edges."""
    drawn = np.array(boxes).reshape(-1, 4)
    probability = 0.001 + height * covered(drawn, SIZE, 16)
    edges = np.nan_to_num(reaches(drawn, SIZE, 16), nan=0.05)
    return np.concatenate([np.log(probability / (1 - probability))[None], np.log(edges)])


@settings(max_examples=50)
@given(x=st.floats(0, 120), y=st.floats(0, 150), width=st.floats(20, 70), height=st.floats(20, 70))
def test_the_peak_lies_in_the_box_and_the_box_is_found_again(x: float, y: float, width: float, height: float) -> None:
    box = (x, y, width, height)
    px, py, sure = peak_of(maps_of(box)[0], 16, SIZE)
    assert x - FINE <= px <= x + width + FINE and y - FINE <= py <= y + height + FINE and 0 < sure < 1
    found, scores = boxes_of(maps_of(box), 16, SIZE, BoxRule(most=1))
    assert len(found) == len(scores) == 1
    assert np.allclose(found[0], box, atol=0.01)


def test_a_box_that_covers_the_same_as_a_higher_one_is_left_out() -> None:
    maps = maps_of((32.0, 48, 64, 96))
    assert (np.exp(maps[0]) == np.exp(maps[0]).max()).sum() > 1, "several cells are as sure as one another"
    assert len(boxes_of(maps, 16, SIZE)[0]) == 1
    # Two boxes that share a third of what they cover together, each at a top of its own.
    one, other = (16.0, 16, 64, 64), (48.0, 16, 64, 64)
    maps = maps_of(one, other)
    maps[0] = -8
    for column, (x, y, width, height), sure in ((2, one, 2.0), (5, other, 1.0)):
        middle = np.array([(column + 0.5) * 16, 2.5 * 16])
        reach = [middle[0] - x, middle[1] - y, x + width - middle[0], y + height - middle[1]]
        maps[:, 2, column] = sure, *np.log(np.array(reach) / [192, 224, 192, 224])
    found, scores = boxes_of(maps, 16, SIZE, BoxRule(overlap=0.34))
    assert np.allclose(found, [one, other]) and np.allclose(scores, 1 / (1 + np.exp([-2.0, -1.0])))
    assert np.allclose(boxes_of(maps, 16, SIZE, BoxRule(overlap=0.33))[0], [one])


def test_hills_come_in_the_order_of_their_height_and_no_more_than_asked_for() -> None:
    high, low = (16.0, 16, 48, 48), (112.0, 144, 48, 48)
    maps = maps_of(high, low)
    maps[0] = np.maximum(maps_of(high, height=0.9)[0], maps_of(low, height=0.5)[0])
    found, scores = boxes_of(maps, 16, SIZE)
    assert np.allclose(found, [high, low]) and scores[0] > scores[1]
    assert len(boxes_of(maps, 16, SIZE, BoxRule(most=1))[0]) == 1
    assert len(boxes_of(maps, 16, SIZE, BoxRule(least=0.95))[0]) == 0


def test_a_map_without_hills_points_somewhere_and_draws_nothing() -> None:
    found, scores = boxes_of(maps_of(), 16, SIZE)
    assert found.shape == (0, 4) and scores.shape == (0,)
    x, y, sure = peak_of(maps_of()[0], 16, SIZE)
    assert 0 < x < SIZE[1] and 0 < y < SIZE[0] and sure == pytest.approx(0.001, rel=0.1)


def test_nothing_is_found_beyond_an_image_whose_last_cells_reach_over_its_edge() -> None:
    size = (218, 185)  # 14 × 12 cells as well
    x, y, _ = peak_of(maps_of((176.0, 208, 16, 16))[0], 16, size)
    assert x < 185 and y < 218
    found, _ = boxes_of(maps_of((170.0, 200, 22, 24)), 16, size)
    assert len(found)
    assert (found[:, :2] + found[:, 2:] <= np.array([185, 218])).all()


@pytest.mark.parametrize("wrong", [{"least": 0}, {"overlap": 1}, {"most": 0}])
def test_a_rule_that_finds_everything_or_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="least and overlap"):
        BoxRule(**wrong)


def test_found_boxes_become_boxes_on_the_file() -> None:
    # A file of 100 × 200 pixels (height, width), fitted into a square of 100: padded above and below.
    placement = Placement((100, 100), np.array([[2.0, 0, 0.5], [0, 2.0, -49.5]]))
    found = np.array([[10.0, 30, 20, 10], [10.0, 20, 20, 10], [0.0, 0, 30, 10]])
    boxes = on_file(found, np.array([0.9, 0.5, 0.1]), placement, (100, 200))
    assert boxes == (Box(20.0, 10.0, 40.0, 20.0, 0.9), Box(20.0, 0.0, 40.0, 10.0, 0.5))
