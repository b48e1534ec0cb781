"""Training one network: one loop, top to bottom, that a kill interrupts and a second call finishes, bit for bit.

What is trained, for what and how are values: a `Network`, an `Objective` (one question or eighteen labels), an
`Optimiser`, and what else `TrainOptions` lists; the loop asks none of them of what kind it is. accelerate places the
network and averages gradients over processes. Settings of the optimiser and random numbers follow from the step, the
epoch and the seed, so no checkpoint needs to hold them.
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
from numpy.typing import NDArray

from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.learn import together
from osteon.learn.augmentation import Augmentation
from osteon.learn.averaging import Averaging
from osteon.learn.batches import Batches, generator_of
from osteon.learn.checkpoints import Moving, Run, resume, save
from osteon.learn.decoded import Images
from osteon.learn.heads import Network
from osteon.learn.logs import LOG, StepLog
from osteon.learn.objectives import BINARY, Epoch, Objective
from osteon.learn.optimisers import AdamW, Optimiser
from osteon.learn.samplers import Sampler, Shuffled
from osteon.learn.scoring import OWN, Scoring, scores
from osteon.learn.thawing import Thawing
from osteon.learn.weights import digest_of
from osteon.types import Progress, silent

CHECKPOINT = "checkpoint.safetensors"
"""The file's name."""

