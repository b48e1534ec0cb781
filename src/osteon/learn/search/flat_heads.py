"""Hong's head on the features of a frozen backbone, fold by fold, without the backbone.

The head is Dense 1024, 512, 256 with ReLU and dropout, then one sigmoid per label (Hong 2023, listing 5), on the global
maximum of the backbone's maps. A frozen backbone says the same of the same pixels, so the features of an image's four
flips stand in for it: a random flip of both axes becomes a random choice among four rows of a feature bank.

Training is the study's: cross-entropy over all labels, Keras's first weights and Keras's Adam, and curves after every
epoch. On one machine the same seed gives the same figures to the last digit: everything runs on one thread and draws
from its own random numbers, so neither other work nor the order of the folds is of any account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.learn.objectives import log_loss, macro_auroc
from osteon.learn.search.flat_net import FlatHead, HeadOptions, Precision, dropout_masks
from osteon.learn.search.hong import HIDDEN, HongHead
from osteon.types import Fold, Progress, silent

__all__ = ["MEASURES", "Examples", "FittedHead", "HeadOptions", "fit_head", "fit_heads", "global_max"]

MEASURES = ("loss", "auroc", "validation_loss", "validation_auroc")
"""The columns of a fold's curves. The first two are of the training batches as they came, with dropout and flips."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images that heads learn from.

    Attributes:
        features: (n, flips, d) float32, or bfloat16 (`in_precision`).
        targets: (n, labels) float32, 0 or 1.
    """

    features: Tensor
    targets: Tensor

    @classmethod
    def of(cls, features: NDArray[np.floating], targets: NDArray[np.generic]) -> Examples:
        """From features (n, flips, d) and labels (n, labels).

        Raises:
            Mismatch: if they are not of the same images.
            Diverged: if a feature is no number.
            ValueError: if a label is neither 0 nor 1.
        """
        if features.ndim != 3 or targets.ndim != 2 or len(features) != len(targets):
            raise Mismatch(
                f"features of shape {features.shape} and labels of shape {targets.shape} do not belong together",
                remedy="pass features (n, flips, d) and labels (n, labels) of the same images",
            )
        if not np.isfinite(features).all():
            raise Diverged("the features hold values that are no numbers", remedy="compute the feature bank again")
        if not np.isin(targets, (0, 1)).all():
            raise ValueError("labels are 0 or 1")
        rows, labels = (np.ascontiguousarray(values, np.float32) for values in (features, targets))
        return cls(torch.from_numpy(rows), torch.from_numpy(labels))

    def in_precision(self, precision: Precision) -> Examples:
        """The same images with features of that type, which are not copied if they are of it already."""
        return Examples(self.features.to(getattr(torch, precision)), self.targets)


@dataclass(frozen=True, eq=False)
class FittedHead:
    """A head with the weights of its best epoch, and how it came there.

    Attributes:
        curves: (epochs, 4) float64, columns MEASURES; NaN from the epoch on whose loss was no number.
        best: 0-based epoch of the largest validation AUROC, the first of equals.
        layers: weight (out, in) and bias (out,) of each layer in turn, float32, after that epoch.
        logits: (m, labels) float32, of the validation rows after that epoch.
    """

    curves: NDArray[np.float64]
    best: int
    layers: tuple[NDArray[np.float32], ...]
    logits: NDArray[np.float32]

    def __call__(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Logits (n, labels) of features (n, d), in float32."""
        *hidden, (weight, bias) = zip(self.layers[::2], self.layers[1::2], strict=True)
        units = np.asarray(features, np.float32)
        for into, offset in hidden:
            units = np.maximum(units @ into.T + offset, 0)
        return np.asarray(units @ weight.T + bias)

    def module(self, dropout: float = 0.0) -> HongHead:
        """The same head as a module, in evaluation mode, to stand on its backbone.

        Raises:
            Mismatch: if its hidden layers are not Hong's.
        """
        if tuple(len(bias) for bias in self.layers[1:-1:2]) != HIDDEN:
            raise Mismatch(f"only a head of {HIDDEN} hidden units is Hong's", remedy="train it with those")
        with torch.random.fork_rng(devices=[]):
            head = HongHead(self.layers[0].shape[1], dropout=dropout, labels=len(self.layers[-1]))
        with torch.no_grad():
            for parameter, layer in zip(head.parameters(), self.layers, strict=True):
                parameter.copy_(torch.from_numpy(layer))
        return head.eval()


