"""What one model came to under one protocol, and how that is kept, so that a run that was cut off goes on behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.experiments import stages
from osteon.experiments.around import Tell
from osteon.experiments.stages import Kept
from osteon.learn.end_to_end import MEAN
from osteon.tasks.rust import LABELS

CURVES = "curves"
"""Name of the table that is kept with an outcome."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A cross-validated model.

    Attributes:
        name: of the model in the story. network: backbone and weights as they really were.
        protocol: how folds were dealt.
        fold: (n,) in which each image was held out; -1 sealed.
        probabilities: (n, 18) of the held-out images by their fold's best checkpoint, of the sealed ones by that of the
            best fold.
        curves: columns `osteon.learn.end_to_end.CURVES`.
        best_epoch: 1-based, of the largest mean validation AUROC. best_fold: of the largest one at its best epoch.
        options: what it was trained with.
    """

    name: str
    network: str
    protocol: str
    fold: NDArray[np.intp]
    probabilities: NDArray[np.float64]
    curves: pd.DataFrame
    best_epoch: int
    best_fold: int
    options: Mapping[str, Any]

    def at_best(self, part: str = "validation") -> dict[str, float]:
        """AUROC at the best epoch: `mean`, the study's figure, `lowest` and `highest` of the folds."""
        rows = self.curves[(self.curves["part"] == part) & (self.curves["epoch"] == self.best_epoch)]
        each = rows.loc[rows["fold"] != MEAN, "auroc"]
        mean = rows.loc[rows["fold"] == MEAN, "auroc"].iloc[0]
        return {"mean": float(mean), "lowest": float(each.min()), "highest": float(each.max())}

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return len(np.unique(self.fold[self.fold >= 0]))


def keep(folder: Path, outcome: Outcome) -> None:
    """Write a finished outcome; the folder counts as finished once `stage.json` is there."""
    stages.keep(folder, _apart(outcome))


def kept(folder: Path) -> Outcome | None:
    """The outcome that was kept in a folder, or None.

    Raises:
        NotFound: if a part of it was deleted.
    """
    found = stages.kept(folder, CURVES)
    return None if found is None else _together(found)


def once(folder: Path, make: Callable[[], Outcome], tell: Tell) -> Outcome:
    """The outcome that is kept in a folder; it is made first if there is none."""
    done = stages.once(folder, lambda: _apart(make()), lambda told: _said(_together(told)), tell, tables=(CURVES,))
    return _together(done)


def _apart(outcome: Outcome) -> Kept:
    told = {name: getattr(outcome, name) for name in ("name", "network", "protocol", "best_epoch", "best_fold")}
    return Kept(
        told={**told, "options": dict(outcome.options), "labels": list(LABELS)},
        arrays={"fold": outcome.fold, "probabilities": outcome.probabilities},
        tables={CURVES: outcome.curves},
    )


def _together(done: Kept) -> Outcome:
    told = {name: value for name, value in done.told.items() if name != "labels"}
    fold = done.arrays["fold"].astype(np.intp)
    return Outcome(fold=fold, probabilities=done.arrays["probabilities"], curves=done.tables[CURVES], **told)


def _said(outcome: Outcome) -> str:
    return f"{outcome.network}: 18-label AUROC {outcome.at_best()['mean']:.3f} over {outcome.folds} folds"
