"""Many logistic regressions at once equal scikit-learn's, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from osteon.learn.logistic import LinearHead, fit_path


def a_problem(n: int = 150, d: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Correlated, badly scaled features of which three matter, and labels with noise."""
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * rng.uniform(0.01, 30, d) + rng.normal(size=d)
    score = StandardScaler().fit_transform(design)[:, :3].sum(axis=1)
    return design, (score + rng.normal(size=n) > 0.8).astype(float)


@given(seed=st.integers(0, 10_000), d=st.sampled_from([1, 5, 60, 200]), strength=st.sampled_from([1e-4, 1e-2, 1.0]))
@settings(max_examples=25)
def test_each_problem_has_the_optimum_of_scikit_learn(seed: int, d: int, strength: float) -> None:
    design, target = a_problem(d=d, seed=seed)
    uses = np.random.default_rng(seed).choice([0, 0.5, 1], (3, len(design)))
    weights, biases = fit_path(design, target, uses, [strength])
    for k, use in enumerate(uses):
        scaler = StandardScaler().fit(design, sample_weight=use)
        reference = LogisticRegression(C=strength, tol=1e-9, max_iter=20_000)
        reference.fit(scaler.transform(design), target, sample_weight=use)
        expected = reference.decision_function(scaler.transform(design))
        got = design @ weights[0, k] + biases[0, k]
        np.testing.assert_allclose(got, expected, atol=2e-3 * max(1, expected.std()))


def test_the_order_of_penalties_does_not_matter() -> None:
    design, target = a_problem()
    uses = np.ones((1, len(design)))
    there, _ = fit_path(design, target, uses, [1e-3, 1.0])
    back, _ = fit_path(design, target, uses, [1.0, 1e-3])
    np.testing.assert_array_equal(there, back[::-1])
    assert np.abs(there[0]).sum() < np.abs(there[1]).sum()  # the stronger penalty makes smaller weights


def test_held_out_rows_have_no_say() -> None:
    design, target = a_problem()
    uses = np.ones((2, len(design)))
    uses[0, 100:] = 0
    weights, biases = fit_path(design, target, uses, [0.1])
    target[100:] = 1 - target[100:]
    again, bias_again = fit_path(design, target, uses, [0.1])
    np.testing.assert_allclose(weights[0, 0], again[0, 0], atol=1e-3 * np.abs(weights).max())
    np.testing.assert_allclose(biases[0, 0], bias_again[0, 0], atol=1e-3)
    assert not np.allclose(weights[0, 1], again[0, 1], atol=1e-2 * np.abs(weights).max())


def test_a_column_that_is_constant_in_training_gets_no_weight() -> None:
    design, target = a_problem(d=4)
    design = np.c_[design, np.where(np.arange(len(design)) < 100, 7.0, -7.0), np.full(len(design), 3.3)]
    uses = np.zeros((1, len(design)))
    uses[0, :100] = 1
    weights, _ = fit_path(design, target, uses, [1.0])
    assert (weights[0, 0, 4:] == 0).all() and (weights[0, 0, :4] != 0).all()


def test_without_columns_the_bias_is_the_log_odds() -> None:
    target = np.array([1.0, 0, 0, 0])
    weights, biases = fit_path(np.zeros((4, 0)), target, np.ones((1, 4)), [1.0])
    assert weights.shape == (1, 1, 0)
    assert biases[0, 0] == pytest.approx(np.log(1 / 3), abs=1e-4)


def test_a_head_scores_the_mean_over_the_flips() -> None:
    rng = np.random.default_rng(0)
    features, head = rng.normal(size=(5, 2, 3)).astype(np.float32), LinearHead(rng.normal(size=3), 0.5)
    each = np.einsum("nfd,d->nf", features, head.weight) + 0.5
    np.testing.assert_allclose(head(features), each.mean(axis=1), rtol=1e-5)
