"""Small runs for the tests of training: networks, images in which a bright square is the finding, and kills."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from osteon.learn.augmentation import Augmentation
from osteon.learn.backbones import Trunk, TrunkSpec, open_backbone
from osteon.learn.batches import Batches
from osteon.learn.heads import Classifier, Network
from osteon.learn.optimisers import AdamW
from osteon.learn.search.hong import begin_as_keras
from osteon.learn.train import HeldOut, TrainOptions
from osteon.learn.weights import digest_of
from osteon.types import Progress

OPTIONS = TrainOptions(epochs=4, batch=16, optimiser=AdamW(1e-2), augmentation=Augmentation(shift=0.02))


class SmallNet(nn.Module):
    """Two convolutions with all that makes resuming hard: batch normalisation and dropout."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8)
        self.second, self.dropout = nn.Conv2d(8, 16, 5, stride=4, padding=2), nn.Dropout(dropout)

    def forward_features(self, colour: Tensor) -> Tensor:
        return torch.relu(self.second(self.dropout(torch.relu(self.norm(self.first(colour))))))


def a_classifier(seed: int = 0, dropout: float = 0.0) -> Classifier:
    """A small network with random weights, and a head of zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SmallNet(dropout)
    digest = digest_of(net.state_dict())
    return Classifier(Trunk(net, TrunkSpec("small", "random", digest, d=16, mean=(0.3,) * 3, std=(0.2,) * 3)))


def some_pixels(target: np.ndarray, *, side: int = 48, seed: int = 0) -> np.ndarray:
    """(n, side, side) noise, with a bright square somewhere in the images of target 1."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (len(target), side, side), dtype=np.uint8)
    for image in (pixels[i] for i in np.flatnonzero(target == 1)):
        y, x = rng.integers(4, side - 14, 2)
        image[y : y + 10, x : x + 10] += 120
    return pixels


def a_run(n: int = 48, seed: int = 0) -> tuple[Batches, HeldOut]:
    """Two thirds of n images to train on, one third held out."""
    target = (np.arange(n) % 2).astype(np.float32)
    pixels, rows = some_pixels(target, seed=seed), np.arange(n)
    train = rows % 3 > 0
    return OPTIONS.batches(pixels, rows[train], target[train]), HeldOut(pixels, rows[~train], target[~train])


class Killed(Exception):
    """What the operating system would do."""


def kill_at(step: int) -> Progress:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def assert_equal_to_the_bit(one: nn.Module, two: nn.Module) -> None:
    there = two.state_dict()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, there[name]), name


def a_timm_classifier() -> Classifier:
    return Classifier(open_backbone("test_resnet", "random"))


class ManyLabels(Network):
    """The small network with one linear answer per label."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.trunk = a_classifier(dropout=0.3).trunk
        self.head = nn.Linear(16, labels)
        begin_as_keras(self.head, seed=0)

    @property
    def name(self) -> str:
        return "many labels"

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images).amax(dim=(2, 3)))
