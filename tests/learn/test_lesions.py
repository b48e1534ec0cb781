"""Peaks and boxes of lesion maps are those of the hills that were planted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.dataset.placement import Placement
from osteon.evaluate.localisation import iou
from osteon.learn.detector.box_targets import covered
from osteon.learn.detector.lesions import FINE, BoxRule, boxes_of, on_file, peak_of
from osteon.types import Box

SIZE = (224, 192)


def a_map(*boxes: tuple[float, float, float, float], height: float = 0.9) -> NDArray[np.float64]:
    """Log odds (14, 12) of a network that is sure of the share of each cell that these boxes cover."""
    shares = covered(np.array(boxes).reshape(-1, 4), SIZE, 16)
    probability = 0.001 + height * shares
    return np.log(probability / (1 - probability))


@settings(max_examples=50)
@given(x=st.floats(0, 120), y=st.floats(0, 150), width=st.floats(20, 70), height=st.floats(20, 70))
def test_the_peak_lies_in_the_box_and_the_box_is_found_again(x: float, y: float, width: float, height: float) -> None:
    box = (x, y, width, height)
    px, py, sure = peak_of(a_map(box), 16, SIZE)
    assert x - FINE <= px <= x + width + FINE and y - FINE <= py <= y + height + FINE and 0 < sure < 1
    found, scores = boxes_of(a_map(box), 16, SIZE)
    assert len(found) == len(scores) == 1
    assert iou(found, np.array([box]))[0, 0] > 0.4
    assert (found[:, :2] >= 0).all() and (found[0, :2] + found[0, 2:] <= np.array(SIZE[::-1])).all()


def test_a_large_box_is_found_nearly_as_it_is() -> None:
    box = (32.0, 48, 64, 96)
    found, _ = boxes_of(a_map(box), 16, SIZE)
    assert iou(found, np.array([box]))[0, 0] > 0.85


def test_a_faint_hill_is_as_wide_as_a_clear_one() -> None:
    box = (32.0, 48, 64, 96)
    (clear,), (high,) = boxes_of(a_map(box), 16, SIZE)
    (faint,), (low,) = boxes_of(a_map(box, height=0.2), 16, SIZE)
    assert low < 0.3 < high
    assert iou(clear[None], faint[None])[0, 0] > 0.75


def test_hills_come_in_the_order_of_their_height_and_no_more_than_asked_for() -> None:
    high, low = (16.0, 16, 48, 48), (112.0, 144, 48, 48)
    odds = np.maximum(a_map(high, height=0.9), a_map(low, height=0.5))
    found, scores = boxes_of(odds, 16, SIZE)
    assert len(found) == 2 and scores[0] > scores[1]
    assert iou(found, np.array([high, low])).diagonal().min() > 0.6
    assert len(boxes_of(odds, 16, SIZE, BoxRule(most=1))[0]) == 1
    assert len(boxes_of(odds, 16, SIZE, BoxRule(least=0.95))[0]) == 0


def test_a_map_without_hills_points_somewhere_and_draws_nothing() -> None:
    found, scores = boxes_of(a_map(), 16, SIZE)
    assert found.shape == (0, 4) and scores.shape == (0,)
    x, y, sure = peak_of(a_map(), 16, SIZE)
    assert 0 < x < SIZE[1] and 0 < y < SIZE[0] and sure == pytest.approx(0.001, rel=0.1)


def test_nothing_is_found_beyond_an_image_whose_last_cells_reach_over_its_edge() -> None:
    size = (218, 185)  # 14 × 12 cells as well
    x, y, _ = peak_of(a_map((176.0, 208, 16, 16)), 16, size)
    assert x < 185 and y < 218
    found, _ = boxes_of(a_map((170.0, 200, 22, 24)), 16, size)
    assert (found[:, :2] + found[:, 2:] <= np.array([185, 218])).all()


@pytest.mark.parametrize("wrong", [{"least": 0}, {"share": 1}, {"most": 0}])
def test_a_rule_that_finds_everything_or_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="least and share"):
        BoxRule(**wrong)


def test_found_boxes_become_boxes_on_the_file() -> None:
    # A file of 100 × 200 pixels (height, width), fitted into a square of 100: padded above and below.
    placement = Placement((100, 100), np.array([[2.0, 0, 0.5], [0, 2.0, -49.5]]))
    found = np.array([[10.0, 30, 20, 10], [10.0, 20, 20, 10], [0.0, 0, 30, 10]])
    boxes = on_file(found, np.array([0.9, 0.5, 0.1]), placement, (100, 200))
    assert boxes == (Box(20.0, 10.0, 40.0, 20.0, 0.9), Box(20.0, 0.0, 40.0, 10.0, 0.5))
