"""Statistics of agreement against the worked examples of their authors, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from osteon.evaluate import agreement
from osteon.evaluate.agreement import ICC_FORMS

SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
"""Table 2 of Shrout & Fleiss 1979: six targets, four judges."""

_ = np.nan
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
        [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
    ]
).T
"""Section C of Krippendorff 2011: four observers, twelve units, with missing values."""

grades = st.integers(1, 4)


def ones(n: int) -> np.ndarray:
    return np.ones((1, n))


def test_the_analysis_of_variance_of_shrout_and_fleiss() -> None:
    """Their Table 3."""
    found = agreement.mean_squares(SHROUT_FLEISS, ones(6))
    squares = [round(float(s[0]), 2) for s in (found.between, found.within, found.of_raters, found.error)]
    assert squares == [11.24, 6.26, 32.49, 1.02]


@pytest.mark.parametrize(
    ("form", "value", "low", "high"),
    [
        ("ICC(1,1)", 0.17, -0.13, 0.72),
        ("ICC(2,1)", 0.29, 0.02, 0.76),
        ("ICC(3,1)", 0.71, 0.34, 0.95),
        ("ICC(1,k)", 0.44, -0.88, 0.91),
        ("ICC(2,k)", 0.62, 0.07, 0.93),
        ("ICC(3,k)", 0.91, 0.68, 0.99),
    ],
)
def test_the_six_forms_of_shrout_and_fleiss(form: str, value: float, low: float, high: float) -> None:
    """The values are their Table 4; the limits are those that the R package psych prints for the same table."""
    found = agreement.icc(SHROUT_FLEISS, form)
    assert round(found.value, 2) == value
    assert round(found.low, 2) == pytest.approx(low)
    assert round(found.high, 2) == pytest.approx(high)


@pytest.mark.parametrize(("level", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_the_alphas_of_krippendorff(level: str, value: float) -> None:
    assert round(agreement.alpha(KRIPPENDORFF, level), 3) == value


def test_raters_who_agree_by_chance_alone_have_nothing() -> None:
    rng = np.random.default_rng(0)
    ratings = rng.integers(1, 5, (20000, 2)).astype(float)
    assert abs(agreement.quadratic_kappa(*ratings.T)) < 0.02
    assert abs(agreement.icc(ratings).value) < 0.02
    assert all(abs(agreement.alpha(ratings, level)) < 0.02 for level in agreement.LEVELS)


def test_raters_who_agree_always_have_one_and_no_interval_by_f() -> None:
    same = np.repeat([[1.0], [4.0], [2.0]], 3, axis=1)
    assert agreement.quadratic_kappa(same[:, 0], same[:, 1]) == 1
    assert all(agreement.icc(same, form).value == 1 for form in ICC_FORMS)
    assert np.isnan(agreement.icc(same).low) and "no interval" in agreement.icc(same).note
    assert agreement.alpha(same, "ordinal") == 1


def test_ratings_that_do_not_vary_have_no_figure() -> None:
    flat = np.full((5, 2), 3.0)
    assert np.isnan(agreement.quadratic_kappa(flat[:, 0], flat[:, 1]))
    assert np.isnan(agreement.icc(flat).value) and agreement.icc(flat).note
    assert np.isnan(agreement.alpha(flat))


def test_a_rater_who_is_always_one_higher_is_consistent_but_does_not_agree() -> None:
    first = np.array([1.0, 2, 3, 1, 2, 3])
    ratings = np.column_stack([first, first + 1])
    assert agreement.icc(ratings, "ICC(3,1)").value == 1
    assert agreement.icc(ratings, "ICC(2,1)").value < 0.7
    bias, deviation, low, high = agreement.differences_of(first, first + 1, ones(6))[0]
    assert (bias, deviation, low, high) == (1, 0, 1, 1)


@given(st.lists(st.tuples(grades, grades), min_size=3, max_size=40))
def test_quadratic_kappa_is_that_of_scikit_learn(pairs) -> None:
    first, second = np.array(pairs, float).T
    found = agreement.quadratic_kappa(first, second)
    if np.isnan(found):
        assert len(set(first) | set(second)) == 1
    else:
        assert found == pytest.approx(cohen_kappa_score(first, second, weights="quadratic", labels=[1, 2, 3, 4]))


@given(st.lists(st.tuples(grades, grades, grades), min_size=4, max_size=12), st.data())
def test_a_weight_of_two_is_the_same_case_twice(rows, data) -> None:
    """A bootstrap sample is its cases: by weights, and by writing them out."""
    ratings = np.array(rows, float)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows))))
    written = np.repeat(ratings, times, axis=0)
    if len(written) < 2:
        return
    statistics = [
        lambda r, w: agreement.quadratic_kappa_of(r[:, 0], r[:, 1], w),
        lambda r, w: agreement.differences_of(r[:, 0], r[:, 1], w),
        *(lambda r, w, form=form: agreement.icc_of(r, w, form) for form in ICC_FORMS),
        *(lambda r, w, level=level: agreement.alpha_of(r, w, level) for level in agreement.LEVELS),
    ]
    for statistic in statistics:
        np.testing.assert_allclose(
            statistic(ratings, times[None].astype(float))[0], statistic(written, ones(len(written)))[0], atol=1e-9
        )


def test_alpha_of_two_complete_raters_by_pairs() -> None:
    """1 − mean squared difference within cases / that of any two of all ratings, told without a coincidence matrix."""
    rng = np.random.default_rng(3)
    ratings = rng.integers(4, 17, (30, 2)).astype(float)
    everything = ratings.ravel()
    any_two = [(a - b) ** 2 for i, a in enumerate(everything) for j, b in enumerate(everything) if i != j]
    within = ((ratings[:, 0] - ratings[:, 1]) ** 2).mean()
    assert agreement.alpha(ratings) == pytest.approx(1 - within / np.mean(any_two))


def test_cases_that_one_rater_saw_do_not_count_for_alpha() -> None:
    lone = np.vstack([KRIPPENDORFF, [[_, 5, _, _], [_, _, _, _]]])
    assert agreement.alpha(lone, "ordinal") == pytest.approx(agreement.alpha(KRIPPENDORFF, "ordinal"))


def test_nineteen_of_twenty_f_intervals_hold_the_true_correlation() -> None:
    """Random cases (variance 3), raters (0.25) and errors (0.75): ICC(2,1) = 0.75."""
    rng = np.random.default_rng(8)
    held = 0
    for _round in range(300):
        noise = rng.normal(size=(40, 6)) * 0.75**0.5
        ratings = rng.normal(size=(40, 1)) * 3**0.5 + rng.normal(size=(1, 6)) * 0.5 + noise
        found = agreement.icc(ratings)
        held += found.low <= 0.75 <= found.high
    assert 0.91 * 300 <= held <= 0.99 * 300


def test_an_unknown_form_or_level_is_named() -> None:
    with pytest.raises(ValueError, match=r"ICC\(2,1\)"):
        agreement.icc(SHROUT_FLEISS, "ICC(4,1)")
    with pytest.raises(ValueError, match="nominal, ordinal, interval"):
        agreement.alpha(KRIPPENDORFF, "ratio")
