"""Which part of a network trains from which epoch on; what does not train yet keeps its statistics as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from osteon.errors import unknown_name

SMALL_BATCH = 16
"""Below this batch size the statistics of a batch are too noisy: batch normalisation then keeps those it came with."""


@dataclass(frozen=True)
class Thawing:
    """Gradual unfreezing (Howard and Ruder 2018, section 3.3): head first, then the last stages, then all.

    `Thawing((("head", 0), ("trunk.net.layer4", 2), ("", 5)))` trains the head of a ResNet, from the third epoch its
    last stage too, and from the sixth everything.

    Attributes:
        since: (part, 0-based epoch from which it trains) each. A part is the dotted name of a module or parameter, and
            stands for all that is below it; "" is the whole network. What no part names never trains.
    """

    since: tuple[tuple[str, int], ...] = (("", 0),)

    def __post_init__(self) -> None:
        if not self.since or min(epoch for _, epoch in self.since) != 0:
            raise ValueError(f"something trains from epoch 0 on, and nothing before it, not {self.since}")

    @property
    def freezes(self) -> bool:
        """Whether anything is left out for a while or for good."""
        return ("", 0) not in self.since

    def check(self, network: nn.Module) -> None:
        """Look whether this schedule fits a network.

        Raises:
            UnknownName: if the network has no such part, or nothing in it asks for a gradient.
        """
        learning = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
        for part, _ in self.since:
            if not any(_below(name, part) for name in learning):
                raise unknown_name("part with weights to train", part, {name.rpartition(".")[0] for name in learning})

    @contextmanager
    def training(self, network: nn.Module, epoch: int, batch: int) -> Iterator[None]:
        """The network in training mode, with what is frozen in this epoch asking for no gradient.

        Frozen modules stay in evaluation mode: their batch normalisation keeps its statistics, and their dropout is
        off. In batches below `SMALL_BATCH` all batch normalisation keeps its statistics.
        """
        parts = [part for part, first in self.since if first <= epoch]
        frozen = [
            parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and not any(_below(name, part) for part in parts)
        ]
        network.train()
        for name, module in network.named_modules():
            still = not any(_below(name, part) or _below(part, name) for part in parts)
            if still or (batch < SMALL_BATCH and isinstance(module, _BatchNorm)):
                module.eval()
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)


def _below(name: str, part: str) -> bool:
    """Whether a dotted name is that of the part, or of something inside it."""
    return not part or name == part or name.startswith(f"{part}.")
