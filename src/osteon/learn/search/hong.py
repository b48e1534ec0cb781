"""The network and the training of Hong 2023: a trunk, three hidden layers and 18 labels.

Layers begin as Keras lets them begin, and Adam computes as Keras's does, so that figures can stand beside the study's.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from osteon.learn.backbones import Trunk
from osteon.learn.batches import Augmentation
from osteon.learn.heads import Network
from osteon.learn.objectives import LABELS
from osteon.learn.optimisers import Adam
from osteon.learn.train import TrainOptions
from osteon.tasks import rust

HIDDEN = (1024, 512, 256)
"""Units of the hidden layers."""

FLIPS = Augmentation(flip=0.5, shift=0.0, rotation_deg=0.0, upend=0.5)
"""What the study does to a training image: either axis flipped, or both, or none."""

TRAINING = TrainOptions(epochs=50, batch=128, optimiser=Adam(1e-3, 1e-7), objective=LABELS, augmentation=FLIPS)
"""The study's first comparison; the epoch of the largest macro AUROC on the validation fold is kept."""


class HongHead(nn.Sequential):
    """Features (n, d) → 1024 → 512 → 256 → logits (n, labels): ReLU and dropout after each hidden layer."""

    def __init__(self, d: int, *, dropout: float = 0.0, labels: int = len(rust.LABELS)) -> None:
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout lies in 0..1, 1 excluded, not {dropout}")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (inputs, units) in enumerate(zip((d, *HIDDEN), HIDDEN, strict=False), start=1):
            layers[f"dense{number}"] = nn.Linear(inputs, units)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"dropout{number}"] = nn.Dropout(dropout)
        layers["labels"] = nn.Linear(HIDDEN[-1], labels)
        super().__init__(layers)


class HongNetwork(Network):
    """Trunk → maximum over positions → Hong's head → logits (n, labels), whose sigmoids are the probabilities."""

    def __init__(self, trunk: Trunk, head: HongHead, *, frozen: bool) -> None:
        """`frozen` keeps the trunk's weights, and its batch normalisation in evaluation mode, whatever happens."""
        super().__init__()
        self.trunk = trunk.requires_grad_(not frozen)
        self.head = head
        self.frozen = frozen
        self.train(self.training)

    @property
    def name(self) -> str:
        """Trunk, where its weights came from, and whether they are trained."""
        return f"{self.trunk.spec}, {'frozen' if self.frozen else 'end to end'}, + Hong's head"

    def train(self, mode: bool = True) -> HongNetwork:
        """As torch has it, except that a frozen trunk stays as it is."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, labels) of grey images (n, 1, h, w), float in 0..1."""
        logits: Tensor = self.head(self.trunk(images).amax(dim=(2, 3)))
        return logits


def hong_network(
    trunk: Trunk, *, dropout: float = 0.0, frozen: bool, labels: int = len(rust.LABELS), seed: int
) -> HongNetwork:
    """A trunk with a fresh head.

    Args:
        trunk: becomes part of the network.
        dropout: share of the units of each hidden layer that training leaves out; the study tried 0 to 0.5.
        frozen: train the head alone.
        labels: outputs.
        seed: of the head's first weights; torch's own generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        head = HongHead(trunk.spec.d, dropout=dropout, labels=labels)
    begin_as_keras(head, seed)
    return HongNetwork(trunk, head, frozen=frozen)


def begin_as_keras(network: nn.Module, seed: int) -> None:
    """Uniform weights by Glorot and Bengio 2010 (equation 16) biases of zero, in dense and convolution layers."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
