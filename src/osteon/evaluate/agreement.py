"""How far raters agree: weighted kappa, intraclass correlation, Krippendorff's alpha, Bland and Altman.

Everywhere `weights` is (b, n), as in `osteon.evaluate.metrics`: one row per bootstrap sample, one column per case. A
case that is drawn twice is a case of weight two, so each figure of a sample is that of the sample's own cases. A figure
that is not defined is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import f as f_distribution

from osteon.evaluate.intervals import TAIL
from osteon.evaluate.metrics import Floats, ratio
from osteon.types import Estimate

ICC_FORMS = ("ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)")
"""The six forms of Shrout & Fleiss 1979: other raters for each case, a random sample of raters, these raters alone;
of one rating, and of the mean of k."""

LEVELS = ("nominal", "ordinal", "interval")
"""Levels of measurement that `alpha_of` knows."""

LIMITS = 1.96
"""Standard deviations from the mean difference to the limits of agreement (Bland & Altman 1986)."""


@dataclass(frozen=True, eq=False)
class MeanSquares:
    """The two-way analysis of variance of n cases by k raters; every array is (b,), one value per sample.

    Attributes:
        cases: n, the weight of the cases.
        raters: k.
        between: mean square between cases (BMS in Shrout & Fleiss 1979).
        of_raters: mean square between raters (JMS).
        error: residual mean square (EMS).
        within: mean square within cases (WMS).
    """

    cases: Floats
    raters: int
    between: Floats
    of_raters: Floats
    error: Floats
    within: Floats


def quadratic_kappa_of(first: Floats, second: Floats, weights: Floats) -> Floats:
    """(b,) Cohen's kappa with quadratic weights of two raters' (n,) grades.

    With these weights the observed disagreement is the mean squared difference, and the one expected by chance the sum
    of both variances and the squared difference of the means (Fleiss & Cohen 1973). So the number of grades does not
    matter, and grades that nobody gave need no cell.
    """
    mean_first, mean_second = _mean(first, weights), _mean(second, weights)
    observed = _mean((first - second) ** 2, weights)
    expected = (
        (_mean(first**2, weights) - mean_first**2)
        + (_mean(second**2, weights) - mean_second**2)
        + (mean_first - mean_second) ** 2
    )
    return 1 - ratio(observed, expected)


def quadratic_kappa(first: ArrayLike, second: ArrayLike) -> float:
    """`quadratic_kappa_of` the cases themselves."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    return float(quadratic_kappa_of(a, b, np.ones((1, len(a))))[0])


def mean_squares(ratings: Floats, weights: Floats) -> MeanSquares:
    """The analysis of variance of (n, k) complete ratings; NaN in samples of fewer than two cases."""
    k = ratings.shape[1]
    centred = ratings - ratings.mean()  # sums of squares far from 0 would lose digits
    n = weights.sum(axis=1)
    rows = centred.mean(axis=1)
    columns = ratio(weights @ centred, n[:, None])
    grand = columns.mean(axis=1)
    whole = np.maximum(weights @ (centred**2).sum(axis=1) - n * k * grand**2, 0)
    between = np.maximum(k * (weights @ rows**2 - n * grand**2), 0)
    of_raters = n * ((columns - grand[:, None]) ** 2).sum(axis=1)
    # What rounding leaves of a sum of squares that is 0 must not become a variance.
    tiny = 1e-12 * np.maximum(whole, 1e-300)
    error = np.where(whole - between - of_raters > tiny, whole - between - of_raters, 0)
    within = np.where(whole - between > tiny, whole - between, 0)
    return MeanSquares(
        cases=n,
        raters=k,
        between=ratio(np.where(between > tiny, between, 0), n - 1),
        of_raters=ratio(np.where(of_raters > tiny, of_raters, 0), np.full(len(n), k - 1.0)),
        error=ratio(error, (n - 1) * (k - 1)),
        within=ratio(within, n * (k - 1)),
    )


def icc_of(ratings: Floats, weights: Floats, form: str = "ICC(2,1)") -> Floats:
    """(b,) intraclass correlations of (n, k) complete ratings, in one of ICC_FORMS (Shrout & Fleiss 1979, p. 423)."""
    return _icc(mean_squares(ratings, weights), form)


def icc(ratings: ArrayLike, form: str = "ICC(2,1)") -> Estimate:
    """The intraclass correlation of (n, k) complete ratings with its interval by the F distribution.

    The interval is that of Shrout & Fleiss 1979 (p. 424), for cases that are independent of each other: where a patient
    has several, the bootstrap of whole patients is the one to believe, and this one its check.
    """
    values = np.asarray(ratings, float)
    squares = mean_squares(values, np.ones((1, len(values))))
    value = float(_icc(squares, form)[0])
    if np.isnan(value):
        return Estimate(value, n=len(values), note="the ratings do not vary, or there is one case only")
    low, high = _f_interval(squares, form)
    note = "interval by the F distribution" if np.isfinite(low) else "raters agree in every case: no interval"
    return Estimate(value, low, high, len(values), note)


