"""The fitted curve against the two distributions that the scores were drawn from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.stats import norm

from osteon.evaluate import binormal, metrics


def fitted(score, target) -> binormal.Binormal | None:
    membership, _ = binormal.categories(score, target)
    return binormal.fit(membership.sum(axis=0))[0]


def normal_scores(a: float, b: float, n: int = 20_000, seed: int = 0):
    """Negatives N(0, 1), positives N(a / b, 1 / b)."""
    rng = np.random.default_rng(seed)
    target = rng.random(n) < 0.4
    return np.where(target, a / b + rng.normal(size=n) / b, rng.normal(size=n)), target


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.0), (0.8, 0.6), (2.0, 1.6), (0.0, 1.0)])
def test_the_fit_finds_the_distributions(a, b):
    found = fitted(*normal_scores(a, b))
    assert found.a == pytest.approx(a, abs=0.06)
    assert found.b == pytest.approx(b, rel=0.05)
    assert found.area == pytest.approx(norm.cdf(a / np.sqrt(1 + b * b)), abs=0.01)


def test_only_the_order_of_the_scores_counts():
    score, target = normal_scores(1.2, 0.8, n=2000)
    straight, bent = fitted(score, target), fitted(np.exp(score), target)
    assert (bent.a, bent.b) == (straight.a, straight.b)


def test_the_area_is_the_integral_of_the_curve_and_near_the_empirical_one():
    score, target = normal_scores(1.2, 0.8)
    found = fitted(score, target)
    grid = np.linspace(0, 1, 20_001)
    assert np.trapezoid(found.sensitivity(grid), grid) == pytest.approx(found.area, abs=1e-4)
    assert found.area == pytest.approx(metrics.auroc(score, target), abs=0.005)


def test_the_gradient_is_that_of_the_likelihood():
    membership, k = binormal.categories(*normal_scores(1.2, 0.8, n=500))
    shares = membership.sum(axis=0) / 500
    where = np.concatenate([[0.7, 0.2, -1.3], np.full(k - 2, -1.0)])
    error = check_grad(
        lambda x: binormal._loss(x, shares[:k], shares[k:])[0],
        lambda x: binormal._loss(x, shares[:k], shares[k:])[1],
        where,
    )
    assert error < 1e-6


@pytest.mark.parametrize(
    ("score", "target"),
    [([1, 2, 3, 4], [0, 0, 1, 1]), ([1, 1, 1, 1], [0, 1, 0, 1]), ([0, 1, 0, 1], [0, 1, 1, 0])],
    ids=["separated", "constant", "two scores"],
)
def test_data_that_determine_no_curve_give_none(score, target):
    assert fitted(score, target) is None
