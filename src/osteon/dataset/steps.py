"""The steps that make a radiograph fit for a network, each a small frozen dataclass, and the recipes made of them.

A step returns new radiographs, says in `notes` what it changed, and changes nothing the second time. `str(step)` is
its part of the sentence that describes a recipe. A new step joins by one line in STEPS.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from osteon.dataset import frame
from osteon.errors import BadTable, UnreadableImage, unknown_name
from osteon.types import Radiograph, Recipe, Step


@dataclass(frozen=True)
class BoneWhite:
    """Invert the grey values of an image that shows dark bone on a light ground.

    A DICOM file states how it is to be shown, and is believed; PNG and JPEG state nothing, and their pixels are judged.
    The rule, on a copy of at most 128 px without its constant edge lines, stretched so that its 1st and 99th
    percentile are 0 and 1: whiteness = (½ - mean) + (½ - mean along the edge) + correlation(grey, roughness), where
    roughness is |grey - its blur by 2 px|. Where bone is white, most of the image and most of its edge are dark
    ground or soft tissue, and the bright places are the rough ones.
    The image is inverted if its negative has the larger whiteness. Judged is the whole source as its file shows it,
    whatever the frame by now, so that a second application decides the same.

    Attributes:
        believe_tags: whether DICOM files are believed. White shutters and bodies that fill the plate mislead the rule
            more often than tags are wrong, unless an archive is known for wrong tags.
    """

    believe_tags: bool = True

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        if self.believe_tags and radiograph.header.photometric:
            return [radiograph]
        radiograph = frame.proxy_of(radiograph)
        grey = frame.frame_of(radiograph).grey
        if shows_dark_bone(frame.proxy_pixels(radiograph)) == bool(grey[0] > grey[-1]):
            return [radiograph]
        return [frame.noted(frame.inverted(radiograph), "inverted, because bone was shown dark on a light ground")]

    def __str__(self) -> str:
        return "show bone white" if self.believe_tags else "show bone white, whatever the tags say"


@dataclass(frozen=True)
class PadToSquare:
    """Pad the shorter side with black, evenly on both sides (an odd pixel goes right or below)."""

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        height, width = frame.frame_of(radiograph).size
        side = max(height, width)
        if height == width:
            return [radiograph]
        top, left = (side - height) // 2, (side - width) // 2
        square = frame.window(radiograph, top=-top, left=-left, height=side, width=side)
        return [frame.noted(square, f"padded from {width} × {height} to {side} × {side} px")]

    def __str__(self) -> str:
        return "pad to a square"


@dataclass(frozen=True)
class Fit:
    """Scale, in proportion, so that the longer side has `size` pixels; smaller images are enlarged."""

    size: int = 448

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or self.size < 32:
            raise ValueError(f"size is a whole number of pixels from 32 on, not {self.size!r}")

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        height, width = frame.frame_of(radiograph).size
        scale = self.size / max(height, width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        if (new_height, new_width) == (height, width):
            return [radiograph]
        fitted = frame.scaled(radiograph, height=new_height, width=new_width)
        return [frame.noted(fitted, f"scaled by {scale:.4g} to {new_width} × {new_height} px")]

    def __str__(self) -> str:
        return f"scale to fit {self.size} × {self.size} px"


STEPS: dict[str, type[Any]] = {step.__name__: step for step in (BoneWhite, PadToSquare, Fit)}
"""Step name → class; a recipe in JSON may name these."""

RECIPES: dict[str, Recipe] = {"ANY": (BoneWhite(), PadToSquare(), Fit())}
"""Recipe name → recipe. ANY suits every radiograph; recipes for one body part join here."""


def apply(recipe: Recipe, radiograph: Radiograph) -> list[Radiograph]:
    """Lead one radiograph through the steps.

    Returns:
        One radiograph, or several if a step split it, to be shown by `osteon.dataset.frame.render`.

    Raises:
        UnreadableImage: with code `step_refused`, if a step left nothing of it.
    """
    parts = [radiograph]
    for step in recipe:
        parts = [result for part in parts for result in step(part)]
        if not parts:
            raise UnreadableImage(
                "step_refused",
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
        raise BadTable("a recipe is a list of steps", remedy='for example [{"step": "PadToSquare"}]')
    return tuple(_step_of(entry) for entry in content)


def shows_dark_bone(image: NDArray[np.uint8]) -> bool:
    """Whether a (h, w) uint8 image shows dark bone on a light ground, by the rule that `BoneWhite` states."""
    shrink = min(1.0, 128 / max(image.shape))
    height, width = (max(1, round(side * shrink)) for side in image.shape)
    small = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    inner = _without_constant_edges(small.astype(np.float32))
    return _whiteness(255 - inner) > _whiteness(inner)


def _whiteness(image: NDArray[np.float32]) -> float:
    low, high = np.percentile(image, [1, 99])
    if high - low < 1:
        return 0.0
    grey = np.clip((image - low) / (high - low), 0, 1).astype(np.float32)
    rough = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 2.0))
    width = max(2, min(grey.shape) // 16)
    edge = np.ones(grey.shape, bool)
    edge[width:-width, width:-width] = False
    spread = float(grey.std() * rough.std())
    covariance = float(np.mean((grey - grey.mean()) * (rough - rough.mean())))
    return 1.0 - float(grey.mean()) - float(grey[edge].mean()) + (covariance / spread if spread > 0 else 0.0)


def _without_constant_edges(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The image without edge rows and columns of one grey value, such as frames and scanner borders have.

    At most an eighth is taken from each side: the even ground beside a limb is evidence, and stays.
    """
    height, width = image.shape
    top, bottom = (_constant_lines(image[::way], height // 8) for way in (1, -1))
    left, right = (_constant_lines(image.T[::way], width // 8) for way in (1, -1))
    return image[top : height - bottom, left : width - right]


def _constant_lines(image: NDArray[np.float32], most: int) -> int:
    """How many of the first rows, up to `most`, hold one value: 90 % of the row within 6 grey levels."""
    low, high = np.percentile(image[:most], [5, 95], axis=1) if most else (np.zeros(0), np.zeros(0))
    varied = np.flatnonzero(high - low > 6)
    return int(varied[0]) if varied.size else most


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