def alpha_of(ratings: Floats, weights: Floats, level: str = "interval") -> Floats:
    """(b,) Krippendorff's alphas of (n, k) ratings, NaN where a rater did not rate a case.

    Cases with fewer than two ratings have nothing to compare and do not count. Meant for ratings of few distinct
    values, such as grades and totals. Source: Krippendorff, Computing Krippendorff's alpha-reliability, 2011.

    Args:
        ratings: (n, k).
        weights: (b, n).
        level: one of LEVELS; the difference of two ratings is that they are not equal, how many ratings lie between
            them, or their distance.
    """
    given = ~np.isnan(ratings)
    values = np.unique(ratings[given])
    counts = (ratings[:, :, None] == values).sum(axis=1).astype(float)  # (n, v): how often each case got each value
    times = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(len(values)) * counts[:, :, None]
    pairs *= ratio(np.ones(len(times)), times - 1, otherwise=0.0)[:, None, None]
    shape = (len(weights), len(values), len(values))
    coincidences = (weights @ pairs.reshape(len(ratings), -1)).reshape(shape)
    marginals = coincidences.sum(axis=2)
    n = marginals.sum(axis=1)
    distance = _distance(values, marginals, level)
    observed = (coincidences * distance).sum(axis=(1, 2))
    expected = (marginals[:, :, None] * marginals[:, None, :] * distance).sum(axis=(1, 2))
    return 1 - ratio((n - 1) * observed, expected)


def alpha(ratings: ArrayLike, level: str = "interval") -> float:
    """`alpha_of` the cases themselves."""
    values = np.asarray(ratings, float)
    return float(alpha_of(values, np.ones((1, len(values))), level)[0])


def differences_of(first: Floats, second: Floats, weights: Floats) -> Floats:
    """(b, 4) Bland & Altman 1986: mean of second − first, its standard deviation, lower and upper limit."""
    difference = second - first
    n = weights.sum(axis=1)
    bias = _mean(difference, weights)
    spread = np.maximum(_mean(difference**2, weights) - bias**2, 0) * ratio(n, n - 1)
    deviation = np.sqrt(spread)
    return np.stack([bias, deviation, bias - LIMITS * deviation, bias + LIMITS * deviation], axis=1)


def absolute_error_of(first: Floats, second: Floats, weights: Floats) -> Floats:
    """(b,) mean absolute differences of two raters."""
    return _mean(np.abs(first - second), weights)


def _icc(squares: MeanSquares, form: str) -> Floats:
    k, between = squares.raters, squares.between
    if form not in ICC_FORMS:
        raise ValueError(f"a form of ICC is one of {', '.join(ICC_FORMS)}, not {form}")
    rest = squares.within if form.startswith("ICC(1") else squares.error
    offset = k * (squares.of_raters - squares.error) / squares.cases if form.startswith("ICC(2") else 0.0
    if form.endswith("k)"):
        return ratio(between - rest, between + offset / k)
    return ratio(between - rest, between + (k - 1) * rest + offset)


def _f_interval(squares: MeanSquares, form: str) -> tuple[float, float]:
    """Lower and upper limit; NaN where an F ratio is infinite."""
    n, k = float(squares.cases[0]), squares.raters
    between, raters, error = (float(s[0]) for s in (squares.between, squares.of_raters, squares.error))
    rest = float(squares.within[0]) if form.startswith("ICC(1") else error
    if rest == 0:
        return float("nan"), float("nan")
    if form.startswith("ICC(2"):
        single = float(_icc(squares, "ICC(2,1)")[0])
        bottom, top = _satterthwaite(n, k, between, raters, error, single)
        return (bottom, top) if form.endswith("1)") else (_of_mean(bottom, k), _of_mean(top, k))
    freedom = n * (k - 1) if form.startswith("ICC(1") else (n - 1) * (k - 1)
    lowest = between / rest / float(f_distribution.ppf(1 - TAIL, n - 1, freedom))
    highest = between / rest * float(f_distribution.ppf(1 - TAIL, freedom, n - 1))
    if form.endswith("k)"):
        return 1 - 1 / lowest, 1 - 1 / highest
    return (lowest - 1) / (lowest + k - 1), (highest - 1) / (highest + k - 1)


def _satterthwaite(n: float, k: int, between: float, raters: float, error: float, single: float) -> tuple[float, float]:
    """The interval of ICC(2,1): its error term is a sum of two mean squares, whose freedom is approximated."""
    a, b = k * single * raters / error, n * (1 + (k - 1) * single) - k * single
    freedom = (k - 1) * (n - 1) * (a + b) ** 2 / ((n - 1) * a**2 + b**2)
    lower = float(f_distribution.ppf(1 - TAIL, n - 1, freedom))
    upper = float(f_distribution.ppf(1 - TAIL, freedom, n - 1))
    rest = k * raters + (k * n - k - n) * error
    return (
        n * (between - lower * error) / (lower * rest + n * between),
        n * (upper * between - error) / (rest + n * upper * between),
    )


def _of_mean(single: float, k: int) -> float:
    """The reliability of the mean of k ratings from that of one (Spearman & Brown)."""
    return k * single / (1 + (k - 1) * single)


def _distance(values: Floats, marginals: Floats, level: str) -> Floats:
    """Squared differences of the (v,) values, (v, v) or (b, v, v)."""
    if level == "nominal":
        return 1.0 - np.eye(len(values))
    if level == "interval":
        return (values[:, None] - values) ** 2
    if level == "ordinal":
        # From the middle of one value's ratings to the middle of the other's, in order.
        middle = np.cumsum(marginals, axis=1) - marginals / 2
        return np.asarray((middle[:, :, None] - middle[:, None, :]) ** 2)
    raise ValueError(f"a level of measurement is one of {', '.join(LEVELS)}, not {level}")


def _mean(values: Floats, weights: Floats) -> Floats:
    return ratio(weights @ values, weights.sum(axis=1))
