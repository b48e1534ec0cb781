"""The two ways of splitting 80:10:10, and what the top layer says under each.

The study's own way, under the name `leaky-by-copy`: the images are split after eight were made of each radiograph, so
that nearly every image of the validation and test part has siblings among the images that are learnt from. The other
way: patients are split first, and only what is learnt from is copied.

Under both, each tenth is the test part once. The run whose test part is the last tenth stands for the study's single
split; the nine others are there so that what the leak adds can be told of all images, with an interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.splits import SEALED
from osteon.errors import TooFewCases
from osteon.experiments.kim2018.cohort import TENTHS, TEST, VALIDATION
from osteon.experiments.kim2018.toplayer import Features, Images, Training, train
from osteon.experiments.stages import Kept
from osteon.learn.copies import is_copy
from osteon.learn.fold_tables import BY_IMAGE, BY_PATIENT, deal
from osteon.learn.train import part_of
from osteon.types import Progress, silent

LEAKY = "leaky-by-copy"
"""Name of the study's split: copies of one radiograph are on both sides."""

PROTOCOLS: Mapping[str, str] = {
    LEAKY: "copied first, then split image by image, as in the study: for comparison only",
    BY_PATIENT: "patients split first, then only what is learnt from is copied",
}

ACCURACY_FROM = 0.5
"""Score from which an image counts as called a fracture, for accuracies."""


