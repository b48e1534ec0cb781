from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings

from osteon.dataset import frame
from osteon.dataset.steps import ColourInversion
from osteon.dataset.steps.polarity import shows_dark_bone
from osteon.dicom.read import read
from osteon.types import Radiograph
from tests.dataset.steps.making import FRACATLAS, radiographs, shown
from tests.make import SHARED, a_radiograph


@settings(max_examples=30, deadline=None)
@given(image=radiographs())
def test_an_image_and_its_negative_become_the_same_image_up_to_one_grey_level(image: Radiograph) -> None:
    negative = replace(image, pixels=(image.white - image.pixels).astype(image.pixels.dtype))
    if shows_dark_bone(frame.seen(image)) == shows_dark_bone(frame.seen(negative)):
        return  # An image without ground or bone says neither; it stays as it is, and so does its negative.
    difference = np.abs(shown((ColourInversion(),), image).astype(int) - shown((ColourInversion(),), negative))
    assert difference.max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_dark_bone_is_inverted_and_white_bone_left_alone(bits: int) -> None:
    (inverted,) = ColourInversion()(a_radiograph(300, 200, bits=bits, inverted=True))
    (left,) = ColourInversion()(a_radiograph(300, 200, bits=bits))
    assert "inverted" in inverted.notes[0]
    assert left.notes == ()
    assert np.abs(frame.render(inverted).astype(int) - frame.render(left)).max() <= 1


@pytest.mark.parametrize("frame_grey", [0, 255])
def test_a_frame_around_the_image_does_not_decide(frame_grey: int) -> None:
    for inverted in (False, True):
        pixels = a_radiograph(300, 200, inverted=inverted).pixels
        framed = cv2.copyMakeBorder(pixels, 40, 40, 30, 30, cv2.BORDER_CONSTANT, value=frame_grey)
        (done,) = ColourInversion()(Radiograph(framed.astype(np.uint8), 255))
        assert bool(done.notes) == inverted


def test_a_file_that_states_its_polarity_is_believed_unless_told_otherwise() -> None:
    stated = a_radiograph(300, 200, inverted=True, photometric="MONOCHROME2")
    assert ColourInversion()(stated) == [stated]
    (doubted,) = ColourInversion(believe_tags=False)(stated)
    assert doubted.notes


@pytest.mark.shared
def test_no_real_dicom_radiograph_is_inverted() -> None:
    names = ("RG1_JLSN", "RG2_UNC", "RG3_UNC", "CHEST_DX_Canon_966_fixed", "HAND_CR", "TEETH_CR", "THORAX_DX")
    files = [next((SHARED / "dicom").rglob(f"{name}*.dcm")) for name in names]
    for file in files:
        (done,) = ColourInversion()(read(file))
        assert done.notes == (), file.name


def test_an_even_image_is_left_as_it_is() -> None:
    (done,) = ColourInversion()(Radiograph(np.full((64, 64), 200, np.uint8), 255))
    assert done.notes == ()


@pytest.mark.shared
def test_bone_white_is_right_on_real_radiographs_and_their_negatives() -> None:
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(FRACATLAS.iterdir())[::15]]
    greys = [image.astype(np.uint8) for image in images if image is not None]
    assert len(greys) > 190
    right = [not shows_dark_bone(image) for image in greys]
    right_negative = [shows_dark_bone(255 - image) for image in greys]
    assert np.mean(right) >= 0.99
    assert np.mean(right_negative) >= 0.99
