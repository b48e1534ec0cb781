"""One training of the experiment, from its network to what it says of every image and of every hairline."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from osteon.evaluate.localisation import peak_of
from osteon.experiments.decid2021.arms import ACCURACY, Arm
from osteon.experiments.stages import Kept
from osteon.experiments.trunks import TrunkChoice
from osteon.explain.maps import grad_cam
from osteon.learn.backbones import Trunk
from osteon.learn.batches import Batches, as_input
from osteon.learn.decoded import Images, decode_named
from osteon.learn.heads import Classifier
from osteon.learn.logs import LOG, read_log
from osteon.learn.scoring import ALONE, scores
from osteon.learn.train import CHECKPOINT, Fitted, HeldOut, fit
from osteon.types import Progress

Rows = NDArray[np.intp]

TABLES = ("epochs", "steps", "layers")
"""Tables of a training: figures of every epoch, lines of every step, gradient of every layer."""

LOOKED_AT = 16
"""Images of the batch on which the gradients of layers are taken, of either class as many."""

JUDGED_AT_ONCE = 16
"""Images that are scored together."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Images in the form of an arm: their names in order, where they are, and where the decoded ones are kept."""

    names: tuple[str, ...]
    images: Mapping[str, Path]
    cache: Path

    def pixels(self) -> Images:
        """(n, h, w), memory-mapped."""
        return decode_named(self.names, self.images, self.cache)


