"""L2 logistic regression for many training sets and penalties at once, with the same optima as one by one.

A cross-validation fits the same rows again and again, each time without some of them. Here all those problems share
two matrix products per step, and one Cholesky factor per penalty makes each of them nearly round, so that a dozen steps
of scikit-learn's own optimiser, L-BFGS, suffice. `benchmarks/heads.py` measures what that saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.special import expit
from threadpoolctl import threadpool_limits

from osteon.errors import Diverged

Array = NDArray[np.float64]

TOLERANCE = 1e-5
"""Largest entry of the preconditioned gradient at which a fit ends, per square root of the cases."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """score = features · weight + bias, in the units of the raw features.

    Attributes:
        weight: (d,) float64.
        bias: float.
    """

    weight: Array
    bias: float

    def __call__(self, features: NDArray[np.floating]) -> Array:
        """Scores (n,) of features (n, flips, d): the mean over the flips."""
        return np.asarray(features.mean(axis=1, dtype=float) @ self.weight + self.bias, float)


@dataclass(frozen=True, eq=False)
class _Problems:
    """k problems on the same rows. The columns are standardised over all rows, the last one is 1 for the bias."""

    design: Array  # (n, d + 1)
    target: Array  # (n, 1)
    uses: Array  # (n, k): weight of a row in a problem, 0 = held out
    variance: Array  # (d + 1, k): of each column among the rows in use; 0 for the bias, which is not penalised
    alive: Array  # (d + 1, k): 0 where a column is constant among the rows in use, else 1


def fit_path(
    design: NDArray[np.floating], target: NDArray[np.floating], uses: Array, regularisations: Sequence[float]
) -> tuple[Array, Array]:
    """Fit k logistic regressions on shared rows for each of c penalties.

    Problem k minimises Σᵢ usesₖᵢ · log(1 + exp(∓scoreᵢ)) + ‖w‖² / 2C over the columns standardised among its own rows
    in use; the bias is free. That is scikit-learn's `StandardScaler` and `LogisticRegression(C=C)` with sample weights.
    A column that is constant among those rows gets the weight 0.

    Args:
        design: (n, d) features.
        target: (n,) 0 or 1.
        uses: (k, n) row weights ≥ 0, 0 = held out. Each problem needs rows of both classes.
        regularisations: c values of C, larger = weaker penalty.

    Returns:
        Weights (c, k, d) and biases (c, k) for raw features: score = features · weight + bias.

    Raises:
        Diverged: if the features are not finite, or the optimiser stops short of the optimum.
    """
    if not np.isfinite(design).all():
        raise Diverged("the features hold values that are no numbers", remedy="compute the feature bank again")
    # One thread gives the same sums on any number of cores, and several only hinder each other on small designs.
    with threadpool_limits(1, user_api="blas"):
        problems, centre, scale = _standardise(design, target, uses)
        share = uses.mean(axis=0)
        prevalence = float(share @ target / share.sum())
        # The Hessian of the problem without features; the true ones differ from it by a modest factor.
        curvature = (problems.design.T * (share * prevalence * (1 - prevalence))) @ problems.design
        found = np.zeros((len(regularisations), *problems.variance.shape))
        start = np.zeros(problems.variance.shape)
        for c in np.argsort(regularisations):  # from the strongest penalty on, each start being the optimum before
            found[c] = start = _solve(problems, curvature, float(regularisations[c]), start)
        weights = np.moveaxis(found[:, :-1] / scale[:, None], 2, 1)
        return weights, found[:, -1] - weights @ centre


def _standardise(
    design: NDArray[np.floating], target: NDArray[np.floating], uses: Array
) -> tuple[_Problems, Array, Array]:
    rows, columns = design.shape
    centre = design.mean(axis=0, dtype=float)
    scale = design.std(axis=0, dtype=float)
    scale[scale <= 1e-9 * np.abs(centre)] = 0  # constant but for rounding
    dead = scale == 0
    scale[dead] = 1
    full = np.ones((rows, columns + 1))
    np.subtract(design, centre, out=full[:, :-1])
    full[:, :-1] /= scale
    full[:, :-1][:, dead] = 0
    total = uses.sum(axis=1)
    mean = (uses @ full).T / total
    variance = np.maximum((uses @ full**2).T / total - mean**2, 0)
    variance[variance < 1e-9] = 0
    alive = (variance > 0).astype(float)
    alive[-1] = 1
    return _Problems(full, np.asarray(target, float)[:, None], uses.T.copy(), variance, alive), centre, scale


def _solve(problems: _Problems, curvature: Array, strength: float, start: Array) -> Array:
    """Weights (d + 1, k) in standardised units at which all k objectives are least, for one penalty."""
    penalty = problems.variance / strength
    hessian = curvature.copy()
    hessian[np.diag_indices(len(hessian) - 1)] += 1 / strength
    factor = linalg.cholesky(hessian, lower=True, overwrite_a=True, check_finite=False)

    def weights(position: Array) -> Array:
        flat = linalg.solve_triangular(factor, position.reshape(start.shape), lower=True, trans="T", check_finite=False)
        return np.asarray(problems.alive * flat)

    def objective(position: Array) -> tuple[float, Array]:
        w = weights(position)
        score = problems.design @ w
        loss = (problems.uses * (np.logaddexp(0, score) - problems.target * score)).sum() + (penalty * w * w).sum() / 2
        slope = problems.design.T @ (problems.uses * (expit(score) - problems.target)) + penalty * w
        return float(loss), linalg.solve_triangular(
            factor, problems.alive * slope, lower=True, check_finite=False
        ).ravel()

    tolerance = TOLERANCE * float(np.sqrt(problems.uses.sum(axis=0).max()))
    options = {"gtol": tolerance, "ftol": 0.0, "maxiter": 2000, "maxfun": 4000}
    outcome = optimize.minimize(objective, (factor.T @ start).ravel(), jac=True, method="L-BFGS-B", options=options)
    # Near the optimum the line search may end on rounding before the gradient is as small as asked.
    if not outcome.success and np.abs(outcome.jac).max() > 100 * tolerance:
        raise Diverged(
            f"logistic regression at C = {strength:g} did not converge ({outcome.message})",
            remedy="leave out the weakest penalties",
        )
    return weights(outcome.x)
