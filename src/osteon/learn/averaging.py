"""The weights that are judged and kept: those in training, or a moving average of them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Averaging:
    """An exponential moving average of weights over steps (Polyak and Juditsky 1992; Tarvainen and Valpola 2017).

    Attributes:
        decay: share of the average that each step keeps, in 0..1, 1 excluded; 0 for no averaging. At first it keeps
            less, (1 + step) / (10 + step), so that the weights before training soon leave the average.
    """

    decay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay lies in 0..1, 1 excluded, not {self.decay}")

    def start(self, network: N) -> N:
        """The network that is judged and kept: a copy that `follow` leads; without averaging the network itself."""
        return copy.deepcopy(network).requires_grad_(False) if self.decay else network

    def follow(self, average: nn.Module, network: nn.Module, step: int) -> None:
        """Lead the average, which `start` made, after step `step`, 0-based, of the network.

        The statistics of batch normalisation are averaged as weights are; counts are copied.
        """
        if average is network:
            return
        keep = min(self.decay, (1 + step) / (10 + step))
        there = network.state_dict()
        for name, tensor in average.state_dict().items():
            if tensor.is_floating_point():
                tensor.lerp_(there[name], 1 - keep)
            else:
                tensor.copy_(there[name])
