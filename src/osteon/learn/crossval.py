"""From frozen features to one predictions table, with the floors on the same folds, and the model to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.errors import Mismatch
from osteon.evaluate.thresholds import choose
from osteon.learn.floors import floors
from osteon.learn.logistic import LinearHead
from osteon.learn.nested import REGULARISATIONS, Layout, as_predictions, lay_out, linear_scores, nested, of_unlabelled
from osteon.types import Calibration, Progress, silent


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """What the folds said, and the model fitted on all of them.

    Attributes:
        predictions: rows of the model and of the floors (`osteon.tables.PREDICTIONS`): one per labelled image, out of
            fold, and one per sealed image, from the final model.
        head: the final linear head, for raw features.
        calibration: from its scores to probabilities, fitted on the out-of-fold scores.
        thresholds: operating point → cut-off on the calibrated out-of-fold probabilities.
        regularisations: C that each fold chose.
        regularisation: C of the final head.
        notes: model name → what its reader should know.
        unlabelled: image, score and probability, out of fold, of the images of the folds that have no target.
    """

    predictions: pd.DataFrame
    head: LinearHead
    calibration: Calibration
    thresholds: dict[str, float]
    regularisations: tuple[float, ...]
    regularisation: float
    notes: dict[str, str]
    unlabelled: pd.DataFrame


def cross_validate(
    features: NDArray[np.floating],
    manifest: pd.DataFrame,
    *,
    model: str = "model",
    images: Mapping[str, Path] | None = None,
    regularisations: Sequence[float] = REGULARISATIONS,
    progress: Progress = silent,
) -> CrossValidation:
    """Cross-validate a logistic regression on frozen features, beside the floors, and fit the final model.

    Within each fold everything is learnt from its training part alone: the standardisation, the penalty (least log loss
    over inner folds), the head (both flips of an image are cases of half weight) and the Platt scaling (on the inner
    out-of-fold scores). The score of an image is the mean over its flips. The final head is fitted on all labelled
    images in the same manner. Nothing is random: the same features and folds give the same figures.

    Args:
        features: (n, flips, d), row by row those of the manifest; nothing is learnt from those of unlabelled images.
        manifest: n rows with the columns group and fold, as `osteon split` wrote it.
        model: its name in the predictions table.
        images: image id → prepared PNG, for the thumbnail floor.
        regularisations: C to choose from.
        progress: called with the steps done and their number.

    Raises:
        Mismatch: if features and manifest differ in length.
        TooFewCases: for fewer than three folds or a training part of one class.
        Leak, BadTable: if the folds are no split by group (`dataset.splits.folds_of`).
        Diverged: if the features hold values that are no numbers.
    """
    if features.ndim != 3 or len(features) != len(manifest):
        raise Mismatch(
            f"features of shape {features.shape} do not fit a manifest of {len(manifest)} rows",
            remedy="compute the features of this manifest: osteon features",
        )
    layout = lay_out(manifest)
    strengths = sorted(regularisations)
    progress(0, 1)
    scores, weights, biases = linear_scores(features, layout, strengths)
    found = nested(layout, scores)
    own = as_predictions(model, manifest, layout, found.score, found.probability)
    beside = floors(
        manifest, images, regularisations=strengths, progress=lambda done, total: progress(done + 1, total + 1)
    )
    everything = layout.left_out.index(())
    labelled = layout.labelled
    chosen = tuple(strengths[c] for c in found.chosen)
    return CrossValidation(
        predictions=pd.concat([own, beside.predictions], ignore_index=True),
        head=LinearHead(weights[found.final, everything], float(biases[found.final, everything])),
        calibration=found.calibration,
        thresholds=choose(found.probability[labelled], layout.target[labelled]),
        regularisations=chosen,
        regularisation=strengths[found.final],
        notes=beside.notes | {model: _at_the_edge((*chosen, strengths[found.final]), strengths)},
        unlabelled=_unlabelled(manifest, layout, scores),
    )


def _unlabelled(manifest: pd.DataFrame, layout: Layout, scores: NDArray[np.float64]) -> pd.DataFrame:
    told = of_unlabelled(layout, scores, manifest["fold"].to_numpy(np.intp))
    table = pd.DataFrame({"image": manifest["image"].to_numpy(), "score": told[0], "probability": told[1]})
    return table[np.isfinite(told[0])].reset_index(drop=True)


def _at_the_edge(chosen: Sequence[float], strengths: Sequence[float]) -> str:
    said = f"C chosen inside the folds: {', '.join(f'{c:g}' for c in chosen[:-1])}; for the final model: {chosen[-1]:g}"
    edge = len(strengths) > 1 and any(c in (strengths[0], strengths[-1]) for c in chosen)
    return f"{said}; an end of the range was chosen, a wider one may do better" if edge else said
