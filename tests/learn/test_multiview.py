"""Visits: what two views say together, totals by counting every combination, and intervals that hold."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from osteon.errors import TooFewCases
from osteon.learn.multiview import CortexScores, conformal_level, fit_fusion, needed_levels, visits_of
from osteon.tasks import rust
from osteon.tasks.rust import MODIFIED_RUST, RUST

AP, LAT = rust.shown(["AP", "LAT"])


def some_images(visits: int, seed: int = 0) -> tuple[CortexScores, np.ndarray, np.ndarray, np.ndarray]:
    """Scores, what is shown, study and grades of visits with both views; each cortex is seen through noise."""
    rng = np.random.default_rng(seed)
    stage = rng.normal(size=(visits, 1)) + 0.3 * rng.normal(size=(visits, 4))
    grades = 1 + (np.repeat(stage, 2, axis=0)[:, :, None] > [-1, 0, 1]).sum(axis=2)
    shown = np.tile([AP, LAT], (visits, 1))
    hidden = rng.random((2 * visits, 4)) < 0.1
    given = np.where(shown, np.where(hidden, 0, grades), -1).astype(np.int8)
    healed = grades + rng.normal(0, 0.6, grades.shape)
    scoreable = np.where(hidden, -2.0, 2.0) + rng.normal(size=grades.shape)
    return CortexScores(healed, scoreable), shown, np.repeat(np.arange(visits), 2), given


def test_the_fusion_is_right_and_the_other_view_helps() -> None:
    scores, shown, study, given = some_images(600)
    fusion = fit_fusion(scores, shown, study, given, MODIFIED_RUST)
    fresh, _, _, wanted = some_images(600, seed=1)
    p, can = fusion(fresh, shown, study)
    alone, _ = fusion(fresh, shown, np.arange(len(study)))
    assert np.isnan(p[~shown]).all() and np.isnan(can[~shown]).all() and np.allclose(p[shown].sum(axis=1), 1)
    known = wanted > 0

    def loss(found: np.ndarray) -> float:
        return float(-np.log(found[known][np.arange(known.sum()), wanted[known] - 1]).mean())

    assert loss(p) < loss(alone) < np.log(4) / 1.5
    assert can[shown & (wanted == 0)].mean() < 0.3 < 0.9 < can[known].mean()
    # A calibrated probability is the share of cases: in three bands of equal size for the highest grade.
    highest, truth = p[known][:, 3], wanted[known] == 4
    for band in np.array_split(np.argsort(highest), 3):
        assert abs(highest[band].mean() - truth[band].mean()) < 0.05


def test_a_higher_score_never_makes_a_lower_grade_more_likely() -> None:
    scores, shown, study, given = some_images(80)
    fusion = fit_fusion(scores, shown, study, given, MODIFIED_RUST)
    before, can = fusion(scores, shown, study)
    rng = np.random.default_rng(0)
    raised = CortexScores(scores.healed + rng.random(scores.healed.shape), scores.scoreable)
    # With all four scores raised, and their weights as they were, no cumulative probability may rise.
    after, same = fusion(raised, shown, study)
    assert (np.cumsum(after[shown], axis=1) <= np.cumsum(before[shown], axis=1) + 1e-9).all()
    assert np.array_equal(can[shown], same[shown])


def test_where_no_visit_has_both_views_each_is_read_alone() -> None:
    scores, shown, study, given = some_images(60)
    apart = np.arange(len(study))
    fusion = fit_fusion(scores, shown, apart, given, MODIFIED_RUST)
    one, _ = fusion(scores, shown, apart)
    two, _ = fusion(scores, shown, study)
    assert np.allclose(one[shown], two[shown])
    given[:, 3] = np.where(given[:, 3] > 0, 0, given[:, 3])
    with pytest.raises(TooFewCases, match="graded"):
        fit_fusion(scores, shown, study, given, MODIFIED_RUST)


@pytest.mark.parametrize("score", [RUST, MODIFIED_RUST])
def test_a_total_is_the_sum_over_every_combination(score: rust.Score) -> None:
    rng = np.random.default_rng(3)
    g = len(score.grades)
    p = np.where(np.array([AP, LAT])[:, :, None], rng.dirichlet(np.ones(g), (2, 4)), np.nan)
    visits = visits_of(p, np.where(np.isnan(p[:, :, 0]), np.nan, 1.0), np.zeros(2, int), score)
    each = np.where(AP[:, None], p[0], p[1])
    wanted = np.zeros(4 * g - 3)
    for grades in product(range(g), repeat=4):
        wanted[sum(grades)] += np.prod([each[k, grade] for k, grade in enumerate(grades)])
    assert np.allclose(visits.totals[0], wanted)
    assert visits.expected(score)[0] == pytest.approx((each @ np.arange(1, g + 1)).sum())
    assert visits.low[0] <= visits.expected(score)[0] <= visits.high[0]


def test_a_total_is_never_guessed() -> None:
    ap, lat = (np.where(s[:, None], 0.25, np.nan) * np.ones((4, 4)) for s in (AP, LAT))
    p = np.array([ap, lat, ap, ap, lat, ap, ap])
    study = np.array([0, 0, 1, 2, 2, 4, 4])
    can = np.where(np.isnan(p[:, :, 0]), np.nan, 0.9)
    can[3, 2] = 0.3  # the medial cortex of visit 2 probably cannot be graded
    visits = visits_of(p, can, study, MODIFIED_RUST)
    assert visits.complete.tolist() == [True, False, False, False, False]  # 3 has no image, 4 has two of one view
    assert np.isnan(visits.low[1:]).all() and np.isnan(visits.expected(MODIFIED_RUST)[1:]).all()
    assert np.isnan(visits.grades[1, :2]).all() and np.allclose(visits.grades[4, 2:], 0.25)


def test_images_of_one_view_are_averaged() -> None:
    first, second = np.full((4, 4), np.nan), np.full((4, 4), np.nan)
    first[2:], second[2:] = [1, 0, 0, 0], [0, 0, 0, 1]
    p = np.array([first, second])
    visits = visits_of(p, np.where(np.isnan(p[:, :, 0]), np.nan, 1.0), np.zeros(2, int), MODIFIED_RUST)
    assert np.allclose(visits.grades[0, 2:], [0.5, 0, 0, 0.5])


def some_totals(n: int, *, sharper: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Distributions of totals 4..16 that are `sharper` than what they speak of, and totals drawn from the latter."""
    rng = np.random.default_rng(seed)
    centre, place = rng.uniform(6, 14, n), np.arange(4, 17)
    right = np.exp(-((place - centre[:, None]) ** 2) / 4)
    right /= right.sum(axis=1, keepdims=True)
    total = np.array([rng.choice(place, p=p) for p in right])
    said = right**sharper
    return said / said.sum(axis=1, keepdims=True), total.astype(float)