@dataclass(frozen=True, eq=False)
class Training:
    """A training that can be handed to another process.

    Attributes:
        arm: which.
        open_trunk: gives the backbone of a choice.
        folder: of the checkpoint.
        shown: all n images of the cohort. hairlines: the probe; None if the arm is not asked about it.
        target: (n,) 0 or 1 of each.
        learnt, held_out, sealed: row numbers: learnt from, the study's validation set, and the test set.
        bf16: whether to train in bfloat16.
        seed: of the weights, the order and the augmentation.
        cost: relative to other arms.
    """

    arm: Arm
    open_trunk: Callable[[TrunkChoice], Trunk]
    folder: Path
    shown: Shown
    hairlines: Shown | None
    target: NDArray[np.float32]
    learnt: Rows
    held_out: Rows
    sealed: Rows
    bf16: bool
    seed: int
    cost: float

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.arm.name

    def __call__(self, progress: Progress) -> Kept:
        """Train, score, and look; what JSON holds, (n,) `scores`, (m,) `hairlines`, (n, 3) `peaks`, and the tables.

        A score is a logit of the image as it is. A peak is x, y and height of the highest point of the Grad-CAM map of
        a sealed image, NaN for the others.
        """
        pixels = self.shown.pixels()
        options = self.arm.options(self.bf16)
        batches = options.batches(pixels, self.learnt, self.target[self.learnt])
        held_out = HeldOut(pixels, self.held_out, self.target[self.held_out])
        layers = self._layers(self._network(pixels), pixels, "at the start") if self.arm.layers else []
        network, begun = self._network(pixels), (self.folder / CHECKPOINT).exists()
        origin, moments = str(network.trunk.spec), (network.trunk.spec.mean[0], network.trunk.spec.std[0])
        started = time.perf_counter()
        fitted = fit(network, batches, held_out, options, self.folder, seed=self.seed, progress=progress)
        seconds = time.perf_counter() - started
        if self.arm.layers:
            layers += self._layers(fitted.network, pixels, "at the end")
        asked = np.arange(len(self.target))
        told = {
            "weights": origin,
            "normalised by": moments,
            "seconds": None if begun else seconds,  # of a run that went on, this is the last leg alone
            "epoch": fitted.best + 1,
            "share": self._share_of_positives(batches),
            "learnt": len(self.learnt),
        }
        arrays = {
            "scores": scores(fitted.network, pixels, asked, JUDGED_AT_ONCE, ALONE),
            "hairlines": self._of_hairlines(fitted),
            "peaks": self._peaks(fitted.network, pixels),
        }
        tables = {"epochs": _epochs(fitted), "steps": read_log(self.folder / LOG), "layers": _as_table(layers)}
        return Kept(told, arrays, tables)

    def _network(self, pixels: Images) -> Classifier:
        """The network before training."""
        trunk = self.open_trunk(self.arm.trunk)
        if self.arm.normalised:
            trunk = _normalised(trunk, *moments_of(pixels, self.learnt), inverted=self.arm.inverted)
        return Classifier(trunk, form=self.arm.head, seed=self.seed)

    def _of_hairlines(self, fitted: Fitted[Classifier]) -> NDArray[np.float64]:
        if self.hairlines is None:
            return np.empty(0)
        pixels = self.hairlines.pixels()
        return scores(fitted.network, pixels, np.arange(len(pixels)), JUDGED_AT_ONCE, ALONE)

    def _peaks(self, network: Classifier, pixels: Images) -> NDArray[np.float64]:
        peaks = np.full((len(self.target), 3), np.nan)
        for row in self.sealed if self.arm.best else ():
            heat = grad_cam(network, np.array(pixels[row]), flips=False)
            found = peak_of(heat, (pixels.shape[1], pixels.shape[2]))
            peaks[row] = np.nan if found is None else found
        return peaks

    def _share_of_positives(self, batches: Batches) -> float:
        """The realised share of images of fractured studies over all epochs."""
        shown = [batches.target[batches.shown(epoch, seed=self.seed)] for epoch in range(self.arm.epochs)]
        return float(np.concatenate(shown).mean())

    def _layers(self, network: Classifier, pixels: Images, when: str) -> list[tuple[str, str, float]]:
        target = self.target[self.learnt]
        rows = np.concatenate([np.flatnonzero(target == kind)[: LOOKED_AT // 2] for kind in (0, 1)])
        images, wanted = as_input(pixels[self.learnt[rows]]), torch.from_numpy(target[rows])
        device = next(network.parameters()).device
        found = layer_gradients(network, images.to(device), wanted.to(device))
        return [(when, name, norm) for name, norm in found.items()]


def layer_gradients(network: nn.Module, images: torch.Tensor, target: torch.Tensor) -> dict[str, float]:
    """The Euclidean norm of the gradient of the weights of every convolution and linear layer, from the first on.

    The network is judged as in training, and left as it was.

    Args:
        network: images (n, 1, h, w) to logits (n,).
        images, target: a batch.
    """
    layers = {name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)}
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    training = network.training
    network.train()
    loss = binary_cross_entropy_with_logits(network(images), target)
    slopes = torch.autograd.grad(loss, [layer.weight for layer in layers.values()])
    network.load_state_dict(state)  # batch normalisation has looked at the batch
    network.train(training)
    return {name: float(slope.norm()) for name, slope in zip(layers, slopes, strict=True)}


def moments_of(pixels: Images, rows: Rows) -> tuple[float, float]:
    """Mean and standard deviation of the grey values, 0..1, of some images, one image at a time."""
    counts = np.zeros(256)
    for row in rows:
        counts += np.bincount(np.asarray(pixels[row]).ravel(), minlength=256)
    levels = np.arange(256) / 255
    mean = float(counts @ levels / counts.sum())
    return mean, float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))


def _normalised(trunk: Trunk, mean: float, sd: float, *, inverted: bool) -> Trunk:
    """The same trunk for images of this mean and deviation; half of them inverted, the mean is 0.5 (6.2.2.2)."""
    channels = len(trunk.spec.mean)
    level = 0.5 if inverted else mean
    return Trunk(trunk.net, replace(trunk.spec, mean=(level,) * channels, std=(sd,) * channels)).eval()


def _epochs(fitted: Fitted[Classifier]) -> pd.DataFrame:
    rows = [
        (number, epoch.training, epoch.held_out, *epoch.figures[ACCURACY])
        for number, epoch in enumerate(fitted.epochs, start=1)
    ]
    columns = ["epoch", "training_loss", "validation_loss", "training_accuracy", "validation_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def _as_table(layers: list[tuple[str, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(layers, columns=["when", "layer", "gradient"])
