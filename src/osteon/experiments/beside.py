"""What stands beside the models of an experiment in one table: the floors on the same split, and the opened answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset.splits import SEALED
from osteon.errors import BadTable
from osteon.evaluate import outcomes
from osteon.experiments.around import Run, answers_of
from osteon.learn.floors import floors

FLOORS = "floors.parquet"


def floors_beside(
    rows: pd.DataFrame,
    images: Mapping[str, Path],
    around: Run,
    *,
    learning: NDArray[np.intp],
    held_out: NDArray[np.bool_],
    split: str,
) -> pd.DataFrame:
    """The floors, fitted on what the models learn from: rows of `tables.PREDICTIONS` of all that is held out.

    Those whose fold is sealed are the part test, the others the part validation. Whatever the models do not learn from
    is hidden from the floors too.

    Args:
        rows: of a manifest, with `fold` and `target` as the predictions are to have them.
        images: image → prepared PNG, for the thumbnails.
        around: where they are kept, and who is told.
        learning: (n,) fold in which a row is held out while penalties are chosen.
        held_out: (n,) which rows are predicted.
        split: what the split is by, in words.
    """
    path = around.stages / FLOORS
    if path.exists():
        around.tell(f"{'floors':<22} kept")
        return tables.read(path, tables.PREDICTIONS)
    fold = pd.array(np.where(held_out, SEALED, learning), dtype="Int16")
    hidden = rows.assign(fold=fold, target=rows["target"].mask(held_out))
    with around.bars("floors") as progress:
        found = floors(hidden.reset_index(drop=True), images, progress=progress).predictions
    found = found[found["part"] == "test"].reset_index(drop=True)
    place = rows.set_index(rows["image"].astype(str))
    own = place.loc[found["image"].astype(str)]
    told = found.assign(
        fold=own["fold"].to_numpy(),
        target=own["target"].to_numpy(),
        part=np.where(own["fold"].to_numpy(int) == SEALED, "test", "validation"),
    )
    tables.write(path, told, tables.PREDICTIONS)
    around.tell(f"{'floors':<22} {told['model'].nunique()} floors, on the same split by {split}")
    return told


def of_model(name: str, rows: pd.DataFrame, fold: NDArray[np.intp], score: NDArray[np.float64]) -> pd.DataFrame:
    """What a model says of some rows of a manifest, as rows of `tables.PREDICTIONS` without probabilities.

    Args:
        name: of the model.
        rows: (n) with image, study, group and target.
        fold: (n,) SEALED is the part test, all else validation.
        score: (n,).
    """
    return pd.DataFrame(
        {
            "model": name,
            "image": rows["image"],
            "study": rows["study"],
            "group": rows["group"],
            "part": np.where(fold == SEALED, "test", "validation"),
            "fold": fold,
            "target": rows["target"],
            "score": score,
            "probability": pd.array([pd.NA] * len(rows), "Float64"),
        }
    )


def together(*frames: pd.DataFrame) -> pd.DataFrame:
    """Rows of `tables.PREDICTIONS` in one table."""
    checked = [tables.check(frame, tables.PREDICTIONS, "the predictions") for frame in frames]
    return pd.concat(checked, ignore_index=True)


def answers(around: Run, what: str) -> pd.DataFrame:
    """`image` and `target` of the sealed part, which is opened once.

    Args:
        around: how to open it.
        what: the sealed part is called.

    Raises:
        BadTable: if they are not there.
    """
    told = answers_of(around, lambda given: given[["image", "target"]])
    if told is None:
        raise BadTable(
            f"the answers of the {what} are missing",
            remedy="keep the sealed.parquet of the split beside its manifest",
        )
    return told.assign(target=told["target"].astype("Int8"))


def opened(table: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """The table with the targets of the sealed part; radiographs without an answer are left out.

    Args:
        table: rows of `tables.PREDICTIONS`, the targets of the part test missing.
        answers: `image` and `target` of the sealed part.

    Raises:
        BadTable: if an image of the sealed part is not among the answers.
    """
    unanswered = set(answers.loc[answers["target"].isna(), "image"].astype(str))
    left_out = (table["part"] == "test") & table["image"].astype(str).isin(unanswered)
    return outcomes.unseal(table[~left_out].reset_index(drop=True), answers)
