from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.random import default_rng

from osteon.dataset import frame
from osteon.dataset.frame import proxy_pixels
from osteon.dataset.steps import ColourInversion
from osteon.dataset.steps.field import exposed_field
from osteon.dataset.steps.polarity import WEIGHTS, corner_rule, cues, shows_dark_bone, whiteness
from osteon.dicom.read import read
from osteon.phantom.plates import KINDS, Dirt, draw_plate
from osteon.types import Radiograph
from tests.dataset.steps.making import FRACATLAS, radiographs, shown
from tests.make import SHARED, a_radiograph


@settings(max_examples=30)
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
@pytest.mark.parametrize("degrees", [0, 8])
def test_a_frame_around_the_image_does_not_decide(frame_grey: int, degrees: int) -> None:
    for inverted in (False, True):
        pixels = a_radiograph(300, 200, inverted=inverted).pixels
        matrix = cv2.getRotationMatrix2D((99.5, 149.5), degrees, 1.0)
        matrix[:, 2] += 40
        framed = cv2.warpAffine(pixels, matrix, (280, 380), borderValue=frame_grey)
        (done,) = ColourInversion()(Radiograph(framed.astype(np.uint8), 255))
        assert bool(done.notes) == inverted


@settings(max_examples=30)
@given(image=radiographs())
def test_cues_of_a_negative_are_those_of_the_image_with_the_other_sign(image: Radiograph) -> None:
    seen = frame.seen(image)
    one, other = cues(seen), cues((255 - seen).astype(np.uint8))
    if one is None or other is None:
        assert one is other
        return
    # A pixel may change sides of a threshold by the rounding of its mean.
    assert np.mean(np.abs(np.add(one, other)) < 0.05) >= 0.6


def test_every_cue_may_speak_and_none_speaks_against_itself() -> None:
    assert min(WEIGHTS) > 0


def test_the_corner_rule_is_that_of_the_seed() -> None:
    image = np.zeros((100, 50), np.uint8)
    image[10:-10, 5:-5] = 255
    assert not corner_rule(image)
    image[:10, :5] = image[:10, -5:] = 199  # two of four corners: their mean is 99.5
    assert not corner_rule(image)
    image[:10, :5] = image[:10, -5:] = 200
    assert corner_rule(image)


def test_two_exposures_on_a_white_plate_are_judged_by_what_they_show() -> None:
    plate = np.full((400, 500), 255, np.uint8)
    plate[30:370, 20:240] = cv2.resize(a_radiograph(300, 200, seed=1).pixels, (220, 340))
    plate[50:350, 270:480] = cv2.resize(a_radiograph(300, 200, seed=2).pixels, (210, 300))
    assert whiteness(plate) > 0


def test_the_fields_of_joined_plates_outvote_their_shutters() -> None:
    dirt = Dirt(collimated=1.0, inverted=0.5)
    plates = [draw_plate(default_rng((4_100, s)), kind="joined", rows=450, columns=350, dirt=dirt) for s in range(20)]
    seen = [proxy_pixels(plate.radiograph()) for plate in plates]
    wrong = sum(shows_dark_bone(image) != plate.inverted for image, plate in zip(seen, plates, strict=True))
    corner = sum(corner_rule(image) != plate.inverted for image, plate in zip(seen, plates, strict=True))
    assert wrong <= 2 < corner  # every one is collimated: judged as a whole, six are wrong


@pytest.mark.parametrize("seed", [774, 1093])
def test_scattered_radiation_beyond_a_collimator_hides_no_edge(seed: int) -> None:
    plate = draw_plate(default_rng((1_000, seed)), kind="leg")  # white beyond its field, but for a glow beside it
    seen = proxy_pixels(plate.radiograph())
    small = cv2.resize(seen, (124, 160), interpolation=cv2.INTER_AREA).astype(np.uint8)
    truth = np.zeros(plate.values.shape, np.uint8)
    cv2.fillConvexPoly(truth, np.rint(plate.fields[0]).astype(np.int32), 1)
    inside = cv2.resize(truth, (124, 160), interpolation=cv2.INTER_NEAREST) > 0
    wrong = [np.mean(exposed_field(small, past_glow=past).mask() != inside) for past in (True, False)]
    assert wrong[0] < wrong[1] / 2
    assert shows_dark_bone(seen) == plate.inverted


def test_an_empty_side_of_a_plate_has_no_say() -> None:
    # The limb lies in one half; the other, of air and its noise, could be told either way.
    limb = a_radiograph(300, 200).pixels
    air = np.random.default_rng(3).normal(15, 2.5, (300, 260)).astype(np.uint8)
    for plate in (np.hstack([limb, air]), np.hstack([air, limb])):
        assert whiteness(plate.astype(np.uint8)) > 0
        assert whiteness((255 - plate).astype(np.uint8)) < 0


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


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 500), (33, 40), (500, 33)])
def test_images_of_any_size_are_judged(size: tuple[int, int]) -> None:
    image = np.zeros(size, np.uint8)
    image[:, size[1] // 3 : size[1] // 2] = 200
    assert np.isfinite(whiteness(image))


def test_an_even_image_is_left_as_it_is() -> None:
    (done,) = ColourInversion()(Radiograph(np.full((64, 64), 200, np.uint8), 255))
    assert done.notes == ()


FIXED = (Path(__file__).parents[3] / "benchmarks" / "fracatlas_300.txt").read_text().split()


@pytest.mark.shared
def test_bone_white_is_right_on_real_radiographs_and_their_negatives() -> None:
    images = [cv2.imread(str(FRACATLAS / name), cv2.IMREAD_GRAYSCALE) for name in FIXED[::2]]
    greys = [image.astype(np.uint8) for image in images if image is not None]
    assert len(greys) == 150
    assert sum(shows_dark_bone(image) for image in greys) <= 1
    assert sum(not shows_dark_bone((255 - image).astype(np.uint8)) for image in greys) <= 1


def test_polarity_of_phantom_plates_is_seen_through_their_dirt() -> None:
    kinds = [kind for kind in KINDS if kind != "chest"]  # lungs are dark in a body that fills the plate: see the page
    plates = [draw_plate(default_rng((4_000, s)), kind=kinds[s % 10], rows=450, columns=350) for s in range(40)]
    seen = [proxy_pixels(plate.radiograph()) for plate in plates]
    wrong = sum(shows_dark_bone(image) != plate.inverted for image, plate in zip(seen, plates, strict=True))
    corner = sum(corner_rule(image) != plate.inverted for image, plate in zip(seen, plates, strict=True))
    assert wrong <= 1 < corner
