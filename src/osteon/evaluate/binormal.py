"""The binormal ROC curve: two normal distributions behind the scores, fitted by maximum likelihood on their ranks.

After Dorfman & Alf (1969): scores are sorted into ordered categories, and the likelihood is that of the counts,
whatever monotone scale the scores are on. On the hidden axis negatives are N(0, 1) and positives N(a / b, 1 / b), so
sensitivity = Φ(a + b Φ⁻¹(false-positive rate)) and the area is Φ(a / √(1 + b²)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import ndtr, ndtri

from osteon.evaluate.metrics import Floats

CATEGORIES = 12
LARGEST_A, LARGEST_LOG_B = 8.0, 2.5
TINY = 1e-12


@dataclass(frozen=True)
class Binormal:
    """A fitted curve: `a`, the distance of the means, and `b`, the spread of negatives, per spread of positives."""

    a: float
    b: float

    @property
    def area(self) -> float:
        """Area under the fitted curve."""
        return float(ndtr(self.a / np.sqrt(1 + self.b**2)))

    def sensitivity(self, false_positive_rate: ArrayLike) -> Floats:
        """Sensitivity at each false-positive rate in 0..1."""
        return np.asarray(ndtr(self.a + self.b * ndtri(np.asarray(false_positive_rate, float))))


def categories(score: ArrayLike, target: ArrayLike, number: int = CATEGORIES) -> tuple[NDArray[np.float64], int]:
    """The (n, 2k) membership of the cases in k ≤ `number` ordered categories of equal mass, and k.

    Columns 0..k - 1 are for negatives, the others for positives, so that `weights @ membership` gives the counts.
    """
    values, positive = np.asarray(score, float), np.asarray(target) == 1
    edges = np.unique(np.quantile(values, np.linspace(0, 1, number + 1)[1:-1], method="lower"))
    rank = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]
    k = int(rank.max()) + 1
    column = rank + k * positive
    return (column[:, None] == np.arange(2 * k)).astype(float), k


def fit(counts: Floats, start: Floats | None = None) -> tuple[Binormal | None, Floats]:
    """The curve that makes the (2k,) counts most likely, and the parameters to start a like fit from.

    None where the data do not determine a curve: fewer than three categories, separated classes, or a fit that runs to
    the edge of what a curve can be.
    """
    k = len(counts) // 2
    shares = counts / counts.sum()
    negatives, positives = shares[:k], shares[k:]
    if k < 3 or not _overlap(negatives, positives):
        return None, np.empty(0)
    first = _first_guess(negatives, positives) if start is None or not start.size else start
    limits = [(-LARGEST_A, LARGEST_A), (-LARGEST_LOG_B, LARGEST_LOG_B), (-8.0, 8.0)] + [(-12.0, 2.5)] * (k - 2)
    best = minimize(
        _loss,
        first,
        args=(negatives, positives),
        jac=True,
        method="L-BFGS-B",
        bounds=limits,
        options={"ftol": 1e-11, "gtol": 1e-7, "maxiter": 400},
    )
    a, log_b = float(best.x[0]), float(best.x[1])
    if abs(a) > LARGEST_A * 0.999 or abs(log_b) > LARGEST_LOG_B * 0.999 or not np.isfinite(best.fun):
        return None, np.empty(0)
    return Binormal(a, float(np.exp(log_b))), np.asarray(best.x)


def _overlap(negatives: Floats, positives: Floats) -> bool:
    below, above = np.flatnonzero(negatives), np.flatnonzero(positives)
    return bool(below.size and above.size and below[-1] > above[0] and above[-1] > below[0])


def _first_guess(negatives: Floats, positives: Floats) -> Floats:
    k = len(negatives)
    smooth_n = (negatives + 0.5 / k) / (negatives + 0.5 / k).sum()
    smooth_p = (positives + 0.5 / k) / (positives + 0.5 / k).sum()
    cuts = ndtri(np.cumsum(smooth_n)[:-1])
    # With b = 1, each cut-off estimates `a` by itself; their mean is a fair start.
    a = float(np.mean(cuts - ndtri(np.cumsum(smooth_p)[:-1])))
    return np.concatenate([[a, 0.0, cuts[0]], np.log(np.diff(cuts))])


def _loss(parameters: Floats, negatives: Floats, positives: Floats) -> tuple[float, Floats]:
    """Negative log-likelihood per case and its gradient; parameters are a, log b, the first cut and log gaps."""
    a, b = parameters[0], np.exp(parameters[1])
    gaps = np.exp(parameters[3:])
    cuts = parameters[2] + np.concatenate([[0.0], np.cumsum(gaps)])
    p_n = np.maximum(_shares(ndtr(cuts)), TINY)
    p_p = np.maximum(_shares(ndtr(b * cuts - a)), TINY)
    loss = -(negatives @ np.log(p_n) + positives @ np.log(p_p))
    slope_n = -_across(negatives / p_n) * _density(cuts)
    slope_p = -_across(positives / p_p) * _density(b * cuts - a)
    by_cut = slope_n + b * slope_p
    by_gap = gaps * np.cumsum(by_cut[::-1])[::-1][1:]
    gradient = np.concatenate([[-slope_p.sum(), b * (slope_p @ cuts), by_cut.sum()], by_gap])
    return float(loss), gradient


def _shares(cumulative: Floats) -> Floats:
    """Share of each category from the shares at or below each cut."""
    shares = np.empty(len(cumulative) + 1)  # np.diff with its prepend and append takes most of a fit
    shares[0], shares[-1] = cumulative[0], 1 - cumulative[-1]
    shares[1:-1] = cumulative[1:] - cumulative[:-1]
    return shares


def _across(ratio: Floats) -> Floats:
    return ratio[:-1] - ratio[1:]


def _density(x: Floats) -> Floats:
    return np.asarray(np.exp(-x * x / 2) / np.sqrt(2 * np.pi))
