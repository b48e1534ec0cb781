"""What one model came to under one protocol, and how that is kept, so that a run that was cut off goes on behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import files
from osteon.learn.end_to_end import MEAN
from osteon.tasks.rust import LABELS

STAGE, SCORES, CURVES = "stage.json", "scores.npz", "curves.csv"

Tell = Callable[[str], None]
"""Is given a sentence after each stage."""


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
    folder.mkdir(parents=True, exist_ok=True)
    with files.replacing(folder / SCORES) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, fold=outcome.fold, probabilities=outcome.probabilities)
    write_csv(folder / CURVES, outcome.curves)
    told = {name: getattr(outcome, name) for name in ("name", "network", "protocol", "best_epoch", "best_fold")}
    files.write_json(folder / STAGE, {**told, "options": dict(outcome.options), "labels": list(LABELS)})


def kept(folder: Path) -> Outcome | None:
    """The outcome that was kept in a folder, or None.

    Raises:
        NotFound: if a part of it was deleted.
    """
    if not (folder / STAGE).exists():
        return None
    told = files.read_json(folder / STAGE)
    told.pop("labels")
    with np.load(files.must_exist(folder / SCORES), allow_pickle=False) as arrays:
        fold, probabilities = arrays["fold"].astype(np.intp), arrays["probabilities"]
    # pandas does not promise to read back the very number that it wrote; Python does.
    text = pd.read_csv(files.must_exist(folder / CURVES), dtype=str, keep_default_na=False)
    exact = {name: [float(value or "nan") for value in text[name]] for name in ("loss", "auroc")}
    curves = text.assign(**exact).astype({"fold": int, "epoch": int})
    return Outcome(fold=fold, probabilities=probabilities, curves=curves, **told)


def once(folder: Path, make: Callable[[], Outcome], tell: Tell) -> Outcome:
    """The outcome that is kept in a folder; it is made first if there is none."""
    found = kept(folder)
    if found is not None:
        tell(f"{folder.name:<22} kept: {_said(found)}")
        return found
    started = time.perf_counter()
    made = make()
    keep(folder, made)
    tell(f"{folder.name:<22} {_said(made)}, {time.perf_counter() - started:.0f} s")
    return made


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table as CSV, whole or not at all."""
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _said(outcome: Outcome) -> str:
    return f"{outcome.network}: 18-label AUROC {outcome.at_best()['mean']:.3f} over {outcome.folds} folds"
