"""Fracture, inconclusive or none, learnt from images that people called inconclusive.

Beside it stands the conformal answer (`osteon.evaluate.conformal`), which needs no such label and states its error
rate. This one learns what people found hard to say.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from osteon import tasks
from osteon.errors import BadTable, Diverged, Mismatch, TooFewCases
from osteon.evaluate.conformal import INCONCLUSIVE, NEGATIVE, POSITIVE
from osteon.learn.logistic import Array
from osteon.tasks import FRACTURE, Task

COLUMN = tasks.INCONCLUSIVE
"""The column of a manifest that says so of an image; yes or no."""

CLASSES = (NEGATIVE, INCONCLUSIVE, POSITIVE)
REGULARISATIONS = (1e-4, 1e-3, 1e-2, 1e-1)
STEPS = 2000


@dataclass(frozen=True, eq=False)
class ThreeWayHead:
    """Multinomial logistic regression: three scores of raw features, and their softmax.

    Attributes:
        weight: (3, d). bias: (3,). In the order of CLASSES.
    """

    weight: Array
    bias: Array

    def __call__(self, features: NDArray[np.floating]) -> Array:
        """Probabilities (n, 3) of features (n, flips, d), in the order of CLASSES; the score is the flips' mean."""
        scores = features.mean(axis=1, dtype=float) @ self.weight.T + self.bias
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class ThreeWay:
    """What the folds said, and the model fitted on all of them.

    Attributes:
        predictions: a row per labelled image, out of fold: image, group, fold, `truth` and `answer` (words of CLASSES;
            the answer is the most probable one), and `p_negative`, `p_inconclusive`, `p_positive`.
        head: fitted on all labelled images.
        regularisations: C that each fold chose by the log loss of its inner folds; the last is that of the head.
    """

    predictions: pd.DataFrame
    head: ThreeWayHead
    regularisations: tuple[float, ...]


def truth_of(manifest: pd.DataFrame, task: Task = FRACTURE) -> NDArray[np.str_]:
    """(n,) what people said of each image: a word of CLASSES, or "" for images without a target.

    An image that COLUMN calls inconclusive is that, whatever its target: the target is then a guess.

    Raises:
        BadTable: without the column, or if it holds what is neither yes nor no.
    """
    if COLUMN not in manifest:
        raise BadTable(
            f"the manifest has no column {COLUMN!r}",
            remedy="give the label table a column of that name with yes or no, or use the conformal answer",
        )
    said = manifest[COLUMN].astype("string").fillna("").str.strip()
    meaning = {text: task.encode(str(text)) if text else 0 for text in said.unique()}
    unknown = [text for text, answer in meaning.items() if answer is None]
    if unknown:
        raise BadTable(
            f"the column {COLUMN!r} says {unknown[0]!r}", remedy="write 1 for inconclusive, 0 or nothing else"
        )
    doubtful = said.map(meaning).to_numpy(int) == 1
    target = manifest["target"].astype("Int8").fillna(-1).to_numpy(int)
    known = np.select([target == 1, target == 0], [POSITIVE, NEGATIVE], "")
    return np.where(doubtful, INCONCLUSIVE, known).astype(str)


def says_any(manifest: pd.DataFrame) -> bool:
    """Whether the manifest may call some image inconclusive: it has COLUMN, and says there something else than no."""
    if COLUMN not in manifest:
        return False
    said = manifest[COLUMN].astype("string").fillna("").str.strip()
    return any(text != "" and FRACTURE.encode(str(text)) != 0 for text in said.unique())


