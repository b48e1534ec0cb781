"""The same image twice: as a file, as an instance, by its stored pixels, and by what it looks like.

What ingest sees without decoding are the same bytes, a second file of one instance, and the same stored pixels under
another identity. Prepared images are compared by what they show: identical pixels, or near-duplicates by perceptual
hash, confirmed on the picture itself.

A perceptual hash alone joins the wrists of different people, and chains of such pairs would join a whole cohort into
one group. So the hash only proposes pairs; a pair counts if the fine structure of both images agrees as well.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from osteon.dataset.flow import Dropped
from osteon.dataset.prepared import pixels_of
from osteon.types import Progress, silent

DISTANCE = 8
"""Bits of 64 in which the hashes of a proposed pair may differ."""

LIKENESS = 0.965
"""Correlation of the fine structure from which on a proposed pair counts. How both were measured is in the docs."""

_SIDE = 64  # pixels of the thumbnail on which pairs are confirmed
_FINE = 4.0  # pixels; structure wider than this blur is common to all wrists, and is taken away
_FLAT = 1.0  # grey levels; with less fine structure than this, images agree by noise or not at all
_BLOCK = 256  # rows of the distance matrix held at once


OTHER_PATIENT = "which is of another patient"
"""How the reason of a copy ends that a person should look at."""


def same_file(frame: pd.DataFrame) -> Dropped:
    """Rows whose file has the same bytes as that of an earlier row.

    Args:
        frame: one row per image, with the columns of `osteon.dataset.rows.SCHEMA`, in the order of their paths.
    """
    again, first = _again(frame["image"])
    reasons = [f"the same bytes as {path}" for path in frame["path"].to_numpy(object)[first]]
    return Dropped(again, "duplicate_file", "the same bytes again", reasons, "nothing to do")


def same_instance(frame: pd.DataFrame) -> Dropped:
    """Rows with instance (SOP instance UID) and stored pixels of an earlier row; arguments as for `same_file`.

    Files of one instance with different pixels both stay: one may be the mended copy of a broken one, and only decoding
    tells which.
    """
    again, first = _again(frame["instance"], frame["pixels"])
    reasons = [
        f"the same instance as {path}, with the same stored pixels" for path in frame["path"].to_numpy(object)[first]
    ]
    remedy = "nothing to do, unless the headers differ: then the first path counts"
    return Dropped(again, "duplicate_instance", "another file of the same instance", reasons, remedy)


def same_pixels(frame: pd.DataFrame) -> Dropped:
    """Rows with the stored pixels of an earlier row, under another instance; arguments as for `same_file`."""
    again, first = _again(frame["pixels"])
    paths, patients = frame["path"].to_numpy(object), frame["patient"].to_numpy(object)
    reasons = [
        f"the same stored pixels as {paths[one]}" + (f", {OTHER_PATIENT}" if patients[one] != patients[row] else "")
        for one, row in zip(first, np.flatnonzero(again), strict=True)
    ]
    remedy = "nothing to do, unless it is of another patient: then find out whose image it is"
    return Dropped(again, "duplicate_pixels", "the same pixels under another instance", reasons, remedy)


def _again(values: pd.Series, *further: pd.Series) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which rows repeat a value other than "", together with `further` ones, and the first row of each of those."""
    codes: NDArray[np.intp] = pd.factorize(values)[0].astype(np.intp)
    for more in further:
        other = pd.factorize(more)[0].astype(np.intp)
        codes = codes * (int(other.max(initial=0)) + 1) + other
    _, first, places = np.unique(codes, return_index=True, return_inverse=True)
    again = first[places] != np.arange(len(values))
    again &= (values != "").to_numpy(bool)
    return again, first[places[again]]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of an image to find it again: pixel digest, 64-bit hash, (64, 64) uint8 thumbnail."""

    pixels: str
    hash: int
    thumbnail: NDArray[np.uint8]


def find_duplicates(
    images: Mapping[str, Path],
    *,
    distance: int = DISTANCE,
    likeness: float = LIKENESS,
    progress: Progress = silent,
) -> NDArray[np.intp]:
    """Which images show the same: one number per image, equal for duplicates of each other, in the order given.

    Found are copies that were re-encoded, scaled, slightly noisy or shown with another contrast. Not found are mirrored
    images, cuts of more than about 1 % a side, and copies with a large new marker.

    Args:
        images: image id → prepared image (8-bit grey, all of one size).
        distance: of the hashes, 0..64, up to which a pair is looked at.
        likeness: correlation of the fine structure, -1..1, from which on it counts.

    Returns:
        (n,) group numbers from 0, by first appearance.

    Raises:
        NotFound, UnreadableImage: if an image is missing or cannot be decoded.
    """
    prints = []
    for done, path in enumerate(images.values(), 1):
        prints.append(fingerprint(pixels_of(path)))
        progress(done, len(images))
    proposed = near_pairs(np.array([one.hash for one in prints], np.uint64), distance)
    alike = [pair for pair in proposed if likeness_of(prints[pair[0]], prints[pair[1]]) >= likeness]
    same_pixels: dict[str, int] = {}
    equal = [(same_pixels.setdefault(one.pixels, row), row) for row, one in enumerate(prints)]
    return _joined(len(prints), [*equal, *((int(a), int(b)) for a, b in alike)])


def fingerprint(pixels: NDArray[np.uint8]) -> Fingerprint:
    """The fingerprint of a (h, w) uint8 image. The hash is pHash (Zauner 2010): signs of low cosine frequencies."""
    bits = imagehash.phash(Image.fromarray(pixels), hash_size=8).hash
    digest = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).hexdigest()
    thumbnail = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return Fingerprint(digest, int.from_bytes(np.packbits(bits.ravel()).tobytes()), thumbnail)


def near_pairs(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.intp]:
    """(pairs, 2) row numbers a < b whose hashes differ in at most `distance` bits.

    All pairs are compared, in blocks: 10⁴ hashes take under a second, 10⁵ about a minute.
    """
    found = [np.empty((0, 2), np.intp)]
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        rows, columns = np.nonzero(np.bitwise_count(block[:, None] ^ hashes[None, start:]) <= distance)
        later = columns > rows
        found.append(np.column_stack([rows[later], columns[later]]) + start)
    return np.concatenate(found)


def likeness_of(one: Fingerprint, other: Fingerprint) -> float:
    """Correlation, -1..1, of the fine structure of two images; 0 if either has none."""
    first, second = _fine(one.thumbnail), _fine(other.thumbnail)
    if min(first.std(), second.std()) < _FLAT:
        return 0.0
    return float(np.mean(first * second) / (first.std() * second.std()))


def _fine(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    image = thumbnail.astype(np.float32)
    fine = np.asarray(image - cv2.GaussianBlur(image, (0, 0), _FINE), np.float32)
    fine -= fine.mean()
    return fine


def _joined(count: int, pairs: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
    """(count,) number of the connected component of each row, by first appearance."""
    if count == 0:
        return np.empty(0, np.intp)
    first, second = np.array(pairs, np.intp).T
    links = coo_array((np.ones(len(pairs), bool), (first, second)), shape=(count, count))
    component = connected_components(links, directed=False)[1]
    return np.asarray(pd.factorize(component)[0], np.intp)
