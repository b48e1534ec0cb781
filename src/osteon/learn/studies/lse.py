"""A linear reader of single views, and one number that says how its answers for the views of a study come together.

Features → log odds of every view, by a logistic regression for which images inherit the label of their study → their
log-mean-exp per study. Its sharpness lies between the mean (0) and at least one (∞), and is chosen by the labels of
studies, inside each training part. So both ends are study rules, and the labels say what lies best between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.errors import Mismatch
from osteon.evaluate.thresholds import choose
from osteon.learn.logistic import Array, LinearHead
from osteon.learn.nested import REGULARISATIONS, as_predictions, lay_out, linear_scores, nested
from osteon.learn.studies.bags import Bags, Rows
from osteon.types import Calibration

SHARPNESSES = (0.0, 1.0, np.inf)
"""What the folds choose from: the mean log odds, the log of the mean odds, at least one. Few, since labels of studies
cannot tell close ones apart, and a choice among them would be chance."""


@dataclass(frozen=True, eq=False)
class LseCrossValidation:
    """What the folds said of studies, and the model fitted on all of them.

    Attributes:
        predictions: one row per study (`osteon.tables.PREDICTIONS`; `image` is the id of the study): out of fold, and
            of sealed studies from the final model.
        head: the final reader of single views, for raw features.
        sharpness: of the final model.
        calibration: from its scores of studies to probabilities, fitted on the out-of-fold scores.
        thresholds: operating point → cut-off on the calibrated out-of-fold probabilities.
        regularisations, sharpnesses: that each fold chose, inside its training part.
        regularisation: of the final reader.
    """

    predictions: pd.DataFrame
    head: LinearHead
    sharpness: float
    calibration: Calibration
    thresholds: dict[str, float]
    regularisations: tuple[float, ...]
    sharpnesses: tuple[float, ...]
    regularisation: float

    def __call__(self, features: NDArray[np.floating], study: Rows) -> Array:
        """Scores (k,) of the studies 0..k-1 from features (n, flips, d) of their views; study (n,) says whose."""
        return log_mean_exp(self.head(features), study, self.sharpness)


def log_mean_exp(values: Array, study: Rows, sharpness: float) -> Array:
    """A smooth maximum over the views of each study: r⁻¹ log mean exp(r v) at the sharpness r.

    It is the log-sum-exp pooling of Pinheiro and Collobert (CVPR 2015), their mean at 0 and the largest at ∞. The mean
    inside makes it no larger for a study of more views: views that are alike come to what each of them says.

    Args:
        values: (…, n) log odds of n views.
        study: (n,) 0-based number of the study of each; every number up to the largest occurs.
        sharpness: 0 or more.

    Returns:
        (…, k) for the studies 0..k-1.
    """
    order = np.argsort(study, kind="stable")
    starts = np.flatnonzero(np.diff(study[order], prepend=-1))
    counts = np.diff(starts, append=len(order))
    mine = values[..., order]
    if sharpness == 0:
        mean: Array = np.add.reduceat(mine, starts, axis=-1) / counts
        return mean
    largest: Array = np.maximum.reduceat(mine, starts, axis=-1)
    if np.isinf(sharpness):
        return largest
    less = np.exp(sharpness * (mine - np.repeat(largest, counts, axis=-1)))
    return largest + np.log(np.add.reduceat(less, starts, axis=-1) / counts) / sharpness


def cross_validate_lse(
    features: NDArray[np.floating],
    manifest: pd.DataFrame,
    bags: Bags,
    *,
    model: str = "lse",
    regularisations: Sequence[float] = REGULARISATIONS,
    sharpnesses: Sequence[float] = SHARPNESSES,
) -> LseCrossValidation:
    """Cross-validate by patient on the labels of studies, and fit the final model.

    Every pair of folds, every fold and none is left out once (`osteon.learn.nested`). The reader of a fold, its penalty
    included, is that of `osteon.learn.crossval`; sharpness and Platt scaling come from readers that have seen neither
    the fold nor what they are judged on there, and the fold reports. Nothing is random.

    Args:
        features: (n, flips, d), row by row those of the manifest.
        manifest: that the bags were made of. An image is taught the label of its study, whatever its own.
        bags: studies, split by patient.
        model: its name in the predictions.
        regularisations: C of the reader to choose from.
        sharpnesses: to choose from; one alone makes it that rule.

    Raises:
        Mismatch: if features, studies and manifest differ in their number of images.
        TooFewCases: for fewer than three folds, or a training part of one class.
        Leak, BadTable: if the folds are no split by group.
        Diverged: if the features hold values that are no numbers.
    """
    if features.ndim != 3 or len(features) != len(manifest):
        raise Mismatch(
            f"features of shape {features.shape} do not fit a manifest of {len(manifest)} rows",
            remedy="compute the features of this manifest: osteon features",
        )
    if bags.sizes.sum() != len(manifest):
        raise Mismatch(
            f"studies of {bags.sizes.sum()} images do not fit a manifest of {len(manifest)} rows",
            remedy="make the studies of this manifest: bags_of",
        )
    study = _numbers(bags, len(manifest))
    views = lay_out(manifest.assign(target=bags.table["target"].iloc[study].array))
    layout = lay_out(bags.table)
    strengths, between = sorted(regularisations), sorted(sharpnesses)
    of_views, weights, biases = linear_scores(features, views, strengths)
    reader = nested(views, of_views)
    judged = {
        c: nested(layout, np.stack([log_mean_exp(of_views[c], study, r) for r in between]), scaled=True)
        for c in {*reader.chosen, reader.final}
    }
    final, everything, labelled = judged[reader.final], layout.left_out.index(()), layout.labelled
    score, probability, sharp = final.score.copy(), final.probability.copy(), []
    for place, (fold, c) in enumerate(zip(layout.folds, reader.chosen, strict=True)):
        own = layout.fold == fold
        score[own], probability[own] = judged[c].score[own], judged[c].probability[own]
        sharp.append(float(between[judged[c].chosen[place]]))
    return LseCrossValidation(
        predictions=as_predictions(model, bags.table, layout, score, probability),
        head=LinearHead(weights[reader.final, everything], float(biases[reader.final, everything])),
        sharpness=float(between[final.final]),
        calibration=final.calibration,
        thresholds=choose(probability[labelled], layout.target[labelled]),
        regularisations=tuple(strengths[c] for c in reader.chosen),
        sharpnesses=tuple(sharp),
        regularisation=strengths[reader.final],
    )


def _numbers(bags: Bags, images: int) -> Rows:
    """(n,) number of the study of each image."""
    study = np.empty(images, np.intp)
    for number, rows in enumerate(bags.rows):
        study[rows] = number
    return study
