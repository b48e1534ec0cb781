"""From prepared images to the batches of an epoch: the same for the same seed and epoch, wherever a run was cut off."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.learn.augmentation import Augmentation, draw, move
from osteon.learn.decoded import Images, decode, decode_named
from osteon.learn.samplers import Sampler, Shuffled

__all__ = ["Augmentation", "Batches", "Images", "as_input", "decode", "decode_named", "generator_of"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batches:
    """The training images of one run.

    Attributes:
        pixels: (all, h, w) prepared images, as `decode` returns them.
        rows: (n,) those of this run.
        target: (n,) or (n, k), one number or k for each image.
        size: largest number of images in a batch.
        augmentation: what is done to them.
        sampler: which of them an epoch shows.

    Raises:
        TooFewCases, Mismatch: if the sampler cannot draw from these targets.
    """

    pixels: Images
    rows: NDArray[np.intp]
    target: NDArray[np.float32]
    size: int = 32
    augmentation: Augmentation = field(default_factory=Augmentation)
    sampler: Sampler = field(default_factory=Shuffled)

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.target) > 0 or self.size < 1:
            raise ValueError("a run needs as many targets as images, at least one, and a batch size of 1 or more")
        self.sampler.drawn(self.target)  # raises if it cannot: before training, not in it

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self.sampler.drawn(self.target) / self.size)

    def shown(self, epoch: int, *, seed: int) -> NDArray[np.intp]:
        """(m,) which of `rows` and `target` an epoch shows, in order. `target[shown].mean()` is its share of positives.

        Args:
            epoch: 0-based.
            seed: of the run.
        """
        return self.sampler.order(self.target, generator_of(seed, epoch), seed=seed, epoch=epoch)

    def epoch(
        self, epoch: int, *, seed: int, share: tuple[int, int] = (0, 1), ahead: bool = False
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (b, 1, h, w), float32 in 0..1, and targets (b,) or (b, k), as the sampler orders them.

        The batches are of nearly equal size, so that no small one ends the epoch.

        Args:
            epoch: 0-based.
            seed: of the run.
            share: (i, k): the i-th of k equal parts of each batch, for k processes that train together.
            ahead: make the next batch in a thread while one is trained on: for a GPU, beside which processors wait.
        """
        made = self._made(epoch, seed, share)
        return _ahead(made) if ahead else made

    def _made(self, epoch: int, seed: int, share: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
        generator = generator_of(seed, epoch)
        order = self.sampler.order(self.target, generator, seed=seed, epoch=epoch)
        part, parts = share
        height, width = self.pixels.shape[1:]
        for batch in np.array_split(order, len(self)):
            # Drawn for the whole batch, so that the images are the same for any number of processes.
            moves = draw(len(batch), self.augmentation, (height, width), generator)
            mine = np.array_split(np.arange(len(batch)), parts)[part]
            images = as_input(self.pixels[self.rows[batch[mine]]])
            moved = move(images, moves.of(torch.from_numpy(mine)), self.augmentation)
            yield moved, torch.from_numpy(self.target[batch[mine]])

    def digest(self) -> str:
        """SHA-256 of the images and targets, and of a sampler other than `Shuffled`, as 64 hexadecimal digits."""
        sha = hashlib.sha256(np.ascontiguousarray(self.target).tobytes())
        for row in self.rows:
            sha.update(self.pixels[row].tobytes())
        if self.sampler != Shuffled():
            sha.update(repr(self.sampler).encode())
        return sha.hexdigest()


def generator_of(seed: int, epoch: int) -> torch.Generator:
    """The random numbers of one epoch; they depend on nothing that happened before it."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def as_input(pixels: Images) -> Tensor:
    """(n, h, w) uint8 → (n, 1, h, w) float32 in 0..1."""
    return torch.from_numpy(np.array(pixels, dtype=np.float32))[:, None].div_(255)


def _ahead(batches: Iterator[T]) -> Iterator[T]:
    """The same items; each is made in a thread of its own while the one before it is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        coming = thread.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, batches, None)
            yield batch
