"""LeNet of 1998 as Hong 2023 has it: the shallow network that a deep one must beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from osteon.learn.heads import Network
from osteon.learn.search.hong import begin_as_keras
from osteon.tasks import rust

CHANNELS = 3
"""Of the input, as in the study: a grey image stands in all three."""

SMALLEST = 12
"""Side in pixels below which nothing is left to flatten."""


class LeNet(Network):
    """6@5×5 same, tanh → mean of 2×2 → 16@5×5 valid, tanh → mean of 2×2 → dense 1024, ReLU → dense, logits.

    What an odd side leaves over at the mean of 2×2 is dropped. At 299 px all but 0.02 of the 85 million weights
    lie in the first dense layer.
    """

    def __init__(self, height: int, width: int, labels: int) -> None:
        if min(height, width) < SMALLEST:
            raise ValueError(f"LeNet needs images of {SMALLEST} px or more, not {width}×{height}")
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, 6, 5, padding=2)
        self.second = nn.Conv2d(6, 16, 5)
        self.pool = nn.AvgPool2d(2)
        self.dense = nn.Linear(16 * _left(height) * _left(width), 1024)
        self.labels = nn.Linear(1024, labels)
        self.size = (height, width)

    @property
    def name(self) -> str:
        """LeNet and the size of its input: another size is another network."""
        return f"LeNet-1998, {self.size[1]}×{self.size[0]}"

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, labels) of grey images (n, 1, h, w), float in 0..1."""
        maps = self.pool(torch.tanh(self.first(images.expand(-1, CHANNELS, -1, -1))))
        maps = self.pool(torch.tanh(self.second(maps)))
        logits: Tensor = self.labels(torch.relu(self.dense(maps.flatten(1))))
        return logits


def lenet(size: tuple[int, int], *, labels: int = len(rust.LABELS), seed: int) -> LeNet:
    """A fresh LeNet for images of `size` (height, width).

    Args:
        size: in pixels, 12 × 12 or more.
        labels: outputs.
        seed: of its first weights; torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        network = LeNet(*size, labels)
    begin_as_keras(network, seed)
    return network


def _left(side: int) -> int:
    return (side // 2 - 4) // 2
