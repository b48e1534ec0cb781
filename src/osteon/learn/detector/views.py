"""Moved copies of prepared images, written once, whose boxes are known: what a cached map cannot be, turned and scaled.

A head on cached maps sees an image in the flips of the bank and no other way. Copies that were turned, shifted, scaled
and changed in contrast before their maps were computed give it more to learn from. They are never asked about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from osteon import files
from osteon.dataset.preparation import write_png
from osteon.dataset.prepared import pixels_of
from osteon.errors import Mismatch
from osteon.learn.augmentation import Augmentation, Moves, draw, move
from osteon.learn.batches import as_input
from osteon.types import Progress, silent

WIDE = Augmentation(flip=0.0, shift=0.06, rotation_deg=20.0, zoom=0.15, contrast=0.25)
"""As a limb may lie and an exposure may turn out; the flips of the bank exchange left and right."""


MADE_OF = "views.json"
"""In the folder of the copies: how they were made."""


@dataclass(frozen=True, eq=False)
class Views:
    """Copies of n images of one size.

    Attributes:
        images: name of a copy (`copy_name`) → PNG, in the order of the images, the copies of each together.
        moved: (n, copies, 2, 3) from pixel centres of each copy to those of its image, as in `dataset.placement`.
    """

    images: dict[str, Path]
    moved: NDArray[np.float64]


def copy_name(image: str, number: int) -> str:
    """The name of the copy of this number, from 1 on, of an image."""
    return f"{image}-view{number}"


def write_views(
    images: Mapping[str, Path],
    folder: Path,
    *,
    copies: int,
    seed: int,
    augmentation: Augmentation = WIDE,
    progress: Progress = silent,
) -> Views:
    """Write copies of prepared images, those that are there already excepted.

    How a copy is moved depends on the seed, the image and its number alone.

    Args:
        images: image id → prepared PNG.
        folder: gets the copies.
        copies: of each image.
        seed: of the moves.
        augmentation: how far; its flips are off.
        progress: called with the images done and their number.

    Raises:
        Mismatch: if the folder holds copies of another seed or augmentation.
        NotFound, UnreadableImage: for an image that is not there or does not decode.
        CannotWrite: if the disk is full; what was written is kept.
    """
    if augmentation.flip or augmentation.upend:
        raise ValueError(f"copies are not mirrored: the bank holds their flips; {augmentation}")
    _check_folder(folder / MADE_OF, {"seed": seed, "augmentation": repr(augmentation)})
    written: dict[str, Path] = {}
    moved = np.empty((len(images), copies, 2, 3))
    for done, (image, path) in enumerate(images.items()):
        pixels, content = pixels_of(path), files.digest_of(path)[:16]
        for number in range(1, copies + 1):
            moves = draw(1, augmentation, pixels.shape, _generator(seed, image, number))
            moved[done, number - 1] = _in_pixels(moves, pixels.shape)
            # Of an image that was prepared anew the copies are made anew.
            written[copy_name(image, number)] = target = folder / f"{copy_name(image, number)}-{content}.png"
            if not target.exists():
                copy = move(as_input(pixels[None]), moves, augmentation)[0, 0]
                write_png(target, copy.mul(255).round().to(torch.uint8).numpy())
        progress(done + 1, len(images))
    return Views(written, moved)


def _check_folder(path: Path, made_of: dict[str, object]) -> None:
    if not path.exists():
        files.write_json(path, made_of)
    elif files.read_json(path) != made_of:
        raise Mismatch(
            f"{path.parent} holds copies that were moved in another way", remedy="choose another folder, or remove it"
        )


def _in_pixels(moves: Moves, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """(2, 3) the affine of a move from pixel centres to pixel centres, from one over -1 to 1 between outer edges."""
    affine = moves.affine[0].double().numpy()
    side = np.array([shape[1], shape[0]], float)
    linear = affine[:, :2] * side[:, None] / side[None]
    first = affine[:, :2] @ (1 / side - 1) + affine[:, 2]  # where the centre of the first pixel comes from
    return np.column_stack([linear, (first + 1) * side / 2 - 0.5])


def _generator(seed: int, image: str, number: int) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\0{image}\0{number}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
