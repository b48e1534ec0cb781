"""A cumulative link is what its definition says, and what maximum likelihood makes of planted data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import BadTable, TooFewCases
from osteon.learn.ordinal import CumulativeLink, fit, frequencies, log_loss

CUTS = np.array([-1.0, 0.5, 2.0])
WEIGHT = np.array([1.5, -0.7, 0.0])


def planted(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grades as the definition draws them: how many cuts a score passes once logistic noise is added."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n, 3)) * [1.0, 2.0, 1.0] + [0.0, 3.0, -1.0]
    latent = (design - [0.0, 3.0, -1.0]) @ WEIGHT + rng.logistic(size=n)
    return design, 1 + (latent[:, None] > CUTS).sum(axis=1)


def likelihood(link: CumulativeLink, design: np.ndarray, grade: np.ndarray) -> float:
    """Mean log probability, case by case from the definition."""
    total = 0.0
    for row, g in zip(design, grade, strict=True):
        below = [0.0, *(1 / (1 + np.exp(row @ link.weight - cut)) for cut in link.cuts), 1.0]
        total += np.log(below[g] - below[g - 1])
    return total / len(grade)


def test_planted_weights_and_cuts_are_found() -> None:
    design, grade = planted(6000)
    link = fit(design, grade, 4)
    assert np.allclose(link.weight, WEIGHT, atol=0.12)
    assert np.allclose(link.cuts - 3.0 * link.weight[1] + link.weight[2], CUTS, atol=0.15)


def test_no_other_link_near_by_is_more_likely() -> None:
    design, grade = planted(300)
    link = fit(design, grade, 4)
    best = likelihood(link, design, grade)
    rng = np.random.default_rng(1)
    # The case of prior knowledge moves the optimum by a hair; steps are larger than that.
    for _ in range(60):
        step = rng.normal(size=6) * 0.05
        other = CumulativeLink(link.weight + step[:3], np.sort(link.cuts + step[3:]))
        assert likelihood(other, design, grade) < best + 1e-4
    assert log_loss(link.probabilities(design), grade) == pytest.approx(-best)


def test_a_penalty_draws_the_weights_in_and_leaves_the_shares_alone() -> None:
    design, grade = planted(500)
    sizes = [np.abs(fit(design, grade, 4, penalty=penalty).weight).sum() for penalty in (0.0, 0.1, 100.0)]
    assert sizes[0] > sizes[1] > sizes[2] and sizes[2] < 0.01
    shares = np.bincount(grade, minlength=5)[1:] / len(grade)
    assert np.allclose(fit(design, grade, 4, penalty=100.0).probabilities(design).mean(axis=0), shares, atol=0.01)


@settings(max_examples=25)
@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 10_000))
def test_probabilities_are_such_and_a_rising_link_never_falls(grades: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(40, d)) * 10.0 ** rng.integers(-3, 4, d)
    link = fit(design, rng.integers(1, grades + 1, 40), grades, rising=True)
    p = link.probabilities(design)
    assert np.allclose(p.sum(axis=1), 1) and (p >= 0).all()
    higher = link.probabilities(design + rng.random(d) * np.abs(design).max(axis=0))
    assert (np.cumsum(higher, axis=1) <= np.cumsum(p, axis=1) + 1e-12).all()


def test_odd_data_have_an_answer() -> None:
    design = np.arange(20.0)[:, None]
    separated = fit(design, np.repeat([1, 4], 10), 4, penalty=0.01)
    p = separated.probabilities(design)
    assert (p[:10, 0] > 0.5).all() and (p[10:, 3] > 0.5).all() and (p > 0).all()
    same = fit(design, np.full(20, 2), 3)
    assert same.probabilities(design)[:, 1].min() > 0.9
    constant = fit(np.ones((20, 2)), np.repeat([1, 2], 10), 2)
    assert (constant.weight == 0).all() and np.allclose(constant.probabilities(np.ones((1, 2))), 0.5, atol=1e-3)
    assert np.isnan(separated.probabilities([[np.nan]])).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewCases, match="no graded case"):
        fit(np.empty((0, 2)), [], 4)
    for design, grade in (([[np.nan]], [1]), ([[1.0]], [0]), ([[1.0]], [5])):
        with pytest.raises(BadTable):
            fit(design, grade, 4)
    with pytest.raises(ValueError, match="ascend"):
        CumulativeLink(np.ones(1), np.array([1.0, 0.0]))


def test_frequencies_are_counted_with_one_case_of_prior_knowledge() -> None:
    level = np.array([0, 0, 0, 1, 1, 2])
    grade = np.array([1, 1, 2, 2, 1, 1])
    known = np.array([True, True, True, True, False, False])
    overall = np.array([(2 + 0.5) / 5, (2 + 0.5) / 5])
    found = frequencies(level, grade, known, 2)
    assert np.allclose(found[0], (np.array([2, 1]) + overall) / 4)
    assert np.allclose(found[3], (np.array([0, 1]) + overall) / 2)
    assert np.allclose(found[5], overall)  # a level that was never seen
