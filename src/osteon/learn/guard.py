"""What a model should not read: images unlike those that it learnt from, negatives, blank ones, other body parts.

A network answers whatever it is shown. The guard asks first whether the image is of the kind that it was taught, and
says why if not. It holds what it learnt as plain arrays and numbers, for a bundle to keep.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.model_selection import GroupKFold

from osteon.dataset.bodypart import PARTS
from osteon.dataset.steps.bodyparts import part_of
from osteon.dataset.steps.polarity import whiteness
from osteon.errors import Mismatch, TooFewCases, UnreadableImage
from osteon.evaluate.patient_quantiles import fewest, highest
from osteon.types import Header

Features = NDArray[np.floating]

FALSE_ALARM = 0.05
"""Share of the images like those of training that may be refused, unless the caller says otherwise."""

COMPONENTS = 64
"""Principal components of the training features; what they do not explain of an image is how strange it is."""

LIMITS = 2
"""Limits that share the rate of false alarms: of the distance, and of the polarity."""

FOLDS = 5
FLAT = 10  # grey levels between the 1st and 99th percentile: less is an image of nothing


@dataclass(frozen=True, eq=False)
class Guard:
    """What the images of training are like.

    Attributes:
        centre, scale: (d,) float32, mean and deviation of each feature among them.
        components: (k, d) float32, orthonormal directions in which the standardised features vary most.
        farthest: the distance from which on an image is strange.
        darkest: log odds of white bone (`osteon.dataset.steps.polarity.whiteness`) below which it is a negative.
        parts: body parts that the model was trained on, names of `osteon.dataset.bodypart.PARTS`; () lets all pass.
        false_alarm: share of images of new patients of the same source that may be refused by distance or as negative.
        images, patients: that this was learnt from.
        taught: whether the network whose features these are has learnt from the same images itself. Then images of new
            patients may be stranger to it than the limits say.
    """

    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    components: NDArray[np.float32]
    farthest: float
    darkest: float
    parts: tuple[str, ...]
    false_alarm: float
    images: int
    patients: int
    taught: bool = False

    def __post_init__(self) -> None:
        d = self.components.shape[-1]
        if self.components.ndim != 2 or self.centre.shape != (d,) or self.scale.shape != (d,):
            raise ValueError(f"centre and scale are (d,) and components (k, d), not {self.components.shape}")
        if not (math.isfinite(self.farthest) and math.isfinite(self.darkest) and 0 < self.false_alarm < 1):
            raise ValueError("the limits of a guard are finite, and its false alarms a share")
        if unknown := set(self.parts) - set(PARTS):
            raise ValueError(f"there are no body parts named {', '.join(sorted(unknown))}")

    def distance(self, features: Features) -> NDArray[np.float64]:
        """(n,) how strange images are: the length of what the components do not explain of their features.

        That is the residual of Wang et al. (2022, "ViM", section 4.1), of standardised features averaged over flips.

        Args:
            features: (n, flips, d).

        Raises:
            Mismatch: for features of another trunk.
        """
        if features.ndim != 3 or features.shape[2] != len(self.centre):
            raise Mismatch(
                f"the guard knows {len(self.centre)} features, not an array of {features.shape}",
                remedy="use the guard with the trunk that it was made for",
            )
        return _residual(features.mean(axis=1), self.centre, self.scale, self.components)

    def why_not(self, pixels: NDArray[np.uint8], features: Features, header: Header) -> UnreadableImage | None:
        """Why an image should not be read, or None if nothing speaks against it.

        Args:
            pixels: (height, width) uint8, as prepared for the network.
            features: (flips, d) of these pixels.
            header: of its file.
        """
        named = part_of(header).part
        if self.parts and named and named not in self.parts:
            return UnreadableImage(
                "body_part",
                f"its file names the {named}, and the model learnt from {_listed(self.parts)}",
                remedy="read it with a model for that part",
            )
        low, high = np.percentile(pixels, (1, 99))
        if high - low < FLAT:
            return UnreadableImage(
                "blank", f"its grey values differ by {high - low:.0f} of 255", remedy="check exposure and window"
            )
        ratio = float(self.distance(features[None])[0]) / self.farthest
        if ratio > 1:
            return UnreadableImage(
                "unfamiliar",
                f"it is unlike the {self.images} images that the model learnt from: {ratio:.2f} times as far from them "
                "as the limit",
                remedy="check that it is a radiograph of a part that the model was trained on",
            )
        # After the distance: of what is no radiograph, the odds of white bone say nothing.
        if whiteness(pixels) < self.darkest:
            return UnreadableImage(
                "inverted",
                "it shows bone dark on a light ground, and the recipe has left it so",
                remedy="correct the photometric interpretation of the file, or its window",
            )
        return None

    def describe(self) -> str:
        """What it lets pass, in one sentence."""
        parts = f" of {_listed(self.parts)}" if self.parts else ""
        like = f"Reads radiographs{parts} that are like its {self.images} images of {self.patients} patients"
        if self.taught:
            return f"{like}; the network has learnt from them itself, and may find those of new patients stranger."
        return (
            f"{like}; of images of new patients from there, at most {self.false_alarm:.3g} are refused by mistake, "
            "unless the file names another part."
        )

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Its arrays by name, as safetensors take them."""
        return {"centre": self.centre, "scale": self.scale, "components": self.components}

    def to_json(self) -> dict[str, Any]:
        """All but its arrays."""
        names = ("farthest", "darkest", "false_alarm", "images", "patients", "taught")
        return {**{name: getattr(self, name) for name in names}, "parts": list(self.parts)}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.float32]], content: Mapping[str, Any]) -> Guard:
        """The guard that `arrays` and `to_json` told.

        Raises:
            KeyError, TypeError, ValueError: if they are no such thing.
        """
        return cls(
            **{name: np.asarray(arrays[name], np.float32) for name in ("centre", "scale", "components")},
            farthest=float(content["farthest"]),
            darkest=float(content["darkest"]),
            parts=tuple(map(str, content["parts"])),
            false_alarm=float(content["false_alarm"]),
            images=int(content["images"]),
            patients=int(content["patients"]),
            taught=bool(content["taught"]),
        )


