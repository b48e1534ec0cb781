"""Features of a frozen trunk, for two or all four flips of every image, computed once and kept in a bank.

They are the pooled ones, of which a linear head makes an answer, or maps, for what needs to know where something is.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon import files
from osteon.dataset.prepared import decoded
from osteon.errors import BadTable, Mismatch, TooFewCases
from osteon.learn import weights
from osteon.learn.backbones import Trunk
from osteon.learn.bank import FeatureBank, Row, appending, begin
from osteon.learn.fuse import fused
from osteon.learn.heads import FLIPS, pooled
from osteon.learn.maps import STRIDES, maps_of
from osteon.types import Progress, silent

__all__ = ["FOUR_FLIPS", "FeatureBank", "extract", "features_of"]

FOUR_FLIPS = 4
"""As it is, left and right exchanged, top and bottom exchanged, both: what a random flip of both axes chooses from."""

_EXCHANGED = ((), (-1,), (-2,), (-2, -1))
"""The axes of an image (…, height, width) that each flip reverses."""

ROWS_A_WRITE = 64
"""Rows that are put on the disk together; as many are lost at most when a run is killed."""


def extract(
    trunk: Trunk,
    images: Mapping[str, Path],
    folder: Path,
    *,
    flips: int = FLIPS,
    maps: bool = False,
    strides: tuple[int, ...] = STRIDES,
    batch: int = 1,
    threads: int = 0,
    progress: Progress = silent,
) -> FeatureBank:
    """Compute the features of all images that the bank does not hold yet, and open it.

    Each worker thread decodes an image and runs the network on one core, so decoding and computing overlap, and with
    `batch=1` a row depends on its image and trunk alone: the same bytes, however many threads there are.

    Args:
        trunk: on the device where it is to run.
        images: image id → prepared file, 8-bit grey.
        folder: of the bank; made if it is not there.
        flips: 2 (as it is, mirrored) or 4 (`FOUR_FLIPS`) of each image.
        maps: keep maps (`osteon.learn.maps`) instead of pooled features; the images are then all of one size.
        strides: of the maps.
        batch: images a forward pass; 1 is the fastest on a CPU, more feeds a GPU.
        threads: worker threads; 0 takes as many as torch would use.
        progress: told of images done.

    Raises:
        TooFewCases: if there are no images.
        Mismatch: if the bank holds features of another trunk or another number of flips, or the trunk's weights are
            not those of its digest; with maps, also for a backbone without them.
        BadTable: if maps are asked for of images of different sizes.
        UnreadableImage: for a file that cannot be decoded.
        CannotWrite: if the disk is full; what the bank held before is as it was.
    """
    if not images:
        raise TooFewCases("there are no images to compute features of", remedy="check the prepared folder")
    if weights.digest_of(trunk.net.state_dict()) != trunk.spec.digest:
        raise Mismatch(f"the weights of {trunk.spec} were changed", remedy="call trunk.mark_trained before extract")
    shape = _map_shape(trunk, strides, next(iter(images.values()))) if maps else None
    held = begin(folder, trunk, flips, shape, strides)
    workers = threads or torch.get_num_threads()
    ready = fused(trunk)
    done, pending, computed = 0, list[Row](), 0
    with one_core_each(), ThreadPoolExecutor(workers) as pool, appending(folder) as append:
        groups = _groups(images, held.content, batch)
        for count, rows in _in_order(pool, ready, groups, _Wanted(flips, shape, strides), ahead=2 * workers):
            pending += rows
            computed += len(rows)
            done += count
            if len(pending) >= ROWS_A_WRITE:
                append(pending)
                pending = []
            progress(done, len(images))
        append(pending)
    return replace(FeatureBank.open(folder), computed=computed, reused=len(images) - computed)


@dataclass(frozen=True)
class _Wanted:
    """What a row is to hold: flips, and the shape (c, h, w) of their maps at some strides, or pooled features."""

    flips: int
    maps: tuple[int, int, int] | None
    strides: tuple[int, ...]


_Task = tuple[str, Path, str]  # image, file, SHA-256 of the file that the bank's row was computed from


def _groups(images: Mapping[str, Path], held: Mapping[str, str], batch: int) -> Iterator[list[_Task]]:
    tasks = ((image, path, held.get(image, "")) for image, path in images.items())
    while group := list(islice(tasks, batch)):
        yield group


def _in_order(
    pool: ThreadPoolExecutor, trunk: Trunk, groups: Iterator[list[_Task]], wanted: _Wanted, *, ahead: int
) -> Iterator[tuple[int, list[Row]]]:
    """Group by group, how many images it had and the rows that were stale; at most `ahead` groups under way."""
    waiting: deque[Future[tuple[int, list[Row]]]] = deque()
    for group in groups:
        waiting.append(pool.submit(_rows_of, trunk, group, wanted))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _rows_of(trunk: Trunk, group: list[_Task], wanted: _Wanted) -> tuple[int, list[Row]]:
    named, pixels = [], []
    for image, path, held in group:
        encoded = files.must_exist(path, remedy="run `osteon prepare` again").read_bytes()
        content = hashlib.sha256(encoded).hexdigest()
        if content != held:
            named.append((image, content))
            pixels.append(decoded(encoded, path))
    alike = len({p.shape for p in pixels}) == 1
    batches = [pixels] if alike else [[p] for p in pixels]
    values = [row for one in batches for row in _values(trunk, np.stack(one), wanted)]
    if any(row.shape[1:] != wanted.maps for row in values if wanted.maps):
        raise BadTable(
            f"{group[0][1].name} is of another size than the first image",
            remedy="prepare the images with a recipe that ends in one size",
        )
    return len(group), [Row(image, content, v) for (image, content), v in zip(named, values, strict=True)]


def _values(trunk: Trunk, pixels: NDArray[np.uint8], wanted: _Wanted) -> NDArray[np.floating]:
    if wanted.maps is None:
        return features_of(trunk, pixels, wanted.flips)
    return _of_flips(trunk, pixels, wanted.flips, lambda grey: maps_of(trunk, grey, wanted.strides)).astype(np.float16)


def _map_shape(trunk: Trunk, strides: tuple[int, ...], first: Path) -> tuple[int, int, int]:
    pixels = decoded(files.must_exist(first, remedy="run `osteon prepare` again").read_bytes(), first)
    with torch.inference_mode():
        c, h, w = maps_of(trunk, torch.zeros(1, 1, *pixels.shape, device=trunk.mean.device), strides).shape[1:]
    return c, h, w


def features_of(trunk: Trunk, pixels: NDArray[np.uint8], flips: int = FLIPS) -> NDArray[np.float32]:
    """Features (n, flips, 2d) of prepared images (n, height, width) uint8.

    The second axis is: as it is; left and right exchanged; and with four flips, top and bottom exchanged; both.

    Raises:
        ValueError: if `flips` is neither 2 nor 4.
    """
    return _of_flips(trunk, pixels, flips, lambda grey: pooled(trunk(grey)))


def _of_flips(
    trunk: Trunk, pixels: NDArray[np.uint8], flips: int, read: Callable[[Tensor], Tensor]
) -> NDArray[np.float32]:
    if flips not in (FLIPS, FOUR_FLIPS):
        raise ValueError(f"a bank holds 2 or 4 flips of each image, not {flips}")
    device = next(trunk.parameters()).device
    with torch.inference_mode():
        grey = torch.from_numpy(pixels).to(device)[:, None].float() / 255.0
        each = torch.stack([read(grey.flip(axes)) for axes in _EXCHANGED[:flips]], dim=1)
    return each.cpu().numpy()


@contextmanager
def one_core_each() -> Iterator[None]:
    """Inside, a new thread's torch operations run on that thread alone: this scales better than sharing one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
