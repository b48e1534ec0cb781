"""The searches of Hong 2023: Regime I draws batch size and dropout, Regime II goes through a grid of Adam's settings.

Every trial is a cross-validation of Hong's head on the features of a frozen backbone; its score is the largest mean
validation AUROC of an epoch. Trial i takes its settings and all its random numbers from (seed, i), and all trials are
queued before the first one runs (`osteon.learn.search.journal`). So one worker or many, in one go or after a kill, give
the same curves to the last digit; only a pruner, which is off unless asked for, lets a result depend on the order.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from osteon import files
from osteon.errors import Diverged, Mismatch
from osteon.learn.search import journal
from osteon.learn.search.flat_heads import MEASURES, Examples, HeadOptions
from osteon.learn.search.workers import COLUMNS, Work, best_epoch, helped, read_curves, work_off
from osteon.types import Fold, Progress, silent

TRIALS, TOP = "trials.csv", "top.csv"

SETTINGS = ("batch", "dropout", "learning_rate", "epsilon")
"""What a search may vary."""

_MEASURED = ("auroc", "epoch", "lowest", "highest", "validation_loss")


LEARNING_RATES = tuple(10.0**-n for n in range(1, 5))
EPSILONS = tuple(10.0**-n for n in range(1, 9))
"""The grid of Regime II."""


@dataclass(frozen=True)
class Regime:
    """A list of trials.

    Attributes:
        name: for readers.
        trials: the options of each.
        space: setting → the range that it was drawn from.
    """

    name: str
    trials: tuple[HeadOptions, ...]
    space: Mapping[str, BaseDistribution]


def regime_one(*, seed: int, trials: int = 100, base: HeadOptions | None = None) -> Regime:
    """Random trials: batch size uniform in 16..2048, dropout uniform in 0..0.5 (Hong 2023, listing 6).

    Args:
        seed: trial i draws from (seed, i).
        trials: how many.
        base: all else.
    """
    drawn = []
    for index in range(trials):
        random = np.random.default_rng([seed, index])
        batch, dropout = int(random.integers(16, 2048, endpoint=True)), float(random.uniform(0, 0.5))
        drawn.append(replace(base or HeadOptions(), batch=batch, dropout=dropout))
    space = {"batch": IntDistribution(16, 2048), "dropout": FloatDistribution(0.0, 0.5)}
    return Regime("Regime I", tuple(drawn), space)


def regime_two(*, batch: int, dropout: float, base: HeadOptions | None = None) -> Regime:
    """The grid of 4 learning rates × 8 epsilons of Adam (Hong 2023, listing 7), learning rate by learning rate.

    Args:
        batch, dropout: those that Regime I chose.
        base: all else.
    """
    fixed = replace(base or HeadOptions(), batch=batch, dropout=dropout)
    grid = product(LEARNING_RATES, EPSILONS)
    space = {
        "learning_rate": FloatDistribution(LEARNING_RATES[-1], LEARNING_RATES[0], log=True),
        "epsilon": FloatDistribution(EPSILONS[-1], EPSILONS[0], log=True),
    }
    return Regime("Regime II", tuple(replace(fixed, learning_rate=rate, epsilon=small) for rate, small in grid), space)


@dataclass(frozen=True, eq=False)
class Searched:
    """A finished search.

    Attributes:
        regime: what was tried.
        trials: one row per trial: `trial`, the SETTINGS, `auroc` (the score, missing if the trial was given up),
            `epoch` (1-based, of that score), `lowest` and `highest` (of the folds at that epoch), `validation_loss`.
        curves: long: `trial`, `fold`, `epoch` (1-based) and MEASURES.
    """

    regime: Regime
    trials: pd.DataFrame
    curves: pd.DataFrame

    @property
    def best(self) -> int:
        """The trial of the largest score, the first of equals.

        Raises:
            Diverged: if no trial has a score.
        """
        scores = self.trials["auroc"].to_numpy(float)
        if np.isnan(scores).all():
            raise Diverged("no trial of the search has a score", remedy="search smaller learning rates")
        return int(self.trials["trial"].to_numpy()[np.nanargmax(scores)])

    @property
    def options(self) -> HeadOptions:
        """Those of the best trial."""
        return self.regime.trials[self.best]

    def top(self, count: int = 10) -> pd.DataFrame:
        """The trials of the largest scores, largest first."""
        return self.trials.sort_values(["auroc", "trial"], ascending=[False, True]).head(count).reset_index(drop=True)


def search(
    folder: Path,
    regime: Regime,
    examples: Examples,
    folds: Sequence[Fold],
    *,
    seed: int,
    workers: int = 1,
    pruner: optuna.pruners.BasePruner | None = None,
    progress: Progress = silent,
) -> Searched:
    """Run the trials of a regime that are not done yet, and return when all are, whoever did them.

    Start it in as many processes or on as many machines as there are, with the same arguments and one folder.

    Args:
        folder: gets the journal, `curves/` with one CSV per trial, `trials.csv`, and the ten best in `top.csv`.
        regime: what to try.
        examples: what may be seen; `fold_tables.visible` leaves the sealed rows out.
        folds: of the examples.
        seed: of the training; fold f of trial i takes (seed, i, f).
        workers: processes on this machine; with more than one, a script needs `if __name__ == "__main__":`.
        pruner: ends trials early after a fold, in an order-dependent manner; the study had none.
        progress: called with the trials done, by whomever, and their number.

    Raises:
        Mismatch: if the folder holds another search, or one of other images, folds or options.
        TooFewCases: if a fold is empty.
        CannotWrite: if the disk is full; finished trials are kept.
    """
    identity = {"regime": regime.name, "seed": seed, "trials": _digest_of_trials(regime)}
    identity |= {"images": _digest_of_images(examples), "folds": _digest_of_folds(folds), "pruner": repr(type(pruner))}
    settings = [{name: getattr(options, name) for name in regime.space} for options in regime.trials]
    journal.begin(folder, regime.name, settings, regime.space, identity)
    features, targets = examples.features.float().numpy(), examples.targets.numpy()
    work = Work(folder, regime.trials, features, targets, tuple(folds), seed, pruner)
    with helped(work, workers - 1):
        work_off(work, progress)
    return collect(folder, regime)


def collect(folder: Path, regime: Regime) -> Searched:
    """The results of the trials that are settled; `trials.csv` and `top.csv` are written anew from them.

    Raises:
        NotFound: if there is no search, or a settled trial has lost its curves.
        Mismatch: if the search has other trials.
    """
    queue, rows, curves = journal.Queue(folder), [], []
    if queue.identity["trials"] != _digest_of_trials(regime):
        raise Mismatch(f"{folder} holds another search (it differs in trials)", remedy="name the regime that it ran")
    for index, score in queue.outcomes().items():
        options = regime.trials[index]
        row: dict[str, Any] = {"trial": index} | {name: getattr(options, name) for name in SETTINGS}
        if score is not None:
            curves.append(read_curves(folder, index))
            row |= _summary(curves[-1])
        rows.append(row)
    trials = pd.DataFrame(rows, columns=["trial", *SETTINGS, *_MEASURED]).astype({"epoch": "Int64"})
    every = pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=COLUMNS)
    found = Searched(regime, trials, every)
    for name, table in ((TRIALS, trials), (TOP, found.top())):
        with files.replacing(folder / name) as temporary:
            table.to_csv(temporary, index=False)
    return found


def _summary(curve: pd.DataFrame) -> dict[str, Any]:
    """The measured columns of a trial's row, from its curves."""
    folds = curve["fold"].nunique()
    values = curve[list(MEASURES)].to_numpy(float).reshape(folds, -1, len(MEASURES))
    epoch, score = best_epoch(values)
    loss, auroc = (values[:, epoch, MEASURES.index(name)] for name in ("validation_loss", "validation_auroc"))
    spread = {"lowest": float(auroc.min()), "highest": float(auroc.max())}
    return {"auroc": score, "epoch": epoch + 1, **spread, "validation_loss": float(loss.mean())}


def _digest_of_trials(regime: Regime) -> str:
    return _digest(json.dumps([asdict(options) for options in regime.trials]).encode())


def _digest_of_folds(folds: Sequence[Fold]) -> str:
    parts = [(fold.index, fold.train.tolist(), fold.validation.tolist()) for fold in folds]
    return _digest(json.dumps(parts).encode())


def _digest_of_images(examples: Examples) -> str:
    return _digest(examples.features.float().numpy().tobytes(), examples.targets.numpy().tobytes())


def _digest(*parts: bytes) -> str:
    sha = hashlib.sha256()
    for part in parts:
        sha.update(part)
    return sha.hexdigest()