def global_max(pooled: NDArray[np.floating]) -> NDArray[np.floating]:
    """What Hong's head takes of the features (…, 2d) of a bank: the maximum over positions, (…, d)."""
    return pooled[..., pooled.shape[-1] // 2 :]


def fit_heads(
    examples: Examples, folds: Sequence[Fold], options: HeadOptions, *, seed: Sequence[int], progress: Progress = silent
) -> list[FittedHead]:
    """One head per fold.

    Args:
        examples: all images.
        folds: their rows, as `dataset.splits.folds_of` gives them.
        options: how to train.
        seed: a fold is fitted with the seed (*seed, fold.index), whatever other folds there are.
        progress: called with the epochs done and their number, over all folds.

    Raises:
        TooFewCases, Diverged: as `fit_head`.
    """
    ready, heads = examples.in_precision(options.precision), []
    for number, fold in enumerate(folds):

        def report(done: int, total: int, earlier: int = number) -> None:
            progress(earlier * total + done, len(folds) * total)

        heads.append(fit_head(ready, fold, options, seed=(*seed, fold.index), progress=report))
    return heads


def fit_head(
    examples: Examples, fold: Fold, options: HeadOptions, *, seed: Sequence[int], progress: Progress = silent
) -> FittedHead:
    """Train a head on the training rows of a fold and look at its validation rows after every epoch.

    Training rows are shuffled every epoch and each is shown in one of its flips; validation rows are shown as they are.

    Args:
        examples: of which only the rows of the fold are used.
        fold: the rows.
        options: how to train.
        seed: of weights, order, flips and dropout.
        progress: called with the epochs done and their number.

    Raises:
        TooFewCases: if a part of the fold is empty.
        Diverged: if not even the first epoch has a loss.
    """
    if not len(fold.train) or not len(fold.validation):
        raise TooFewCases(f"fold {fold.index} has an empty part", remedy="use fewer folds, or more cases")
    ready = examples.in_precision(options.precision)
    random = np.random.Generator(np.random.SFC64(np.random.SeedSequence(tuple(seed))))
    with _one_thread():
        head = FlatHead(ready.features.shape[2], ready.targets.shape[1], options, random)
        return _trained(head, ready, fold, options, random, progress)


def _trained(
    head: FlatHead,
    examples: Examples,
    fold: Fold,
    options: HeadOptions,
    random: np.random.Generator,
    progress: Progress,
) -> FittedHead:
    unseen = examples.features[torch.from_numpy(fold.validation), 0]
    unseen_target = examples.targets.numpy()[fold.validation].astype(float)
    room = _Room.of(examples, fold, options)
    curves, best, kept = np.full((options.epochs, len(MEASURES)), np.nan), -1, torch.empty(0)
    at_best = np.empty(0, np.float32)
    for epoch in range(options.epochs):
        order = random.permutation(fold.train)
        seen = _shown(head, examples, order, options, random, room)
        after = head.logits(unseen, [u[: len(unseen)] for u in room.units]).numpy()
        parts = ((seen.numpy(), examples.targets.numpy()[order].astype(float)), (after, unseen_target))
        if not all(np.isfinite(logits).all() for logits, _ in parts):
            break
        losses = [log_loss(logits.astype(float), target) for logits, target in parts]
        areas = [macro_auroc(logits.astype(float), target) for logits, target in parts]
        curves[epoch] = losses[0], areas[0], losses[1], areas[1]
        if best < 0 or areas[1] > curves[best, -1]:
            best, kept, at_best = epoch, head.vector.clone(), after
        progress(epoch + 1, options.epochs)
    if best < 0:
        raise Diverged(
            f"the loss is no number in the first epoch of fold {fold.index}",
            remedy="train with a smaller learning rate",
        )
    head.vector.copy_(kept)
    return FittedHead(curves, best, tuple(layer.numpy().copy() for layer in head.layers), at_best)


@dataclass(frozen=True, eq=False)
class _Room:
    """Memory that every step writes to anew: rows of a batch (b, d), units of its hidden layers (b, hidden)."""

    rows: Tensor
    units: list[Tensor]

    @classmethod
    def of(cls, examples: Examples, fold: Fold, options: HeadOptions) -> _Room:
        batch, like = min(options.batch, len(fold.train)), examples.features
        most = max(batch, len(fold.validation))
        return cls(like.new_empty(batch, like.shape[2]), [like.new_empty(most, size) for size in options.hidden])


def _shown(
    head: FlatHead,
    examples: Examples,
    order: NDArray[np.intp],
    options: HeadOptions,
    random: np.random.Generator,
    room: _Room,
) -> Tensor:
    """One epoch over the training rows, in their order (n,); the logits (n, labels) of each before its step."""
    flips = examples.features.shape[1]
    every = examples.features.flatten(0, 1)
    chosen = torch.from_numpy(order * flips + random.integers(0, flips, len(order)))
    targets = examples.targets[torch.from_numpy(order)]
    logits = []
    for start in range(0, len(order), options.batch):
        part = slice(start, start + options.batch)
        units = [u[: len(chosen[part])] for u in room.units]
        batch = torch.index_select(every, 0, chosen[part], out=room.rows[: len(chosen[part])])
        logits.append(head.step(batch, targets[part], units, dropout_masks(units, options.dropout, random)))
    return torch.cat(logits)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Inside, torch computes on the calling thread alone: a sum then does not depend on how many cores were free."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
