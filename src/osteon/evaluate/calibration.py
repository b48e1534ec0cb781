"""From a score to a probability, and how far the probability is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.metrics import Floats, Statistic
from osteon.types import Calibration

FLATTEST = 1e-3  # slope per standard deviation of the score: keeps its order, moves no probability by more than 0.001
BINS = 10


def fit_platt(score: ArrayLike, target: ArrayLike) -> Calibration:
    """Platt scaling (Platt 1999): maximum likelihood of a logistic curve, targets drawn in from 0 and 1.

    A positive counts as (P + 1) / (P + 2) and a negative as 1 / (N + 2), with P positives and N negatives: a prior that
    keeps the slope finite where the score separates the classes. The slope is held above zero, so that a probability
    always orders cases as the score does; a score that does not rise with the target gets the flattest slope allowed,
    its probabilities are then all close to the prevalence, and the note says so. No randomness.

    Args:
        score: (n,) on any scale.
        target: (n,) 0 or 1.

    Raises:
        BadTable: for a score that is not finite.
        TooFewCases: if all targets are of one class.
    """
    values, positive = np.asarray(score, float), np.asarray(target) == 1
    if not np.isfinite(values).all():
        raise BadTable("a score is not a finite number", remedy="look at the model that gave it")
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n:
        raise TooFewCases("a calibration needs cases of both classes", remedy="use fewer folds or more patients")
    centre, spread = values.mean(), values.std()
    constant = spread <= 1e-12 * np.abs(values).max()  # what is left of the spread of equal numbers is rounding
    spread = 1.0 if constant else spread
    standard = np.zeros(p + n) if constant else (values - centre) / spread
    wanted = np.where(positive, (p + 1) / (p + 2), 1 / (n + 2))

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        z = coefficients[0] * standard + coefficients[1]
        residual = expit(z) - wanted
        value = -(wanted * log_expit(z) + (1 - wanted) * log_expit(-z)).mean()
        return float(value), np.array([(residual * standard).mean(), residual.mean()])

    best = minimize(
        loss,
        x0=np.array([FLATTEST if constant else 1.0, logit(p / (p + n))]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(FLATTEST, None), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500},
    )
    slope, intercept = best.x[0] / spread, best.x[1] - best.x[0] * centre / spread
    useless = "the score does not rise with the target: every probability is close to the prevalence"
    return Calibration(
        slope=float(slope),
        intercept=float(intercept),
        n=p + n,
        prevalence=p / (p + n),
        note=useless if best.x[0] <= FLATTEST * 1.001 else "",
    )


@dataclass(frozen=True, eq=False)
class Bins:
    """Cases sorted into bins of equal mass by their probability; equal probabilities share a bin.

    Attributes:
        member: (n, k) 1.0 where case i lies in bin j.
        probability: (n,).
        target: (n,) 0.0 or 1.0.
    """

    member: Floats
    probability: Floats
    target: Floats


def bins_of(probability: ArrayLike, target: ArrayLike, bins: int = BINS) -> Bins:
    """At most `bins` bins of nearly equal size, in ascending order of the (n,) probabilities; none is empty."""
    values = np.asarray(probability, float)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    number = np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1]
    member = (number[:, None] == np.arange(number.max() + 1)).astype(float)
    return Bins(member, values, np.asarray(target, float))


def reliability_of(bins: Bins, weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Weight, mean probability and observed share of positives of each bin: three arrays (b, k); NaN where empty."""
    mass = weights @ bins.member
    mean = weights @ (bins.member * bins.probability[:, None])
    observed = weights @ (bins.member * bins.target[:, None])
    empty = mass == 0
    divisor = np.where(empty, np.nan, mass)
    return mass, mean / divisor, observed / divisor


def expected_calibration_error(probability: ArrayLike, target: ArrayLike, bins: int = BINS) -> float:
    """Mean distance of a bin's probability from its observed share, weighted by size (Naeini et al. 2015).

    The bins are of equal mass. Never negative, so a perfectly calibrated model on few cases has one above zero.
    """
    sorted_in = bins_of(probability, target, bins)
    mass, mean, observed = (part[0] for part in reliability_of(sorted_in, np.ones((1, len(sorted_in.target)))))
    return float(mass @ np.abs(mean - observed) / mass.sum())


def recalibration(probability: ArrayLike, target: NDArray[np.bool_]) -> Statistic:
    """Slope and intercept of the logistic curve of the target on the log odds of the probability (Cox 1958): (b, 2).

    1 and 0 for right probabilities; a slope below 1 says that they are too extreme. Newton's method on all resamples at
    once; NaN where it does not settle, as where the classes are separated.
    """
    x = logit(np.clip(np.asarray(probability, float), 1e-6, 1 - 1e-6))
    y = np.asarray(target, float)

    def statistic(weights: Floats) -> Floats:
        slope, intercept = np.ones(len(weights)), np.zeros(len(weights))
        step = np.zeros((2, len(weights)))
        for _ in range(30):
            fitted = expit(slope[:, None] * x + intercept[:, None])
            residual, curvature = weights * (y - fitted), weights * fitted * (1 - fitted)
            g0, g1 = residual.sum(axis=1), residual @ x
            h00, h01, h11 = curvature.sum(axis=1), curvature @ x, curvature @ (x * x)
            determinant = h00 * h11 - h01 * h01
            solvable = determinant > 1e-9 * np.maximum(h00 * h11, 1e-12)
            divisor = np.where(solvable, determinant, 1.0)
            step = np.where(solvable, np.stack([h00 * g1 - h01 * g0, h11 * g0 - h01 * g1]) / divisor, 0.0)
            step = np.clip(step, -2.0, 2.0)
            slope, intercept = slope + step[0], intercept + step[1]
            if np.abs(step).max() < 1e-8:
                break
        settled = solvable & (np.abs(step).max(axis=0) < 1e-6)
        return np.where(settled[:, None], np.column_stack([slope, intercept]), np.nan)

    return statistic
