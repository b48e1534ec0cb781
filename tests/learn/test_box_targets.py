"""Targets say how much of a cell a box covers, counted here pixel by pixel."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.learn.detector.box_targets import TARGETS, covered, grid_of, mirrored, soft, targets_of

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
    found = targets_of([inside, np.empty((0, 4))], SIZE, 16, flips=4)
    assert not found[1].any()
    images = painted(inside, SIZE)[:, : SIZE[0], : SIZE[1]]
    for flip, axes in enumerate(((), (2,), (1,), (1, 2))):
        flipped = np.flip(images, axes) if axes else images
        whole = np.pad(flipped, ((0, 0), (0, 0), (0, 10)))
        shares = whole.reshape(len(inside), 3, 16, 5, 16).mean(axis=(2, 4))
        wanted = shares.max(axis=0) if len(inside) else np.zeros((3, 5))
        assert np.abs(found[0, flip] - wanted).max() < 1e-6


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
