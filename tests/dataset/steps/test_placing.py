from __future__ import annotations

import cv2
import numpy as np
import pytest

from osteon.dataset import frame
from osteon.dataset.steps import FitSquare, PadToAspect, Stretch
from osteon.types import Radiograph
from tests.dataset.steps.making import FRACATLAS, shown
from tests.make import a_radiograph


def test_padding_centres_the_image_in_black() -> None:
    image = Radiograph(np.full((50, 31), 99, np.uint8), 255)
    (square,) = FitSquare(50)(image)
    got = frame.render(square)
    assert got.shape == (50, 50)
    assert (got[:, 9:40] == 99).all()
    assert not got[:, :9].any()
    assert not got[:, 40:].any()
    assert square.notes == ("padded from 31 × 50 to 50 × 50 px",)


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (100, 50), (512, 341)])
def test_any_shape_keeps_its_proportions_inside_the_aspect_wanted(shape: tuple[int, int]) -> None:
    height, width = shape
    (placed,) = PadToAspect(512, 341)(Radiograph(np.full(shape, 255, np.uint8), 255))
    got = frame.render(placed)
    assert got.shape == (512, 341)
    rows, columns = np.nonzero(got > 127)
    scale = min(512 / height, 341 / width)
    assert np.ptp(rows) + 1 == pytest.approx(height * scale, abs=2)
    assert np.ptp(columns) + 1 == pytest.approx(width * scale, abs=2)
    assert abs((got.shape[0] - 1) / 2 - rows.mean()) <= 1 + scale / 2  # an odd pixel of padding
    assert abs((got.shape[1] - 1) / 2 - columns.mean()) <= 1 + scale / 2


def test_notes_say_by_how_much_it_was_padded_and_scaled() -> None:
    (fitted,) = FitSquare(100)(a_radiograph(300, 200))
    assert fitted.notes == ("padded from 200 × 300 to 300 × 300 px; scaled by 0.3333 to 100 × 100 px",)
    (left,) = FitSquare(64)(a_radiograph(64, 64))
    assert left.notes == ()


@pytest.mark.shared
def test_images_of_the_right_size_keep_their_pixels() -> None:
    for path in sorted(FRACATLAS.iterdir())[:20]:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        got = shown((FitSquare(448),), Radiograph(pixels.astype(np.uint8), 255))
        top, left = (448 - pixels.shape[0]) // 2, (448 - pixels.shape[1]) // 2
        assert (got[top : top + pixels.shape[0], left : left + pixels.shape[1]] == pixels).all()


def test_stretching_fills_the_size_whatever_the_proportions_and_does_nothing_the_second_time() -> None:
    image = Radiograph(np.full((60, 20), 200, np.uint8), 255)
    image.pixels[:30] = 100  # the upper half
    (placed,) = Stretch(height=40, width=90)(image)
    got = frame.render(placed)
    assert got.shape == (40, 90) and got.min() >= 100  # nothing is padded
    assert (got[:19] == 100).all() and (got[21:] == 200).all()
    assert Stretch(height=40, width=90)(placed) == [placed]
    assert placed.notes == ("stretched from 20 × 60 to 90 × 40 px",)
    with pytest.raises(ValueError, match="whole number of pixels"):
        Stretch(height=10)
