"""From a predictions table to arrays that belong together; whatever breaks the table's contract is an error here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.errors import BadTable, Leak, TooFewCases

PARTS = ("validation", "test")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What several models said of the same cases, beside the truth; sorted by name, whatever the table's order.

    Attributes:
        name: (n,) image ids, or study ids.
        study: (n,) study id, "" where it is not known.
        group: (n,) 0-based number of the split unit (patient).
        fold: (n,) fold; -1 in the test part.
        target: (n,) True where the finding is present.
        scores: model → (n,) scores on the model's own scale.
        probabilities: model → (n,) calibrated probabilities, for the models that give them.
    """

    name: NDArray[np.str_]
    study: NDArray[np.str_]
    group: NDArray[np.intp]
    fold: NDArray[np.intp]
    target: NDArray[np.bool_]
    scores: Mapping[str, NDArray[np.float64]]
    probabilities: Mapping[str, NDArray[np.float64]]

    def pooled(self, model: str) -> NDArray[np.float64]:
        """What orders the cases of all folds together: the calibrated probability, or the score where there is none."""
        return self.probabilities.get(model, self.scores[model])

    @property
    def groups(self) -> int:
        """Number of split units."""
        return int(self.group.max()) + 1

    @property
    def folds(self) -> list[int]:
        """The folds that occur, in order."""
        return [int(f) for f in np.unique(self.fold)]


def check(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table, cast to its types, if it keeps its contract.

    Raises:
        BadTable: for missing columns, a part that is neither validation nor test, a model that predicts an image twice,
            scores that are no numbers, probabilities outside 0..1 or given for some rows of a model alone.
        Leak: for a group in two folds, or in both parts; names the groups.
        TooFewCases: for a table without validation rows.
    """
    frame = tables.check(predictions, tables.PREDICTIONS, "the predictions table")
    for column in ("model", "image", "group", "part", "fold", "score"):
        _refuse(frame[column].isna(), f"the column {column} is empty", "fill it for every row")
    _refuse(~frame["part"].isin(PARTS), "the part is neither validation nor test", "use one of these two words")
    _refuse(
        frame.duplicated(["model", "image"]),
        "a model predicts an image for a second time",
        "keep one row per model and image",
    )
    _refuse(~np.isfinite(frame["score"].to_numpy(float)), "the score is not a number", "give a finite score")
    _refuse(frame["target"].notna() & ~frame["target"].isin([0, 1]), "the target is neither 0 nor 1", "use 0 and 1")
    if "probability" in frame:
        given = frame["probability"].notna()
        _refuse(
            given & ~frame["probability"].between(0, 1),
            "the probability is outside 0..1",
            "give calibrated probabilities, or leave the column out",
        )
        partly = given != given.groupby([frame["model"], frame["part"]]).transform("max")
        _refuse(
            partly, "the probability is missing where the model gives it elsewhere", "give it for every row or none"
        )
    if not (frame["part"] == "validation").any():
        raise TooFewCases(
            "no row of the predictions table is part 'validation'",
            remedy="for a model that has never seen these cases, call the part validation and the fold 0",
        )
    _no_leak(frame)
    return frame


def is_sealed(predictions: pd.DataFrame) -> bool:
    """Whether the table holds test rows whose targets have been taken away."""
    test = predictions["part"] == "test"
    return bool(test.any() and predictions.loc[test, "target"].isna().all())


def unseal(predictions: pd.DataFrame, sealed: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the targets of the test part put back.

    Args:
        predictions: as `osteon.tables.PREDICTIONS`.
        sealed: columns `image` and `target`, as `osteon split` laid them aside.

    Raises:
        BadTable: if a test image has no sealed target.
    """
    known = sealed.set_index(sealed["image"].astype(str))["target"]
    test = predictions["part"] == "test"
    found = predictions.loc[test, "image"].astype(str).map(known)
    if found.isna().any():
        raise BadTable(
            f"{int(found.isna().sum())} rows of the test part have no sealed target",
            remedy="pass the sealed.parquet that was written by the same split",
        )
    target = predictions["target"].astype("Int8").copy()
    target[test] = found.astype("Int8")
    return predictions.assign(target=target)


def collect(predictions: pd.DataFrame, part: str, models: Sequence[str]) -> Outcomes:
    """The arrays of one part of a checked table.

    Args:
        predictions: as `check` returned it.
        part: `validation` or `test`.
        models: the models to compare, the judged one first.

    Raises:
        BadTable: if targets are missing, or two models differ in their images, or in fold, group or target of an image.
        TooFewCases: if all cases are of one class.
    """
    rows = predictions[predictions["part"] == part]
    _refuse(
        rows["target"].isna(), f"the target is missing in the {part} part", "leave unlabelled images out of the table"
    )
    first = _of_model(rows, models[0])
    scores, probabilities = {}, {}
    for model in models:
        mine = first if model == models[0] else _of_model(rows, model)
        _same_cases(first, mine, models[0], model)
        scores[model] = mine["score"].to_numpy(float)
        if "probability" in mine and mine["probability"].notna().all():
            probabilities[model] = mine["probability"].to_numpy(float)
    target = first["target"].to_numpy(int) == 1
    if target.all() or not target.any():
        raise TooFewCases(
            f"all {len(target)} cases of the {part} part are {'positive' if target.all() else 'negative'}",
            remedy="an evaluation needs cases of both classes",
        )
    study = first["study"].fillna("").astype(str) if "study" in first else pd.Series("", index=first.index)
    return Outcomes(
        name=first.index.to_numpy(str),
        study=study.to_numpy(str),
        # Numbered in the order of the images, so that other names make no other resamples.
        group=pd.factorize(first["group"])[0],
        fold=first["fold"].to_numpy(int),
        target=target,
        scores=scores,
        probabilities=probabilities,
    )


def _of_model(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    return rows[rows["model"] == model].set_index("image").sort_index()


def _same_cases(first: pd.DataFrame, other: pd.DataFrame, judged: str, model: str) -> None:
    if not first.index.equals(other.index):
        differ = len(first.index.symmetric_difference(other.index))
        raise BadTable(
            f"{model} and {judged} differ in {differ} images",
            remedy="a comparison needs predictions of every model for the same images",
        )
    for column in ("fold", "group", "target"):
        differ = int((first[column].to_numpy() != other[column].to_numpy()).sum())
        if differ:
            raise BadTable(
                f"{model} and {judged} disagree about the {column} of {differ} images",
                remedy="evaluate models on the same split and the same labels",
            )


def _no_leak(frame: pd.DataFrame) -> None:
    pairs = frame[["group", "part", "fold"]].drop_duplicates()
    for columns, where in ((["group", "part"], "both the validation and the test part"), (["group"], "several folds")):
        places = pairs[["group", "part"]].drop_duplicates() if len(columns) == 2 else pairs
        leaking = sorted(places.loc[places["group"].duplicated(), "group"].astype(str).unique())
        if leaking:
            shown = ", ".join(leaking[:5]) + (", …" if len(leaking) > 5 else "")
            raise Leak(
                f"{len(leaking)} group{'s are' if len(leaking) > 1 else ' is'} in {where} ({shown})",
                remedy="split by patient: osteon split",
            )


def _refuse(wrong: pd.Series | NDArray[np.bool_], what: str, remedy: str) -> None:
    count = int(np.asarray(wrong, bool).sum())
    if count:
        raise BadTable(f"in {count} row{'s' * (count > 1)} of the predictions table {what}", remedy=remedy)
