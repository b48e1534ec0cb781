"""Nested cross-validation: the folds of a training part choose and calibrate, the fold that was left out reports.

The inner folds of a fold are the other folds, so patients stay together at both levels. A model that has seen neither
fold 1 nor fold 3 is an inner model of both, which halves the work: k folds need k(k-1)/2 inner models, k outer ones
and the final one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset.splits import SEALED, folds_of
from osteon.errors import Diverged, TooFewCases
from osteon.evaluate.calibration import fit_platt
from osteon.learn.copies import refuse_copies
from osteon.learn.logistic import Array, fit_path
from osteon.types import Calibration

UNUSED = -2
"""In place of a fold: a row that is neither labelled nor sealed."""

REGULARISATIONS = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0)
"""The C of the logistic regressions to choose from: larger = weaker penalty."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Which row of a manifest plays which part.

    Attributes:
        fold: (n,) fold that holds the row out; -1 = sealed test part, -2 = unlabelled, not used.
        target: (n,) 0 or 1; 0 for the rows of negative fold, whose target nobody sees.
        left_out: for each model that is fitted, the folds that it does not see: all pairs, each fold, none.
        training: (models, n) the rows that each sees.
    """

    fold: NDArray[np.intp]
    target: Array
    left_out: tuple[tuple[int, ...], ...]
    training: NDArray[np.bool_]

    @property
    def folds(self) -> list[int]:
        """The numbers of the folds."""
        return [out[0] for out in self.left_out if len(out) == 1]

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(n,) rows that some model may learn from."""
        return self.fold >= 0


@dataclass(frozen=True, eq=False)
class Nested:
    """What came out for every row, and what was chosen on the way.

    Attributes:
        score: (n,) of the model that has not seen the row: out of fold, or the final one in the test part.
        probability: (n,) the score, calibrated on what that model's training part alone tells.
        chosen: number of the setting each fold chose inside its training part.
        final: number of the setting that all folds together chose for the final model.
        calibration: of the final model's scores, fitted on the out-of-fold scores at that setting.
    """

    score: Array
    probability: Array
    chosen: tuple[int, ...]
    final: int
    calibration: Calibration


def lay_out(manifest: pd.DataFrame) -> Layout:
    """The parts that the rows of a split manifest play.

    Raises:
        TooFewCases: for fewer than three folds, or a training part of one class.
        Leak, BadTable: as `dataset.splits.folds_of`; BadTable also for copies, which are no cases to report on.
    """
    refuse_copies(manifest)
    folds_of(manifest)
    fold = manifest["fold"].to_numpy(int)
    fold = np.where((fold != SEALED) & manifest["target"].isna().to_numpy(bool), UNUSED, fold)
    numbers = [int(k) for k in np.unique(fold[fold >= 0])]
    if len(numbers) < 3:
        raise TooFewCases(
            f"{len(numbers)} folds leave no inner folds to choose and calibrate on",
            remedy="split with --folds 3 or more",
        )
    target = np.where(fold >= 0, manifest["target"].fillna(0).to_numpy(float), 0.0)
    left_out = (*combinations(numbers, 2), *((k,) for k in numbers), ())
    training = np.array([(fold >= 0) & ~np.isin(fold, out) for out in left_out])
    for out, rows in zip(left_out, training, strict=True):
        if not 0 < target[rows].sum() < rows.sum():
            raise TooFewCases(
                f"all {rows.sum()} cases outside fold {' and '.join(map(str, out)) or '-'} are of one class",
                remedy="label more cases, or split with fewer folds",
            )
    return Layout(fold.astype(np.intp), target, left_out, training)


def linear_scores(
    design: NDArray[np.floating], layout: Layout, regularisations: Sequence[float]
) -> tuple[Array, Array, Array]:
    """Logistic regression on each training part of the layout, standardised inside it, for each penalty.

    Args:
        design: (n, flips, d). In training every flip is a row and an image counts once; a score is the flips' mean.
        layout: of the same n rows.
        regularisations: c values of C.

    Returns:
        Scores (c, models, n) of all rows, weights (c, models, d) and biases (c, models) in raw feature units.

    Raises:
        Diverged: if a row that is used holds a value that is no number.
    """
    if not np.isfinite(design[layout.fold != UNUSED]).all():
        raise Diverged("the features hold values that are no numbers", remedy="compute the feature bank again")
    flips = design.shape[1]
    known = layout.labelled
    uses = np.repeat(layout.training[:, known] / flips, flips, axis=1)
    rows = design[known].reshape(int(known.sum()) * flips, -1)
    weights, biases = fit_path(rows, np.repeat(layout.target[known], flips), uses, regularisations)
    scores = weights @ design.mean(axis=1, dtype=float).T + biases[:, :, None]
    return scores, weights, biases


