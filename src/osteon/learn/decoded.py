"""Prepared images decoded once into one memory-mapped file, which serves every run on the same images.

The file is called after what is in it: the names and contents of the images, in order. So a file that is there is the
right one, an image that was prepared anew leads to another file, and no run can read stale pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from osteon import files
from osteon.dataset.prepared import decoded, pixels_of
from osteon.errors import BadTable, NotFound, TooFewCases, UnreadableImage
from osteon.types import Progress, silent

Images = NDArray[np.uint8]
"""(n, h, w), read-only."""

_REMEDY = "run osteon prepare again"


def decode(images: Sequence[Path], folder: Path, *, progress: Progress = silent) -> Images:
    """All images as one memory-mapped array, so that an epoch reads pages in place of PNG.

    Args:
        images: prepared images, all of one size.
        folder: of the cache; gets the file `pixels-<digest>.npy`, unless an earlier call has left it there. Files of
            other images stay as they are; `forget` removes them all.
        progress: called with the images done and their number.

    Returns:
        (n, h, w) uint8, read-only.

    Raises:
        NotFound, UnreadableImage: for an image that is not there, does not decode or changes while it is read.
        BadTable: for images of different sizes.
        TooFewCases: if there are none.
        CannotWrite: if the disk is full; nothing is then left of the file.
    """
    if not images:
        raise TooFewCases("there are no images to decode", remedy="check the prepared folder")
    contents = [files.digest_of(files.must_exist(path, remedy=_REMEDY)) for path in images]
    target = folder / f"pixels-{_key(images, contents)}.npy"
    held = _opened(target, len(images))
    if held is None:
        with files.replacing(target) as temporary, temporary.open("wb") as stream:
            _write(stream, images, contents, progress)
        held = np.asarray(np.load(target, mmap_mode="r", allow_pickle=False))
    return held


def decode_named(
    names: Sequence[str], images: Mapping[str, Path], folder: Path, *, progress: Progress = silent
) -> Images:
    """`decode` the images of these names, in this order.

    Raises:
        NotFound: if one of them is not among `images`.
        UnreadableImage, BadTable, TooFewCases, CannotWrite: as `decode`.
    """
    missing = [name for name in names if name not in images]
    if missing:
        raise NotFound(f"{len(missing)} images are not prepared (such as {missing[0]})", remedy=_REMEDY)
    return decode([images[name] for name in names], folder, progress=progress)


def forget(folder: Path) -> None:
    """Remove what `decode` has left in this folder; runs that still read it go on undisturbed."""
    for path in folder.glob("pixels-*.npy"):
        path.unlink(missing_ok=True)


def _key(images: Sequence[Path], contents: Sequence[str]) -> str:
    sha = hashlib.sha256(b"decoded images, 1\n")
    for path, content in zip(images, contents, strict=True):
        sha.update(f"{path.name}\0{content}\n".encode())
    return sha.hexdigest()[:32]


def _opened(target: Path, count: int) -> Images | None:
    """What an earlier call has left; None if it left nothing, or something that is not whole any more."""
    if not target.exists():
        return None
    try:
        pixels = np.load(target, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError):  # cut off by somebody else: it can be made again
        return None
    return np.asarray(pixels) if pixels.dtype == np.uint8 and pixels.ndim == 3 and len(pixels) == count else None


def _write(stream: BinaryIO, images: Sequence[Path], contents: Sequence[str], progress: Progress) -> None:
    shape = pixels_of(images[0]).shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(images), *shape)}
    np.lib.format.write_array_header_2_0(stream, header)
    for done, (path, content) in enumerate(zip(images, contents, strict=True)):
        encoded = files.must_exist(path, remedy=_REMEDY).read_bytes()
        # What is decoded is what the file is called after, or a run would see one thing and its cache say another.
        if hashlib.sha256(encoded).hexdigest() != content:
            raise UnreadableImage("changed", f"{path} changed while it was read", remedy=_REMEDY)
        pixels = decoded(encoded, path)
        if pixels.shape != shape:
            raise BadTable(
                f"{path.name} has {_size(pixels.shape)} pixels and {images[0].name} has {_size(shape)}",
                remedy="prepare the images with a recipe that ends in one size",
            )
        stream.write(pixels.tobytes())
        progress(done + 1, len(images))


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]}×{shape[1]}"
