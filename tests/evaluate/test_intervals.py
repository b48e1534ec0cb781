"""Intervals hold what they promise: measured on simulated patients, and against DeLong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from osteon.evaluate import intervals, metrics
from osteon.types import Estimate


def simulated(patients: int, images: int, *, shared: float, rng: np.random.Generator, folds: int = 1):
    """Scores of variance 1, `shared` of it the patient's, 1.2 apart by class: (score, target, group, fold)."""
    sick = np.arange(patients) % 3 == 0
    group = np.repeat(np.arange(patients), images)
    own = rng.normal(size=patients * images) * np.sqrt(1 - shared)
    score = 1.2 * sick[group] + rng.normal(size=patients)[group] * np.sqrt(shared) + own
    return score, sick[group], group, (group // 3) % folds


TRUE_AUROC = float(norm.cdf(1.2 / np.sqrt(2)))


def interval_of(score, target, group, fold, rng, resamples: int = 400) -> Estimate:
    drawn = intervals.draw(group, fold, target, rng, resamples=resamples)
    statistic = metrics.mean_over_folds(score, target, fold)
    value = intervals.point(statistic, len(score))[0]
    return intervals.estimate(float(value), intervals.bootstrap(statistic, drawn)[:, 0], len(score))


def test_nineteen_of_twenty_intervals_hold_the_truth():
    """The share that holds it lies between 0.90 and 0.99; docs/reference/evaluate.md has it from 2000 studies."""
    rng = np.random.default_rng(5)
    misses = 0
    for _ in range(300):
        found = interval_of(*simulated(90, 3, shared=0.6, rng=rng, folds=2), rng)
        misses += not found.low <= TRUE_AUROC <= found.high
    assert 3 <= misses <= 30


def test_drawing_images_instead_of_patients_would_miss_far_too_often():
    rng = np.random.default_rng(6)
    clustered, naive, missed = [], [], 0
    for _ in range(60):
        score, target, group, fold = simulated(60, 4, shared=0.8, rng=rng)
        found = interval_of(score, target, group, fold, rng)
        clustered.append(found.high - found.low)
        found = interval_of(score, target, np.arange(len(score)), fold, rng)
        naive.append(found.high - found.low)
        missed += not found.low <= TRUE_AUROC <= found.high
    assert np.mean(clustered) > 1.5 * np.mean(naive)
    assert missed > 60 * 0.15


def test_delong_of_a_table_worked_by_hand():
    """Positives 3, 5, 6 and negatives 1, 2, 4, 5: placements 1/2, 7/8, 1 and 1, 1, 2/3, 1/2."""
    areas, covariance = intervals.delong([3, 5, 6, 1, 2, 4, 5], [1, 1, 1, 0, 0, 0, 0])
    positives, negatives = np.array([1 / 2, 7 / 8, 1]), np.array([1, 1, 2 / 3, 1 / 2])
    assert areas[0] == pytest.approx(19 / 24)
    assert covariance[0, 0] == pytest.approx(positives.var(ddof=1) / 3 + negatives.var(ddof=1) / 4)


def test_delong_and_the_bootstrap_agree_where_each_patient_has_one_case():
    rng = np.random.default_rng(2)
    score, target, group, fold = simulated(600, 1, shared=0.5, rng=rng)
    drawn = interval_of(score, target, group, fold, rng, resamples=4000)
    exact = intervals.delong_interval(score, target)
    assert drawn.value == pytest.approx(exact.value, abs=1e-12)
    assert drawn.high - drawn.low == pytest.approx(exact.high - exact.low, rel=0.06)


def test_delong_covariance_is_that_of_the_paired_bootstrap():
    rng = np.random.default_rng(3)
    score, target, group, fold = simulated(400, 1, shared=0.5, rng=rng)
    second = score + rng.normal(size=400)
    _, covariance = intervals.delong([score, second], target)
    drawn = intervals.draw(group, fold, target, rng, resamples=4000)
    ranked = [metrics.rank(s, target) for s in (score, second)]
    samples = intervals.bootstrap(lambda w: np.stack([metrics.auroc_of(r, w) for r in ranked], axis=1), drawn)
    np.testing.assert_allclose(np.cov(samples.T), covariance, rtol=0.15)


def test_groups_are_drawn_whole_and_within_their_fold():
    rng = np.random.default_rng(0)
    _, target, group, fold = simulated(30, 4, shared=0.5, rng=rng, folds=3)
    drawn = intervals.draw(group, fold, target, rng, resamples=50)
    for f in range(3):
        members = np.unique(group[fold == f])
        assert (drawn.counts[:, members].sum(axis=1) == len(members)).all()
    weights = np.concatenate(list(drawn.weights()))
    assert weights.shape == (50, len(group))
    np.testing.assert_array_equal(weights, drawn.counts[:, group])


def test_no_fold_loses_a_class_and_the_redrawing_is_counted():
    group, fold = np.arange(8), np.repeat([0, 1], 4)
    target = np.array([1, 0, 0, 0, 1, 0, 0, 0], bool)
    drawn = intervals.draw(group, fold, target, np.random.default_rng(0), resamples=500)
    # One positive group of four is missed with probability (3/4)^4: 500 · 2 · 0.316 / 0.684 redraws are expected.
    assert 350 < drawn.redrawn < 600
    for f in (0, 1):
        assert (drawn.counts[:, (fold == f) & target].sum(axis=1) > 0).all()
        assert (drawn.counts[:, (fold == f) & ~target].sum(axis=1) > 0).all()


def test_same_seed_same_draws():
    _, target, group, fold = simulated(20, 2, shared=0.5, rng=np.random.default_rng(1))
    first, second = (intervals.draw(group, fold, target, np.random.default_rng(7), resamples=20) for _ in range(2))
    np.testing.assert_array_equal(first.counts, second.counts)


def test_a_bootstrap_is_the_loop_that_it_replaces():
    rng = np.random.default_rng(4)
    score, target, group, fold = simulated(40, 3, shared=0.5, rng=rng)
    drawn = intervals.draw(group, fold, target, rng, resamples=30)
    fast = intervals.bootstrap(lambda w: metrics.auroc_of(metrics.rank(score, target), w), drawn)
    for counts, value in zip(drawn.counts, fast, strict=True):
        rows = np.repeat(np.arange(len(score)), counts[group])
        assert value == pytest.approx(metrics.auroc(score[rows], target[rows]), abs=1e-12)


def test_a_figure_of_one_keeps_an_honest_lower_limit():
    perfect = intervals.estimate(1.0, np.ones(200), 40, trials=10)
    # With a true share of low, ten successes in a row have probability 2.5 %.
    assert perfect.low**10 == pytest.approx(0.025)
    assert perfect.high == 1.0
    nothing = intervals.estimate(0.0, np.zeros(200), 40, trials=10)
    assert (1 - nothing.high) ** 10 == pytest.approx(0.025)


def test_a_figure_that_never_varies_has_no_interval():
    constant = intervals.estimate(0.5, np.full(200, 0.5), 40, trials=10)
    assert np.isnan(constant.low)
    assert "every resample gives the same figure" in constant.note


def test_skipped_resamples_are_counted():
    samples = np.linspace(0.6, 0.8, 100)
    samples[:30] = np.nan
    assert "30 of 100 resamples skipped" in intervals.estimate(0.7, samples, 10).note
    samples[:60] = np.nan
    assert np.isnan(intervals.estimate(0.7, samples, 10).low)
    assert intervals.estimate(float("nan"), samples, 10, note="one class only").note == "one class only"


def test_the_gain_of_a_perfect_model_is_not_surer_than_the_model():
    perfect = intervals.estimate(1.0, np.ones(100), 40, trials=10)
    floor = Estimate(0.8, 0.7, 0.9, 40)
    gain = intervals.difference(perfect, floor, 1 - np.linspace(0.7, 0.9, 100))
    assert gain.value == pytest.approx(0.2)
    assert gain.low == pytest.approx(0.2 - np.hypot(1 - perfect.low, 0.1))
    assert gain.high == pytest.approx(0.3)


def test_pairs_are_disjoint_and_within_a_fold():
    group = np.array([0, 1, 2, 3, 4, 5])
    fold = np.array([0, 0, 0, 1, 1, 1])
    target = np.array([1, 0, 0, 1, 1, 1], bool)
    assert intervals.independent_pairs(group, fold, target) == 1
    # One patient with images of both classes is no pair of patients.
    assert intervals.independent_pairs(np.array([0, 0]), np.zeros(2, int), np.array([True, False])) == 0
