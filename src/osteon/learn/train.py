"""Training one network: one loop, top to bottom, that a kill interrupts and a second call finishes, bit for bit.

What is trained, for what and how are values: a `Network`, an `Objective` (one question or eighteen labels) and an
`Optimiser`. accelerate places the network and its batches and averages gradients over processes; everything else is in
sight here. Settings of the optimiser and random numbers follow from the step, the epoch and the seed, so no checkpoint
needs to hold them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.learn.batches import Augmentation, Batches, Images, as_input, generator_of
from osteon.learn.checkpoints import Run, resume, save
from osteon.learn.heads import Network
from osteon.learn.objectives import BINARY, Epoch, Objective
from osteon.learn.optimisers import AdamW, Optimiser
from osteon.learn.weights import digest_of
from osteon.types import Progress, silent

CHECKPOINT = "checkpoint.safetensors"

SMALL_BATCH = 16
"""Below this batch size the statistics of a batch are too noisy: batch normalisation then keeps those it came with."""

N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        epochs: times that every training image is shown.
        batch: images per step, over all processes together.
        optimiser: how the weights follow the gradient.
        objective: the loss, and what is noted and chosen by after every epoch.
        bf16: compute the forward pass in bfloat16 where the device can.
        augmentation: how far training images are moved.
    """

    epochs: int = 20
    batch: int = 32
    optimiser: Optimiser = field(default_factory=AdamW)
    objective: Objective = BINARY
    bf16: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"epochs and batch are 1 or more, not {self.epochs} and {self.batch}")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images that choose the epoch: `rows` (n,) of the decoded `pixels`, with targets (n,) or (n, k)."""

    pixels: Images
    rows: NDArray[np.intp]
    target: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fitted(Generic[N]):
    """A trained network, in evaluation mode with the weights of the epoch that was chosen, and how it came there."""

    network: N
    epochs: tuple[Epoch, ...]
    best: int  # 0-based epoch that the objective chose


def fit(
    network: N,
    training: Batches,
    held_out: HeldOut,
    options: TrainOptions,
    folder: Path,
    *,
    seed: int,
    progress: Progress = silent,
) -> Fitted[N]:
    """Train a network and keep the epoch that its objective chooses by the held-out images.

    If `folder` holds a checkpoint of the same run, it goes on from there to the same weights; on a CPU with the same
    number of threads they are equal to the bit.

    Args:
        network: is trained in place, as far as its parameters ask for a gradient.
        training: its images, with targets (n,) or (n, k) as the objective takes them.
        held_out: no patient of theirs may be in `training`.
        options: how to train, and for what.
        folder: gets the checkpoint.
        seed: of the order, the augmentation and dropout.
        progress: called with the batches done and their number over all epochs.

    Raises:
        TooFewCases: if the training images are of one class (in every column), or none are held out.
        Mismatch: if `folder` holds a checkpoint of another run, or the device cannot compute in bfloat16.
        Diverged: if the loss is no longer a number; the checkpoint of the epoch before is kept.
        CannotWrite: if the disk is full.
    """
    _check_cases(training, held_out)
    accelerator = Accelerator()
    _check_device(accelerator.device, options)
    objective = options.objective
    optimizer = options.optimiser.start(network)
    configuration = _configuration(network, training, held_out, options, seed)
    placed = accelerator.prepare(network)
    run = resume(folder / CHECKPOINT, configuration, network, optimizer)
    optimizer = accelerator.prepare(optimizer)
    steps = options.epochs * len(training)
    share = (accelerator.process_index, accelerator.num_processes)

    for epoch in range(len(run.epochs), options.epochs):
        _training_mode(placed, options.batch // share[1])
        losses, seen, wanted = [], [], []
        with _random_numbers(seed, epoch):
            for number, (images, target) in enumerate(training.epoch(epoch, seed=seed, share=share)):
                step = epoch * len(training) + number
                progress(step, steps)
                for group in optimizer.param_groups:
                    group.update(options.optimiser.at(step, steps))
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=options.bf16):
                    logits = placed(images.to(accelerator.device))
                loss = objective.loss(logits.float(), target.to(accelerator.device))
                losses.append(loss.item())
                seen.append(logits.detach().double().cpu())
                wanted.append(target)
                if not math.isfinite(losses[-1]):
                    raise _diverged(f"in epoch {epoch + 1}, batch {number + 1}", folder, run)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(placed.parameters(), options.optimiser.longest_gradient)
                optimizer.step()
                optimizer.zero_grad()
        unseen = scores(network, held_out.pixels, held_out.rows, options.batch)
        known = torch.cat(seen).numpy(), torch.cat(wanted).numpy()
        done = objective.judge(losses, known, (unseen, held_out.target))
        if not math.isfinite(done.held_out):
            raise _diverged(f"on the held-out images after epoch {epoch + 1}", folder, run)
        run.add(done, network, objective)
        if accelerator.is_main_process:
            last = epoch + 1 == options.epochs
            save(folder / CHECKPOINT, run, network, optimizer.optimizer, finished=last)
        accelerator.wait_for_everyone()
    progress(steps, steps)
    network.load_state_dict(run.best_weights)
    network.eval()
    return Fitted(network, tuple(run.epochs), run.best)


def scores(network: Network, pixels: Images, rows: NDArray[np.intp], batch: int = 32) -> NDArray[np.float64]:
    """Scores (n,) or (n, k) of `rows` (n,) of the decoded images: `network.score`, in evaluation mode."""
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            images = as_input(pixels[rows[start : start + batch]])
            parts.append(network.score(images.to(device)).double().cpu().numpy())
    network.train(was_training)
    return np.concatenate(parts) if parts else np.empty(0)


def part_of(progress: Progress, number: int, runs: int) -> Progress:
    """The progress of the run of this number, 0-based, told in thousandths of all runs."""

    def report(done: int, total: int) -> None:
        progress(1000 * number + 1000 * done // total, 1000 * runs)

    return report


def _training_mode(network: nn.Module, batch: int) -> None:
    network.train()
    if batch < SMALL_BATCH:
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


@contextmanager
def _random_numbers(seed: int, epoch: int) -> Iterator[None]:
    """Dropout draws from torch's global generator: give it the epoch's numbers, and give it back as it was."""
    devices = range(torch.cuda.device_count())
    with torch.random.fork_rng(devices):
        torch.manual_seed(generator_of(seed, epoch).initial_seed())
        yield


def _check_cases(training: Batches, held_out: HeldOut) -> None:
    if (training.target == training.target[0]).all():
        raise TooFewCases(
            f"all {len(training.target)} training images are of one class", remedy="label more, or use fewer folds"
        )
    if not len(held_out.rows):
        raise TooFewCases("no images are held out to choose the epoch on", remedy="hold out a patient of each class")


def _check_device(device: torch.device, options: TrainOptions) -> None:
    if options.bf16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise Mismatch("this device does not compute in bfloat16", remedy="train without bf16")


def _configuration(
    network: Network, training: Batches, held_out: HeldOut, options: TrainOptions, seed: int
) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on from."""
    unseen = Batches(held_out.pixels, held_out.rows, held_out.target)
    return {
        "network": [network.name, digest_of(network.state_dict())],
        "options": repr(options),  # with the kinds of optimiser and objective, and every number in full
        "seed": seed,
        "training": training.digest(),
        "held_out": unseen.digest(),
    }


def _diverged(where: str, folder: Path, run: Run) -> Diverged:
    kept = f"; the checkpoint of epoch {len(run.epochs)} in {folder} is kept" if run.epochs else ""
    return Diverged(
        f"the loss is no number any more {where}{kept}", remedy="train with a smaller learning rate, in a new folder"
    )
