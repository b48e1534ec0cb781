"""Changes to images that should not change an answer: what may be a shortcut is covered, or put there by a phantom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osteon.dataset.steps.markers import without_marks
from osteon.phantom import extras
from osteon.phantom.projection import GRAIN_CELLS, Grain, Shot
from osteon.phantom.space import view_at

Grey = NDArray[np.uint8]

BORDER = 0.08
"""Share of the shorter side that is covered, or framed, on each side."""

FIELD_MM = 96.0
"""Height of the image in the patient that phantom marks are drawn for: that of a wrist."""

_FRAME = 0.03  # of the shorter side: width of a planted frame


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        title: as readers see it.
        planted: whether something is put there; else something is covered.
        apply: takes an image (h, w) uint8 and a source of chance to the changed image.
    """

    title: str
    planted: bool
    apply: Callable[[Grey, np.random.Generator], Grey]


def border_covered(image: Grey, rng: np.random.Generator) -> Grey:
    """The outermost part on each side with the median grey that lies there: the ground, unless a frame fills most."""
    edge = edge_of(image.shape, BORDER)
    covered = image.copy()
    covered[edge] = np.median(image[edge])
    return covered


def marks_covered(image: Grey, rng: np.random.Generator) -> Grey:
    """Letters, dots and text covered, as the step `MarkerRemoval` does."""
    return np.asarray(without_marks(image), np.uint8)


def letter_planted(image: Grey, rng: np.random.Generator) -> Grey:
    """A phantom's lead letter, L or R, 9 mm tall, in some corner."""
    lead = extras.letter("LR"[int(rng.integers(2))], image.shape, FIELD_MM / image.shape[0], rng)
    return np.where(lead > 0, np.uint8(255), image).astype(np.uint8)


def plate_planted(image: Grey, rng: np.random.Generator) -> Grey:
    """A phantom's plate with its screws, of steel, in the middle of the image, at the angle of a dorsal exposure."""
    spacing = FIELD_MM / image.shape[0]
    height, width = image.shape
    part = extras.hardware("plate", 1.0, rng)
    centre = float(rng.normal(0, 4)), float(rng.normal(-30, 4))
    shot = Shot(
        view_at(float(rng.normal(0, 8)), mirrored=False), centre, float(rng.normal(0, 5)), (height, width), spacing
    )
    depth = shot.depth([part], Grain(np.zeros((GRAIN_CELLS,) * 3, np.float32)))
    # What is left of the way to white after the metal, as Beer and Lambert have it.
    left = np.exp(-np.maximum(depth, 0))
    return np.asarray(np.rint(255 - (255 - image.astype(float)) * left), np.uint8)


def frame_planted(image: Grey, rng: np.random.Generator) -> Grey:
    """A white frame along the sides, as a cassette leaves."""
    return np.where(edge_of(image.shape, _FRAME), np.uint8(255), image).astype(np.uint8)


CHANGES: Mapping[str, Change] = {
    "border_covered": Change("border covered", False, border_covered),
    "marks_covered": Change("marks covered", False, marks_covered),
    "letter_planted": Change("lead letter planted", True, letter_planted),
    "plate_planted": Change("plate and screws planted", True, plate_planted),
    "frame_planted": Change("white frame planted", True, frame_planted),
}
"""Name → change, in the order in which they are shown."""


def edge_of(shape: tuple[int, ...], share: float) -> NDArray[np.bool_]:
    """(h, w) True in the outermost part on each side, a share of the shorter side wide, at least one pixel."""
    width = max(1, round(share * min(shape)))
    edge = np.ones(shape, bool)
    edge[width:-width, width:-width] = False
    return edge
