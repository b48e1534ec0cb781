"""The nouns refuse what they cannot mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.types import Box, Calibration, Estimate, Finding, Frame, Header, Radiograph, Refusal


def test_a_header_takes_only_known_views_and_sides() -> None:
    assert Header(view="LAT", laterality="L").view == "LAT"
    with pytest.raises(ValueError, match="view"):
        Header(view="sideways")
    with pytest.raises(ValueError, match="laterality"):
        Header(laterality="left")


def test_a_refusal_takes_only_documented_codes() -> None:
    with pytest.raises(ValueError, match="code"):
        Refusal("x.dcm", "because", "no reason")


def test_a_radiograph_is_a_grey_plane_of_8_or_16_bits() -> None:
    for wrong in (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32)):
        with pytest.raises(ValueError, match="radiograph"):
            Radiograph(pixels=wrong, white=255)  # type: ignore[arg-type]


def test_a_frame_has_a_two_by_three_matrix_and_a_size() -> None:
    grey = np.arange(256, dtype=np.uint8)
    with pytest.raises(ValueError, match="matrix"):
        Frame(np.eye(3), (4, 4), grey)
    with pytest.raises(ValueError, match="size"):
        Frame(np.eye(3)[:2], (0, 4), grey)


def test_a_probability_lies_between_none_and_all() -> None:
    with pytest.raises(ValueError, match="probability"):
        Finding("fracture", 1.2)


@pytest.mark.parametrize(
    "corners", [(-1, 0, 5, 5), (0, -0.1, 5, 5), (0, 0, 0, 5), (0, 0, 5, -2), (math.nan, 0, 5, 5), (0, 0, math.inf, 5)]
)
def test_a_box_has_a_place_and_a_size(corners: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"a box .* not Box\(x="):
        Box(*corners, score=0.5)
    with pytest.raises(ValueError, match="five finite numbers"):
        Box(0, 0, 1, 1, score=math.nan)


def test_a_finding_without_a_place_has_no_boxes() -> None:
    assert Finding("fracture", 0.4).boxes == ()
    assert Finding("fracture", 0.4, (Box(3, 4, 10, 12, score=7.5),)).boxes[0].score == 7.5


@given(st.floats(0.01, 50), st.floats(-20, 20), st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=9))
def test_calibration_keeps_the_order_and_stays_a_probability(
    slope: float, intercept: float, scores: list[float]
) -> None:
    ordered = np.sort(np.array(scores))
    p = Calibration(slope, intercept, n=10, prevalence=0.5)(ordered)
    assert np.all(np.diff(p) >= 0)
    assert np.all((p >= 0) & (p <= 1))


def test_an_estimate_prints_its_interval_or_why_there_is_none() -> None:
    assert str(Estimate(0.8812, 0.85, 0.914)) == "0.881 (0.850 to 0.914)"
    assert str(Estimate(math.nan, note="one class only")) == "not available (one class only)"
