"""What a network is trained for: a loss, the figures that are noted after every epoch, and what chooses the epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import logsigmoid

from osteon.errors import TooFewCases
from osteon.evaluate.metrics import auroc

Scores = NDArray[np.float64]
Targets = NDArray[np.floating]
Judged = tuple[Scores, Targets]
"""Scores (n, …), and the targets (n, …) that they are held against."""

Figure = Callable[[Scores, Targets], float]
"""Takes scores and targets to a number."""

LOSS, LAST = "loss", "last"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        training: mean loss of its batches as they came, with augmentation and dropout.
        held_out: loss on the held-out images after it.
        figures: name → the figure on the training batches as they came, and on the held-out images.
    """

    training: float
    held_out: float
    figures: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Objective:
    """What a network is trained for. Two objectives of one name are taken for the same.

    Attributes:
        name: for readers and checkpoints.
        loss: of a batch, from logits (b, …) and targets (b, …) to one number with a gradient.
        unseen: the same loss on the scores (n, …) of the held-out images; `in_double(loss)` will do.
        figures: name → figure, larger is better, noted after every epoch.
        chooses: what chooses the epoch whose weights are kept: `loss` (the least on the held-out images), the name of a
            figure (the largest there), or `last`: no choice at all.
    """

    name: str
    loss: Callable[[Tensor, Tensor], Tensor] = field(repr=False)
    unseen: Figure = field(repr=False)
    figures: Mapping[str, Figure] = field(default_factory=dict, repr=False)
    chooses: str = LOSS

    def __post_init__(self) -> None:
        if self.chooses not in (LOSS, LAST, *self.figures):
            raise ValueError(f"loss, last or a figure chooses the epoch, not {self.chooses!r}")

    def judge(self, losses: Sequence[float], known: Judged, unseen: Judged) -> Epoch:
        """What an epoch came to: from the loss of each batch, what was trained on and what was held out."""
        figures = {name: (figure(*known), figure(*unseen)) for name, figure in self.figures.items()}
        return Epoch(float(np.mean(losses)), self.unseen(*unseen), figures)

    def is_better(self, new: Epoch, old: Epoch) -> bool:
        """Whether the weights after a later epoch are kept in place of those after an earlier one."""
        if self.chooses == LAST:
            return True
        if self.chooses == LOSS:
            return new.held_out < old.held_out
        return new.figures[self.chooses][1] > old.figures[self.chooses][1]


def log_loss(score: Scores, target: Targets) -> float:
    """Mean log loss of scores, taken as log odds, against targets of the same shape, 0 or 1."""
    return float(np.mean(np.logaddexp(0, score) - target * score))


def macro_auroc(score: Scores, target: Targets) -> float:
    """Mean AUROC over the columns of scores (n, k) whose targets (n, k), 0 or 1, are of both classes; else NaN."""
    both = np.flatnonzero((target.min(axis=0) == 0) & (target.max(axis=0) == 1))
    return float(np.mean([auroc(score[:, k], target[:, k]) for k in both])) if both.size else float("nan")


def in_double(loss: Callable[[Tensor, Tensor], Tensor]) -> Figure:
    """The loss as a figure: on arrays, in double precision."""

    def figure(score: Scores, target: Targets) -> float:
        with torch.inference_mode():
            return float(loss(torch.from_numpy(score).double(), torch.from_numpy(target).double()))

    return figure


BINARY = Objective("binary cross-entropy", cross_entropy, log_loss)
"""One question with two answers: targets (n,)."""

LABELS = Objective("binary cross-entropy over labels", cross_entropy, log_loss, {"auroc": macro_auroc}, chooses="auroc")
"""Several questions with two answers each: targets (n, k), every label of equal weight and none masked (Hong 2023)."""


def weighted(positive: float, negative: float = 1.0) -> Objective:
    """Cross-entropy in which each class has a weight: the mean of w(y) · -log p(y).

    Args:
        positive, negative: weights of the two classes, > 0; `class_weights` finds those that make them count alike.
    """
    if not (positive > 0 and negative > 0):
        raise ValueError(f"the weights of a class are > 0, not {positive} and {negative}")

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(logits, target, weight=negative + (positive - negative) * target)

    name = f"binary cross-entropy, positives × {positive}, negatives × {negative}"
    return Objective(name, loss, in_double(loss))


def class_weights(target: Targets) -> tuple[float, float]:
    """Weights (positive, negative) with which both classes count alike, and an image counts 1 on average.

    Args:
        target: (n,) of the training part alone, 0 or 1.

    Raises:
        TooFewCases: if a class is empty.
    """
    n, positives = target.size, int((target == 1).sum())
    if not 0 < positives < n:
        raise TooFewCases(f"all {n} training images are of one class", remedy="label more, or use fewer folds")
    return n / (2 * positives), n / (2 * (n - positives))


def focal(gamma: float = 2.0, alpha: float | None = 0.25) -> Objective:
    """The focal loss of Lin et al. 2017, equation 5: the mean of -α(y) · (1 - p(y))^γ · log p(y).

    Args:
        gamma: ≥ 0; how little an image counts that the network has right. 0 is cross-entropy.
        alpha: weight of the positives, 0..1; negatives have 1 - alpha. None weighs nothing (equation 4).
    """
    if gamma < 0 or not (alpha is None or 0 < alpha < 1):
        raise ValueError(f"gamma ≥ 0 and alpha in 0..1, not {gamma} and {alpha}")

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        # p(y) = σ(margin) and 1 - p(y) = σ(-margin); their logarithms are finite where the powers would be 0.
        margin = logits * (2 * target - 1)
        each = -torch.exp(gamma * logsigmoid(-margin)) * logsigmoid(margin)
        if alpha is not None:
            each = each * (1 - alpha + (2 * alpha - 1) * target)
        return each.mean()

    return Objective(f"focal loss, γ = {gamma}, α = {'none' if alpha is None else alpha}", loss, in_double(loss))
