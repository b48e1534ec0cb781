"""Where the views of a study come from: a feature bank, cached maps, or the prepared images themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.learn.bank import FeatureBank
from osteon.learn.batches import as_input
from osteon.learn.decoded import Images
from osteon.learn.heads import FLIPS
from osteon.learn.studies.bags import Rows


class Views(Protocol):
    """What an aggregator is given of images. Each comes as it is (flip 0), and mirrored (flip 1)."""

    def of(self, rows: Rows, flip: Rows) -> Tensor:
        """(n, …) of the images in rows (n,) of the manifest, each in its flip (n,) of `heads.FLIPS`."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """Pooled features of a frozen trunk, (n, flips, 2d) float32, row by row those of the manifest."""

    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or self.values.shape[1] < FLIPS:
            raise ValueError(f"features are (n, {FLIPS} or more flips, 2d), not {self.values.shape}")

    def of(self, rows: Rows, flip: Rows) -> Tensor:
        """(n, 2d)."""
        return torch.from_numpy(self.values[rows, flip])


@dataclass(frozen=True, eq=False)
class Maps:
    """Cached maps of a bank, of the images (n,) of the manifest."""

    bank: FeatureBank
    images: tuple[str, ...]

    def of(self, rows: Rows, flip: Rows) -> Tensor:
        """(n, c, h, w) float32."""
        return torch.from_numpy(self.bank.maps_of([self.images[row] for row in rows], flip).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Pictures:
    """Prepared images (n, h, w), as `osteon.learn.decoded` gives them, for an aggregator with a trunk."""

    pixels: Images

    def of(self, rows: Rows, flip: Rows) -> Tensor:
        """(n, 1, h, w) float32 in 0..1."""
        images = as_input(self.pixels[rows])
        mirrored = torch.from_numpy(flip == 1)[:, None, None, None]
        return torch.where(mirrored, images.flip(-1), images)
