"""The probability of the finding where it is rarer or more common than among the cases judged (Bayes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from osteon.errors import BadTable
from osteon.evaluate import calibration, metrics
from osteon.evaluate.curves import FITS
from osteon.evaluate.intervals import Resamples, bootstrap, estimate, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.outcomes import Outcomes
from osteon.types import Estimate

TOLD = (0.05, 0.10, 0.20, 0.35, 0.50, 0.65, 0.80, 0.90, 0.95)
"""Probabilities that a model tells, for which the local ones are tabled."""


def at_prevalences(
    cases: Outcomes,
    model: str,
    prevalences: Sequence[float],
    resamples: Resamples,
    *,
    called: NDArray[np.bool_] | None = None,
    told: Sequence[float] = TOLD,
) -> list[dict[str, Any]]:
    """What a probability told, and a call at a cut-off, are worth at other prevalences: a row for each prevalence.

    Both roads assume that prevalence alone differs: that the fractures, and the normal images, look like those judged.

    Args:
        cases: all cases of a part.
        model: the model judged.
        prevalences: shares of positive images, each in 0..1 exclusive.
        resamples: bootstrap samples of these cases.
        called: (n,) cases called positive at an operating point; None leaves the predictive values out.
        told: probabilities in 0..1 exclusive.

    Returns:
        For each prevalence `local`, a list of `told` and `probability` (empty without calibrated probabilities), and
        `ppv` and `npv` of the calls.

    Raises:
        BadTable: for a prevalence or a probability that is not between 0 and 1.
    """
    probability = cases.probabilities.get(model)
    rows = []
    for prevalence in prevalences:
        row: dict[str, Any] = {"prevalence": prevalence, "local": []}
        if probability is not None:
            found = local_probabilities(probability, cases.target, told, prevalence, resamples)
            row["local"] = [{"told": p, "probability": figure} for p, figure in zip(told, found, strict=True)]
        if called is not None:
            row |= dict(zip(("ppv", "npv"), predictive(called, cases.target, prevalence, resamples), strict=True))
        rows.append(row)
    return rows


def local_probabilities(
    probability: Floats, target: NDArray[np.bool_], told: Sequence[float], prevalence: float, resamples: Resamples
) -> list[Estimate]:
    """What probabilities that a model tells mean where the prevalence is another.

    The odds of a calibrated probability are the odds of the prevalence times a likelihood ratio, which another
    prevalence leaves as it is: log odds at home = recalibrated log odds - logit(prevalence judged on) + logit(local
    one) (Saerens et al. 2002, equation 4, for two classes). Recalibration (Cox 1958) and prevalence are found anew in
    every resample, so that the interval carries their uncertainty.

    Args:
        probability: (n,) told of the cases judged.
        target: (n,).
        told: k probabilities in 0..1 exclusive.
        prevalence: the local share of positives, in 0..1 exclusive.
        resamples: of the cases; the first 300 are used, since each takes a fit.

    Raises:
        BadTable: for a prevalence or a probability that is not between 0 and 1.
    """
    _between((prevalence,), "prevalence")
    _between(told, "probability")
    refit = calibration.recalibration(probability, target)
    x, local = logit(np.asarray(told, float)), logit(prevalence)

    def statistic(weights: Floats) -> Floats:
        slope, intercept = refit(weights).T[:, :, None]
        share = weights @ target / weights.sum(axis=1)
        return np.asarray(expit(slope * x + intercept + (local - logit(share))[:, None]))

    return _estimates(statistic, len(target), resamples.first(FITS))


def predictive(
    called: NDArray[np.bool_], target: NDArray[np.bool_], prevalence: float, resamples: Resamples
) -> list[Estimate]:
    """Positive and negative predictive value of calls at a local prevalence, from sensitivity and specificity.

    Args:
        called: (n,) cases called positive.
        target: (n,).
        prevalence: in 0..1 exclusive.
        resamples: of the cases; sensitivity and specificity are found anew in each.

    Raises:
        BadTable: for a prevalence that is not between 0 and 1.
    """
    _between((prevalence,), "prevalence")

    def statistic(weights: Floats) -> Floats:
        rates = metrics.rates_of(called, target, weights)
        return np.stack(metrics.predictive_values(rates["sensitivity"], rates["specificity"], prevalence), axis=1)

    return _estimates(statistic, len(target), resamples)


def _estimates(statistic: Statistic, n: int, resamples: Resamples) -> list[Estimate]:
    values, samples = point(statistic, n), bootstrap(statistic, resamples)
    return [estimate(float(values[i]), samples[:, i], n) for i in range(len(values))]


def _between(shares: Sequence[float], what: str) -> None:
    for share in shares:
        if not 0 < share < 1:
            raise BadTable(f"a {what} of {share} is not between 0 and 1", remedy="give it as a share, e.g. 0.15")
