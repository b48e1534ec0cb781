"""The figures, each defined once, for weighted cases: a bootstrap is then a matrix of weights over data sorted once.

Everywhere `weights` is (b, n): one row per resample, one column per case in the order of the data; a row of ones gives
the figure itself. A case is called positive if its value is at or above the threshold. A figure that is not defined is
NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""Takes weights (b, n) to figures (b,) or (b, k)."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Cases sorted once, highest score first.

    Attributes:
        order: (n,) row numbers.
        ends: (m,) position of the last case of each run of equal scores.
        scores: (m,) the distinct scores, descending.
        positive: (n,) 1.0 for positives and 0.0 for negatives, in that order.
    """

    order: NDArray[np.intp]
    ends: NDArray[np.intp]
    scores: Floats
    positive: Floats


def rank(score: ArrayLike, target: ArrayLike) -> Ranked:
    """Sort (n,) scores with their (n,) targets, 0 or 1."""
    values = np.asarray(score, float)
    order = np.argsort(-values, kind="stable")
    sorted_values = values[order]
    ends = np.flatnonzero(np.append(sorted_values[1:] != sorted_values[:-1], True))
    return Ranked(order, ends, sorted_values[ends], np.asarray(target, float)[order])


def tallies(ranked: Ranked, weights: Floats) -> tuple[Floats, Floats]:
    """Weight of the positives and of the negatives at or above each distinct score: two arrays (b, m)."""
    sorted_weights = weights[:, ranked.order]
    everyone = np.cumsum(sorted_weights, axis=1)[:, ranked.ends]
    sorted_weights *= ranked.positive
    positives = np.cumsum(sorted_weights, axis=1, out=sorted_weights)[:, ranked.ends]
    return positives, everyone - positives


def tallies_at(ranked: Ranked, weights: Floats, cuts: Floats) -> tuple[Floats, Floats]:
    """Weight of the positives and of the negatives at or above each of the (c,) cuts: two arrays (b, c)."""
    called = np.searchsorted(-ranked.scores, -cuts, side="right")
    positives, negatives = (np.pad(tally, ((0, 0), (1, 0)))[:, called] for tally in tallies(ranked, weights))
    return positives, negatives


def auroc_of(ranked: Ranked, weights: Floats) -> Floats:
    """(b,) areas under the ROC curve by trapezoids, so that a tie counts one half; NaN where a class has no weight."""
    positives, negatives = tallies(ranked, weights)
    new = np.diff(positives, axis=1, prepend=0.0)
    area = (np.diff(negatives, axis=1, prepend=0.0) * (positives - new / 2)).sum(axis=1)
    return ratio(area, positives[:, -1] * negatives[:, -1])


def average_precision_of(ranked: Ranked, weights: Floats) -> Floats:
    """(b,) average precisions: precision at each distinct score weighted by the recall gained there, uninterpolated."""
    positives, negatives = tallies(ranked, weights)
    gained = np.diff(positives, axis=1, prepend=0.0)
    precision = ratio(positives, positives + negatives, otherwise=0.0)
    return ratio((gained * precision).sum(axis=1), positives[:, -1])


def auroc(score: ArrayLike, target: ArrayLike) -> float:
    """Share of pairs of a positive and a negative that the score orders rightly, ties counting one half."""
    return float(auroc_of(rank(score, target), _ones(score))[0])


def average_precision(score: ArrayLike, target: ArrayLike) -> float:
    """Mean precision over the positives, each at its own score."""
    return float(average_precision_of(rank(score, target), _ones(score))[0])


def mean_over_folds(score: Floats, target: NDArray[np.bool_], fold: NDArray[np.intp]) -> Statistic:
    """The mean of the AUROC of each fold; folds of one class have none and are left out.

    The statistic returns (b, 1 + folds): the mean, then each fold in ascending order, NaN for those left out.
    """
    rows = [np.flatnonzero(fold == f) for f in np.unique(fold)]
    ranked = [rank(score[r], target[r]) for r in rows]
    both = np.array([0 < target[r].sum() < len(r) for r in rows])

    def statistic(weights: Floats) -> Floats:
        each = np.stack([auroc_of(k, weights[:, r]) for k, r in zip(ranked, rows, strict=True)], axis=1)
        mean = each[:, both].mean(axis=1) if both.any() else np.full(len(each), np.nan)
        return np.column_stack([mean, each])

    return statistic


