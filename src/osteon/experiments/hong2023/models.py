"""The models of the study, each cross-validated to an outcome: whole networks, and heads on frozen backbones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from osteon.dataset.prepared import pixels_of
from osteon.experiments.hong2023.cohort import Cohort
from osteon.experiments.hong2023.outcomes import Outcome
from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.end_to_end import CURVES, MEAN, best_epoch_of, train_end_to_end
from osteon.learn.features import FOUR_FLIPS, FeatureBank
from osteon.learn.fold_tables import BY_IMAGE, visible
from osteon.learn.heads import Network
from osteon.learn.networks import inception
from osteon.learn.search.flat_heads import MEASURES, Examples, FittedHead, HeadOptions, fit_heads, global_max
from osteon.learn.search.hong import TRAINING, hong_network
from osteon.learn.search.lenet import lenet
from osteon.types import Progress, silent

LENET, INCEPTION = "LeNet-1998", "InceptionV3, end to end"
"""The study's baselines that are trained whole."""

HEAD = ", frozen, + Hong's head"
"""Behind the name of a frozen backbone, that of the network."""

DEALS = 2**16
"""Added to the seed of the training for that of the folds, so that no two things draw the same numbers."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """What heads on one frozen backbone learn from.

    Attributes:
        name: backbone and weights as they really are. short: the same for axes and captions.
        features: (n, 4, d) float32 of the cohort's rows, for the four flips.
    """

    name: str
    short: str
    features: NDArray[np.float32]

    @classmethod
    def of(cls, bank: FeatureBank, cohort: Cohort) -> Frozen:
        """From a bank of four flips: of its two poolings the maximum over positions."""
        pooled = bank.array(cohort.table["image"].tolist(), flips=FOUR_FLIPS)
        short = f"{bank.trunk.name}, {bank.trunk.weights.partition(',')[0]}"
        return cls(str(bank.trunk), short, np.ascontiguousarray(global_max(pooled), np.float32))


def cross_validate(
    name: str,
    cohort: Cohort,
    frozen: Frozen,
    options: HeadOptions,
    *,
    folds: int,
    protocol: str,
    seed: int,
    progress: Progress = silent,
) -> Outcome:
    """Hong's head on a frozen backbone, fold by fold.

    Args:
        name: of the model in the story.
        cohort: of which the sealed part is not learnt from.
        frozen: its features.
        options: how to train.
        folds: how many.
        protocol: how they are dealt, of `fold_tables.PROTOCOLS`.
        seed: of folds and training.
        progress: told of epochs.
    """
    table = cohort.dealt(folds, seed=seed + DEALS, protocol=protocol)
    rows, parts = visible(table, protocol)
    examples = Examples.of(frozen.features[rows], cohort.labels[rows])
    heads = fit_heads(examples, parts, options, seed=(seed,), progress=progress)
    probabilities = np.full(cohort.labels.shape, np.nan)
    for part, head in zip(parts, heads, strict=True):
        probabilities[rows[part.validation]] = expit(head.logits.astype(float))
    best = best_of(heads)
    sealed = cohort.sealed
    if sealed.any():
        probabilities[sealed] = expit(heads[best](frozen.features[sealed, 0]).astype(float))
    curves = curves_of([part.index for part in parts], heads)
    return Outcome(
        name=name,
        network=f"{frozen.name}{HEAD}",
        protocol=protocol,
        fold=table["fold"].to_numpy(np.intp),
        probabilities=probabilities,
        curves=curves,
        best_epoch=best_epoch_of(curves),
        best_fold=parts[best].index,
        options=asdict(options),
    )


def best_of(heads: list[FittedHead]) -> int:
    """The place of the head with the largest validation AUROC at its best epoch, the first of equals."""
    return int(np.argmax([head.curves[head.best, MEASURES.index("validation_auroc")] for head in heads]))


def curves_of(folds: list[int], heads: list[FittedHead]) -> pd.DataFrame:
    """The curves of heads as a long table with the columns of `end_to_end.CURVES`, means over folds included."""
    rows = [
        (fold, epoch, part, *values[place : place + 2])
        for fold, head in zip(folds, heads, strict=True)
        for epoch, values in enumerate(head.curves.tolist(), start=1)
        for part, place in (("training", 0), ("validation", 2))
    ]
    each = pd.DataFrame(rows, columns=list(CURVES))
    # An epoch that one fold has not reached has no mean.
    mean = each.groupby(["epoch", "part"])[["loss", "auroc"]].agg(lambda values: values.mean(skipna=False))
    return pd.concat([each, mean.reset_index().assign(fold=MEAN)[list(CURVES)]], ignore_index=True)


def train_lenet(
    cohort: Cohort, folder: Path, *, folds: int, epochs: int, seed: int, progress: Progress = silent
) -> Outcome:
    """LeNet-1998 at the size of the prepared images, on image-level folds."""
    height, width = pixels_of(next(iter(cohort.images.values()))).shape

    def fresh(fold: int) -> Network:
        return lenet((height, width), seed=seed + fold)

    return _train_whole(LENET, cohort, fresh, folder, folds=folds, epochs=epochs, seed=seed, progress=progress)


def train_inception(
    cohort: Cohort, folder: Path, *, folds: int, epochs: int, seed: int, progress: Progress = silent
) -> Outcome:
    """InceptionV3 from random weights, all of them trained, on image-level folds."""

    def fresh(fold: int) -> Network:
        trunk: Trunk = open_backbone(inception.KERAS, "random", seed=seed + fold)
        return hong_network(trunk, frozen=False, seed=seed + fold)

    return _train_whole(INCEPTION, cohort, fresh, folder, folds=folds, epochs=epochs, seed=seed, progress=progress)


def _train_whole(
    name: str,
    cohort: Cohort,
    fresh: Callable[[int], Network],
    folder: Path,
    *,
    folds: int,
    epochs: int,
    seed: int,
    progress: Progress,
) -> Outcome:
    table = cohort.dealt(folds, seed=seed + DEALS, protocol=BY_IMAGE)
    options = replace(TRAINING, epochs=epochs)
    done = train_end_to_end(
        table, cohort.images, fresh, options, folder, seed=seed, leaky_by_image=True, progress=progress
    )
    return Outcome(
        name=name,
        network=done.network,
        protocol=BY_IMAGE,
        fold=table["fold"].to_numpy(np.intp),
        probabilities=done.probabilities,
        curves=done.curves,
        best_epoch=done.best_epoch,
        best_fold=done.best_fold,
        options={"batch": options.batch, "dropout": 0.0, "learning_rate": 1e-3, "epsilon": 1e-7, "epochs": epochs},
    )
