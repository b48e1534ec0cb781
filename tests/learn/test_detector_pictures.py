"""Boxes are drawn where they lie, whatever they are, and the rest of the picture stays as it was."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.dataset.placement import Placement
from osteon.learn.detector.lesions import on_file
from osteon.learn.detector.pictures import LINE, boxed, heat_of

SIZE = (90, 120)
INSIDE = st.tuples(st.floats(0, 100), st.floats(0, 70), st.floats(1, 20), st.floats(1, 20))


def grey() -> np.ndarray:
    return np.full((*SIZE, 3), 90, np.uint8)


def test_a_box_is_drawn_along_its_edges_with_its_score_above() -> None:
    picture = grey()
    drawn = boxed(picture, np.array([[30.0, 40, 50, 30]]), np.array([0.87]))
    changed = (drawn != picture).any(axis=2)
    assert (drawn[40, 30:80] == LINE).all() and (drawn[69, 30:80] == LINE).all()
    assert (drawn[40:70, 30] == LINE).all() and (drawn[40:70, 79] == LINE).all()
    assert not changed[43:67, 33:77].any(), "what is boxed stays in view"
    assert changed[20:38].any() and not changed[73:].any()
    assert (picture == 90).all(), "the picture that was given is left as it was"


def test_without_boxes_nothing_is_drawn() -> None:
    assert np.array_equal(boxed(grey(), np.empty((0, 4)), np.empty(0)), grey())


@settings(max_examples=60)
@given(box=INSIDE, score=st.floats(0, 1))
def test_every_box_can_be_drawn_and_its_score_stays_in_the_picture(
    box: tuple[float, float, float, float], score: float
) -> None:
    drawn = boxed(grey(), np.array([box]), np.array([score]))
    assert drawn.shape == (*SIZE, 3) and drawn.dtype == np.uint8
    outside = np.ones(SIZE, bool)
    x, y, width, height = box
    outside[max(0, int(y) - 2) : int(y + height) + 3, max(0, int(x) - 2) : int(x + width) + 3] = False
    assert ((drawn != 90).any(axis=2) & outside).any(), "the score is drawn beside the box"


def test_a_lesion_map_is_shown_in_probabilities_at_the_size_of_its_image() -> None:
    cells = np.full((6, 8), -20.0)
    cells[2, 3] = 20.0
    heat = heat_of(cells, 16, SIZE)
    assert heat.shape == SIZE
    row, column = np.unravel_index(int(heat.argmax()), SIZE)
    assert 32 <= row < 48 and 48 <= column < 64 and heat.max() > 0.9 and heat[0, 0] < 1e-6


@settings(max_examples=80)
@given(
    boxes=st.lists(INSIDE, max_size=4),
    degrees=st.floats(-180, 180),
    scale=st.floats(0.2, 5),
    shift=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    size=st.tuples(st.integers(32, 500), st.integers(32, 500)),
)
def test_boxes_on_a_file_never_leave_it(
    boxes: list[tuple[float, float, float, float]],
    degrees: float,
    scale: float,
    shift: tuple[float, float],
    size: tuple[int, int],
) -> None:
    cosine, sine = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    matrix = np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])
    corners, scores = np.array(boxes).reshape(-1, 4), np.linspace(0.9, 0.1, len(boxes))
    found = on_file(corners, scores, Placement(SIZE, matrix), size)
    for box in found:
        assert box.x >= 0 and box.y >= 0 and box.width > 0 and box.height > 0
        assert box.x + box.width <= size[1] + 1e-9 and box.y + box.height <= size[0] + 1e-9
    assert [box.score for box in found] == sorted((box.score for box in found), reverse=True)