def rates_of(called: NDArray[np.bool_], target: NDArray[np.bool_], weights: Floats) -> dict[str, Floats]:
    """Sensitivity, specificity, ppv, npv and accuracy, each (b,), of the (n,) cases that were called positive."""
    cells = np.stack([called & target, called & ~target, ~called & target, ~called & ~target], axis=1)
    tp, fp, fn, tn = (weights @ cells.astype(float)).T
    return {
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "ppv": ratio(tp, tp + fp),
        "npv": ratio(tn, tn + fn),
        "accuracy": ratio(tp + tn, tp + fp + fn + tn),
    }


def predictive_values(sensitivity: Floats, specificity: Floats, prevalence: float) -> tuple[Floats, Floats]:
    """Positive and negative predictive value where `prevalence` (0..1) of the cases are positive (Bayes)."""
    true_positives, false_positives = sensitivity * prevalence, (1 - specificity) * (1 - prevalence)
    true_negatives, false_negatives = specificity * (1 - prevalence), (1 - sensitivity) * prevalence
    return (
        ratio(true_positives, true_positives + false_positives),
        ratio(true_negatives, true_negatives + false_negatives),
    )


def brier_of(probability: Floats, target: NDArray[np.bool_], weights: Floats) -> Floats:
    """(b,) Brier scores: mean squared distance of the probability from the outcome; 0 is best."""
    return ratio(weights @ (probability - target) ** 2, weights.sum(axis=1))


def net_benefit_of(ranked: Ranked, weights: Floats, cuts: Floats) -> Floats:
    """(b, c) net benefits at the (c,) threshold probabilities, each in 0..1 without 1 (Vickers & Elkin 2006).

    True positives less the false ones weighted by the odds of the threshold, per case. `ranked` orders probabilities.
    """
    positives, negatives = tallies_at(ranked, weights, cuts)
    return np.asarray((positives - negatives * cuts / (1 - cuts)) / weights.sum(axis=1, keepdims=True))


def treat_all(prevalence: float, cuts: Floats) -> Floats:
    """(c,) net benefit of calling every case positive."""
    return np.asarray(prevalence - (1 - prevalence) * cuts / (1 - cuts))


def sensitivity_at(ranked: Ranked, weights: Floats, false_positive_rate: Floats) -> Floats:
    """(b, g) highest sensitivity whose false-positive rate does not exceed each of the (g,) given, ascending."""
    positives, negatives = tallies(ranked, weights)
    sensitivity = np.pad(ratio(positives, positives[:, -1:]), ((0, 0), (1, 0)))
    rate = np.pad(ratio(negatives, negatives[:, -1:]), ((0, 0), (1, 0)))
    allowed = false_positive_rate + 1e-12  # shares such as 3/10 and 0.3 differ in the last bit
    return np.stack([s[np.searchsorted(r, allowed, "right") - 1] for s, r in zip(sensitivity, rate, strict=True)])


def precision_at(ranked: Ranked, weights: Floats, recall: Floats) -> Floats:
    """(b, g) precision at the first distinct score that reaches each of the (g,) recalls, ascending."""
    positives, negatives = tallies(ranked, weights)
    precision = ratio(positives, positives + negatives, otherwise=1.0)
    reached = ratio(positives, positives[:, -1:])
    last = reached.shape[1] - 1
    wanted = recall - 1e-12
    return np.stack(
        [p[np.minimum(np.searchsorted(r, wanted, "left"), last)] for p, r in zip(precision, reached, strict=True)]
    )


def roc_points(score: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    """Corners of the ROC curve from (0, 0) to (1, 1): false-positive rates and sensitivities."""
    positives, negatives = (np.pad(t[0], (1, 0)) for t in tallies(rank(score, target), _ones(score)))
    turns = np.ones(len(positives), bool)
    # A point on the straight line between its neighbours adds nothing to the picture.
    before, after = np.diff(positives) * 1.0, np.diff(negatives) * 1.0
    turns[1:-1] = before[:-1] * after[1:] != before[1:] * after[:-1]
    return negatives[turns] / negatives[-1], positives[turns] / positives[-1]


def _ones(score: ArrayLike) -> Floats:
    return np.ones((1, np.size(np.asarray(score))))


def ratio(top: Floats, bottom: Floats, *, otherwise: float = float("nan")) -> Floats:
    """`top / bottom`, and `otherwise` where the bottom is 0 or less."""
    top, bottom = np.broadcast_arrays(np.asarray(top, float), np.asarray(bottom, float))
    quotient: Floats = np.full(top.shape, otherwise)
    np.divide(top, bottom, out=quotient, where=bottom > 0)
    return quotient


def mean_defined(values: Floats, axis: int) -> Floats:
    """Mean of the values that are defined along an axis; NaN where none is."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0.0).sum(axis=axis), defined.sum(axis=axis).astype(float))
