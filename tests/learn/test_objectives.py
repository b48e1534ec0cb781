"""Objectives: figures by another road, and the epoch that each rule chooses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score
from torch.nn.functional import binary_cross_entropy_with_logits

from osteon.learn.objectives import BINARY, LABELS, Epoch, in_double, log_loss, macro_auroc


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