def fit_guard(
    features: Features,
    white: NDArray[np.float64],
    group: NDArray[Any],
    *,
    parts: Sequence[str] = (),
    false_alarm: float = FALSE_ALARM,
    components: int = COMPONENTS,
    taught: bool = False,
) -> Guard:
    """Learn what the images of training are like.

    The limits are found on patients whose images had no part in the components they are measured by (five folds), and
    hold for patients, not images (`osteon.evaluate.patient_quantiles.highest`). Half of the false alarms are granted to
    the distance and half to the polarity. Deterministic.

    Args:
        features: (n, flips, d) of the training images.
        white: (n,) `whiteness` of the prepared images.
        group: (n,) patient of each.
        parts: body parts among them, for files that name theirs.
        false_alarm: in 0..1 exclusive.
        components: number of principal components.
        taught: as `Guard` has it.

    Raises:
        TooFewCases: for too few patients, with the number that it takes.
    """
    patients, needed = len(np.unique(group)), fewest(false_alarm / LIMITS)
    if patients < max(needed, FOLDS):
        raise TooFewCases(
            f"{patients} patients are too few for a guard that refuses {false_alarm:g} of them by mistake",
            remedy=f"take {max(needed, FOLDS)} patients, or allow more false alarms",
        )
    rows = np.asarray(features.mean(axis=1), np.float32)
    held_out = np.empty(len(rows))
    for others, here in GroupKFold(FOLDS).split(rows, groups=group):
        held_out[here] = _residual(rows[here], *_space(rows[others], components))
    return Guard(
        *_space(rows, components),
        farthest=highest(held_out, group, false_alarm / LIMITS),
        # Above 0 the odds are that bone is white: the image may be rare, but it is no negative.
        darkest=min(0.0, -highest(-white, group, false_alarm / LIMITS)),
        parts=tuple(parts),
        false_alarm=false_alarm,
        images=len(rows),
        patients=patients,
        taught=taught,
    )


def _space(
    rows: NDArray[np.float32], components: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Centre, scale and components of training features (n, d)."""
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-6 * (np.abs(centre) + 1), scale, 1).astype(np.float32)  # constant but for rounding
    most = min(components, *(side - 1 for side in rows.shape))
    found = PCA(most, svd_solver="randomized", random_state=0).fit((rows - centre) / scale)
    return centre, scale, np.asarray(found.components_, np.float32)


def _residual(
    rows: Features, centre: NDArray[np.float32], scale: NDArray[np.float32], components: NDArray[np.float32]
) -> NDArray[np.float64]:
    standard = ((rows - centre) / scale).astype(float)
    explained = standard @ components.T.astype(float)
    return np.asarray(np.sqrt(np.maximum((standard**2).sum(axis=1) - (explained**2).sum(axis=1), 0)))


def _listed(parts: Sequence[str]) -> str:
    return " or ".join(parts)
