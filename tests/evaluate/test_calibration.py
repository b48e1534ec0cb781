"""Platt's curve against a truth that was put in, and the reliability table by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate import calibration
from osteon.evaluate.intervals import point


def drawn_from(slope: float, intercept: float, n: int = 20_000, seed: int = 0):
    rng = np.random.default_rng(seed)
    score = rng.normal(2, 3, n)
    return score, rng.random(n) < 1 / (1 + np.exp(-(slope * score + intercept)))


@pytest.mark.parametrize(("slope", "intercept"), [(0.8, -1.0), (2.5, -6.0), (0.05, 0.3)])
def test_platt_finds_the_curve_that_the_targets_were_drawn_from(slope, intercept):
    found = calibration.fit_platt(*drawn_from(slope, intercept))
    assert found.slope == pytest.approx(slope, rel=0.08, abs=0.02)
    assert found.intercept == pytest.approx(intercept, rel=0.08, abs=0.08)
    assert found.note == ""


def test_platt_is_a_logistic_regression_on_drawn_in_targets():
    score, target = drawn_from(1.0, -1.0, n=60)
    found = calibration.fit_platt(score, target)
    p, n = target.sum(), (~target).sum()
    # A fractional target w is one positive of weight w and one negative of weight 1 - w.
    wanted = np.where(target, (p + 1) / (p + 2), 1 / (n + 2))
    twice = LogisticRegression(C=np.inf, tol=1e-12, max_iter=10_000).fit(
        np.tile(score, 2)[:, None], np.repeat([1, 0], 60), sample_weight=np.concatenate([wanted, 1 - wanted])
    )
    assert found.slope == pytest.approx(twice.coef_[0, 0], rel=1e-3)
    assert found.intercept == pytest.approx(twice.intercept_[0], rel=1e-3)


def test_separated_classes_keep_a_finite_slope():
    found = calibration.fit_platt([0, 1, 2, 3], [0, 0, 1, 1])
    assert 0 < found.slope < 100
    assert 0 < found(np.array([0.0]))[0] < 0.5 < found(np.array([3.0]))[0] < 1


@pytest.mark.parametrize("sign", [-1.0, 0.0, 1e-15], ids=["reversed", "constant", "rounding"])
def test_a_useless_score_gets_the_prevalence_and_says_so(sign):
    score, target = drawn_from(1.0, -2.0, n=2000)
    useless = sign * score if sign <= 0 else 0.1 + sign * score
    found = calibration.fit_platt(useless, target)
    assert found.slope > 0
    assert "does not rise with the target" in found.note
    np.testing.assert_allclose(found(useless), target.mean(), atol=2e-3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=30), st.randoms(use_true_random=False))
def test_calibration_never_turns_an_order_round(scores, random):
    target = [0, 1, *(random.randint(0, 1) for _ in scores[2:])]
    found = calibration.fit_platt(scores, target)
    assert found.slope > 0
    assert (np.diff(found(np.sort(scores))) >= 0).all()


def test_a_calibration_needs_both_classes_and_finite_scores():
    with pytest.raises(TooFewCases, match="both classes"):
        calibration.fit_platt([0.1, 0.2], [1, 1])
    with pytest.raises(BadTable, match="finite"):
        calibration.fit_platt([0.1, np.nan], [0, 1])


def test_bins_hold_equal_shares_and_equal_probabilities_stay_together():
    probability = np.concatenate([np.full(50, 0.2), np.linspace(0.3, 0.9, 50)])
    bins = calibration.bins_of(probability, np.zeros(100))
    assert (bins.member.sum(axis=1) == 1).all()
    sizes = bins.member.sum(axis=0)
    assert sizes[0] == 50
    assert (sizes[1:] == 10).all()


def test_the_reliability_table_is_a_table_of_means():
    probability = np.array([0.1, 0.1, 0.3, 0.3, 0.8, 0.8])
    target = np.array([0, 0, 1, 0, 1, 1])
    bins = calibration.bins_of(probability, target, bins=3)
    mass, mean, observed = (part[0] for part in calibration.reliability_of(bins, np.ones((1, 6))))
    np.testing.assert_allclose(mass, [2, 2, 2])
    np.testing.assert_allclose(mean, [0.1, 0.3, 0.8])
    np.testing.assert_allclose(observed, [0, 0.5, 1])
    assert calibration.expected_calibration_error(probability, target, bins=3) == pytest.approx(
        (2 * 0.1 + 2 * 0.2 + 2 * 0.2) / 6
    )


def test_true_probabilities_are_nearly_calibrated_and_false_ones_are_not():
    rng = np.random.default_rng(1)
    probability = rng.uniform(size=20_000)
    target = rng.random(20_000) < probability
    assert calibration.expected_calibration_error(probability, target) < 0.015
    assert calibration.expected_calibration_error(probability**3, target) > 0.2


def test_recalibration_finds_how_far_the_log_odds_were_stretched():
    score, target = drawn_from(0.7, -0.5)
    told = 1 / (1 + np.exp(-score))
    slope, intercept = point(calibration.recalibration(told, target), len(score))
    assert slope == pytest.approx(0.7, abs=0.03)
    assert intercept == pytest.approx(-0.5, abs=0.08)


def test_recalibration_with_weights_is_that_of_the_repeated_cases():
    score, target = drawn_from(0.7, -0.5, n=300)
    told = 1 / (1 + np.exp(-score))
    times = np.random.default_rng(2).integers(0, 4, 300)
    weighted = calibration.recalibration(told, target)(np.stack([times, np.ones(300)]).astype(float))
    repeated = calibration.recalibration(np.repeat(told, times), np.repeat(target, times))(np.ones((1, times.sum())))
    np.testing.assert_allclose(weighted[0], repeated[0], rtol=1e-6)


def test_separated_classes_have_no_recalibration():
    told = np.array([0.1, 0.2, 0.8, 0.9])
    assert np.isnan(point(calibration.recalibration(told, told > 0.5), 4)).all()
