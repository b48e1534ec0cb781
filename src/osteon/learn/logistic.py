"""L2 logistic regression for many training sets and penalties at once, with the same optima as one by one.

A cross-validation fits the same rows again and again, each time without some of them. Here all those problems share
their matrix products, and one Cholesky factor per penalty makes each of them nearly round, so that a dozen steps of
scikit-learn's own optimiser, L-BFGS, suffice. `benchmarks/heads.py` measures what that saves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from osteon.errors import Diverged

Array = NDArray[np.float64]

TOLERANCE = 3e-6
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
class _Rows:
    """Rows that the same problems use. The columns are standardised over all rows, the last one is 1 for the bias."""

    design: Array  # (n, d + 1)
    target: Array  # (n, 1)
    problems: NDArray[np.intp]  # numbers of those that use them
    uses: Array  # (n, problems): weight of each row


@dataclass(frozen=True, eq=False)
class _Problems:
    """k problems on shared rows."""

    blocks: tuple[_Rows, ...]
    variance: Array  # (d + 1, k): of each column among the rows in use; 0 for the bias, which is not penalised
    alive: Array  # (d + 1, k): 0 where a column is constant among the rows in use, else 1
    cases: float  # largest sum of weights of a problem

    def objective(self, weights: Array, penalty: Array) -> tuple[float, Array]:
        """Sum of the k objectives at `weights` (d + 1, k), and its gradient."""
        loss, slope = float((penalty * weights * weights).sum() / 2), penalty * weights
        for rows in self.blocks:
            score = rows.design @ weights[:, rows.problems]
            loss += float((rows.uses * (np.logaddexp(0, score) - rows.target * score)).sum())
            slope[:, rows.problems] += rows.design.T @ (rows.uses * (expit(score) - rows.target))
        return loss, slope

    def curvature(self, weights: Array) -> NDArray[np.float32]:
        """(d + 1, d + 1) second derivatives without penalty, as a mean over the problems.

        They only shape the steps, so single precision will do.
        """
        total = np.zeros((len(weights), len(weights)), np.float32)
        for rows in self.blocks:
            share = expit(rows.design @ weights[:, rows.problems])
            importance = (rows.uses * share * (1 - share)).sum(axis=1, keepdims=True) / weights.shape[1]
            scaled = (rows.design * np.sqrt(importance)).astype(np.float32)
            total += scaled.T @ scaled
        return total


def fit_path(
    design: NDArray[np.floating], target: NDArray[np.floating], uses: Array, regularisations: Sequence[float]
) -> tuple[Array, Array]:
    """Fit k logistic regressions on shared rows for each of c penalties.

    Problem k minimises Σᵢ usesₖᵢ · log(1 + exp(∓scoreᵢ)) + ‖w‖² / 2C over the columns standardised among its own rows
    in use; the bias is free. That is scikit-learn's `StandardScaler` and `LogisticRegression(C=C)` with sample weights.
    A column that is constant among those rows gets the weight 0.

    Args:
        design: (n, d) features, all finite.
        target: (n,) 0 or 1.
        uses: (k, n) row weights ≥ 0, 0 = held out. Each problem needs rows of both classes.
        regularisations: c values of C, larger = weaker penalty.

    Returns:
        Weights (c, k, d) and biases (c, k) for raw features: score = features · weight + bias.

    Raises:
        Diverged: if the optimiser stops short of the optimum.
    """
    # One thread gives the same sums on any number of cores, and several only hinder each other on small designs.
    with threadpool_limits(1, user_api="blas"):
        problems, centre, scale = _standardise(design, target, uses)
        start = np.zeros(problems.variance.shape)
        start[-1] = logit(uses @ target / uses.sum(axis=1))
        found = np.zeros((len(regularisations), *start.shape))
        for c in np.argsort(regularisations):  # from the strongest penalty on, each start being the optimum before
            found[c] = start = _solve(problems, float(regularisations[c]), start)
        weights = np.moveaxis(found[:, :-1] / scale[:, None], 2, 1)
        return weights, found[:, -1] - weights @ centre


def _standardise(
    design: NDArray[np.floating], target: NDArray[np.floating], uses: Array
) -> tuple[_Problems, Array, Array]:
    """The problems, and the mean and deviation (d,) that the columns were standardised by."""
    rows, columns = design.shape
    centre = design.mean(axis=0, dtype=float)
    scale = design.std(axis=0, dtype=float)
    dead = scale <= 1e-9 * np.abs(centre)  # constant but for rounding
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
    blocks = tuple(_blocks(full, np.asarray(target, float)[:, None], uses))
    return _Problems(blocks, variance, alive, float(total.max())), centre, scale


def _blocks(full: Array, target: Array, uses: Array) -> Iterator[_Rows]:
    """The rows sorted by the problems that use them, so that nothing is computed for rows that are held out."""
    patterns, member = np.unique(uses.T > 0, axis=0, return_inverse=True)
    if len(patterns) > 2 * len(uses):  # too many small blocks would cost more than they save
        yield _Rows(full, target, np.arange(len(uses)), uses.T.copy())
        return
    for number, pattern in enumerate(patterns):
        rows, problems = np.flatnonzero(member == number), np.flatnonzero(pattern)
        if problems.size:
            yield _Rows(full[rows], target[rows], problems, uses[np.ix_(problems, rows)].T.copy())


def _solve(problems: _Problems, strength: float, start: Array) -> Array:
    """Weights (d + 1, k) in standardised units at which all k objectives are least, for one penalty."""
    penalty = problems.variance / strength
    hessian = problems.curvature(start)
    hessian[np.diag_indices(len(hessian) - 1)] += 1 / strength
    factor = linalg.cholesky(hessian, lower=True, overwrite_a=True, check_finite=False).astype(float)

    def weights(position: Array) -> Array:
        flat = linalg.solve_triangular(factor, position.reshape(start.shape), lower=True, trans="T", check_finite=False)
        return np.asarray(problems.alive * flat)

    def objective(position: Array) -> tuple[float, Array]:
        loss, slope = problems.objective(weights(position), penalty)
        return loss, linalg.solve_triangular(factor, problems.alive * slope, lower=True, check_finite=False).ravel()

    tolerance = TOLERANCE * float(np.sqrt(problems.cases))
    options = {"gtol": tolerance, "ftol": 0.0, "maxiter": 2000, "maxfun": 4000}
    outcome = optimize.minimize(objective, (factor.T @ start).ravel(), jac=True, method="L-BFGS-B", options=options)
    # Near the optimum the line search may end on rounding before the gradient is as small as asked.
    if not outcome.success and np.abs(outcome.jac).max() > 100 * tolerance:
        raise Diverged(
            f"logistic regression at C = {strength:g} did not converge ({outcome.message})",
            remedy="leave out the weakest penalties",
        )
    return weights(outcome.x)
