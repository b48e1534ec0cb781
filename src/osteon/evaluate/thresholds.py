"""Where to cut: operating points chosen on one set of cases and judged on another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from osteon.errors import TooFewCases
from osteon.evaluate.metrics import Floats, rank, tallies

OPERATING_POINTS: dict[str, str] = {
    "youden": "largest sum of sensitivity and specificity",
    "sensitivity_0.90": "highest cut-off with a sensitivity of at least 0.90",
    "specificity_0.90": "lowest cut-off with a specificity of at least 0.90",
}
"""Operating point → how its cut-off is chosen."""

WANTED = 0.90


def choose(probability: ArrayLike, target: ArrayLike) -> dict[str, float]:
    """The cut-off of each operating point; a case is positive from the cut-off on (≥).

    Cut-offs are values that occur among the (n,) probabilities, so equal probabilities always fall on one side. Among
    equal sums, `youden` takes the lowest cut-off, that is the highest sensitivity: a missed fracture costs more than a
    second look. If no cut-off reaches the specificity wanted, the smallest number above the largest probability is
    returned, and no case is positive.

    Args:
        probability: (n,), or scores on any scale.
        target: (n,) 0 or 1.

    Raises:
        TooFewCases: if all targets are of one class.
    """
    positive = np.asarray(target) == 1
    if positive.all() or not positive.any():
        raise TooFewCases("a cut-off needs cases of both classes", remedy="use fewer folds or more patients")
    ranked = rank(probability, positive)
    called = tallies(ranked, np.ones((1, len(positive))))
    true_positives, false_positives = called[0][0], called[1][0]
    p, n = true_positives[-1], false_positives[-1]
    # Compared as whole numbers, so that two equal sums are equal: (tp / P - fp / N) · P · N.
    gain = true_positives * n - false_positives * p
    best = np.flatnonzero(gain == gain.max())[-1]
    sensitive = np.flatnonzero(true_positives >= _at_least(p))[0]
    specific = np.flatnonzero(n - false_positives >= _at_least(n))
    nothing = float(np.nextafter(ranked.scores[0], np.inf))
    return {
        "youden": float(ranked.scores[best]),
        "sensitivity_0.90": float(ranked.scores[sensitive]),
        "specificity_0.90": float(ranked.scores[specific[-1]]) if specific.size else nothing,
    }


def cross_fitted(probability: Floats, target: NDArray[np.bool_], fold: NDArray[np.intp]) -> dict[str, Floats]:
    """For every case, the cut-off chosen on the cases of all other folds: operating point → (n,).

    So no cut-off is judged on a case that it was chosen on.

    Raises:
        TooFewCases: with fewer than two folds, or if the other folds hold one class only.
    """
    folds = np.unique(fold)
    if len(folds) < 2:
        raise TooFewCases("one fold leaves no other to choose a cut-off on", remedy="use two folds or more")
    cuts = {name: np.empty(len(fold)) for name in OPERATING_POINTS}
    for f in folds:
        for name, cut in choose(probability[fold != f], target[fold != f]).items():
            cuts[name][fold == f] = cut
    return cuts


def _at_least(cases: float) -> float:
    # 0.90 · 10 is 9 and not 9.000000000000002: a count must not be missed by the last bit of a product.
    return float(np.ceil(WANTED * cases - 1e-9))
