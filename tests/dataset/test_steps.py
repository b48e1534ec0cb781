from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.dataset import frame, steps
from osteon.dataset.steps import RECIPES, STEPS, BoneWhite, Fit, PadToSquare
from osteon.dicom.read import read
from osteon.errors import BadTable, UnknownName, UnreadableImage
from osteon.types import Radiograph, Recipe, Step
from tests.make import SHARED, a_radiograph

FRACATLAS = SHARED / "fracatlas" / "images"


@st.composite
def radiographs(draw: st.DrawFn) -> Radiograph:
    """Anything from a flat image to noise, of any depth and shape."""
    white = draw(st.sampled_from([255, 1023, 65535]))
    height, width = draw(st.integers(32, 150)), draw(st.integers(32, 150))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    coarse = rng.random((draw(st.integers(1, 9)), draw(st.integers(1, 9)))).astype(np.float32)
    values = cv2.resize(coarse, (width, height)) + draw(st.sampled_from([0, 0.02, 0.5])) * rng.normal(
        size=(height, width)
    )
    return Radiograph((np.clip(values, 0, 1) * white).astype(np.uint8 if white == 255 else np.uint16), white)


def shown(recipe: Recipe, radiograph: Radiograph) -> NDArray[np.uint8]:
    (only,) = steps.apply(recipe, radiograph)
    return frame.render(only)


@settings(max_examples=80, deadline=None)
@given(image=radiographs(), step=st.sampled_from([BoneWhite(), PadToSquare(), Fit(64), Fit(448)]))
def test_a_step_changes_nothing_the_second_time(image: Radiograph, step: Step) -> None:
    (once,) = step(image)
    (twice,) = step(once)
    assert (frame.render(once) == frame.render(twice)).all()
    assert twice.notes == once.notes


@settings(max_examples=30, deadline=None)
@given(image=radiographs())
def test_a_recipe_changes_nothing_the_second_time(image: Radiograph) -> None:
    recipe = RECIPES["ANY"]
    assert (shown(recipe, image) == shown((*recipe, *recipe), image)).all()
    assert shown(recipe, image).shape == (448, 448)


@settings(max_examples=30, deadline=None)
@given(image=radiographs())
def test_an_image_and_its_negative_become_the_same_image_up_to_one_grey_level(image: Radiograph) -> None:
    negative = replace(image, pixels=(image.white - image.pixels).astype(image.pixels.dtype))
    if steps.shows_dark_bone(frame.seen(image)) == steps.shows_dark_bone(frame.seen(negative)):
        return  # An image without ground or bone says neither; it stays as it is, and so does its negative.
    difference = np.abs(shown((BoneWhite(),), image).astype(int) - shown((BoneWhite(),), negative))
    assert difference.max() <= 1


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_dark_bone_is_inverted_and_white_bone_left_alone(bits: int) -> None:
    (inverted,) = BoneWhite()(a_radiograph(300, 200, bits=bits, inverted=True))
    (left,) = BoneWhite()(a_radiograph(300, 200, bits=bits))
    assert "inverted" in inverted.notes[0]
    assert left.notes == ()
    assert np.abs(frame.render(inverted).astype(int) - frame.render(left)).max() <= 1


@pytest.mark.parametrize("frame_grey", [0, 255])
def test_a_frame_around_the_image_does_not_decide(frame_grey: int) -> None:
    for inverted in (False, True):
        pixels = a_radiograph(300, 200, inverted=inverted).pixels
        framed = cv2.copyMakeBorder(pixels, 40, 40, 30, 30, cv2.BORDER_CONSTANT, value=frame_grey)
        (done,) = BoneWhite()(Radiograph(framed.astype(np.uint8), 255))
        assert bool(done.notes) == inverted


def test_a_file_that_states_its_polarity_is_believed_unless_told_otherwise() -> None:
    stated = a_radiograph(300, 200, inverted=True, photometric="MONOCHROME2")
    assert BoneWhite()(stated) == [stated]
    (doubted,) = BoneWhite(believe_tags=False)(stated)
    assert doubted.notes


@pytest.mark.shared
def test_no_real_dicom_radiograph_is_inverted() -> None:
    names = ("RG1_JLSN", "RG2_UNC", "RG3_UNC", "CHEST_DX_Canon_966_fixed", "HAND_CR", "TEETH_CR", "THORAX_DX")
    files = [next((SHARED / "dicom").rglob(f"{name}*.dcm")) for name in names]
    for file in files:
        (done,) = BoneWhite()(read(file))
        assert done.notes == (), file.name