N = TypeVar("N", bound=Network)


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        epochs: times that the training images are shown, at most.
        batch: images per step, over all processes together.
        optimiser: how the weights follow the gradient.
        objective: the loss, and what is noted and chosen by after every epoch.
        bf16: compute the forward pass in bfloat16 where the device can.
        augmentation: how far training images are moved.
        sampler: which of them an epoch shows.
        thawing: which part of the network trains from which epoch on.
        averaging: which weights are judged and kept: those in training, or their moving average.
        scoring: how a held-out image comes to its score.
        patience: epochs without a better one after which training ends early.
    """

    epochs: int = 20
    batch: int = 32
    optimiser: Optimiser = field(default_factory=AdamW)
    objective: Objective = BINARY
    bf16: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    sampler: Sampler = field(default_factory=Shuffled)
    thawing: Thawing = field(default_factory=Thawing)
    averaging: Averaging = field(default_factory=Averaging)
    scoring: Scoring = OWN
    patience: float = math.inf

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not self.patience >= 1:
            raise ValueError(f"epochs, batch and patience are 1 or more, not {self}")

    def batches(self, pixels: Images, rows: NDArray[np.intp], target: NDArray[np.float32]) -> Batches:
        """The batches of `rows` (n,) of the decoded images, with targets (n,) or (n, k), as these options make them."""
        return Batches(pixels, rows, target, self.batch, self.augmentation, self.sampler)

    def ends(self, run: Run) -> bool:
        """Whether a run that came this far is done."""
        return len(run.epochs) >= self.epochs or run.waited >= self.patience


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
    scoring: Scoring  # by which it was chosen, and is to be used


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
    number of threads they are equal to the bit. Processes that torchrun started train one network together, each on
    its share of every batch, and all return it; the first one writes.

    Args:
        network: is trained in place, as far as its parameters ask for a gradient.
        training: its images, as `options.batches` makes them, with targets as the objective takes them.
        held_out: no patient of theirs may be in `training`.
        options: how to train, and for what.
        folder: gets the checkpoint and the log of all steps; all processes must see it.
        seed: of the order, the augmentation and dropout.
        progress: called with the batches done and their number over all epochs.

    Raises:
        TooFewCases: if the training images are of one class (in every column), none are held out, or a batch has fewer
            images than there are processes.
        UnknownName: if the network has no part that `options.thawing` names.
        Mismatch: if `folder` holds a checkpoint of another run, the device cannot compute in bfloat16, or there are
            fewer GPUs than processes.
        Diverged: if the loss is no longer a number; the checkpoint of the epoch before is kept.
        CannotWrite: if the disk is full.
    """
    _check_cases(training, held_out, options)
    options.thawing.check(network)
    accelerator = together.join(freezes=options.thawing.freezes)
    process, processes = accelerator.process_index, accelerator.num_processes
    together.check_shares(training.sampler.drawn(training.target), len(training), processes)
    device, objective = accelerator.device, options.objective
    _check_device(device, options)
    configuration = _configuration(network, training, held_out, options, seed)
    # Convolutions are computed with channels last: a step on processors takes 0.6 to 0.9 times as long.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's own hints leave this call out
    placed = accelerator.prepare(network)
    judged, optimizer = options.averaging.start(network), options.optimiser.start(network)
    moving = Moving(network, judged, optimizer)
    run = resume(folder / CHECKPOINT, configuration, moving)
    steps = options.epochs * len(training)
    # On processors, a thread beside the network slows it: a step takes 1.1 to 1.2 times as long.
    ahead = device.type != "cpu"
    log = StepLog(folder / LOG, len(run.epochs) * len(training))

    while not options.ends(run):
        epoch, noted, seen, wanted = len(run.epochs), [], [], []
        batches = training.epoch(epoch, seed=seed, share=(process, processes), ahead=ahead)
        with options.thawing.training(network, epoch, options.batch // processes), _numbers(seed, epoch, process):
            for number, (images, target) in enumerate(batches):
                step = epoch * len(training) + number
                progress(step, steps)
                for group in optimizer.param_groups:
                    group.update(options.optimiser.at(step, steps))
                with torch.autocast(device.type, torch.bfloat16, enabled=options.bf16):
                    logits = placed(images.to(device))
                loss = objective.loss(logits.float(), target.to(device)) * together.weight(accelerator, len(target))
                seen.append(logits.detach().double().cpu())
                wanted.append(target)
                mean = accelerator.reduce(loss.detach(), "mean").item()
                if not math.isfinite(mean):
                    raise _diverged(f"in epoch {epoch + 1}, batch {number + 1}", folder, run)
                accelerator.backward(loss)
                norm = accelerator.clip_grad_norm_(network.parameters(), options.optimiser.longest_gradient)
                optimizer.step()
                optimizer.zero_grad()
                options.averaging.follow(judged, network, step)
                noted.append((epoch + 1, step + 1, optimizer.param_groups[0]["lr"], mean, norm))
        together.share_statistics(network, judged)
        unseen = together.agreed(scores(judged, held_out.pixels, held_out.rows, options.batch, options.scoring))
        losses, known = [mean for *_, mean, _ in noted], (together.gathered(seen), together.gathered(wanted))
        done = objective.judge(losses, known, (unseen, held_out.target)) if np.isfinite(unseen).all() else None
        if done is None or not math.isfinite(done.held_out):
            raise _diverged(f"on the held-out images after epoch {epoch + 1}", folder, run)
        run.add(done, judged, objective)
        if accelerator.is_main_process:
            log.add(noted)  # first, because lines that no checkpoint knows are dropped when the run goes on
            save(folder / CHECKPOINT, run, moving, finished=options.ends(run))
        accelerator.wait_for_everyone()
    progress(steps, steps)
    network.load_state_dict(run.best_weights)
    network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # as it came, for whoever saves it
    network.eval()
    return Fitted(network, tuple(run.epochs), run.best, options.scoring)


def part_of(progress: Progress, number: int, runs: int) -> Progress:
    """The progress of the run of this number, 0-based, told in thousandths of all runs."""

    def report(done: int, total: int) -> None:
        progress(1000 * number + 1000 * done // total, 1000 * runs)

    return report


@contextmanager
def _numbers(seed: int, epoch: int, process: int) -> Iterator[None]:
    """Dropout draws from torch's global generator: give it the epoch's numbers, and give it back as it was."""
    with torch.random.fork_rng([torch.cuda.current_device()] if torch.cuda.is_available() else []):
        torch.manual_seed(generator_of(seed, epoch).initial_seed() + process)  # other units in every process's images
        yield


def _check_cases(training: Batches, held_out: HeldOut, options: TrainOptions) -> None:
    made_by = (training.size, training.augmentation, training.sampler)
    if made_by != (options.batch, options.augmentation, options.sampler):
        raise ValueError("the batches are not those of the options: make them with options.batches")
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
