"""The law of healing: published shares, correlations and totals; cortices that never fall back; raters of known ICC."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from osteon.phantom import healing
from osteon.phantom.healing import ALIKE, COUNTS, TOTALS, Healing, draw_healing, noise_for
from osteon.phantom.healing_plan import HealingPlan
from osteon.tasks import rust


def visits(n: int, seed: int = 0) -> Healing:
    rng = default_rng(seed)
    return Healing(rng.standard_normal(n), rng.standard_normal((n, 4)), rng.random(n) < ALIKE)


def icc_2_1(table: np.ndarray) -> float:
    """Shrout and Fleiss 1979, case 2, from the mean squares of a two-way table (targets, raters)."""
    n, k = table.shape
    grand, rows, columns = table.mean(), table.mean(axis=1), table.mean(axis=0)
    between = k * ((rows - grand) ** 2).sum() / (n - 1)
    judges = n * ((columns - grand) ** 2).sum() / (k - 1)
    error = ((table - rows[:, None] - columns + grand) ** 2).sum() / ((n - 1) * (k - 1))
    return float((between - error) / (between + (k - 1) * error + k * (judges - error) / n))


@pytest.mark.parametrize("noise", [0.0, 0.08, 0.3])
def test_grades_have_the_published_shares_whoever_gives_them(noise):
    grades = visits(60_000).seen(noise, default_rng(1)).grades()
    for cortex, counts in enumerate(COUNTS):
        shares = np.bincount(grades[:, cortex], minlength=5)[1:] / len(grades)
        np.testing.assert_allclose(shares, counts / counts.sum(), atol=0.008)


def test_cortices_of_a_visit_correlate_as_published():
    between = np.corrcoef(visits(60_000).grades().T)[np.triu_indices(4, 1)]
    assert between.min() >= 0.74 and between.max() <= 0.80


def test_totals_lump_at_multiples_of_four_as_published():
    totals = np.bincount(visits(60_000).grades().sum(axis=1), minlength=17)[4:] / 60_000
    assert np.abs(totals - TOTALS / TOTALS.sum()).sum() / 2 < 0.09  # total variation distance
    assert set(np.argsort(totals)[-4:]) >= {4, 8, 12}  # totals of 8, 12 and 16


@settings(max_examples=200)
@given(
    stage=st.floats(-4, 4),
    more=st.floats(0, 3),
    uneven=st.lists(st.floats(-5, 5), min_size=4, max_size=4),
    alike=st.booleans(),
)
def test_no_cortex_falls_back(stage, more, uneven, alike):
    course = Healing(np.array([stage, stage + more]), np.tile(np.array(uneven), (2, 1)), np.full(2, alike))
    before, after = course.grades()
    assert (after >= before).all()


def test_patients_heal_as_the_months_go_by_and_some_hardly_at_all():
    plan = HealingPlan(visits=(0, 0, 0, 1))
    rng = default_rng(4)
    totals = np.array(
        [draw_healing((0, 3, 6, 12), plan.pace, plan.between, rng).grades().sum(axis=1) for _ in range(3000)]
    )
    gained = totals[:, -1] - totals[:, 0]
    assert (np.diff(totals, axis=1) >= 0).all() and (np.diff(totals.mean(axis=0)) > 0.3).all()
    assert 0.2 < np.mean(gained == 0) < 0.6 and np.mean(gained >= 4) > 0.2


@pytest.mark.parametrize("counts", [(964, 178, 52, 13), (0, 0, 0, 1), (1, 0, 0, 0)])
def test_the_stage_has_unit_variance_over_the_visits_of_a_cohort(counts):
    plan = HealingPlan(visits=counts)
    rng = default_rng(0)
    stages = []
    for n in rng.choice(4, 4_000, p=np.array((*counts, 0, 0, 0)[:4]) / sum(counts)) + 1:
        months = sorted(rng.choice((0, 3, 6, 12), n, replace=False))
        stages.append(draw_healing(months, plan.pace, plan.between, rng).stage)
    assert np.concatenate(stages).var() == pytest.approx(1, abs=0.07)


@pytest.mark.parametrize("icc", [0.6, 0.75, 0.86, 0.95])
def test_two_raters_agree_as_wanted(icc):
    truth = visits(40_000, seed=8)
    rng = default_rng(9)
    totals = np.column_stack([truth.seen(noise_for(icc), rng).grades().sum(axis=1) for _ in range(2)])
    assert icc_2_1(totals) == pytest.approx(icc, abs=0.008)
    # A rater agrees with the truth better than with another rater, by about the square root.
    with_truth = icc_2_1(np.column_stack([totals[:, 0], truth.grades().sum(axis=1)]))
    assert icc < with_truth <= np.sqrt(icc) + 0.01


def test_raters_without_noise_say_the_truth():
    truth = visits(500)
    assert noise_for(1.0) < 1e-4
    assert (truth.seen(0.0, default_rng(0)).grades() == truth.grades()).all()


def test_the_words_of_the_phantom_are_those_of_the_score():
    assert healing.CORTICES == rust.CORTICES
    for view, shown in healing.SHOWN.items():
        assert tuple(healing.CORTICES[c] for c in shown) == rust.SHOWN[view]