def test_an_even_image_is_left_as_it_is() -> None:
    (done,) = BoneWhite()(Radiograph(np.full((64, 64), 200, np.uint8), 255))
    assert done.notes == ()


def test_padding_centres_the_image_in_black() -> None:
    image = Radiograph(np.full((50, 31), 99, np.uint8), 255)
    (square,) = PadToSquare()(image)
    got = frame.render(square)
    assert got.shape == (50, 50)
    assert (got[:, 9:40] == 99).all()
    assert not got[:, :9].any()
    assert not got[:, 40:].any()
    assert square.notes == ("padded from 31 × 50 to 50 × 50 px",)


def test_fitting_keeps_the_proportions() -> None:
    (fitted,) = Fit(100)(a_radiograph(300, 200))
    assert frame.render(fitted).shape == (100, 67)
    assert fitted.notes == ("scaled by 0.3333 to 67 × 100 px",)
    (enlarged,) = Fit(448)(a_radiograph(100, 50))
    assert frame.render(enlarged).shape == (448, 224)


@pytest.mark.shared
def test_images_of_the_right_size_keep_their_pixels() -> None:
    for path in sorted(FRACATLAS.iterdir())[:20]:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        got = shown((PadToSquare(), Fit(448)), Radiograph(pixels.astype(np.uint8), 255))
        top, left = (448 - pixels.shape[0]) // 2, (448 - pixels.shape[1]) // 2
        assert (got[top : top + pixels.shape[0], left : left + pixels.shape[1]] == pixels).all()


@pytest.mark.shared
def test_bone_white_is_right_on_real_radiographs_and_their_negatives() -> None:
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(FRACATLAS.iterdir())[::15]]
    greys = [image.astype(np.uint8) for image in images if image is not None]
    assert len(greys) > 190
    right = [not steps.shows_dark_bone(image) for image in greys]
    right_negative = [steps.shows_dark_bone(255 - image) for image in greys]
    assert np.mean(right) >= 0.99
    assert np.mean(right_negative) >= 0.99


def test_a_recipe_is_stored_as_json_and_comes_back_equal() -> None:
    for recipe in (*RECIPES.values(), (Fit(96), BoneWhite())):
        assert steps.from_json(steps.to_json(recipe)) == recipe
    assert steps.to_json((Fit(96),)) == [{"step": "Fit", "size": 96}]


def test_a_recipe_says_what_it_does() -> None:
    sentence = "Show bone white, then pad to a square, then scale to fit 448 × 448 px."
    assert steps.describe(RECIPES["ANY"]) == sentence
    assert steps.describe(()) == "Leave the image as it is."


def test_a_wrong_recipe_lists_the_right_names() -> None:
    with pytest.raises(UnknownName, match="no step named 'Fitt'; choose one of: BoneWhite, Fit, PadToSquare"):
        steps.from_json([{"step": "Fitt"}])
    with pytest.raises(UnknownName, match="no field of Fit named 'side'; choose one of: size"):
        steps.from_json([{"step": "Fit", "side": 3}])
    with pytest.raises(BadTable, match="whole number of pixels"):
        steps.from_json([{"step": "Fit", "size": "large"}])
    with pytest.raises(BadTable, match="list of steps"):
        steps.from_json({"step": "Fit"})


def test_every_step_is_listed_under_its_name() -> None:
    assert all(cls.__name__ == name for name, cls in STEPS.items())
    assert {type(step) for recipe in RECIPES.values() for step in recipe} <= set(STEPS.values())


@dataclass(frozen=True)
class Halve:
    """Two parts of a plate, left and right: what a splitting step will look like."""

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        height, width = frame.frame_of(radiograph).size
        starts = (0, width // 2)
        return [frame.window(radiograph, top=0, left=left, height=height, width=width // 2) for left in starts]


@dataclass(frozen=True)
class DropAll:
    """A step that finds nothing of use."""

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        return []

    def __str__(self) -> str:
        return "keep nothing"


def test_a_step_may_return_several_radiographs_or_none() -> None:
    image = a_radiograph(100, 80)
    left, right = (frame.render(part) for part in steps.apply((Halve(), Fit(100)), image))
    assert (np.hstack([left, right]) == image.pixels).all()
    with pytest.raises(UnreadableImage, match="“keep nothing” left nothing") as error:
        steps.apply((Fit(64), DropAll(), PadToSquare()), image)
    assert error.value.code == "step_refused"
