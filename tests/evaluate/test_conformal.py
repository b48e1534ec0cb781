"""Three answers: the quantile by hand, the promise by simulation, and what is too few is said."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate import conformal
from osteon.evaluate.conformal import INCONCLUSIVE, NEGATIVE, POSITIVE, UNAVAILABLE
from osteon.evaluate.patient_quantiles import fewest, highest, tightest


def clustered(patients: int, rng: np.random.Generator, *, most: int = 12, by_size: float = -0.25):
    """Values of the images of patients, half of the variance the patient's own; small patients lie higher."""
    images = rng.integers(1, most + 1, patients)
    group = np.repeat(np.arange(patients), images)
    own, each = rng.normal(size=patients)[group], rng.normal(size=len(group))
    return np.sqrt(0.5) * own + np.sqrt(0.5) * each + by_size * images[group], group


@settings(max_examples=60)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), st.integers(1, 19))
def test_with_one_image_each_the_limit_is_the_order_statistic_of_split_conformal_prediction(values, twentieths):
    n, kept = len(values), 1 - Fraction(twentieths, 20)
    k = math.ceil((n + 1) * kept)
    wanted = math.inf if k > n else sorted(values)[k - 1]
    assert highest(values, np.arange(n), twentieths / 20) == wanted


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), min_size=1, max_size=25), st.integers(1, 9))
def test_the_clustered_limit_is_the_smallest_value_with_enough_of_every_patient_below(cases, tenths):
    group, value = (np.array(column) for column in zip(*cases, strict=True))
    patients = sorted(set(group.tolist()))

    def share_below(limit: int) -> Fraction:
        within = [[v <= limit for g, v in cases if g == p] for p in patients]
        return sum((Fraction(sum(w), len(w)) for w in within), Fraction(0))

    wanted = (len(patients) + 1) * (1 - Fraction(tenths, 10))
    enough = [int(v) for v in sorted(value) if share_below(v) >= wanted]
    assert highest(value, group, tenths / 10) == (enough[0] if enough else math.inf)


def test_fewest_is_where_the_finite_sample_quantile_begins_to_exist():
    for error_rate in (0.5, 0.3, 0.2, 0.15, 0.1, 0.05, 0.02, 0.01):
        n = fewest(error_rate)
        assert np.isfinite(highest(np.arange(n), np.arange(n), error_rate))
        assert np.isinf(highest(np.arange(n - 1), np.arange(n - 1), error_rate))


@pytest.mark.parametrize("patients", [9, 19, 40])
def test_the_promise_holds_over_calibration_sets_of_patients_with_several_images(patients):
    rng = np.random.default_rng(patients)
    by_patient, by_image = [], []
    for _ in range(1500):
        value, group = clustered(patients + 1, rng)
        seen = group < patients
        for kept, unit in ((by_patient, group), (by_image, np.arange(len(group)))):
            limit = highest(value[seen], unit[seen], 0.1)
            kept.append((value[~seen] <= limit).mean())
    error = np.std(by_patient) / np.sqrt(len(by_patient))
    assert np.mean(by_patient) >= 0.9 - 2.5 * error
    # Nor is it much too careful: at most one patient's weight above, and another for the images of one (2 / (n + 1)).
    assert np.mean(by_patient) <= 0.9 + 2 / (patients + 1) + 2.5 * error
    # Images taken as if each were a patient break the promise: patients of many images set the limit.
    assert np.mean(by_image) < 0.9 - 2.5 * error


@pytest.mark.parametrize(("patients", "most"), [(19, 12), (40, 4), (40, 12)])
def test_the_tight_limit_keeps_what_is_stated_and_hardly_more(patients, most):
    rng = np.random.default_rng(patients + most)
    kept, careful = [], []
    for _ in range(400):
        value, group = clustered(patients + 30, rng, most=most)
        seen = group < patients
        each = 1 / np.bincount(group)[group[~seen]]
        limits = tightest(value[seen], group[seen], 0.1), highest(value[seen], group[seen], 0.1)
        for shares, limit in zip((kept, careful), limits, strict=True):
            shares.append(np.average(value[~seen] <= limit, weights=each))
    error = np.std(kept) / np.sqrt(len(kept))
    assert 0.9 - 2.5 * error <= np.mean(kept) <= 0.915 + 2.5 * error
    assert np.mean(kept) < np.mean(careful)


