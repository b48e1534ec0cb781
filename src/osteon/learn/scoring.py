"""From a trained network to the scores of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.learn.batches import as_input
from osteon.learn.decoded import Images
from osteon.learn.heads import Network, mirrored


@dataclass(frozen=True)
class Scoring:
    """How an image comes to its score. Two of one name are taken for the same.

    Attributes:
        name: for readers and checkpoints.
        score: network and images (b, 1, h, w), float in 0..1, to logits (b,) or (b, k).
    """

    name: str
    score: Callable[[Network, Tensor], Tensor] = field(repr=False)


def _own(network: Network, images: Tensor) -> Tensor:
    return network.score(images)


def _alone(network: Network, images: Tensor) -> Tensor:
    logits: Tensor = network(images)
    return logits


def _both(network: Network, images: Tensor) -> Tensor:
    return (_alone(network, images) + _alone(network, mirrored(images))) / 2


OWN = Scoring("the network's own score", _own)
"""What the network reports: for a `Classifier` that of `BOTH`, for others, unless they say otherwise, of `ALONE`."""

ALONE = Scoring("the image as it is", _alone)

BOTH = Scoring("mean over the image and its mirror image", _both)
"""Test-time flips: the mean of two logits."""


def scores(
    network: Network, pixels: Images, rows: NDArray[np.intp], batch: int = 32, scoring: Scoring = OWN
) -> NDArray[np.float64]:
    """Scores (n,) or (n, k) of `rows` (n,) of the decoded images, in evaluation mode, `batch` images at a time."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            images = as_input(pixels[rows[start : start + batch]])
            parts.append(scoring.score(network, images.to(device)).double().cpu().numpy())
    network.train(was_training)
    return np.concatenate(parts) if parts else np.empty(0)
