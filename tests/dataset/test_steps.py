from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.dataset import frame, steps
from osteon.dataset.steps import (
    RECIPES,
    STEPS,
    BodyPartFilter,
    CollimationCrop,
    ColourInversion,
    FitSquare,
    MarkerRemoval,
    PadToAspect,
    PartSplitter,
    RegionOfInterest,
    RotationAlignment,
)
from osteon.errors import BadTable, UnknownName, UnreadableImage
from osteon.types import Radiograph, Step
from tests.dataset.steps.making import radiographs, shown
from tests.make import a_radiograph


@settings(max_examples=80)
@given(
    image=radiographs(),
    step=st.sampled_from(
        [
            BodyPartFilter(keep_unnamed=True),
            CollimationCrop(),
            MarkerRemoval(),
            ColourInversion(),
            PartSplitter(),
            RotationAlignment(),
            RotationAlignment(fingers_up=False),
            RegionOfInterest(),
            FitSquare(64),
            FitSquare(448),
        ]
    ),
)
def test_a_step_changes_nothing_the_second_time(image: Radiograph, step: Step) -> None:
    for once in step(image):
        (twice,) = step(once)
        assert (frame.render(once) == frame.render(twice)).all()
        assert twice.notes == once.notes


@settings(max_examples=30)
@given(image=radiographs())
def test_a_recipe_changes_nothing_the_second_time(image: Radiograph) -> None:
    recipe = RECIPES["ANY"]
    assert (shown(recipe, image) == shown((*recipe, *recipe), image)).all()
    assert shown(recipe, image).shape == (448, 448)


def test_a_recipe_is_stored_as_json_and_comes_back_equal() -> None:
    for recipe in (*RECIPES.values(), (FitSquare(96), ColourInversion())):
        assert steps.from_json(steps.to_json(recipe)) == recipe
    assert steps.to_json((FitSquare(96),)) == [{"step": "FitSquare", "size": 96}]


def test_a_recipe_says_what_it_does() -> None:
    sentence = "Show bone white, then pad and scale to 448 × 448 px."
    assert steps.describe(RECIPES["ANY"]) == sentence
    assert steps.describe(()) == "Leave the image as it is."


def test_a_wrong_recipe_lists_the_right_names() -> None:
    with pytest.raises(UnknownName, match="no step named 'Fitt'; choose one of: BodyPartFilter, CollimationCrop"):
        steps.from_json([{"step": "Fitt"}])
    with pytest.raises(UnknownName, match="no field of FitSquare named 'side'; choose one of: size"):
        steps.from_json([{"step": "FitSquare", "side": 3}])
    with pytest.raises(BadTable, match="whole number of pixels"):
        steps.from_json([{"step": "FitSquare", "size": "large"}])
    with pytest.raises(BadTable, match="list of steps"):
        steps.from_json({"step": "FitSquare"})


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
    left, right = (frame.render(part) for part in steps.apply((Halve(), PadToAspect(100, 40)), image))
    assert (np.hstack([left, right]) == image.pixels).all()
    with pytest.raises(UnreadableImage, match="“keep nothing” left nothing") as error:
        steps.apply((FitSquare(64), DropAll(), ColourInversion()), image)
    assert error.value.code == "step_refused"
