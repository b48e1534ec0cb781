"""The figures of Hong 2023 on 18 one-hot labels, for comparison with that study alone.

They say little about healing: two labels are the view itself, and of the sixteen others half are 0 in every image by
anatomy. A predictor that sees the view and nothing else reaches a macro AUROC of about 0.8 and a micro precision of 1
at the study's marginals, so these figures are never given without that floor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.evaluate import metrics
from osteon.evaluate.intervals import Resamples, bootstrap, difference, estimate, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.tasks.rust import LABELS

CUT = 0.5
"""Score from which a label counts as given, as in the study."""

FIGURES = ("macro_auroc", "macro_average_precision", "micro_precision", "micro_recall", "macro_f1")
"""What `statistic` returns, in this order."""

SHARES = ("micro_precision", "micro_recall")
"""Those that are shares of cases, whose open end at 0 or 1 is the exact binomial one."""

RESAMPLES = 500
"""Bootstrap samples for these figures: 36 rankings each, and nobody decides by them."""


def view_only(labels: NDArray[np.bool_]) -> Floats:
    """(n, 18) scores that know the view alone: the share of its images that have each label.

    The shares are those of the images that are judged, which favours this floor; its ranking of images depends on the
    view alone, so that its AUROC would be the same with shares from elsewhere in the same order.

    Args:
        labels: (n, 18) in the order of `osteon.tasks.rust.LABELS`.
    """
    view = labels[:, -1].astype(int)
    shares = np.zeros((2, len(LABELS)))
    for lateral in (0, 1):
        if (view == lateral).any():
            shares[lateral] = labels[view == lateral].mean(axis=0)
    return np.asarray(shares[view])


def compare(labels: NDArray[np.bool_], scores: Floats, fold: NDArray[np.intp], resamples: Resamples) -> dict[str, Any]:
    """The figures of a model, those of the view alone on the same images, and the paired gain over it.

    For any model with 18 scores per image, also one whose scores for hidden cortices are not 0.

    Args:
        labels: (n, 18) in the order of `osteon.tasks.rust.LABELS`.
        scores: (n, 18), larger = more likely; at CUT a label counts as given.
        fold: (n,).
        resamples: of the images; the first RESAMPLES are used.

    Returns:
        `images`, `labels_per_image`, and under `model`, `view_only` and `gain` an `Estimate` for each of FIGURES.
    """
    sample, n = resamples.first(RESAMPLES), len(labels)
    groups = len(np.unique(resamples.group))
    values, samples = {}, {}
    for name, given in (("model", scores), ("view_only", view_only(labels))):
        figures = statistic(given, labels, fold)
        values[name], samples[name] = point(figures, n), bootstrap(figures, sample)
    told: dict[str, Any] = {"images": n, "labels_per_image": float(labels.sum() / n), "model": {}, "view_only": {}}
    told["gain"] = {}
    for i, figure in enumerate(FIGURES):
        trials = groups if figure in SHARES else 0
        for name in values:
            told[name][figure] = estimate(float(values[name][i]), samples[name][:, i], n, trials=trials)
        gap = samples["model"][:, i] - samples["view_only"][:, i]
        told["gain"][figure] = difference(told["model"][figure], told["view_only"][figure], gap)
    return told


def statistic(scores: Floats, labels: NDArray[np.bool_], fold: NDArray[np.intp]) -> Statistic:
    """The figures of FIGURES, (b, 5).

    AUROC and average precision are those of each fold, averaged over the folds in which the label is defined, then over
    the labels. Precision and recall count the cells of all images and labels together at CUT; F1 is the mean over the
    labels, 0 for a label that is never given (as scikit-learn has it).

    Args:
        scores: (n, 18).
        labels: (n, 18).
        fold: (n,).
    """
    rows = [np.flatnonzero(fold == f) for f in np.unique(fold)]
    ranked = [[metrics.rank(scores[r, place], labels[r, place]) for place in range(labels.shape[1])] for r in rows]
    called = scores >= CUT
    cells = [kind.astype(float) for kind in (called & labels, called & ~labels, ~called & labels)]

    def figures(weights: Floats) -> Floats:
        areas, precisions = [], []
        for each, r in zip(ranked, rows, strict=True):
            inside = weights[:, r]
            areas.append(np.stack([metrics.auroc_of(one, inside) for one in each], axis=1))
            precisions.append(np.stack([metrics.average_precision_of(one, inside) for one in each], axis=1))
        hit, false, missed = (weights @ kind for kind in cells)  # (b, 18) each
        rates = metrics.ratio(2 * hit, 2 * hit + false + missed, otherwise=0.0)
        return np.column_stack(
            [
                metrics.mean_defined(metrics.mean_defined(np.stack(areas), axis=0), axis=1),
                metrics.mean_defined(metrics.mean_defined(np.stack(precisions), axis=0), axis=1),
                metrics.ratio(hit.sum(axis=1), (hit + false).sum(axis=1)),
                metrics.ratio(hit.sum(axis=1), (hit + missed).sum(axis=1)),
                rates.mean(axis=1),
            ]
        )

    return figures
