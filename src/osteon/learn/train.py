"""Fine-tuning one network: one loop, top to bottom, that a kill interrupts and a second call finishes, bit for bit.

accelerate places the network and its batches and averages gradients over processes; everything else is in sight here.
Learning rate and random numbers follow from the step, the epoch and the seed, so no checkpoint needs to hold them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.learn.batches import Augmentation, Batches, Images, as_input, generator_of
from osteon.learn.checkpoints import Epoch, Run, resume, save
from osteon.learn.heads import Classifier
from osteon.learn.weights import digest_of
from osteon.types import Progress, silent

CHECKPOINT = "checkpoint.safetensors"

SMALL_BATCH = 16
"""Below this batch size the statistics of a batch are too noisy: batch normalisation then keeps those it came with."""

LONGEST_GRADIENT = 1.0
"""Gradients longer than this are shortened to it, so that one odd batch cannot throw the weights far."""


@dataclass(frozen=True)
class TrainOptions:
    """How to fine-tune.

    Attributes:
        epochs: times that every training image is shown.
        batch: images per step, over all processes together.
        learning_rate: largest step size of AdamW (Loshchilov and Hutter 2019).
        weight_decay: its decay; the bias and the normalisation layers are spared.
        warm_up: share of the steps in which the learning rate rises; it then falls along half a cosine to zero.
        bf16: compute the forward pass in bfloat16 where the device can.
        augmentation: how far training images are moved.
    """

    epochs: int = 20
    batch: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 0.01
    warm_up: float = 0.1
    bf16: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1:
            raise ValueError(f"epochs and batch are 1 or more, not {self.epochs} and {self.batch}")
        if not (self.learning_rate > 0 and self.weight_decay >= 0 and 0 <= self.warm_up < 1):
            raise ValueError(f"learning_rate > 0, weight_decay ≥ 0 and 0 ≤ warm_up < 1, not {self}")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Images that choose the epoch: `rows` (n,) of the decoded `pixels`, with targets (n,) 0 or 1."""

    pixels: Images
    rows: NDArray[np.intp]
    target: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fine-tuned network, in evaluation mode with the weights of its best epoch, and how it came there."""

    classifier: Classifier
    epochs: tuple[Epoch, ...]
    best: int  # 0-based epoch of the least held-out loss


def fit(
    classifier: Classifier,
    training: Batches,
    held_out: HeldOut,
    options: TrainOptions,
    folder: Path,
    *,
    seed: int,
    progress: Progress = silent,
) -> Fitted:
    """Fine-tune a classifier, trunk and head, and keep the epoch that was best on the held-out images.

    If `folder` holds a checkpoint of the same run, it goes on from there to the same weights; on a CPU with the same
    number of threads they are equal to the bit.

    Args:
        classifier: is trained in place.
        training: its images.
        held_out: no patient of theirs may be in `training`.
        options: how to train.
        folder: gets the checkpoint.
        seed: of the order, the augmentation and dropout.
        progress: called with the batches done and their number over all epochs.

    Raises:
        TooFewCases: if the training images are of one class, or none are held out.
        Mismatch: if `folder` holds a checkpoint of another run, or the device cannot compute in bfloat16.
        Diverged: if the loss is no longer a number; the checkpoint of the epoch before is kept.
        CannotWrite: if the disk is full.
    """
    if not 0 < training.target.sum() < len(training.target):
        raise TooFewCases(
            f"all {len(training.target)} training images are of one class", remedy="label more, or use fewer folds"
        )
    if not len(held_out.rows):
        raise TooFewCases("no images are held out to choose the epoch on", remedy="hold out a patient of each class")
    accelerator = Accelerator()
    _check_device(accelerator.device, options)
    optimizer = torch.optim.AdamW(_parameter_groups(classifier, options.weight_decay), lr=options.learning_rate)
    configuration = _configuration(classifier, training, held_out, options, seed)
    network = accelerator.prepare(classifier)
    run = resume(folder / CHECKPOINT, configuration, classifier, optimizer)
    optimizer = accelerator.prepare(optimizer)
    steps = options.epochs * len(training)
    share = (accelerator.process_index, accelerator.num_processes)

    for epoch in range(len(run.epochs), options.epochs):
        _training_mode(network, options.batch // share[1])
        losses = []
        with _random_numbers(seed, epoch):
            for number, (images, target) in enumerate(training.epoch(epoch, seed=seed, share=share)):
                step = epoch * len(training) + number
                progress(step, steps)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, steps, options)
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=options.bf16):
                    logits = network(images.to(accelerator.device))
                loss = cross_entropy(logits.float(), target.to(accelerator.device))
                losses.append(loss.item())
                if not math.isfinite(losses[-1]):
                    raise _diverged(f"in epoch {epoch + 1}, batch {number + 1}", folder, run)
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(network.parameters(), LONGEST_GRADIENT)
                optimizer.step()
                optimizer.zero_grad()
        unseen = log_loss(scores(classifier, held_out.pixels, held_out.rows, options.batch), held_out.target)
        if not math.isfinite(unseen):
            raise _diverged(f"on the held-out images after epoch {epoch + 1}", folder, run)
        run.add(Epoch(training=float(np.mean(losses)), held_out=unseen), classifier)
        if accelerator.is_main_process:
            save(folder / CHECKPOINT, run, classifier, optimizer.optimizer)
        accelerator.wait_for_everyone()
    progress(steps, steps)
    classifier.load_state_dict(run.best_weights)
    return Fitted(classifier.eval(), tuple(run.epochs), run.best)


def learning_rate(step: int, steps: int, options: TrainOptions) -> float:
    """The learning rate of a step, 0-based: a linear rise over the warm-up, then half a cosine down to nearly zero."""
    rise = options.warm_up * steps
    if step < rise:
        return options.learning_rate * (step + 1) / (math.floor(rise) + 1)
    return options.learning_rate * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2


def scores(classifier: Classifier, pixels: Images, rows: NDArray[np.intp], batch: int = 32) -> NDArray[np.float64]:
    """Scores (n,) of `rows` (n,) of the decoded images: the mean logit over both flips, in evaluation mode."""
    was_training = classifier.training
    classifier.eval()
    device = next(classifier.parameters()).device
    found = np.empty(len(rows))
    with torch.inference_mode():
        for start in range(0, len(rows), batch):
            part = slice(start, start + batch)
            found[part] = classifier.score(as_input(pixels[rows[part]]).to(device)).double().cpu().numpy()
    classifier.train(was_training)
    return found


def log_loss(score: NDArray[np.float64], target: NDArray[np.floating]) -> float:
    """Mean log loss of scores (n,), taken as log odds, against targets (n,) 0 or 1."""
    return float(np.mean(np.logaddexp(0, score) - target * score))


def _parameter_groups(classifier: Classifier, weight_decay: float) -> list[dict[str, Any]]:
    # Scales and offsets are not shrunk: towards zero is no simpler network for them.
    parameters = [p for p in classifier.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


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


def _check_device(device: torch.device, options: TrainOptions) -> None:
    if options.bf16 and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise Mismatch("this device does not compute in bfloat16", remedy="train without bf16")


def _configuration(
    classifier: Classifier, training: Batches, held_out: HeldOut, options: TrainOptions, seed: int
) -> dict[str, Any]:
    """What must be the same for a checkpoint to be gone on from."""
    unseen = Batches(held_out.pixels, held_out.rows, held_out.target)
    return {
        "network": [classifier.trunk.spec.name, digest_of(classifier.state_dict())],
        "options": asdict(options),
        "seed": seed,
        "training": training.digest(),
        "held_out": unseen.digest(),
    }


def _diverged(where: str, folder: Path, run: Run) -> Diverged:
    kept = f"; the checkpoint of epoch {len(run.epochs)} in {folder} is kept" if run.epochs else ""
    return Diverged(
        f"the loss is no number any more {where}{kept}", remedy="train with a smaller learning rate, in a new folder"
    )