def tight_by_hand(value, group, error_rate):
    """Every share tried in turn, every patient judged by the limit of the others, counted image by image."""
    patients, k = np.unique(group), len(np.unique(group))
    rising = np.unique(value)

    def below(limit, of):
        return sum(np.mean(value[group == p] <= limit) for p in of)

    def limit_of(of, wanted):
        return next((v for v in rising if below(v, of) >= wanted - 1e-9), rising[-1])

    for v in rising:
        share = below(v, patients) / k
        limits = {p: limit_of(patients[patients != p], share * (k - 1)) for p in patients}
        if np.mean([below(limits[p], [p]) for p in patients]) >= 1 - error_rate - 1e-9:
            taken = np.mean([below(limits[p], patients[patients != p]) for p in patients]) / (k - 1)
            return min(highest(value, group, error_rate), limit_of(patients, taken * k))
    return highest(value, group, error_rate)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), min_size=4, max_size=20), st.integers(2, 6))
def test_the_tight_limit_is_that_of_leaving_out_each_patient_by_hand(cases, tenths):
    group, value = (np.array(column) for column in zip(*cases, strict=True))
    if np.isfinite(highest(value, group, tenths / 10)) and len(set(group.tolist())) > 1:
        assert tightest(value, group, tenths / 10) == tight_by_hand(value, group, tenths / 10)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 50), min_size=3, max_size=40), st.integers(1, 9))
def test_with_one_image_each_the_tight_limit_is_that_of_the_theorem(values, tenths):
    patients = np.arange(len(values))
    proven = highest(np.array(values) + patients / 1000, patients, tenths / 10)
    assert tightest(np.array(values) + patients / 1000, patients, tenths / 10) == proven


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=40), st.integers(1, 9))
def test_the_tight_limit_never_lies_beyond_the_proven_one(cases, tenths):
    group, value = (np.array(column) for column in zip(*cases, strict=True))
    proven = highest(value, group, tenths / 10)
    tight = tightest(value, group, tenths / 10)
    assert tight <= proven
    assert np.isinf(tight) == np.isinf(proven)
    assert np.isinf(tight) or tight in value


def a_cohort(patients: int, rng: np.random.Generator, distance: float = 1.5):
    value, group = clustered(patients, rng, by_size=0.0)
    target = (group % 3 == 0).astype(int)
    return value + distance * target, target, group


def test_each_class_is_covered_as_stated_and_the_sets_say_so():
    rng = np.random.default_rng(3)
    kept = {1: [], 0: []}
    for _ in range(150):
        value, target, group = a_cohort(150, rng)
        seen = group < 75
        sets = conformal.fit(value[seen], target[seen], group[seen], error_rate=0.2)(value[~seen])
        covered = sets.covered(target[~seen] == 1)
        for kind, shares in kept.items():
            rows = target[~seen] == kind
            size = np.bincount(group[~seen])[group[~seen]]
            shares.append(np.average(covered[rows], weights=1 / size[rows]))
    for shares in kept.values():
        error = np.std(shares) / np.sqrt(len(shares))
        assert 0.8 - 3 * error <= np.mean(shares) <= 0.8 + 2 / 26 + 3 * error