def nested(layout: Layout, scores: Array, *, platt: bool = True, scaled: bool = False) -> Nested:
    """Choose a setting by inner log loss, calibrate on inner out-of-fold scores, and report each fold.

    Args:
        layout: the parts of n rows.
        scores: (c, models, n) log odds at c settings, the least flexible setting first: it wins ties.
        platt: calibrate by Platt scaling; otherwise the scores are taken as the log odds they are.
        scaled: judge each setting after a Platt scaling of its own, for networks, whose scores may be right in their
            order and far too sure.
    """
    score, probability = np.full(layout.fold.shape, np.nan), np.full(layout.fold.shape, np.nan)
    chosen = []
    for fold in layout.folds:
        best, calibration = _choose(layout, scores, fold, platt, scaled)
        own = layout.fold == fold
        score[own] = scores[best, layout.left_out.index((fold,)), own]
        probability[own] = calibration(score[own])
        chosen.append(best)
    final, calibration = _choose(layout, scores, None, platt, scaled)
    sealed = layout.fold == SEALED
    score[sealed] = scores[final, layout.left_out.index(()), sealed]
    probability[sealed] = calibration(score[sealed])
    return Nested(score, probability, tuple(chosen), final, calibration)


def of_unlabelled(layout: Layout, scores: Array, fold: NDArray[np.intp]) -> tuple[Array, Array]:
    """(n,) score and probability, as `nested` gives them, of the rows that no model learns from; NaN for all others.

    Each is told by the model of the fold that it lies in, which has seen none of its patient's images.

    Args:
        layout: the parts of n rows.
        scores: (c, models, n) log odds at c settings.
        fold: (n,) fold of each row, as `osteon split` dealt it.
    """
    score, probability = np.full(fold.shape, np.nan), np.full(fold.shape, np.nan)
    for number in layout.folds:
        rows = (layout.fold == UNUSED) & (fold == number)
        best, calibration = _choose(layout, scores, number, platt=True, scaled=False)
        score[rows] = scores[best, layout.left_out.index((number,)), rows]
        probability[rows] = calibration(score[rows])
    return score, probability


def _choose(layout: Layout, scores: Array, outer: int | None, platt: bool, scaled: bool) -> tuple[int, Calibration]:
    """The setting of least log loss out of the inner folds of `outer` (None: of all folds), and its calibration."""
    inner = [fold for fold in layout.folds if fold != outer]
    rows = np.flatnonzero(np.isin(layout.fold, inner))
    model = {fold: layout.left_out.index(tuple(sorted({fold, outer} - {None}))) for fold in inner}
    unseen = scores[:, [model[fold] for fold in layout.fold[rows]], rows]
    target = layout.target[rows]
    judged = np.array([_scaled(row, target) for row in unseen]) if scaled else unseen
    losses = (np.logaddexp(0, judged) - target * judged).mean(axis=1)
    best = int(np.argmin(losses))
    if platt:
        return best, fit_platt(unseen[best], target)
    note = "the model's own probability, not calibrated"
    return best, Calibration(slope=1.0, intercept=0.0, n=len(rows), prevalence=float(target.mean()), note=note)


def _scaled(score: Array, target: Array) -> Array:
    """The scores, as log odds that fit the targets."""
    found = fit_platt(score, target)
    return found.slope * score + found.intercept


def as_predictions(
    model: str, manifest: pd.DataFrame, layout: Layout, score: Array, probability: Array
) -> pd.DataFrame:
    """Rows of the predictions table for all labelled and sealed rows; the target of the sealed ones stays missing."""
    rows = np.flatnonzero(layout.fold != UNUSED)
    sealed = layout.fold[rows] == SEALED
    frame = pd.DataFrame(
        {
            "model": model,
            "image": manifest["image"].to_numpy()[rows],
            "study": manifest["study"].to_numpy()[rows],
            "group": manifest["group"].to_numpy()[rows],
            "part": np.where(sealed, "test", "validation"),
            "fold": layout.fold[rows],
            "target": pd.array(layout.target[rows], dtype="Int8"),
            "score": score[rows],
            "probability": probability[rows],
        }
    )
    frame.loc[sealed, "target"] = pd.NA
    return tables.check(frame, tables.PREDICTIONS, f"the predictions of {model}")


def log_odds(share: Array | float) -> Array:
    """The score whose own probability is `share`, in 0..1 exclusive."""
    return np.asarray(np.log(share) - np.log1p(-np.asarray(share, float)))