@pytest.mark.parametrize("sharper", [0.5, 1.0, 3.0])
def test_intervals_hold_new_totals_however_wrong_the_probabilities_are(sharper: float) -> None:
    level = conformal_level(*some_totals(800, sharper=sharper, seed=0), MODIFIED_RUST)
    totals, given = some_totals(4000, sharper=sharper, seed=1)
    inside = needed_levels(totals)[np.arange(len(given)), given.astype(int) - 4] <= level
    assert 0.93 < inside.mean() < 1.0


def test_the_level_is_that_of_its_definition() -> None:
    totals, given = some_totals(99, sharper=1.0, seed=2)
    needed = []
    for p, t in zip(totals, given.astype(int) - 4, strict=True):
        median = int(np.argmax(np.cumsum(p) >= 0.5))
        low, high = sorted((np.floor(p @ np.arange(13)), median))[0], max(np.ceil(p @ np.arange(13)), median)
        needed.append(0.0 if low <= t <= high else max(0.0, 1 - 2 * min(p[: t + 1].sum(), p[t:].sum())))
    assert conformal_level(totals, given, MODIFIED_RUST) == pytest.approx(sorted(needed)[94])  # ⌈100 · 0.95⌉-th
    given[5:] = np.nan
    assert conformal_level(totals, given, MODIFIED_RUST) == 1.0  # five visits cannot vouch for 95 %
    whole = visits_of(np.full((2, 4, 4), 0.25), np.ones((2, 4)), np.array([0, 0]), MODIFIED_RUST, level=1.0)
    assert (whole.low[0], whole.high[0]) == (4, 16)
