"""Fine-tuning over all folds: the same predictions table, floors and final model as from frozen features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.splits import SEALED, split
from osteon.evaluate.calibration import fit_platt
from osteon.evaluate.thresholds import choose
from osteon.learn import together
from osteon.learn.decoded import Images, decode_named, forget
from osteon.learn.floors import floors
from osteon.learn.heads import Classifier
from osteon.learn.nested import REGULARISATIONS, UNUSED, Layout, as_predictions, lay_out
from osteon.learn.objectives import Epoch
from osteon.learn.scoring import BOTH, OWN, scores
from osteon.learn.train import HeldOut, TrainOptions, fit, part_of
from osteon.types import Calibration, Progress, silent

HELD_OUT = 5
"""One part in so many of the patients of a training part chooses the epoch and calibrates."""


@dataclass(frozen=True, eq=False)
class FineTuning:
    """What the folds said, and the network fine-tuned on all of them.

    Attributes:
        predictions: rows of the model and of the floors, as in `crossval.CrossValidation`.
        classifier: the final network, its trunk marked as trained.
        calibration: from its scores to probabilities, fitted on the images held out of its training.
        thresholds: operating point → cut-off on the calibrated out-of-fold probabilities.
        epochs: what each fold's epochs came to, in order, and of the final network's last.
        notes: model name → what its reader should know.
    """

    predictions: pd.DataFrame
    classifier: Classifier
    calibration: Calibration
    thresholds: dict[str, float]
    epochs: tuple[tuple[Epoch, ...], ...]
    notes: dict[str, str]


def fine_tune(
    manifest: pd.DataFrame,
    images: Mapping[str, Path],
    fresh: Callable[[], Classifier],
    options: TrainOptions,
    folder: Path,
    *,
    seed: int,
    model: str = "model",
    regularisations: Sequence[float] = REGULARISATIONS,
    cache: Path | None = None,
    progress: Progress = silent,
) -> FineTuning:
    """Fine-tune one network per fold and one on all folds, beside the floors.

    Within each fold, one in five patients of its training part is held out: their images choose the epoch and fit the
    Platt scaling, the others train. The final network is made in the same manner from all labelled images. A call that
    was cut off goes on, when repeated, from the checkpoints in `folder`. Processes that torchrun started share every
    batch, and all come to the same result; the caller writes it in one of them.

    Args:
        manifest: with the columns group and fold, as `osteon split` wrote it.
        images: image id → prepared PNG.
        fresh: makes the network to start from, the same each time.
        options: how to train; scored as a `Classifier` scores itself, over the image and its mirror image.
        folder: gets a checkpoint and a log per fold.
        seed: of the held-out patients, the order, the augmentation and dropout.
        model: its name in the predictions table.
        regularisations: C for the floors to choose from.
        cache: keeps the decoded images for other runs on the same ones; None decodes into `folder`, and removes them at
            the end.
        progress: called with the thousandths of all runs done and their number.

    Raises:
        TooFewCases: for fewer than three folds, or too few patients of a class in a training part.
        NotFound, UnreadableImage, BadTable: for a prepared image that is not there, does not decode or is of another
            size than the others, before training starts.
        Mismatch, Diverged, CannotWrite: as `train.fit`.
    """
    if options.scoring not in (OWN, BOTH):
        raise ValueError(f"a classifier is calibrated and read by {BOTH.name}, not by {options.scoring.name}")
    layout = lay_out(manifest)
    with together.first():
        pixels, place = _decoded(manifest, images, layout, cache or folder)
    target = layout.target.astype(np.float32)
    beside = floors(manifest, images, regularisations=regularisations)
    score, probability = np.full(len(manifest), np.nan), np.full(len(manifest), np.nan)
    epochs, best = [], []
    for number, fold in enumerate([*layout.folds, SEALED]):  # without the sealed part: the final model, on all folds
        rows = layout.training[layout.left_out.index(() if fold == SEALED else (fold,))]
        held_out = _held_out(manifest, rows, seed)
        fitted = fit(
            fresh(),
            options.batches(pixels, place[rows & ~held_out], target[rows & ~held_out]),
            HeldOut(pixels, place[held_out], target[held_out]),
            options,
            folder / ("final" if fold == SEALED else f"fold-{fold}"),
            seed=seed,
            progress=part_of(progress, number, len(layout.folds) + 1),
        )
        own = layout.fold == fold
        calibration = fit_platt(scores(fitted.network, pixels, place[held_out]), layout.target[held_out])
        score[own] = scores(fitted.network, pixels, place[own])
        probability[own] = calibration(score[own])
        epochs.append(fitted.epochs)
        best.append(fitted.best + 1)
    final = fitted.network
    final.trunk.mark_trained(f"fine-tuned, best of {len(epochs[-1])} epochs: {best[-1]}")
    if cache is None:
        forget(folder)
    labelled = layout.labelled
    return FineTuning(
        predictions=pd.concat(
            [as_predictions(model, manifest, layout, score, probability), beside.predictions], ignore_index=True
        ),
        classifier=final,
        calibration=calibration,
        thresholds=choose(probability[labelled], layout.target[labelled]),
        epochs=tuple(epochs),
        notes=beside.notes | {model: _said(best, epochs)},
    )


def _decoded(
    manifest: pd.DataFrame, images: Mapping[str, Path], layout: Layout, folder: Path
) -> tuple[Images, NDArray[np.intp]]:
    """The decoded images of all rows in use, and the place of each row among them (n,)."""
    used = layout.fold != UNUSED
    return decode_named(manifest["image"][used].tolist(), images, folder), np.cumsum(used) - 1


def _held_out(manifest: pd.DataFrame, rows: NDArray[np.bool_], seed: int) -> NDArray[np.bool_]:
    """(n,) whole groups among the training rows, with their share of each class."""
    inner = split(manifest[rows], folds=HELD_OUT, seed=seed, group_by="group")
    found = np.zeros(len(manifest), bool)
    found[np.flatnonzero(rows)] = inner["fold"].to_numpy(int) == 0
    return found


def _said(best: Sequence[int], epochs: Sequence[Sequence[Epoch]]) -> str:
    """Best of how many: one number, or, where some ended early, one for each."""
    lengths = {len(done) for done in epochs}
    each = [f"{b}" if len(lengths) == 1 else f"{b} of {len(done)}" for b, done in zip(best, epochs, strict=True)]
    shared = f" of {lengths.pop()}" if len(lengths) == 1 else ""
    return f"best{shared} epochs in the folds: {', '.join(each[:-1])}; for the final model: {each[-1]}"
