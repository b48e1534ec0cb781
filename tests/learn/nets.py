"""Small networks and images for the tests of this room."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from osteon.learn import weights
from osteon.learn.backbones import Trunk, TrunkSpec

TINY = "test_resnet"
"""timm's smallest residual network; milliseconds at 64 px."""


class Brightness(nn.Module):
    """Maps that need no training: per 8 × 8 px cell, how far its mean grey lies above and below one half."""

    def __init__(self) -> None:
        super().__init__()
        self.above = nn.Conv2d(3, 2, 8, stride=8, bias=True)
        with torch.no_grad():
            self.above.weight[0] = 1 / (3 * 64)
            self.above.weight[1] = -1 / (3 * 64)
            self.above.bias.copy_(torch.tensor([-0.5, 0.5]))

    def forward_features(self, colour: Tensor) -> Tensor:
        return torch.relu(self.above(colour))


def brightness_trunk() -> Trunk:
    """Two channels: brightness above, and below, one half."""
    net = Brightness()
    spec = TrunkSpec(
        "brightness", "set by hand", weights.digest_of(net.state_dict()), d=2, mean=(0.0,) * 3, std=(1.0,) * 3
    )
    return Trunk(net, spec).eval()


def grey_image(height: int = 64, width: int = 64, *, seed: int = 0) -> NDArray[np.uint8]:
    """Smooth grey noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def write_images(folder: Path, count: int, *, sizes: Sequence[tuple[int, int]] = ((64, 64),)) -> dict[str, Path]:
    """PNG files as `osteon prepare` leaves them: image id → file; sizes (height, width) take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for i in range(count):
        path = folder / f"{i:04d}.png"
        cv2.imwrite(str(path), grey_image(*sizes[i % len(sizes)], seed=i))
        images[f"image{i:04d}"] = path
    return images


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond `size` bytes of a file fails inside, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def batch_of(*images: NDArray[np.uint8]) -> Tensor:
    """Images of one size as a network takes them: (n, 1, h, w) float32 in 0..1."""
    return torch.from_numpy(np.stack(images)[:, None].astype(np.float32) / 255)
