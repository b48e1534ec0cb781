"""Processes that train one network together: what starts them, and what they must agree on.

torchrun starts them and says in their environment which of them each one is; accelerate makes a group of them. One
process alone is a group as well, in which everybody agrees.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedDataParallelKwargs, broadcast, broadcast_object_list, gather_object
from numpy.typing import NDArray
from torch import nn

from osteon.errors import Mismatch, TooFewCases

T = TypeVar("T")


def join(*, freezes: bool) -> Accelerator:
    """The group of processes that torchrun started, or this one alone.

    Args:
        freezes: parts of the network have no gradient in some steps, so that their gradients must not be waited for.

    Raises:
        Mismatch: if this machine has fewer GPUs than processes, or something has made another group before.
    """
    devices = torch.cuda.device_count()
    check_devices(_told("LOCAL_WORLD_SIZE"), devices)
    wanted = _told("WORLD_SIZE")
    kinds = [DistributedDataParallelKwargs(find_unused_parameters=freezes)]
    # On a machine without GPUs accelerate makes no group unless it is asked for the CPU.
    accelerator = Accelerator(cpu=wanted > 1 and not devices, kwargs_handlers=kinds)
    if accelerator.num_processes != wanted:
        raise Mismatch(
            f"torchrun started {wanted} processes, and accelerate has made a group of {accelerator.num_processes}",
            remedy="let training be the first to use accelerate, or set ACCELERATE_USE_CPU=true if there are no GPUs",
        )
    return accelerator


@contextmanager
def first() -> Iterator[None]:
    """What is inside the first process does before the others, who then find its files."""
    join(freezes=False)
    with PartialState().main_process_first():
        yield


def check_devices(processes: int, devices: int) -> None:
    """Look whether every process of this machine gets a GPU of its own; without any, all compute on the CPU.

    Raises:
        Mismatch: if there are fewer GPUs than processes.
    """
    if 0 < devices < processes:
        raise Mismatch(
            f"{processes} processes were started on a machine with {devices} GPU{'s' * (devices > 1)}",
            remedy=f"start {devices}: torchrun --nproc-per-node {devices}",
        )


def check_shares(shown: int, batches: int, processes: int) -> None:
    """Look whether every process gets an image of every batch.

    Args:
        shown: images in an epoch.
        batches: of nearly equal size, in an epoch.
        processes: that share each batch.

    Raises:
        TooFewCases: if a batch has fewer images than there are processes.
    """
    if shown // batches < processes:
        raise TooFewCases(
            f"batches of {shown // batches} images cannot be shared among {processes} processes",
            remedy="use larger batches, or fewer processes",
        )


def weight(accelerator: Accelerator, images: int) -> float:
    """What the mean loss of this process's images weighs in the mean over processes: every image counts alike."""
    if accelerator.num_processes == 1:
        return 1.0
    mean = accelerator.reduce(torch.tensor(float(images), device=accelerator.device), "mean")
    return images / float(mean)


def gathered(parts: Iterable[torch.Tensor]) -> NDArray[Any]:
    """The tensors (b, …) of all processes, one after the other, as one array (n, …)."""
    return np.concatenate(gather_object([torch.cat(list(parts)).numpy()]))


def agreed(value: T) -> T:
    """The first process's value: what GPUs compute may differ in the last digit, and all must choose alike."""
    (first,) = broadcast_object_list([value])
    return cast(T, first)


def share_statistics(*networks: nn.Module) -> None:
    """Give all processes the first one's buffers; each has seen other images, and weights alone are kept equal."""
    for network in networks:
        for buffer in network.buffers():
            broadcast(buffer)


def _told(name: str) -> int:
    return int(os.environ.get(name, "1"))
