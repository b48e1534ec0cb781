"""The workers of a search: each takes trials from the queue until all are settled, whoever settles them."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray

from osteon import files
from osteon.errors import Diverged, OsteonError
from osteon.learn.search.flat_heads import MEASURES, Examples, FittedHead, HeadOptions, fit_heads
from osteon.learn.search.journal import Queue, Task
from osteon.types import Fold, Progress, silent

CURVES = "curves"
"""Folder of the curves, one CSV file per trial."""

COLUMNS = ["trial", "fold", "epoch", *MEASURES]
"""Of the curves of a trial: the epoch is 1-based, the rest as in MEASURES."""

_PAUSE_S = 0.5
"""How often a worker without a trial looks whether one was put back."""


@dataclass(frozen=True, eq=False)
class Work:
    """What a worker is handed.

    Attributes:
        folder: of the queue and the curves.
        trials: the options of each.
        features: (n, flips, d). targets: (n, labels), 0 or 1. folds: of these n rows.
        seed: fold f of trial i takes (seed, i, f).
        pruner: is asked after every fold whether the trial is worth going on with.
    """

    folder: Path
    trials: tuple[HeadOptions, ...]
    features: NDArray[np.float32]
    targets: NDArray[np.float32]
    folds: tuple[Fold, ...]
    seed: int
    pruner: optuna.pruners.BasePruner | None = None


def work_off(work: Work, progress: Progress = silent) -> None:
    """Run waiting trials until all are settled; wait while others run the last ones, in case they die."""
    queue = Queue(work.folder)
    examples = Examples.of(work.features, work.targets)
    while (done := len(queue.outcomes())) < len(work.trials):
        progress(done, len(work.trials))
        task = queue.claim()
        if task is None:
            _while_the_parent_lives()
            time.sleep(_PAUSE_S)
            continue
        try:
            _run(work, examples, queue, task)
        finally:
            queue.release(task)
    progress(len(work.trials), len(work.trials))


def _run(work: Work, examples: Examples, queue: Queue, task: Task) -> None:
    options = work.trials[task.index]
    ready, heads = examples.in_precision(options.precision), list[FittedHead]()

    def beat(_: int, __: int) -> None:
        _while_the_parent_lives()
        task.beat()

    try:
        for fold in work.folds:
            heads += fit_heads(ready, [fold], options, seed=(work.seed, task.index), progress=beat)
            score = best_epoch(np.stack([head.curves for head in heads]))[1]
            if work.pruner is not None and queue.is_hopeless(task, len(heads), score, work.pruner):
                return queue.give_up(task, "pruned")
    except Diverged as error:
        return queue.give_up(task, error.message)
    # The curves come first: a trial that the journal calls done always has them.
    _write_curves(work.folder, task.index, work.folds, heads)
    return queue.finish(task, score)


@contextmanager
def helped(work: Work, helpers: int) -> Iterator[None]:
    """Inside, so many more processes work. One that fails leaves its trial to this one, which then says why."""
    context = multiprocessing.get_context("spawn")
    started = []
    try:
        for _ in range(helpers):
            helper = context.Process(target=_help, args=(work,), daemon=True)
            helper.start()
            started.append(helper)
        yield
    finally:
        for helper in started:
            helper.terminate()
            helper.join()


def _help(work: Work) -> None:
    try:
        work_off(work)
    except (OsteonError, KeyboardInterrupt):
        sys.exit(1)


def _while_the_parent_lives() -> None:
    """Ends a helper whose parent was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        sys.exit(1)


def best_epoch(curves: NDArray[np.float64]) -> tuple[int, float]:
    """The epoch (0-based) of the largest mean validation AUROC of all folds, the first of equals, and that mean.

    Args:
        curves: (folds, epochs, 4), columns MEASURES. An epoch that one fold has not reached has no mean.

    Raises:
        Diverged: if no epoch has one.
    """
    mean = curves[:, :, MEASURES.index("validation_auroc")].mean(axis=0)
    if np.isnan(mean).all():
        raise Diverged("no epoch has a validation AUROC in all folds", remedy="search smaller learning rates")
    best = int(np.nanargmax(mean))
    return best, float(mean[best])


def _write_curves(folder: Path, index: int, folds: Sequence[Fold], heads: Sequence[FittedHead]) -> None:
    frames = []
    for fold, head in zip(folds, heads, strict=True):
        frame = pd.DataFrame(head.curves, columns=MEASURES)
        frame.insert(0, "epoch", range(1, len(frame) + 1))
        frame.insert(0, "fold", fold.index)
        frame.insert(0, "trial", index)
        frames.append(frame)
    with files.replacing(_curves(folder, index)) as temporary:
        pd.concat(frames).to_csv(temporary, index=False, na_rep="nan")


def read_curves(folder: Path, index: int) -> pd.DataFrame:
    """The curves of a settled trial, columns COLUMNS: the very numbers that were measured.

    Raises:
        NotFound: if they are not there.
    """
    path = files.must_exist(_curves(folder, index), remedy="begin the search in a new folder")
    # pandas does not promise to read back the number that was written; numpy does.
    values = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
    return pd.DataFrame(values, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[:3], int))


def _curves(folder: Path, index: int) -> Path:
    return folder / CURVES / f"{index:04d}.csv"
