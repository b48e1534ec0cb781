"""From prepared images to the batches of an epoch: the same for the same seed and epoch, wherever a run was cut off."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from osteon import files
from osteon.dataset.prepared import pixels_of
from osteon.errors import BadTable, NotFound
from osteon.types import Progress, silent

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """How far a training image is moved each time it is shown; what leaves the frame is lost, what enters is black.

    Attributes:
        flip: probability of exchanging left and right.
        shift: largest shift, as a share of the side.
        rotation_deg: largest rotation.
        upend: probability of exchanging top and bottom.
    """

    flip: float = 0.5
    shift: float = 0.04
    rotation_deg: float = 5.0
    upend: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.flip <= 1 and 0 <= self.upend <= 1 and 0 <= self.shift < 1 and 0 <= self.rotation_deg <= 180):
            raise ValueError(f"flip and upend lie in 0..1, shift in 0..1 and rotation_deg in 0..180, not {self}")


@dataclass(frozen=True, eq=False)
class Batches:
    """The training images of one run.

    Attributes:
        pixels: (all, h, w) prepared images, as `decode` returns them.
        rows: (n,) those of this run.
        target: (n,) or (n, k), one number or k for each image.
        size: largest number of images in a batch.
        augmentation: what is done to them.
    """

    pixels: Images
    rows: NDArray[np.intp]
    target: NDArray[np.float32]
    size: int = 32
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if not len(self.rows) == len(self.target) > 0 or self.size < 1:
            raise ValueError("a run needs as many targets as images, at least one, and a batch size of 1 or more")

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self.rows) / self.size)

    def epoch(self, epoch: int, *, seed: int, share: tuple[int, int] = (0, 1)) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (b, 1, h, w), float32 in 0..1, and targets (b,) or (b, k), each image once, in its own order.

        The batches are of nearly equal size, so that no small one ends the epoch.

        Args:
            epoch: 0-based.
            seed: of the run.
            share: (i, k): the i-th of k equal parts of each batch, for k processes that train together.
        """
        generator = generator_of(seed, epoch)
        order = torch.randperm(len(self.rows), generator=generator).numpy()
        part, parts = share
        height, width = self.pixels.shape[1:]
        for batch in np.array_split(order, len(self)):
            # Drawn for the whole batch, so that the images are the same for any number of processes.
            moves = _draw(len(batch), self.augmentation, (height, width), generator)
            upended = _upended(len(batch), self.augmentation, generator)
            mine = np.array_split(np.arange(len(batch)), parts)[part]
            images = as_input(self.pixels[self.rows[batch[mine]]])
            images = torch.where(upended[torch.from_numpy(mine)], images.flip(-2), images)
            yield self._moved(images, moves[torch.from_numpy(mine)]), torch.from_numpy(self.target[batch[mine]])

    def _moved(self, images: Tensor, moves: Tensor) -> Tensor:
        if not (self.augmentation.shift or self.augmentation.rotation_deg):
            # Nothing but flips, told by the sign of the first number: exact, and far quicker than resampling.
            return torch.where(moves[:, :1, :1, None] < 0, images.flip(-1), images)
        grid = functional.affine_grid(moves, list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    def digest(self) -> str:
        """SHA-256 of the images and targets, as 64 hexadecimal digits."""
        sha = hashlib.sha256(np.ascontiguousarray(self.target).tobytes())
        for row in self.rows:
            sha.update(self.pixels[row].tobytes())
        return sha.hexdigest()


def decode(images: Sequence[Path], folder: Path, *, progress: Progress = silent) -> Images:
    """Decode all images into one memory-mapped file, so that an epoch reads pages in place of PNG.

    Args:
        images: prepared images, all of one size.
        folder: gets the file `pixels.npy`; the one of an earlier call is replaced.
        progress: called with the images done and their number.

    Returns:
        (n, h, w) uint8, read-only.

    Raises:
        NotFound, UnreadableImage: for an image that is not there or does not decode.
        BadTable: for images of different sizes.
        CannotWrite: if the disk is full.
    """
    first = pixels_of(images[0])
    target = folder / "pixels.npy"
    with files.replacing(target) as temporary, temporary.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), *first.shape)}
        np.lib.format.write_array_header_2_0(stream, header)
        for done, path in enumerate(images):
            pixels = pixels_of(path)
            if pixels.shape != first.shape:
                raise BadTable(
                    f"{path.name} has {_size(pixels)} pixels and {images[0].name} has {_size(first)}",
                    remedy="prepare the images with a recipe that ends in one size",
                )
            stream.write(pixels.tobytes())
            progress(done + 1, len(images))
    return np.asarray(np.load(target, mmap_mode="r", allow_pickle=False))


def decode_named(names: Sequence[str], images: Mapping[str, Path], folder: Path) -> Images:
    """`decode` the images of these names, in this order.

    Raises:
        NotFound: if one of them is not among `images`.
        UnreadableImage, BadTable, CannotWrite: as `decode`.
    """
    missing = [name for name in names if name not in images]
    if missing:
        raise NotFound(
            f"{len(missing)} images are not prepared (such as {missing[0]})", remedy="run osteon prepare again"
        )
    return decode([images[name] for name in names], folder)


def generator_of(seed: int, epoch: int) -> torch.Generator:
    """The random numbers of one epoch; they depend on nothing that happened before it."""
    state = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def as_input(pixels: Images) -> Tensor:
    """(n, h, w) uint8 → (n, 1, h, w) float32 in 0..1."""
    return torch.from_numpy(np.array(pixels, dtype=np.float32))[:, None].div_(255)


def _draw(count: int, augmentation: Augmentation, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Affine matrices (count, 2, 3) from output to input positions, both running from -1 to 1 over an image (h, w)."""
    mirror, turn, across, down = torch.rand(4, count, generator=generator)
    side = torch.where(mirror < augmentation.flip, -1.0, 1.0)
    angle = torch.deg2rad((2 * turn - 1) * augmentation.rotation_deg)
    # The two axes have different units unless the image is square; without the ratio a rotation would shear it.
    ratio = shape[0] / shape[1]
    # A side is 2 long in these units, so a shift by a share of the side is twice that share.
    x, y = 2 * augmentation.shift * (2 * across - 1), 2 * augmentation.shift * (2 * down - 1)
    top = torch.stack([side * angle.cos(), -ratio * angle.sin(), x], dim=1)
    bottom = torch.stack([side * angle.sin() / ratio, angle.cos(), y], dim=1)
    return torch.stack([top, bottom], dim=1)


def _upended(count: int, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """(count, 1, 1, 1) bool; without upending no random number is drawn."""
    if not augmentation.upend:
        return torch.zeros(count, 1, 1, 1, dtype=torch.bool)
    return torch.rand(count, 1, 1, 1, generator=generator) < augmentation.upend


def _size(pixels: Images) -> str:
    return f"{pixels.shape[0]}×{pixels.shape[1]}"
