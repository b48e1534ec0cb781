"""Ordered grades from numbers: a cumulative link, whose one score rises with the grade (McCullagh 1980).

It is a logistic regression for grades: P(grade ≤ k) = 1 / (1 + exp(score − cut k)), with one score for all cuts, so
that the odds of passing each cut rise together and no probability is negative. With weights held at 0 or above it turns
the scores of a network into probabilities without changing their order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize
from scipy.special import expit, log_expit
from threadpoolctl import threadpool_limits

from osteon.errors import BadTable, Diverged, TooFewCases

Array = NDArray[np.float64]

PRIOR_CASES = 1.0
"""Cases of prior knowledge, spread evenly over the grades: no grade is ever impossible, and no cut is infinite."""

TOLERANCE = 1e-6
"""Largest entry of the gradient of the mean loss at which a fit ends."""


@dataclass(frozen=True, eq=False)
class CumulativeLink:
    """Grades 1..g from d numbers.

    Attributes:
        weight: (d,) so that score = design · weight.
        cuts: (g − 1,) ascending: where the score makes it as likely as not that the grade is above 1, 2, ….
    """

    weight: Array
    cuts: Array

    def __post_init__(self) -> None:
        if self.weight.ndim != 1 or self.cuts.ndim != 1 or not self.cuts.size:
            raise ValueError(f"weight is (d,) and cuts (g - 1,), not {self.weight.shape} and {self.cuts.shape}")
        if not (np.isfinite(self.weight).all() and np.isfinite(self.cuts).all() and (np.diff(self.cuts) >= 0).all()):
            raise ValueError("weights and cuts are finite, and cuts ascend")

    def probabilities(self, design: ArrayLike) -> Array:
        """(n, g) probability of each grade, from (n, d); NaN for a row with a value that is missing."""
        score = np.asarray(design, float) @ self.weight
        below = expit(self.cuts - score[:, None])
        edges = np.column_stack([np.zeros(len(score)), below, np.ones(len(score))])
        return np.where(np.isnan(score)[:, None], np.nan, np.diff(edges, axis=1))


def fit(
    design: ArrayLike, grade: ArrayLike, grades: int, *, penalty: float = 0.0, rising: bool = False
) -> CumulativeLink:
    """The most likely cumulative link, its weights drawn towards 0.

    Minimised is −Σ log P(gradeᵢ) / n + penalty · ‖w‖² / 2 over the standardised columns; the cuts are free, but for one
    case of prior knowledge: a case at the mean of all columns, whose grade is each one with equal chance. A column that
    is constant gets the weight 0.

    Args:
        design: (n, d), finite.
        grade: (n,) 1..g.
        grades: g, 2 or more; grades that do not occur have a small probability all the same.
        penalty: of the weights, 0 or more.
        rising: hold every weight at 0 or above, so that a larger value never makes a lower grade more likely.

    Raises:
        TooFewCases: for no case.
        BadTable: for a value that is not finite, or a grade outside 1..g.
        Diverged: if the optimiser stops short of the optimum.
    """
    rows, target = np.asarray(design, float), np.asarray(grade, int)
    if not len(target):
        raise TooFewCases("there is no graded case to learn from", remedy="grade more images, or use fewer folds")
    if not np.isfinite(rows).all() or target.min() < 1 or target.max() > grades:
        raise BadTable(f"a value is not finite, or a grade is not one of 1..{grades}", remedy="look at the table")
    centre, spread = rows.mean(axis=0), rows.std(axis=0)
    constant = spread <= 1e-9 * np.maximum(np.abs(centre), 1e-9)
    standard = np.where(constant, 0.0, (rows - centre) / np.where(constant, 1.0, spread))
    # The prior's case stands in the last g rows, at the mean.
    problem = _Problem(
        design=np.vstack([standard, np.zeros((grades, rows.shape[1]))]),
        place=np.concatenate([target, np.arange(1, grades + 1)]),
        uses=np.concatenate([np.ones(len(target)), np.full(grades, PRIOR_CASES / grades)]) / len(target),
        penalty=penalty,
    )
    start = np.concatenate([np.zeros(rows.shape[1]), _first_cuts(target, grades)])
    bounds = [(0.0 if rising else None, None)] * rows.shape[1] + [(None, None)] * (grades - 1)
    with threadpool_limits(1, user_api="blas"):  # the same sums on any number of cores
        found = optimize.minimize(
            problem.objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"gtol": TOLERANCE, "ftol": 1e-11, "maxiter": 3000, "maxfun": 6000},
        )
    if not np.isfinite(found.fun) or found.nit >= 3000:
        raise Diverged(f"a cumulative link did not converge ({found.message})", remedy="use a larger penalty")
    weight = np.where(constant, 0.0, found.x[: rows.shape[1]] / np.where(constant, 1.0, spread))
    return CumulativeLink(weight, _cuts(found.x[rows.shape[1] :]) + float(weight @ np.where(constant, 0.0, centre)))


def log_loss(probabilities: Array, grade: NDArray[np.integer]) -> float:
    """Mean −log of the probability (n, g) that was given to the right grade (n,), 1..g; never below 1e-12."""
    given = probabilities[np.arange(len(grade)), np.asarray(grade, int) - 1]
    return float(-np.log(np.maximum(given, 1e-12)).mean())


def frequencies(level: NDArray[np.intp], grade: ArrayLike, known: NDArray[np.bool_], grades: int) -> Array:
    """(n, g) how often each grade occurs at a row's level, among the known rows.

    A level with k_j cases of grade j among m counts as (k_j + q_j) / (m + 1), with q_j the share over all levels,
    itself counted with one case spread evenly: a level that was never seen gets the overall shares.

    Args:
        level: (n,) 0-based.
        grade: (n,) 1..g where known.
        known: (n,) the rows to count.
        grades: g.
    """
    place = np.asarray(grade, int)[known] - 1
    overall = (np.bincount(place, minlength=grades) + 1 / grades) / (len(place) + 1)
    counts = np.zeros((int(level.max(initial=-1)) + 1, grades))
    np.add.at(counts, (level[known], place), 1.0)
    shares = (counts + overall) / (counts.sum(axis=1, keepdims=True) + 1)
    return np.asarray(shares[level])


@dataclass(frozen=True, eq=False)
class _Problem:
    """What `fit` minimises. Its position holds the weights (d,), the first cut, and the logarithms of the gaps."""

    design: Array  # (n, d)
    place: NDArray[np.intp]  # (n,) grade, 1..g
    uses: Array  # (n,)
    penalty: float

    def objective(self, position: Array) -> tuple[float, Array]:
        d = self.design.shape[1]
        weight, free = position[:d], position[d:]
        edges = np.concatenate([[-np.inf], _cuts(free), [np.inf]])
        score = self.design @ weight
        upper, lower = edges[self.place] - score, edges[self.place - 1] - score
        # sigmoid(u) − sigmoid(l) = sigmoid(u) · sigmoid(−l) · (1 − exp(l − u)), which loses no digits.
        shrunk = np.exp(lower - upper)
        likelihood = log_expit(upper) + log_expit(-lower) + np.log1p(-shrunk)
        between = shrunk / (1 - shrunk)
        by_upper, by_lower = expit(-upper) + between, -(expit(lower) + between)
        loss = -float(self.uses @ likelihood) + self.penalty * float(weight @ weight) / 2
        by_score = self.uses * (by_upper + by_lower)
        by_edge = np.zeros(len(edges))
        np.add.at(by_edge, self.place, -self.uses * by_upper)
        np.add.at(by_edge, self.place - 1, -self.uses * by_lower)
        by_cut = by_edge[1:-1]
        later = np.cumsum(by_cut[::-1])[::-1]  # a gap moves its own cut and all that follow
        by_free = np.concatenate([later[:1], later[1:] * np.exp(free[1:])])
        return loss, np.concatenate([self.design.T @ by_score + self.penalty * weight, by_free])


def _cuts(free: Array) -> Array:
    return np.asarray(free[0] + np.concatenate([[0.0], np.cumsum(np.exp(free[1:]))]))


def _first_cuts(target: NDArray[np.intp], grades: int) -> Array:
    """First cut and logarithms of the gaps at which the probabilities are the shares of the grades."""
    counts = np.bincount(target, minlength=grades + 1)[1:] + 1.0
    below = np.cumsum(counts)[:-1] / counts.sum()
    cuts = np.log(below) - np.log1p(-below)
    return np.concatenate([cuts[:1], np.log(np.diff(cuts))])


PENALTIES: Sequence[float] = (1.0, 0.1, 0.01, 0.001)
"""Penalties to choose from, the strongest first: it wins ties."""
