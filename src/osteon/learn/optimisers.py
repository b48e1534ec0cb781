"""Optimisers as values: what makes torch's object, and what its settings are at a step.

The settings follow from the step alone, so a run that was cut off goes on without having stored them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn


class Optimiser(Protocol):
    """How a network's weights follow the gradient. Implementations are frozen dataclasses: their `repr` says all."""

    @property
    def longest_gradient(self) -> float:
        """Gradients longer than this are shortened to it."""
        ...

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """torch's optimiser of the parameters that ask for a gradient."""
        ...

    def at(self, step: int, steps: int) -> dict[str, float]:
        """Settings of every parameter group at a step, 0-based, of so many."""
        ...


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019), for fine-tuning.

    Attributes:
        learning_rate: the largest.
        weight_decay: biases and normalisation layers are spared.
        warm_up: share of the steps in which the learning rate rises; it then falls along half a cosine to zero.
        longest_gradient: so that one odd batch cannot throw the weights far.
    """

    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    warm_up: float = 0.1
    longest_gradient: float = 1.0

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 <= self.warm_up < 1):
            raise ValueError(f"learning_rate > 0, weight_decay ≥ 0 and 0 ≤ warm_up < 1, not {self}")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """Two groups: matrices and kernels decay, scales and offsets do not."""
        parameters = [p for p in network.parameters() if p.requires_grad]
        # Towards zero is no simpler network for scales and offsets.
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.learning_rate)

    def at(self, step: int, steps: int) -> dict[str, float]:
        """The learning rate: a linear rise over the warm-up, then half a cosine down to nearly zero."""
        rise = self.warm_up * steps
        if step < rise:
            return {"lr": self.learning_rate * (step + 1) / (math.floor(rise) + 1)}
        return {"lr": self.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2}


@dataclass(frozen=True)
class Adam:
    """Adam as Keras computes it: the epsilon stands beside the second moment before its bias is corrected.

    This is the form in the text of Kingma and Ba 2015, section 2, with their ε-hat; torch uses that of their
    algorithm 1. With ε = 1e-7 the two are nearly one, with 0.1 they are not: torch's first step is up to 32 times as
    long.

    Attributes:
        learning_rate: the same at every step.
        epsilon: Keras's `epsilon`.
        longest_gradient: infinite, as in Keras, unless set.
    """

    learning_rate: float = 1e-3
    epsilon: float = 1e-7
    longest_gradient: float = math.inf

    _DECAY = 0.999  # of the second moment, in Keras and in torch

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.epsilon > 0):
            raise ValueError(f"learning_rate > 0 and epsilon > 0, not {self}")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """All trainable parameters alike."""
        trained = [p for p in network.parameters() if p.requires_grad]
        return torch.optim.Adam(trained, lr=self.learning_rate, betas=(0.9, self._DECAY), eps=self.epsilon)

    def at(self, step: int, steps: int) -> dict[str, float]:
        """torch's epsilon, relative to the corrected moment, that stands for Keras's at this step."""
        return {"lr": self.learning_rate, "eps": self.epsilon / math.sqrt(1 - self._DECAY ** (step + 1))}
