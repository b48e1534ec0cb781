"""Objectives: figures by another road, and the epoch that each rule chooses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits

from osteon.errors import TooFewCases
from osteon.learn.objectives import (
    BINARY,
    LABELS,
    Epoch,
    Objective,
    class_weights,
    focal,
    in_double,
    log_loss,
    macro_auroc,
    weighted,
)


def some_scores(n: int = 60, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    target = rng.integers(0, 2, (n, k)).astype(np.float32)
    return np.round(rng.normal(size=(n, k)) + target, 1), target  # rounded: with ties


def test_macro_auroc_is_the_mean_over_labels_of_both_classes() -> None:
    score, target = some_scores()
    assert macro_auroc(score, target) == pytest.approx(roc_auc_score(target, score, average="macro"))
    target[:, 2] = 0  # a grade that nobody has
    rest = [0, 1, 3, 4]
    assert macro_auroc(score, target) == pytest.approx(roc_auc_score(target[:, rest], score[:, rest], average="macro"))
    assert np.isnan(macro_auroc(score, 0 * target))


def test_the_loss_is_the_same_in_numpy_and_torch() -> None:
    score, target = some_scores()
    by_label = [sklearn_log_loss(target[:, k], 1 / (1 + np.exp(-score[:, k]))) for k in range(score.shape[1])]
    assert log_loss(score, target) == pytest.approx(np.mean(by_label))
    assert in_double(binary_cross_entropy_with_logits)(score, target) == pytest.approx(np.mean(by_label))


def test_each_rule_chooses_its_epoch() -> None:
    epochs = [
        Epoch(0.5, held_out=0.40, figures={"auroc": (0.9, 0.7)}),
        Epoch(0.4, held_out=0.30, figures={"auroc": (0.9, 0.6)}),
        Epoch(0.3, held_out=0.35, figures={"auroc": (0.9, 0.8)}),
        Epoch(0.2, held_out=0.50, figures={"auroc": (0.9, 0.8)}),
    ]
    for objective, wanted in ((BINARY, 1), (LABELS, 2), (replace(LABELS, chooses="last"), 3)):
        best = 0
        for number in range(1, len(epochs)):
            if objective.is_better(epochs[number], epochs[best]):
                best = number
        assert best == wanted, objective
    with pytest.raises(ValueError, match="chooses the epoch"):
        replace(BINARY, chooses="auroc")


def both_ways(objective: Objective, score: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """The loss that is trained on, and the figure that is noted."""
    return float(objective.loss(torch.from_numpy(score), torch.from_numpy(target))), objective.unseen(score, target)


@given(gamma=st.floats(0, 5), alpha=st.none() | st.floats(0.01, 0.99), seed=st.integers(0, 50))
@settings(max_examples=50)
def test_the_focal_loss_is_equation_5(gamma: float, alpha: float | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, target = rng.normal(scale=3, size=20), rng.integers(0, 2, 20).astype(float)
    p = 1 / (1 + np.exp(-score))
    right = np.where(target == 1, p, 1 - p)
    balance = 1.0 if alpha is None else np.where(target == 1, alpha, 1 - alpha)
    wanted = float(np.mean(-balance * (1 - right) ** gamma * np.log(right)))
    assert both_ways(focal(gamma, alpha), score, target) == pytest.approx((wanted, wanted), rel=1e-6)


@given(positive=st.floats(0.1, 10), negative=st.floats(0.1, 10), seed=st.integers(0, 50))
@settings(max_examples=30)
def test_weights_multiply_the_terms_of_their_class(positive: float, negative: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    score, target = rng.normal(scale=3, size=20), rng.integers(0, 2, 20).astype(float)
    p = 1 / (1 + np.exp(-score))
    wanted = float(np.mean(-positive * target * np.log(p) - negative * (1 - target) * np.log(1 - p)))
    assert both_ways(weighted(positive, negative), score, target) == pytest.approx((wanted, wanted), rel=1e-6)


def test_without_focus_or_weights_both_are_cross_entropy() -> None:
    score, target = (part.astype(float) for part in some_scores())
    plain = log_loss(score, target)
    for objective in (focal(0, None), weighted(1), weighted(1.0, 1.0)):
        assert both_ways(objective, score, target) == pytest.approx((plain, plain))
    assert both_ways(focal(0, 0.5), score, target) == pytest.approx((plain / 2, plain / 2))


@pytest.mark.parametrize("objective", [focal(), focal(0.5), focal(5, None), weighted(3)])
def test_scores_far_out_give_finite_losses_and_gradients(objective: Objective) -> None:
    logits = torch.tensor([-2000.0, -80, 0, 80, 2000], requires_grad=True)
    for target in (torch.zeros(5), torch.ones(5)):
        loss = objective.loss(logits, target)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_class_weights_make_both_classes_count_alike() -> None:
    target = np.array([1, 0, 0, 0, 0], np.float32)
    positive, negative = class_weights(target)
    weight = np.where(target == 1, positive, negative)
    assert weight[target == 1].sum() == pytest.approx(weight[target == 0].sum())
    assert weight.mean() == pytest.approx(1)
    with pytest.raises(TooFewCases):
        class_weights(np.ones(3, np.float32))


def test_names_say_the_numbers_in_full() -> None:
    some = [focal(), focal(2.0000001), focal(2, None), weighted(2.2126), weighted(2.2126, 0.5), BINARY]
    assert len({objective.name for objective in some}) == len(some)
    assert (focal().name, weighted(2.5).name) == (
        "focal loss, γ = 2.0, α = 0.25",
        "binary cross-entropy, positives × 2.5, negatives × 1.0",
    )


def test_impossible_losses_are_refused() -> None:
    for wrong in ((-1.0, 0.25), (2.0, 0.0), (2.0, 1.0)):
        with pytest.raises(ValueError, match="gamma"):
            focal(*wrong)
    with pytest.raises(ValueError, match="weights"):
        weighted(0)
