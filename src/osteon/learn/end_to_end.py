"""Whole networks on the 18 labels of RUST, fold by fold: the baselines of Hong 2023 and what they may be.

The study's procedure lets the fold that reports also choose its epoch. `replace(TRAINING.objective, chooses="last")`
takes the last epoch instead, which nothing has chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from osteon.dataset.splits import SEALED, folds_of
from osteon.errors import BadTable, TooFewCases
from osteon.learn.copies import refuse_copies
from osteon.learn.decoded import decode_named, forget
from osteon.learn.heads import Network
from osteon.learn.objectives import Epoch
from osteon.learn.scoring import scores
from osteon.learn.train import HeldOut, TrainOptions, fit, part_of
from osteon.tasks import rust
from osteon.types import Progress, silent

CURVES = ("fold", "epoch", "part", "loss", "auroc")
"""Columns of the curves: `fold` (-1: the mean over folds), `epoch` from 1, `part` training or validation."""

MEAN = -1
"""In place of a fold: the mean over folds."""


@dataclass(frozen=True, eq=False)
class EndToEnd:
    """What training whole networks gave.

    Attributes:
        probabilities: (n, 18) in the order of `rust.LABELS`, row by row those of the cohort: of the fold's network that
            was not trained on the row; in the sealed part, of the best fold's.
        curves: one row per fold, epoch and part (CURVES), and per epoch and part the mean over folds.
        kept: fold → its epoch, from 1, whose weights gave the probabilities.
        best_fold: the fold of the largest validation AUROC at its kept epoch, the first on a tie.
        best_epoch: the epoch, from 1, of the largest mean validation AUROC; the study reports the mean there.
        network: the name of the first fold's network.
    """

    probabilities: NDArray[np.float64]
    curves: pd.DataFrame
    kept: dict[int, int]
    best_fold: int
    best_epoch: int
    network: str


def train_end_to_end(
    cohort: pd.DataFrame,
    images: Mapping[str, Path],
    fresh: Callable[[int], Network],
    options: TrainOptions,
    folder: Path,
    *,
    seed: int,
    leaky_by_image: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> EndToEnd:
    """Train a network per fold on the other folds; the fold itself is held out, and tells after every epoch how it is.

    A call that was cut off goes on, when repeated, from the checkpoints in `folder`.

    Args:
        cohort: n rows with the columns image, view, fold, the four grades and, for folds by patient, patient and
            group; fold -1 is sealed: its grades are not read.
        images: image id → prepared PNG, all of one size.
        fresh: fold → the network that it starts from, with 18 outputs.
        options: how to train; its objective notes the figure `auroc` (`hong.TRAINING`).
        folder: gets a checkpoint per fold.
        seed: of the order, the augmentation and dropout.
        leaky_by_image: take folds that part the images of one patient, as the study drew them. What is then measured is
            in part how well the network knows its patients.
        cache: keeps the decoded images for other runs on the same ones; None decodes into `folder`, and removes them at
            the end.
        progress: called with the thousandths of all runs done and their number.

    Raises:
        Leak, BadTable, TooFewCases: as `dataset.splits.folds_of`; BadTable also for a missing column, or for copies
            (`learn.copies`), which are no cases to report on.
        TooFewCases: if every label of a training part is the same for all of it.
        NotFound, UnreadableImage, BadTable: for a prepared image that is not there, does not decode or is of another
            size than the others, before training starts.
        Mismatch, Diverged, CannotWrite: as `train.fit`.
    """
    if "auroc" not in options.objective.figures:
        raise ValueError(f"the objective {options.objective.name!r} does not note the figure auroc")
    fold = _folds(cohort, leaky_by_image)
    target = rust.one_hot(_grades(cohort, fold), cohort["view"].fillna("").astype(str).tolist())
    pixels = decode_named(cohort["image"].tolist(), images, cache or folder)
    numbers = [int(k) for k in np.unique(fold[fold != SEALED])]
    epochs: dict[int, tuple[Epoch, ...]] = {}
    kept: dict[int, int] = {}
    logits = np.full(target.shape, np.nan)
    best, name, sealed = -np.inf, "", np.flatnonzero(fold == SEALED)
    for place, number in enumerate(numbers):
        own, others = fold == number, (fold != number) & (fold != SEALED)
        fitted = fit(
            fresh(number),
            options.batches(pixels, np.flatnonzero(others), target[others]),
            HeldOut(pixels, np.flatnonzero(own), target[own]),
            options,
            folder / f"fold-{number}",
            seed=seed,
            progress=part_of(progress, place, len(numbers)),
        )
        logits[own] = scores(fitted.network, pixels, np.flatnonzero(own), options.batch, options.scoring)
        epochs[number], kept[number] = fitted.epochs, fitted.best + 1
        name = name or fitted.network.name
        reached = fitted.epochs[fitted.best].figures["auroc"][1]
        if reached > best or not place:
            best, best_fold = reached, number
            if len(sealed):
                logits[sealed] = scores(fitted.network, pixels, sealed, options.batch, options.scoring)
    if cache is None:
        forget(folder)
    curves = curves_of(epochs)
    return EndToEnd(expit(logits), curves, kept, best_fold, best_epoch_of(curves), name)


def curves_of(epochs: Mapping[int, tuple[Epoch, ...]]) -> pd.DataFrame:
    """The epochs of each fold, and their mean over folds, as a long table with the columns CURVES."""
    rows = [
        (fold, number, part, loss, epoch.figures["auroc"][place])
        for fold, done in epochs.items()
        for number, epoch in enumerate(done, start=1)
        for place, (part, loss) in enumerate((("training", epoch.training), ("validation", epoch.held_out)))
    ]
    folds = pd.DataFrame(rows, columns=list(CURVES))
    mean = folds.groupby(["epoch", "part"], as_index=False)[["loss", "auroc"]].mean().assign(fold=MEAN)
    return pd.concat([folds, mean[list(CURVES)]], ignore_index=True)


def best_epoch_of(curves: pd.DataFrame) -> int:
    """The epoch, from 1, of the largest mean validation AUROC, the first on a tie."""
    mean = curves[(curves["fold"] == MEAN) & (curves["part"] == "validation")].sort_values("epoch")
    return int(mean["epoch"].to_numpy()[int(np.argmax(mean["auroc"].to_numpy()))])


def _folds(cohort: pd.DataFrame, leaky_by_image: bool) -> NDArray[np.intp]:
    missing = [name for name in ("image", "view", "fold", *rust.CORTICES) if name not in cohort]
    if missing:
        raise BadTable(
            f"the cohort has no column {', '.join(missing)}", remedy="join the grades to a manifest that is split"
        )
    refuse_copies(cohort)
    if not leaky_by_image:
        folds_of(cohort)
    fold = np.asarray(cohort["fold"].to_numpy(int), np.intp)
    if len(np.unique(fold[fold != SEALED])) < 2:
        raise TooFewCases("the cohort has fewer than two folds", remedy="split it again: osteon split --folds 5")
    return fold


def _grades(cohort: pd.DataFrame, fold: NDArray[np.intp]) -> rust.Grades:
    """(n, 4); those of the sealed part are not looked at."""
    given = cohort[list(rust.CORTICES)].astype("Float64").to_numpy(float, na_value=rust.NOT_VISIBLE)
    given[fold == SEALED] = rust.NOT_VISIBLE
    try:
        return rust.check(given)
    except ValueError as error:
        raise BadTable(f"the cohort cannot be trained on: {error}", remedy="correct its grades") from error