def cross_validate_three(
    features: NDArray[np.floating],
    manifest: pd.DataFrame,
    *,
    regularisations: Sequence[float] = REGULARISATIONS,
) -> ThreeWay:
    """Cross-validate a multinomial logistic regression on frozen features, and fit the final one.

    Within each fold, standardisation, penalty (least log loss over the other folds in turn) and weights are learnt
    from its training part alone; every flip of an image is a row. `osteon.evaluate.three_way.shares_of` judges the
    answers. Deterministic.

    Args:
        features: (n, flips, d), row by row those of the manifest.
        manifest: n rows with group, fold, target and COLUMN.
        regularisations: C to choose from.

    Raises:
        Mismatch: if features and manifest differ in length.
        BadTable: as `truth_of`.
        TooFewCases: for fewer than three folds, or if a training part lacks one of the three answers.
        Diverged: if the optimiser does not settle.
    """
    if features.ndim != 3 or len(features) != len(manifest):
        raise Mismatch(
            f"features of shape {features.shape} do not fit a manifest of {len(manifest)} rows",
            remedy="compute the features of this manifest: osteon features",
        )
    truth, fold = truth_of(manifest), manifest["fold"].to_numpy(int)
    rows = np.flatnonzero((fold >= 0) & (truth != ""))
    features, truth, fold = features[rows], truth[rows], fold[rows]
    folds = np.unique(fold)
    if len(folds) < 3:
        raise TooFewCases(
            f"{len(folds)} folds leave no inner folds to choose on", remedy="split with --folds 3 or more"
        )
    strengths, told, chosen = sorted(regularisations), np.full((len(rows), 3), np.nan), []
    for f in folds:
        others = fold != f
        chosen.append(_choose(features[others], truth[others], fold[others], strengths))
        told[~others] = _fit(features[others], truth[others], chosen[-1])(features[~others])
    chosen.append(_choose(features, truth, fold, strengths))
    predictions = manifest.iloc[rows][["image", "group", "fold"]].reset_index(drop=True)
    predictions = predictions.assign(truth=truth, answer=np.array(CLASSES)[told.argmax(axis=1)])
    predictions = predictions.assign(**{f"p_{name}": told[:, i] for i, name in enumerate(CLASSES)})
    return ThreeWay(predictions, _fit(features, truth, chosen[-1]), tuple(chosen))


def _choose(features: NDArray[np.floating], truth: NDArray[np.str_], fold: NDArray[np.intp], of: list[float]) -> float:
    """The C of least log loss over inner folds; of equals the smallest."""
    if len(of) == 1:
        return of[0]
    right = np.array([CLASSES.index(word) for word in truth])
    losses = np.zeros(len(of))
    for f in np.unique(fold):
        others, here = fold != f, np.flatnonzero(fold == f)
        for i, strength in enumerate(of):
            told = _fit(features[others], truth[others], strength)(features[here])
            losses[i] -= np.log(np.maximum(told[np.arange(len(here)), right[here]], 1e-300)).sum()
    return of[int(losses.argmin())]


def _fit(features: NDArray[np.floating], truth: NDArray[np.str_], strength: float) -> ThreeWayHead:
    missing = [name for name in CLASSES if name not in truth]
    if missing:
        raise TooFewCases(f"a training part has no {missing[0]} image", remedy="label more, or split with fewer folds")
    flips = features.shape[1]
    scaler = StandardScaler()
    design = scaler.fit_transform(np.asarray(features, float).reshape(len(features) * flips, -1))
    # The weights of least penalty lie in the span of the rows: where these are fewer than the features, they are looked
    # for there, which is the same problem with fewer unknowns.
    span = np.linalg.svd(design, full_matrices=False)[2] if len(design) < design.shape[1] else None
    model = LogisticRegression(C=strength, max_iter=STEPS)
    # An image counts once, however many flips it has.
    weight = np.full(len(design), 1 / flips)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            model.fit(design if span is None else design @ span.T, np.repeat(truth, flips), sample_weight=weight)
        except ConvergenceWarning as error:
            raise Diverged(
                f"logistic regression at C = {strength:g} did not converge", remedy="leave out the weakest penalties"
            ) from error
    order = [list(model.classes_).index(name) for name in CLASSES]
    slopes = (model.coef_ if span is None else model.coef_ @ span)[order] / scaler.scale_
    return ThreeWayHead(slopes, model.intercept_[order] - slopes @ scaler.mean_)
