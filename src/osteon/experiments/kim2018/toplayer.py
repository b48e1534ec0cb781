"""The top layer: softmax over two classes on raw pooled features, by stochastic gradient descent with stepped decay.

Kim & MacKinnon (2018) retrain this layer of Inception v3 alone. What they do not state is chosen here: batches of 100
are drawn with replacement, the weights begin as normal numbers with a standard deviation of 0.001, the bias at 0, and
there is neither momentum nor a penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from osteon.errors import BadTable, Diverged
from osteon.types import Progress, silent

Features = NDArray[np.float32]

FIRST_SD = 1e-3
"""Standard deviation of the first weights."""

CURVES = ("iteration", "rate", "training_accuracy", "training_error", "validation_accuracy", "validation_error")
"""Columns of the curves. The error is the mean cross-entropy in nats; the training figures are those of one batch."""

PART_OF_PROGRESS = 500
"""Iterations between two words to the progress bar."""


@dataclass(frozen=True)
class Training:
    """How the layer is trained; the defaults are the study's, but for the batch, which it does not state.

    Attributes:
        iterations: steps.
        batch: images of a step.
        learning_rate: of the first steps. decay: what it is multiplied by. every: iterations between two decays.
        points: iterations between two points of the curves.
    """

    iterations: int = 20_000
    batch: int = 100
    learning_rate: float = 0.02
    decay: float = 0.67
    every: int = 1_800
    points: int = 10

    def __post_init__(self) -> None:
        if min(self.iterations, self.batch, self.every, self.points) < 1 or self.learning_rate <= 0:
            raise BadTable("the top layer has no iterations, batch or learning rate", remedy="give numbers above 0")
        if not 0 < self.decay <= 1:
            raise BadTable(f"a decay of {self.decay:g} is not between 0 and 1", remedy="0.67 is the study's")

    def rate(self, iteration: int) -> float:
        """The learning rate of an iteration, counted from 0."""
        return float(self.learning_rate * self.decay ** (iteration // self.every))


@dataclass(frozen=True, eq=False)
class Images:
    """Images to learn from, or to be judged by: (n, d) float32 features and (n,) targets, 0 or 1."""

    features: Features
    target: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class TopLayer:
    """softmax(features · weight + bias): (d, 2) weights and (2,) biases, float32; the second class is the fracture."""

    weight: Features
    bias: Features

    def __call__(self, features: Features) -> NDArray[np.float64]:
        """(n,) scores between 0 and 1 of (n, d) features: how likely the image shows a fracture."""
        with threadpool_limits(1, "blas"):
            return np.asarray(np.exp(_log_softmax(features @ self.weight + self.bias)[:, 1].astype(float)))


def train(
    learnt: Images, held_out: Images, training: Training, *, seed: tuple[int, ...], progress: Progress = silent
) -> tuple[TopLayer, pd.DataFrame]:
    """The layer after the last iteration, and its curves (columns CURVES).

    Nothing is chosen by the held-out images. A point of the curves is of the weights before the step of its iteration:
    accuracy and error of the batch that the step is made from, and of all held-out images.

    Args:
        learnt: images to learn from.
        held_out: images of the validation curve.
        training: how.
        seed: of the first weights and the batches. Same seed, same bytes.
        progress: told of iterations.

    Raises:
        Diverged: when the error is no number.
    """
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, FIRST_SD, (learnt.features.shape[1], 2)).astype(np.float32)
    bias = np.zeros(2, np.float32)
    rows = []
    # One core's sums are the same on every machine of a kind; what is no number is told by Diverged, not by a warning.
    with threadpool_limits(1, "blas"), np.errstate(invalid="ignore", over="ignore"):
        for iteration in range(training.iterations):
            drawn = rng.integers(0, len(learnt.target), training.batch)
            features, target = learnt.features[drawn], learnt.target[drawn]
            told = _log_softmax(features @ weight + bias)
            if (iteration + 1) % training.points == 0:
                beside = _log_softmax(held_out.features @ weight + bias)
                figures = (*_figures(told, target), *_figures(beside, held_out.target))
                rows.append((iteration + 1, training.rate(iteration), *figures))
                if not np.isfinite(figures).all():
                    raise Diverged(
                        f"the error of the top layer is no number at iteration {iteration + 1}",
                        remedy="lower the learning rate, or compute the features again",
                    )
            slope = np.exp(told)
            slope[np.arange(training.batch), target] -= 1
            slope *= np.float32(training.rate(iteration) / training.batch)
            weight -= features.T @ slope
            bias -= slope.sum(axis=0)
            if (iteration + 1) % PART_OF_PROGRESS == 0:
                progress(iteration + 1, training.iterations)
    progress(training.iterations, training.iterations)
    return TopLayer(weight, bias), pd.DataFrame(rows, columns=list(CURVES))


def _log_softmax(logits: Features) -> Features:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)), np.float32)


def _figures(log_p: Features, target: NDArray[np.intp]) -> tuple[float, float]:
    """Accuracy, and mean cross-entropy."""
    right = (log_p[:, 1] >= log_p[:, 0]) == (target == 1)
    return float(right.mean()), float(-log_p[np.arange(len(target)), target].mean(dtype=float))
