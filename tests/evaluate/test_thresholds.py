"""Cut-offs by trying every one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.errors import TooFewCases
from osteon.evaluate.thresholds import OPERATING_POINTS, choose, cross_fitted

cases = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda rows: 0 < sum(positive for _, positive in rows) < len(rows)
)


@given(cases)
def test_each_cut_is_the_best_of_all_that_could_be_made(rows):
    values, target = np.array([v for v, _ in rows]) / 6, np.array([t for _, t in rows])
    chosen = choose(values, target)
    cuts = np.append(np.unique(values), 2.0)
    sensitivity = np.array([(values[target] >= c).mean() for c in cuts])
    specificity = np.array([(values[~target] < c).mean() for c in cuts])
    called = {name: values >= cut for name, cut in chosen.items()}

    sums = sensitivity + specificity
    best = np.flatnonzero(np.isclose(sums, sums.max(), atol=1e-12))[0]  # the lowest cut: the highest sensitivity
    assert called["youden"][target].mean() == sensitivity[best]
    assert (~called["youden"][~target]).mean() == specificity[best]

    enough = sensitivity >= 0.9 - 1e-12
    assert called["sensitivity_0.90"][target].mean() >= 0.9 - 1e-12
    assert (~called["sensitivity_0.90"][~target]).mean() == specificity[enough].max()

    enough = specificity >= 0.9 - 1e-12
    assert (~called["specificity_0.90"][~target]).mean() >= 0.9 - 1e-12
    assert called["specificity_0.90"][target].mean() == sensitivity[enough].max()


def test_nine_of_ten_is_ninety_per_cent():
    target = np.array([1] * 10 + [0] * 10)
    values = np.concatenate([[0.1], np.full(9, 0.8), np.full(9, 0.2), [0.9]])
    chosen = choose(values, target)
    assert chosen["sensitivity_0.90"] == 0.8
    assert chosen["specificity_0.90"] == 0.8


def test_of_equal_sums_the_more_sensitive_cut_is_taken():
    # Cut 0.9: sensitivity 1/2, specificity 1. Cut 0.3: sensitivity 1, specificity 1/2.
    assert choose([0.9, 0.3, 0.5, 0.1], [1, 1, 0, 0])["youden"] == 0.3


def test_where_no_cut_is_specific_enough_nothing_is_positive():
    cut = choose([1.0, 1.0, 0.2], [1, 0, 0])["specificity_0.90"]
    assert cut > 1.0
    assert cut == pytest.approx(1.0)


def test_a_cut_needs_both_classes():
    with pytest.raises(TooFewCases, match="both classes"):
        choose([0.1, 0.2], [0, 0])


def test_the_cut_of_a_fold_comes_from_the_other_folds():
    rng = np.random.default_rng(0)
    fold = np.arange(90) % 3
    target = rng.random(90) < 0.4
    values = rng.random(90) + target
    cuts = cross_fitted(values, target, fold)
    assert set(cuts) == set(OPERATING_POINTS)
    for f in range(3):
        others = choose(values[fold != f], target[fold != f])
        for name in OPERATING_POINTS:
            assert (cuts[name][fold == f] == others[name]).all()


def test_labels_of_a_fold_do_not_reach_its_cut():
    rng = np.random.default_rng(0)
    fold = np.arange(90) % 3
    target = rng.random(90) < 0.4
    values = rng.random(90) + target
    shuffled = target.copy()
    shuffled[fold == 1] = rng.permutation(target[fold == 1])
    for name in OPERATING_POINTS:
        before, after = (cross_fitted(values, t, fold)[name][fold == 1] for t in (target, shuffled))
        np.testing.assert_array_equal(before, after)


def test_one_fold_leaves_none_to_choose_on():
    with pytest.raises(TooFewCases, match="one fold"):
        cross_fitted(np.array([0.1, 0.9]), np.array([False, True]), np.zeros(2, int))
