"""The head: one linear answer on pooled feature maps, for frozen and fine-tuned trunks alike."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from osteon.learn.backbones import Trunk

FLIPS = 2
"""Views of each image: as it is, and mirrored left to right."""


def pooled(maps: Tensor) -> Tensor:
    """Mean and maximum over positions, side by side: (n, d, h, w) → (n, 2d)."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


def mirrored(images: Tensor) -> Tensor:
    """Images (n, 1, h, w) with left and right exchanged."""
    return images.flip(-1)


def zero_head(d: int) -> nn.Linear:
    """Linear(2d, 1) of zeros, made without touching torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        head = nn.Linear(2 * d, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class Network(nn.Module):
    """What the training loop trains: grey images (n, 1, h, w), float in 0..1, to logits (n,) or (n, k)."""

    @property
    def name(self) -> str:
        """What it is, for checkpoints and tables."""
        raise NotImplementedError

    def score(self, images: Tensor) -> Tensor:
        """The logits that are reported: unless said otherwise, those of the images as they are."""
        logits: Tensor = self(images)
        return logits


class Classifier(Network):
    """Trunk → pooled features (2d) → one linear head → logit.

    A logistic regression on a feature bank and a fine-tuned network are both this module, so one bundle format,
    one reader and one explanation serve both.
    """

    def __init__(self, trunk: Trunk, head: nn.Linear | None = None) -> None:
        """`head` is Linear(2d, 1); None is one of zeros, whose every answer is the logit 0."""
        super().__init__()
        if head is None:
            head = zero_head(trunk.spec.d)
        if head.in_features != 2 * trunk.spec.d or head.out_features != 1:
            raise ValueError(
                f"a head on {trunk.spec.name} is Linear({2 * trunk.spec.d}, 1), "
                f"not Linear({head.in_features}, {head.out_features})"
            )
        self.trunk = trunk
        self.head = head

    @classmethod
    def from_linear(
        cls, trunk: Trunk, weight: ArrayLike, bias: float, mean: ArrayLike = 0.0, scale: ArrayLike = 1.0
    ) -> Classifier:
        """The classifier whose logit is weight · (features - mean) / scale + bias.

        Args:
            trunk: whose features the linear model was fitted on.
            weight: (2d,). bias: a number.
            mean, scale: (2d,) or a number; the standardisation that the linear model was fitted after.
        """
        divided = np.asarray(weight, np.float64).reshape(-1) / np.asarray(scale, np.float64)
        shifted = float(bias) - float(np.sum(divided * np.asarray(mean, np.float64)))
        if divided.shape != (2 * trunk.spec.d,):
            raise ValueError(f"{trunk.spec.name} has {2 * trunk.spec.d} pooled features, not {divided.size}")
        classifier = cls(trunk)
        with torch.no_grad():
            classifier.head.weight.copy_(torch.from_numpy(divided)[None])
            classifier.head.bias.fill_(shifted)
        return classifier

    @property
    def name(self) -> str:
        """The architecture of the trunk."""
        return self.trunk.spec.name

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (n, 2d) of grey images (n, 1, h, w), float in 0..1."""
        return pooled(self.trunk(images))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n,) of grey images (n, 1, h, w), float in 0..1, as they are."""
        logits: Tensor = self.head(self.features(images)).squeeze(1)
        return logits

    def score(self, images: Tensor) -> Tensor:
        """Logits (n,) averaged over the image and its mirror image: the score that osteon reports.

        The head is linear, so this equals the head applied to the mean of the two feature vectors.
        """
        both: Tensor = self(images) + self(mirrored(images))
        return both / 2
