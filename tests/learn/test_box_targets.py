"""Targets say how much of a cell a box covers, counted here pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.learn.detector.box_targets import TARGETS, covered, grid_of, mirrored, reaches, seen_in, soft

SIZE = (48, 70)  # 16 does not divide 70

boxes_in_pixels = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30)), max_size=3
).map(lambda boxes: np.array(boxes, float).reshape(-1, 4))


def painted(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """(k, height, width) one image for each box, padded to whole cells."""
    rows, columns = grid_of(size, 16)
    images = np.zeros((len(boxes), rows * 16, columns * 16), bool)
    for image, (x, y, width, height) in zip(images, boxes.astype(int), strict=True):
        image[y : y + height, x : x + width] = True
    return images


@settings(max_examples=100)
@given(boxes=boxes_in_pixels)
def test_a_cell_is_the_share_of_its_pixels_that_a_box_covers(boxes: NDArray[np.float64]) -> None:
    found = covered(boxes, SIZE, 16)
    images = painted(boxes, SIZE)
    shares = images.reshape(len(boxes), 3, 16, 5, 16).mean(axis=(2, 4))
    wanted = shares.max(axis=0) if len(boxes) else np.zeros((3, 5))
    assert found.shape == (3, 5) and found.dtype == np.float32
    assert np.abs(found - wanted).max() < 1e-6


@settings(max_examples=60)
@given(boxes=boxes_in_pixels)
def test_the_targets_of_a_flip_are_those_of_the_flipped_image(boxes: NDArray[np.float64]) -> None:
    inside = boxes[(boxes[:, 0] + boxes[:, 2] <= SIZE[1]) & (boxes[:, 1] + boxes[:, 3] <= SIZE[0])]
    images = painted(inside, SIZE)[:, : SIZE[0], : SIZE[1]]
    for flip, axes in enumerate(((), (2,), (1,), (1, 2))):
        flipped = np.flip(images, axes) if axes else images
        whole = np.pad(flipped, ((0, 0), (0, 0), (0, 10)))
        shares = whole.reshape(len(inside), 3, 16, 5, 16).mean(axis=(2, 4))
        wanted = shares.max(axis=0) if len(inside) else np.zeros((3, 5))
        assert np.abs(covered(seen_in(inside, SIZE, flip, flips=4), SIZE, 16) - wanted).max() < 1e-6


def test_flipped_twice_a_box_is_where_it_was() -> None:
    box = np.array([[3.0, 4, 10, 20]])
    for flip in range(4):
        assert np.array_equal(mirrored(mirrored(box, SIZE, flip), SIZE, flip), box)


def test_a_hill_stands_in_the_middle_of_its_box_and_falls_to_its_edges() -> None:
    hill = soft(np.array([[32.0, 16, 48, 48]]), (96, 112), 16)
    assert np.unravel_index(hill.argmax(), hill.shape) == (2, 3) and hill.max() == 1
    assert np.allclose(hill[1], hill[3]) and np.allclose(hill[:, 2], hill[:, 4])
    assert hill[2, 3] > hill[2, 2] > hill[2, 1] and hill[0].max() < 0.05


def test_a_crack_narrower_than_a_cell_is_taught_as_surely() -> None:
    crack = np.array([[40.0, 20, 2, 30]])
    assert soft(crack, (96, 112), 16).max() == 1
    assert covered(crack, (96, 112), 16).max() == 2 / 16


def test_no_boxes_teach_empty_cells() -> None:
    for target in TARGETS.values():
        assert not target(np.empty((0, 4)), SIZE, 16).any()


@settings(max_examples=60)
@given(boxes=boxes_in_pixels)
def test_the_reaches_of_a_cell_give_its_box_back(boxes: NDArray[np.float64]) -> None:
    found = reaches(boxes, SIZE, 16)
    height, width = SIZE
    inside = ~np.isnan(found).any(axis=0)
    assert (np.isnan(found).any(axis=0) == np.isnan(found).all(axis=0)).all()
    for row, column in np.ndindex(3, 5):
        x, y = column * 16 + 8, row * 16 + 8
        about = [b for b in boxes.tolist() if b[0] < x < b[0] + b[2] and b[1] < y < b[1] + b[3]]
        assert inside[row, column] or not about
        if about:
            left, up, right, down = found[:, row, column] * [width, height, width, height]
            given_back = [x - left, y - up, left + right, up + down]
            areas = [b[2] * b[3] for b in about]
            centred = [b for b in boxes.tolist() if ((b[0] + b[2] / 2) // 16, (b[1] + b[3] / 2) // 16) == (column, row)]
            if min(areas) <= min((b[2] * b[3] for b in centred), default=np.inf):
                assert any(np.allclose(given_back, b, atol=0.01) for b in about if b[2] * b[3] == min(areas))


def test_a_box_between_the_centres_of_cells_is_taught_where_its_own_centre_lies() -> None:
    found = reaches(np.array([[34.0, 18, 3, 4]]), SIZE, 16)
    assert np.argwhere(~np.isnan(found[0])).tolist() == [[1, 2]]
    assert (found > 0)[:, 1, 2].all()
