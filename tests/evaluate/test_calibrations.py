"""Temperature and isotonic calibration against a truth that was put in, and the choice between the curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.calibrations import CALIBRATIONS, Steps, choose_calibration, fit_isotonic, fit_temperature


def drawn(curve, n: int = 6000, seed: int = 0):
    rng = np.random.default_rng(seed)
    score = rng.normal(0, 2, n)
    return score, rng.random(n) < curve(score)


def logistic(score):
    return 1 / (1 + np.exp(-score))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_put_in_is_found(temperature):
    found = fit_temperature(*drawn(lambda s: logistic(s / temperature)))
    assert 1 / found.slope == pytest.approx(temperature, rel=0.08)
    assert found.intercept == 0.0
    assert found.note == f"temperature {1 / found.slope:.3g}"


def test_temperature_is_a_logistic_regression_without_intercept_on_drawn_in_targets():
    score, target = drawn(lambda s: logistic(s / 2), n=80)
    p, n = target.sum(), (~target).sum()
    wanted = np.where(target, (p + 1) / (p + 2), 1 / (n + 2))
    twice = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-12, max_iter=10_000).fit(
        np.tile(score, 2)[:, None], np.repeat([1, 0], 80), sample_weight=np.concatenate([wanted, 1 - wanted])
    )
    assert fit_temperature(score, target).slope == pytest.approx(twice.coef_[0, 0], rel=1e-4)


def test_a_score_of_another_scale_or_without_meaning_is_told():
    score, target = drawn(logistic, n=500)
    assert "the end of what is tried" in fit_temperature(-score, target).note
    assert "the end of what is tried" in fit_temperature(1e-3 * score, target).note


def pooled_by_hand(score, target):
    """Pool adjacent violators, as Ayer et al. (1955) put it: max over beginnings of the min over ends of the means."""
    values = np.unique(score)
    sums = [(target[score == v].sum(), (score == v).sum()) for v in values]

    def mean(i, j):
        return sum(s for s, _ in sums[i : j + 1]) / sum(n for _, n in sums[i : j + 1])

    k = len(values)
    return values, np.array([max(min(mean(i, j) for j in range(at, k)) for i in range(at + 1)) for at in range(k)])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=25))
def test_isotonic_is_the_max_min_of_means_whatever_the_ties(cases):
    score, target = (np.array(column) for column in zip(*[*cases, (0, True), (0, False)], strict=True))
    p, n = target.sum(), (~target).sum()
    values, wanted = pooled_by_hand(score, np.where(target, (p + 1) / (p + 2), 1 / (n + 2)))
    found = fit_isotonic(score, target)
    np.testing.assert_allclose(found(values.astype(float)), wanted, atol=1e-9)
    assert 0 < found(np.array([-1e9]))[0] <= found(np.array([1e9]))[0] < 1


def test_isotonic_follows_a_curve_that_no_logistic_has():
    def stairs(score):
        return np.where(score < -1, 0.05, np.where(score < 1, 0.4, 0.7))

    score, target = drawn(stairs, n=4000)
    at = np.array([-3.0, 0.0, 3.0])
    np.testing.assert_allclose(fit_isotonic(score, target)(at), stairs(at), atol=0.08)
    assert choose_calibration(score, target, np.arange(len(score)) // 10).name == "isotonic"


def test_a_constant_score_gets_the_prevalence():
    found = fit_isotonic(np.full(100, 3.0), np.arange(100) < 30)
    assert found(np.array([-5.0, 3.0, 9.0])) == pytest.approx(np.full(3, 0.3), abs=0.01)
    assert "does not rise" in found.note


@settings(max_examples=30)
@given(st.lists(st.floats(-50, 50), min_size=6, max_size=30), st.sampled_from(list(CALIBRATIONS)))
def test_no_curve_turns_an_order_round(scores, name):
    target = np.arange(len(scores)) % 2 == 0
    curve = CALIBRATIONS[name](scores, target)
    told = curve(np.linspace(-60, 60, 50))
    assert (np.diff(told) >= 0).all()
    assert curve.n == len(scores)


def test_few_patients_get_the_curve_with_few_numbers_and_the_choice_is_told():
    score, target = drawn(lambda s: logistic(s / 2), n=120, seed=3)
    group = np.arange(120) // 2
    found = choose_calibration(score, target, group)
    assert found.name != "isotonic"
    assert found.losses[found.name] == min(found.losses.values())
    assert found.describe().startswith(f"{found.name.capitalize()} was chosen by its log loss on held-out patients")
    assert "60 patients" in found.describe()
    again = choose_calibration(score, target, group)
    assert again == found


def test_a_patient_counts_once_however_often_it_was_imaged():
    score, target = drawn(lambda s: logistic(s / 2), n=200, seed=4)
    group = np.arange(200)
    times = np.where(group < 5, 20, 1)
    one = choose_calibration(score, target, group, ["platt"]).losses["platt"]
    many = choose_calibration(*(np.repeat(v, times) for v in (score, target, group)), ["platt"]).losses["platt"]
    by_image = choose_calibration(
        np.repeat(score, times), np.repeat(target, times), np.arange(times.sum()), ["platt"]
    ).losses["platt"]
    assert abs(many - one) < abs(by_image - one)


def test_bad_input_ends_in_a_sentence():
    for fit in CALIBRATIONS.values():
        with pytest.raises(TooFewCases, match="both classes"):
            fit([0.1, 0.2], [1, 1])
        with pytest.raises(BadTable, match="finite"):
            fit([np.inf, 0.2], [1, 0])
    with pytest.raises(TooFewCases, match="4 patients of a class"):
        choose_calibration(np.arange(20.0), np.arange(20) < 4, np.arange(20))
    for wrong in ((), (0.1, 0.1)), ((1.0, 0.0), (0.1, 0.2)), ((0.0,), (1.0,)):
        with pytest.raises(ValueError, match=r"knot|scores"):
            Steps(*wrong, n=1, prevalence=0.5)
