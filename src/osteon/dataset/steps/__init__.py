"""The steps that make a radiograph fit for a network, each a small frozen dataclass, and the recipes made of them.

A step returns new radiographs, says in `notes` what it changed, and changes nothing the second time. `str(step)` is
its part of the sentence that describes a recipe. Each family of steps has a module here; a new step joins by one line
in STEPS.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, cast

from osteon.dataset.steps.bodyparts import BodyPartFilter as BodyPartFilter
from osteon.dataset.steps.collimation import CollimationCrop as CollimationCrop
from osteon.dataset.steps.markers import MarkerRemoval as MarkerRemoval
from osteon.dataset.steps.parts import PartSplitter as PartSplitter
from osteon.dataset.steps.placing import FitSquare as FitSquare
from osteon.dataset.steps.placing import PadToAspect as PadToAspect
from osteon.dataset.steps.placing import Stretch as Stretch
from osteon.dataset.steps.polarity import ColourInversion as ColourInversion
from osteon.dataset.steps.region import RegionOfInterest as RegionOfInterest
from osteon.dataset.steps.rotation import RotationAlignment as RotationAlignment
from osteon.errors import BadTable, UnreadableImage, unknown_name
from osteon.types import Radiograph, Recipe, Step

STEPS: dict[str, type[Any]] = {
    step.__name__: step
    for step in (
        BodyPartFilter,
        ColourInversion,
        CollimationCrop,
        MarkerRemoval,
        PartSplitter,
        RotationAlignment,
        RegionOfInterest,
        PadToAspect,
        Stretch,
        FitSquare,
    )
}
"""Step name → class; a recipe in JSON may name these."""

RECIPES: dict[str, Recipe] = {
    "ANY": (ColourInversion(), FitSquare()),
    "WRIST": (
        BodyPartFilter(("wrist",), keep_unnamed=True),
        ColourInversion(),
        PartSplitter(),
        CollimationCrop(),
        MarkerRemoval(),
        RotationAlignment(),
        RegionOfInterest(),
        FitSquare(),
    ),
    "LONG_BONE": (
        ColourInversion(),
        PartSplitter(),
        CollimationCrop(),
        MarkerRemoval(),
        RotationAlignment(fingers_up=False),
        FitSquare(),
    ),
}
"""Recipe name → recipe. ANY suits every radiograph and hides nothing; WRIST leaves the distal forearm, fingers up;
LONG_BONE leaves each limb, its long axis upright. Why in this order: `docs/results/steps.md`."""


def apply(recipe: Recipe, radiograph: Radiograph) -> list[Radiograph]:
    """Lead one radiograph through the steps.

    Returns:
        One radiograph, or several if a step split it, to be shown by `osteon.dataset.frame.render`.

    Raises:
        UnreadableImage: if a step left nothing of it, with the code that is the step's `refusal`, else `step_refused`.
    """
    parts = [radiograph]
    for step in recipe:
        parts = [result for part in parts for result in step(part)]
        if not parts:
            raise UnreadableImage(
                getattr(step, "refusal", "step_refused"),
                f"the step “{step}” left nothing of this image",
                remedy="leave the image out, or prepare it with a recipe without this step",
            )
    return parts


def describe(recipe: Recipe) -> str:
    """The recipe as one sentence for people."""
    sentence = ", then ".join(str(step) for step in recipe) or "leave the image as it is"
    return f"{sentence[0].upper()}{sentence[1:]}."


def to_json(recipe: Recipe) -> list[dict[str, Any]]:
    """The recipe as JSON values: one object per step with its name under "step" and its fields."""
    return [{"step": type(step).__name__, **asdict(cast(Any, step))} for step in recipe]


def from_json(content: Any) -> Recipe:
    """The recipe that `to_json` wrote.

    Raises:
        UnknownName: for a step or a field that does not exist; lists those that do.
        BadTable: for anything that is no list of steps, or a value that a step does not take.
    """
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise BadTable("a recipe is a list of steps", remedy='for example [{"step": "FitSquare"}]')
    return tuple(_step_of(entry) for entry in content)


def _step_of(entry: dict[str, Any]) -> Step:
    name = str(entry.get("step", ""))
    if name not in STEPS:
        raise unknown_name("step", name, STEPS)
    values = {key: value for key, value in entry.items() if key != "step"}
    known = [field.name for field in fields(STEPS[name])]
    for key in values:
        if key not in known:
            raise unknown_name(f"field of {name}", key, known or ["(it has none)"])
    try:
        step: Step = STEPS[name](**values)
    except (TypeError, ValueError) as error:
        raise BadTable(f"the step {name} cannot be built ({error})", remedy="see docs/reference/dataset.md") from error
    return step
