"""Optimisers as values: what makes torch's object, and what its settings are at a step.

The settings follow from the step alone, so a run that was cut off goes on without having stored them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

Settings = Mapping[str, float | tuple[float, float]]
"""Names and values in torch's parameter groups: `lr`, `betas`, `eps`."""

_SECOND_MOMENT = 0.999
"""Decay of Adam's second moment (β₂), in Keras and in torch."""


class Optimiser(Protocol):
    """How a network's weights follow the gradient. Implementations are frozen dataclasses: their `repr` says all."""

    @property
    def longest_gradient(self) -> float:
        """Gradients longer than this are shortened to it."""
        ...

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """torch's optimiser of the parameters that ask for a gradient."""
        ...

    def at(self, step: int, steps: int) -> Settings:
        """Settings of every parameter group at a step, 0-based, of so many; `lr` is among them."""
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
        return torch.optim.AdamW(_decaying(network, self.weight_decay), lr=self.learning_rate)

    def at(self, step: int, steps: int) -> dict[str, float]:
        """The learning rate: a linear rise over the warm-up, then half a cosine down to nearly zero."""
        rise = self.warm_up * steps
        if step < rise:
            return {"lr": self.learning_rate * (step + 1) / (math.floor(rise) + 1)}
        return {"lr": self.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2}


@dataclass(frozen=True)
class OneCycle:
    """AdamW over one cycle: the learning rate rises and falls once, the first moment's decay falls and rises.

    Smith and Topin 2018, with half cosines in place of their straight lines, as in torch's `OneCycleLR`.

    Attributes:
        learning_rate: the largest, at the top of the cycle.
        weight_decay: biases and normalisation layers are spared.
        rise: share of the steps in which the learning rate rises.
        first: the learning rate of the first step, as a share of the largest.
        last: that of the last step, as a share of the first.
        momentum: of the first moment (β₁), at the top of the cycle and at its ends.
        longest_gradient: so that one odd batch cannot throw the weights far.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    rise: float = 0.3
    first: float = 1 / 25
    last: float = 1e-4
    momentum: tuple[float, float] = (0.85, 0.95)
    longest_gradient: float = 1.0

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 <= self.rise <= 1):
            raise ValueError(f"learning_rate > 0, weight_decay ≥ 0 and 0 ≤ rise ≤ 1, not {self}")
        if not (0 < self.first <= 1 and 0 < self.last <= 1 and all(0 <= beta < 1 for beta in self.momentum)):
            raise ValueError(f"first and last lie in 0..1, 0 excluded, and momentum in 0..1, 1 excluded, not {self}")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """Two groups: matrices and kernels decay, scales and offsets do not."""
        return torch.optim.AdamW(_decaying(network, self.weight_decay), lr=self.learning_rate)

    def at(self, step: int, steps: int) -> Settings:
        """The learning rate, and the decays of both moments."""
        top = self.rise * steps - 1  # need not be a whole step
        first = self.first * self.learning_rate
        if step < top:
            ends = (first, self.learning_rate), self.momentum[::-1]
            share = step / top
        else:
            ends = (self.learning_rate, self.last * first), self.momentum
            share = (step - top) / (steps - 1 - top or 1)  # with a rise over all steps there is no fall
        return {"lr": _half_cosine(*ends[0], share), "betas": (_half_cosine(*ends[1], share), _SECOND_MOMENT)}


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

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.epsilon > 0):
            raise ValueError(f"learning_rate > 0 and epsilon > 0, not {self}")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """All trainable parameters alike."""
        return torch.optim.Adam(_trained(network), lr=self.learning_rate, betas=(0.9, _SECOND_MOMENT), eps=self.epsilon)

    def at(self, step: int, steps: int) -> dict[str, float]:
        """torch's epsilon, relative to the corrected moment, that stands for Keras's at this step."""
        return {"lr": self.learning_rate, "eps": self.epsilon / math.sqrt(1 - _SECOND_MOMENT ** (step + 1))}


@dataclass(frozen=True)
class TorchAdam:
    """Adam as torch computes it (Kingma and Ba 2015, algorithm 1), or AMSGrad (Reddi et al. 2018, algorithm 2).

    AMSGrad divides by the largest second moment so far in place of the present one.

    Attributes:
        learning_rate: the same at every step.
        amsgrad: divide by the largest.
        longest_gradient: infinite, as in torch, unless set.
    """

    learning_rate: float = 1e-3
    amsgrad: bool = False
    longest_gradient: float = math.inf

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate > 0, not {self}")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """All trainable parameters alike."""
        return torch.optim.Adam(_trained(network), lr=self.learning_rate, amsgrad=self.amsgrad)

    def at(self, step: int, steps: int) -> Settings:
        """The learning rate."""
        return {"lr": self.learning_rate}


@dataclass(frozen=True)
class SGD:
    """Gradient descent with a learning rate that falls in stairs (Kim and MacKinnon 2018).

    Attributes:
        learning_rate: of the first stair.
        momentum: share of the last step that the next one takes along (Qian 1999), undamped, as in torch.
        decay: each stair is this share of the one before; 1 for a learning rate that stays.
        every: steps to a stair.
        longest_gradient: infinite, as in torch, unless set.
    """

    learning_rate: float = 0.02
    momentum: float = 0.0
    decay: float = 0.67
    every: int = 1800
    longest_gradient: float = math.inf

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and 0 <= self.momentum < 1 and 0 < self.decay <= 1 and self.every >= 1):
            raise ValueError(f"learning_rate > 0, 0 ≤ momentum < 1, 0 < decay ≤ 1 and every ≥ 1, not {self}")

    def start(self, network: nn.Module) -> torch.optim.Optimizer:
        """All trainable parameters alike."""
        return torch.optim.SGD(_trained(network), lr=self.learning_rate, momentum=self.momentum)

    def at(self, step: int, steps: int) -> Settings:
        """The learning rate of the step's stair."""
        return {"lr": self.learning_rate * self.decay ** (step // self.every)}


def _trained(network: nn.Module) -> list[nn.Parameter]:
    return [p for p in network.parameters() if p.requires_grad]


def _decaying(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups: matrices and kernels decay, scales and offsets, for which zero is no simpler, do not."""
    parameters = _trained(network)
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _half_cosine(start: float, end: float, share: float) -> float:
    """From `start` at share 0 to `end` at share 1."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