@dataclass(frozen=True, eq=False)
class Augmented:
    """All images with their features: the originals, sealed ones included, and the copies of those that are not.

    Attributes:
        table: (n rows) with tenths by patient in `fold`, -1 sealed, and `copy_of`.
        features: (n, d) float32, the mean over positions of the backbone's last maps, as they are.
        backbone: with its weights, as they really are.
    """

    table: pd.DataFrame
    features: Features
    backbone: str

    @property
    def target(self) -> NDArray[np.intp]:
        """(n,) 0 or 1; 0 in the sealed part."""
        return np.asarray(self.table["target"].fillna(0).to_numpy(int), np.intp)

    @property
    def tenth(self) -> NDArray[np.intp]:
        """(n,) by patient; -1 sealed."""
        return np.asarray(self.table["fold"].to_numpy(int), np.intp)

    @property
    def original(self) -> NDArray[np.bool_]:
        """(n,) which are radiographs and no copies."""
        return ~is_copy(self.table)

    @property
    def group(self) -> NDArray[np.intp]:
        """(n,) 0-based number of each image's group."""
        return np.asarray(pd.factorize(self.table["group"], sort=True)[0], np.intp)

    def images(self, rows: NDArray[np.bool_]) -> Images:
        """Some of the rows, to learn from or to be judged by."""
        return Images(self.features[rows], self.target[rows])


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the top layer said under a protocol.

    Attributes:
        protocol: its name.
        tenth: (n,) of each image under this protocol; -1 sealed.
        score: (n,) each image by the run whose test part it is in; the sealed ones by the study's run.
        study: (n,) all images by the study's run, NaN for those that it learnt from.
        curves: of the study's run; columns `toplayer.CURVES`.
        images: of the study's run, by part: learnt from, validation and test.
    """

    protocol: str
    tenth: NDArray[np.intp]
    score: NDArray[np.float64]
    study: NDArray[np.float64]
    curves: pd.DataFrame
    images: Mapping[str, int]

    def kept(self) -> Kept:
        """Taken apart, to be kept."""
        told: dict[str, Any] = {"protocol": self.protocol, "images": dict(self.images)}
        return Kept(told, {"tenth": self.tenth, "score": self.score, "study": self.study}, {"curves": self.curves})

    @classmethod
    def of(cls, done: Kept) -> Outcome:
        """Put together again."""
        told, arrays = done.told, done.arrays
        parts = (arrays["tenth"], arrays["score"], arrays["study"])
        return cls(told["protocol"], *parts, done.tables["curves"], told["images"])


def tenths_of(augmented: Augmented, protocol: str, *, seed: int) -> NDArray[np.intp]:
    """(n,) the tenth of each image under a protocol, -1 sealed; by copy, copies are dealt like images of their own."""
    if protocol == BY_PATIENT:
        return augmented.tenth
    return np.asarray(deal(augmented.table, TENTHS, seed=seed, protocol=BY_IMAGE)["fold"].to_numpy(int), np.intp)


def parts_of(
    augmented: Augmented, tenth: NDArray[np.intp], protocol: str, test: int = TEST
) -> dict[str, NDArray[np.bool_]]:
    """(n,) masks of the images to learn from, of the validation and of the test part.

    Args:
        augmented: all images.
        tenth: (n,) of each image.
        protocol: by patient, copies are learnt from and nothing else.
        test: the tenth that is the test part; the one before it is the validation part.

    Raises:
        TooFewCases: if a part is empty, or there is one class only to learn from.
    """
    validation = (test + VALIDATION - TEST) % TENTHS
    held_out = augmented.original if protocol == BY_PATIENT else np.ones(len(tenth), bool)
    parts = {
        "learnt": (tenth != SEALED) & (tenth != validation) & (tenth != test),
        "validation": (tenth == validation) & held_out,
        "test": (tenth == test) & held_out,
    }
    if not all(part.any() for part in parts.values()) or np.ptp(augmented.target[parts["learnt"]]) == 0:
        raise TooFewCases("a part of the split is empty or of one class", remedy="add patients of both classes")
    return parts


def learn(
    augmented: Augmented, protocol: str, training: Training, *, seed: int, progress: Progress = silent
) -> Outcome:
    """Train the top layer ten times, each tenth being the test part once.

    Args:
        augmented: all images.
        protocol: of PROTOCOLS.
        training: of the top layer.
        seed: of the deal and of every training.
        progress: told of thousandths of all runs.
    """
    tenth = tenths_of(augmented, protocol, seed=seed)
    score = np.full(len(tenth), np.nan)
    for test in range(TENTHS):  # the study's run comes last
        parts = parts_of(augmented, tenth, protocol, test)
        layer, curves = train(
            augmented.images(parts["learnt"]),
            augmented.images(parts["validation"]),
            training,
            seed=(seed, test),
            progress=part_of(progress, test, TENTHS),
        )
        own = tenth == test
        score[own] = layer(augmented.features[own])
    study = layer(augmented.features)
    sealed = tenth == SEALED
    score[sealed] = study[sealed]
    images = {name: int(rows.sum()) for name, rows in parts.items()}
    return Outcome(protocol, tenth, score, np.where(parts["learnt"], np.nan, study), curves, images)


def tried(
    augmented: Augmented, training: Mapping[float, Training], *, seed: int, progress: Progress = silent
) -> pd.DataFrame:
    """What the study looked at: the accuracy on the test part at several learning rates, under both protocols.

    Args:
        augmented: all images.
        training: learning rate → how to train.
        seed: as of `learn`; the study's own rate gives the study's run again.
        progress: told of thousandths of all runs.

    Returns:
        Columns `rate`, `protocol`, `accuracy`, `images`.
    """
    rows = []
    for number, (rate, how) in enumerate(training.items()):
        for place, protocol in enumerate(PROTOCOLS):
            parts = parts_of(augmented, tenths_of(augmented, protocol, seed=seed), protocol)
            told = part_of(progress, len(PROTOCOLS) * number + place, len(PROTOCOLS) * len(training))
            learnt, validation = (augmented.images(parts[name]) for name in ("learnt", "validation"))
            layer, _ = train(learnt, validation, how, seed=(seed, TEST), progress=told)
            test = augmented.images(parts["test"])
            right = (layer(test.features) >= ACCURACY_FROM) == (test.target == 1)
            rows.append((rate, protocol, float(right.mean()), len(right)))
    return pd.DataFrame(rows, columns=["rate", "protocol", "accuracy", "images"])