def test_strata_have_limits_of_their_own():
    rng, together, apart = np.random.default_rng(4), [], []
    for _ in range(15):
        value, target, group = a_cohort(300, rng)
        stratum = np.where(group % 2 == 0, "AP", "LAT")
        value = value + 2.0 * (stratum == "LAT")  # another scale, so that one limit for both must fail one of them
        seen = group < 150
        truth = target[~seen] == 1
        frontal = (stratum[~seen] == "AP") & truth
        one = conformal.fit(value[seen], target[seen], group[seen])(value[~seen])
        own = conformal.fit(value[seen], target[seen], group[seen], stratum=stratum[seen])(value[~seen], stratum[~seen])
        together.append(one.covered(truth)[frontal].mean())
        apart.append(own.covered(truth)[frontal].mean())
        assert (own.answers() != UNAVAILABLE).all()
    assert np.mean(together) < 0.84
    assert np.mean(apart) > 0.87


def test_both_and_neither_are_inconclusive():
    apart = conformal.Conformal(
        0.1, (conformal.Limit("", True, 0.6, 9, 9), conformal.Limit("", False, 0.4, 9, 9))
    )  # the classes hardly overlap: what lies between is like neither
    assert apart([0.3, 0.4, 0.5, 0.6]).answers().tolist() == [NEGATIVE, NEGATIVE, INCONCLUSIVE, POSITIVE]
    over = conformal.Conformal(0.1, (conformal.Limit("", True, 0.2, 9, 9), conformal.Limit("", False, 0.7, 9, 9)))
    assert over([0.1, 0.2, 0.7, 0.8]).answers().tolist() == [NEGATIVE, INCONCLUSIVE, INCONCLUSIVE, POSITIVE]


def test_too_few_patients_are_no_limit_and_the_note_says_how_many_it_takes():
    value, target = np.arange(12.0), np.array([0] * 9 + [1] * 3)
    found = conformal.fit(value, target, np.arange(12), error_rate=0.1)
    positives, negatives = found.limits
    assert not positives.available
    assert positives.note == "3 patients with positive cases; an error rate of 0.1 needs 9"
    assert negatives.value == 8.0
    assert set(found([0.0, 20.0]).answers()) == {UNAVAILABLE}


def test_a_stratum_never_seen_is_not_available():
    value, target, group = a_cohort(90, np.random.default_rng(5))
    found = conformal.fit(value, target, group, stratum=np.full(len(value), "AP"))
    assert found([0.0, 0.0], ["AP", "OBL"]).available.tolist() == [True, False]


def test_no_case_has_a_part_in_the_limits_that_judge_it():
    value, target, group = a_cohort(120, np.random.default_rng(6))
    fold = group % 4
    sets = conformal.cross_fitted(value, target == 1, group, fold)
    moved = np.where(fold == 2, 100.0 + value, value)  # whatever fold 2 holds, its own limits stay
    again = conformal.cross_fitted(moved, target == 1, group, fold)
    others = conformal.fit(value[fold != 2], target[fold != 2], group[fold != 2])
    np.testing.assert_array_equal(sets.answers()[fold == 2], others(value[fold == 2]).answers())
    np.testing.assert_array_equal(again.answers()[fold == 2], others(moved[fold == 2]).answers())


def test_bad_input_ends_in_a_sentence():
    with pytest.raises(BadTable, match="not between 0 and 1"):
        conformal.fit([1.0], [1], [1], error_rate=1.0)
    with pytest.raises(BadTable, match="finite"):
        conformal.fit([np.nan], [1], [1])
    with pytest.raises(TooFewCases, match="no cases"):
        conformal.fit([], [], [])
    with pytest.raises(TooFewCases, match="one fold"):
        conformal.cross_fitted(np.ones(3), np.ones(3, bool), np.arange(3), np.zeros(3, int))


@settings(max_examples=50)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_answers_keep_to_any_rising_scale(values, random):
    value = np.round(np.array(values), 3)
    target = np.array([0, 1, *(random.randint(0, 1) for _ in values[2:])])
    group = np.array([random.randint(0, 40) for _ in values])
    told = conformal.fit(value, target, group, error_rate=0.5)(value).answers()
    scaled = np.exp(value / 2)
    np.testing.assert_array_equal(told, conformal.fit(scaled, target, group, error_rate=0.5)(scaled).answers())
