"""Two samples of patients compared: each statistic restated by hand, and its p-value by the definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from osteon.audit import two_samples


def some_patients(number: int = 24, *, seed: int = 0) -> tuple[np.ndarray, np.random.Generator]:
    """(n,) patient of each of one to four images."""
    rng = np.random.default_rng(seed)
    return np.repeat(np.arange(number), rng.integers(1, 5, number)), rng


def sides(new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (~new)[None].astype(float), new[None].astype(float)


def test_the_stability_index_is_its_sum_of_large_samples():
    code = np.repeat([0, 1, 2, 0, 1, 2], [50_000, 30_000, 20_000, 20_000, 30_000, 50_000])
    new = np.arange(200_000) >= 100_000
    statistic = two_samples.stability(two_samples.shares_of(code, np.arange(200_000), 3))
    by_hand = (0.2 - 0.5) * np.log(0.2 / 0.5) + (0.5 - 0.2) * np.log(0.5 / 0.2)
    assert statistic(*sides(new))[0] == pytest.approx(by_hand, rel=1e-3)
    assert statistic(*sides(new)) == pytest.approx(statistic(*sides(new)[::-1]))


def test_a_patient_counts_once_however_many_images_it_has():
    code, group = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 2])
    shares = two_samples.shares_of(code, group, 2)
    np.testing.assert_array_equal(shares, [[0.5, 0.5], [0, 1], [1, 0]])
    twice = two_samples.shares_of(np.tile(code, 2), np.tile(group, 2), 2)
    np.testing.assert_array_equal(shares, twice)


@given(st.lists(st.integers(0, 4), min_size=4, max_size=30), st.integers(1, 3), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_the_index_is_never_negative_and_does_not_ask_which_bin_is_first(codes, fewest, random):
    code = np.array(codes)
    new = np.arange(len(code)) < fewest
    order = np.array(random.sample(range(5), 5))
    one, other = (
        two_samples.stability(two_samples.shares_of(each, np.arange(len(code)), 5)) for each in (code, order[code])
    )
    assert one(*sides(new))[0] >= 0
    assert one(*sides(new))[0] == pytest.approx(other(*sides(new))[0])


def test_the_discrepancy_is_that_of_all_pairs_of_different_patients():
    group, rng = some_patients(12)
    waves = two_samples.waves_of(rng.normal(size=(len(group), 3)), group, rng)
    new = np.arange(12) % 3 == 0
    weights = rng.integers(0, 3, 12).astype(float)  # as a bootstrap draws them: some twice, some never

    def mean(one, other):
        pairs = [(i, j) for i in one for j in other if i != j]
        total = sum(weights[i] * weights[j] for i, j in pairs)
        return sum(weights[i] * weights[j] * waves[i] @ waves[j] for i, j in pairs) / total

    theirs, mine = np.flatnonzero(~new), np.flatnonzero(new)
    by_hand = mean(theirs, theirs) + mean(mine, mine) - 2 * mean(theirs, mine)
    found = two_samples.discrepancy(waves)(*(side * weights for side in sides(new)))
    assert found[0] == pytest.approx(by_hand)


def test_the_waves_of_two_images_multiply_to_a_gaussian_of_their_distance():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4))
    waves = two_samples.waves_of(x, np.arange(300), np.random.default_rng(2))
    one, other = np.random.default_rng(2).integers(0, 300, (2, 2000))
    apart = np.linalg.norm(x[one] - x[other], axis=1)
    wanted = np.exp(-(apart**2) / (2 * np.median(apart[apart > 0]) ** 2))
    error = (waves[one] * waves[other]).sum(axis=1) - wanted
    assert np.sqrt((error**2).mean()) < 1.5 / np.sqrt(two_samples.WAVES)


def test_the_classifier_is_ridge_regression_out_of_fold_judged_by_counting_pairs_within_folds():
    group, rng = some_patients(30)
    x = rng.normal(size=(len(group), 3)) + 0.5 * (group % 3 == 0)[:, None]
    draws = two_samples.draw(np.arange(30) % 3 == 0, rng, permutations=3, resamples=4)
    told = two_samples.classify(x, group, draws, np.random.default_rng(5))
    fold = (np.random.default_rng(5).permutation(30) % two_samples.FOLDS)[group]
    weight = 1 / np.bincount(group)[group]

    def auroc(labels, judged_by):
        right = pairs = 0.0
        for f in range(two_samples.FOLDS):
            others, here = fold != f, np.flatnonzero(fold == f)
            w = weight[others]
            centred = x[others] - np.average(x[others], axis=0, weights=w)
            penalty = two_samples.RIDGE * (centred**2 * w[:, None]).sum() / x.shape[1]
            model = Ridge(alpha=penalty).fit(x[others], labels[group[others]].astype(float), sample_weight=w)
            score = model.predict(x)
            for i, j in itertools.product(here, here):
                if labels[group[i]] and not labels[group[j]]:
                    both = weight[i] * weight[j] * judged_by[group[i]] * judged_by[group[j]]
                    pairs += both
                    right += both * (score[i] > score[j])
        return right / pairs

    wanted = [auroc(labels, np.ones(30)) for labels in (draws.new, *draws.permuted)]
    np.testing.assert_allclose(told.chance, wanted, rtol=1e-9)
    np.testing.assert_allclose(told.again, [auroc(draws.new, counts) for counts in draws.counts], rtol=1e-9)


def test_draws_exchange_whole_patients_and_draw_each_sample_by_itself():
    new = np.arange(20) < 6
    draws = two_samples.draw(new, np.random.default_rng(0), permutations=50, resamples=40)
    assert (draws.permuted.sum(axis=1) == 6).all()
    assert (draws.counts[:, new].sum(axis=1) == 6).all()
    assert (draws.counts[:, ~new].sum(axis=1) == 14).all()
    assert draws.permuted.mean(axis=0) == pytest.approx(np.full(20, 0.3), abs=0.2)


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=30)
def test_p_values_count_and_their_correction_is_the_definition(seed, columns):
    chance = np.random.default_rng(seed).integers(0, 12, (40, columns)).astype(float)
    p = two_samples.p_values(chance)
    for row, column in itertools.product((0, 7, 39), range(columns)):
        assert p[row, column] == (chance[:, column] >= chance[row, column]).mean()
    found = two_samples.corrected(p)
    order = sorted(range(columns), key=lambda j: p[0, j])
    before = 0.0
    for place, j in enumerate(order):
        rest = order[place:]
        before = max(before, np.mean([min(row[rest]) <= p[0, j] for row in p]))
        assert found[j] == pytest.approx(before)
    assert (found >= p[0]).all()
    assert (found <= np.minimum(1, columns * p[0]) + 1e-12).all()  # never worse than Bonferroni


def test_the_correction_keeps_its_level_and_pays_once_for_what_is_said_twice():
    rng, alarms, level = np.random.default_rng(3), 0, 0.1
    for _ in range(400):
        chance = rng.normal(size=(100, 6))
        alarms += (two_samples.corrected(two_samples.p_values(chance)) <= level).any()
    assert 0.05 <= alarms / 400 <= 0.14  # 0.10, and three standard errors of it
    said = rng.normal(size=(200, 1))
    said[0] = np.sort(said[:, 0])[-4] + 1e-6
    once, twice = (two_samples.corrected(two_samples.p_values(np.repeat(said, n, axis=1))) for n in (1, 30))
    np.testing.assert_allclose(twice, once[0])
