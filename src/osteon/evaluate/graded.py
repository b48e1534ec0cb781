"""From a table of graded predictions to arrays that belong together; what breaks the table's contract is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.errors import BadTable, Leak, TooFewCases
from osteon.evaluate.metrics import Floats
from osteon.evaluate.outcomes import PARTS
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, MODIFIED_RUST, NOT_SCOREABLE, NOT_VISIBLE, RUST, SHOWN, Score

TOLERANCE = 1e-3
"""How far the probabilities of a row may be from a sum of 1; they are then scaled to it."""

KEY = ["image", "cortex"]


def unseal(predictions: pd.DataFrame, sealed: pd.DataFrame) -> pd.DataFrame:
    """The predictions with the grades of the test part put back.

    Args:
        predictions: as `osteon.tables.GRADES`.
        sealed: the column `image` and the four of grades, as `osteon split` laid them aside.

    Raises:
        BadTable: if it holds no grades, or a test image is not in it.
    """
    remedy = "pass the sealed.parquet that was written by the same split"
    missing = [cortex for cortex in CORTICES if cortex not in sealed]
    if missing:
        raise BadTable(f"the sealed table has no grades of the {missing[0]} cortex", remedy=remedy)
    test = (predictions["part"] == "test").to_numpy(bool)
    row = pd.Index(sealed["image"].astype(str)).get_indexer(predictions.loc[test, "image"].astype(str))
    if (row < 0).any():
        raise BadTable(f"{int((row < 0).sum())} rows of the test part have no sealed grade", remedy=remedy)
    texts = sealed[list(CORTICES)].astype("string").fillna("").to_numpy(str)
    place = pd.Index(CORTICES).get_indexer(predictions.loc[test, "cortex"])
    target = predictions["target"].astype("Int8").copy()
    target[test] = pd.array([int(text) if text else pd.NA for text in texts[row, place]], dtype="Int8")
    return predictions.assign(target=target)


@dataclass(frozen=True, eq=False)
class Graded:
    """What several models said of the same cells, beside the rater; a cell is a cortex in an image that shows it.

    Attributes:
        image: (n,) 0-based number of the cell's image.
        visit: (n,) 0-based number of its study.
        group: (n,) 0-based number of the split unit (patient).
        fold: (n,) fold; -1 in the test part.
        cortex: (n,) place in CORTICES.
        lateral: (n,) True in lateral views.
        target: (n,) int8 grade, NOT_SCOREABLE, or NOT_VISIBLE where none was given.
        month: (n,) months since the injury, NaN where not known.
        grades: model → (n, g) probabilities of the grades 1..g; each row sums to 1.
        scoreable: model → (n,) probability that the cell can be scored, for the models that give it.
        score: the score whose grades these are.
        studies, patients: names behind the numbers of `visit` and of `group`.
    """

    image: NDArray[np.intp]
    visit: NDArray[np.intp]
    group: NDArray[np.intp]
    fold: NDArray[np.intp]
    cortex: NDArray[np.intp]
    lateral: NDArray[np.bool_]
    target: NDArray[np.int8]
    month: Floats
    grades: Mapping[str, Floats]
    scoreable: Mapping[str, Floats]
    score: Score
    studies: NDArray[np.str_]
    patients: NDArray[np.str_]

    @property
    def graded(self) -> NDArray[np.bool_]:
        """(n,) which cells have a grade to compare with."""
        return self.target > NOT_SCOREABLE

    @property
    def groups(self) -> int:
        """Number of split units."""
        return int(self.group.max()) + 1

    @property
    def folds(self) -> list[int]:
        """The folds that occur, in order."""
        return [int(f) for f in np.unique(self.fold)]

    def expected(self, model: str) -> Floats:
        """(n,) the grade that a model expects: the mean of its probabilities."""
        return np.asarray(self.grades[model] @ np.array(self.score.grades, float))


def score_of(table: pd.DataFrame) -> Score:
    """RUST where no row has a probability of grade 4, else modified RUST."""
    fourth = "p4" in table and bool(table["p4"].notna().any())
    return MODIFIED_RUST if fourth else RUST


def check(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table, cast to its types, if it keeps its contract (`osteon.tables.GRADES`).

    Raises:
        BadTable: for missing columns or values, a cortex that its view does not show, a row twice, probabilities
            outside 0..1 or not summing to 1, a target that is no grade of the score.
        Leak: for a group in two folds, or in both parts; names the groups.
        TooFewCases: for a table without validation rows.
    """
    frame = tables.check(predictions, tables.GRADES, "the table of grades")
    for column in ("model", "image", "study", "group", "part", "fold", "view", "cortex", "p1", "p2", "p3"):
        _refuse(frame[column].isna(), f"the column {column} is empty", "fill it for every row")
    _refuse(~frame["part"].isin(PARTS), "the part is neither validation nor test", "use one of these two words")
    _refuse(~frame["cortex"].isin(CORTICES), "the cortex is none of the four", f"use {', '.join(CORTICES)}")
    pairs = {(view, cortex) for view, cortices in SHOWN.items() for cortex in cortices}
    shown = [pair in pairs for pair in zip(frame["view"].astype(str), frame["cortex"].astype(str), strict=True)]
    _refuse(~np.array(shown, bool), "the view does not show the cortex", "leave rows of hidden cortices out")
    _refuse(
        frame.duplicated(["model", *KEY]),
        "a model grades a cortex of an image for a second time",
        "keep one row per model, image and cortex",
    )
    score = score_of(frame)
    columns = [f"p{grade}" for grade in score.grades]
    p = frame[columns].to_numpy(float, na_value=np.nan)
    wrong = ~((p >= 0) & (p <= 1)).all(axis=1)
    _refuse(wrong, "a probability is missing or outside 0..1", f"give {', '.join(columns)} for every row")
    _refuse(np.abs(p.sum(axis=1) - 1) > TOLERANCE, "the probabilities do not sum to 1", "divide them by their sum")
    allowed = frame["target"].isna() | frame["target"].isin([NOT_SCOREABLE, *score.grades])
    _refuse(~allowed, f"the target is no grade of {score.name}", "use 1 to 4, 0 for not scoreable, or leave it empty")
    if not (frame["part"] == "validation").any():
        raise TooFewCases(
            "no row of the table of grades is part 'validation'",
            remedy="for a model that has never seen these cases, call the part validation and the fold 0",
        )
    _no_leak(frame)
    return frame


def is_sealed(table: pd.DataFrame) -> bool:
    """Whether the table holds test rows whose targets have been taken away."""
    test = table["part"] == "test"
    return bool(test.any() and table.loc[test, "target"].isna().all())


def collect(table: pd.DataFrame, part: str, models: Sequence[str]) -> Graded:
    """The arrays of one part of a checked table, sorted by image and cortex, whatever the order of its rows.

    Args:
        table: as `check` returned it.
        part: `validation` or `test`.
        models: the models to compare, the judged one first.

    Raises:
        BadTable: if two models differ in their cells, or in fold, group, study, view or target of a cell.
        TooFewCases: if no cell of the part has a grade.
    """
    rows = table[table["part"] == part]
    score = score_of(table)
    first = _of_model(rows, models[0])
    grades, scoreable = {}, {}
    for model in models:
        mine = first if model == models[0] else _of_model(rows, model)
        _same_cells(first, mine, models[0], model)
        p = mine[[f"p{grade}" for grade in score.grades]].to_numpy(float)
        grades[model] = p / p.sum(axis=1, keepdims=True)
        if "scoreable" in mine and mine["scoreable"].notna().all():
            scoreable[model] = mine["scoreable"].to_numpy(float)
    target = first["target"].fillna(NOT_VISIBLE).to_numpy(np.int8)
    if not (target > NOT_SCOREABLE).any():
        raise TooFewCases(f"no cortex of the {part} part has a grade", remedy="fill in the column target")
    month = first["month"] if "month" in first else pd.Series(np.nan, index=first.index)
    visit, studies = pd.factorize(first["study"])
    group, groups = pd.factorize(first["group"])
    return Graded(
        image=pd.factorize(first["image"])[0],
        visit=visit,
        group=group,
        fold=first["fold"].to_numpy(int),
        cortex=first["cortex"].map(CORTICES.index).to_numpy(int),
        lateral=(first["view"] == "LAT").to_numpy(bool),
        target=target,
        month=month.to_numpy(float, na_value=np.nan),
        grades=grades,
        scoreable=scoreable,
        score=score,
        studies=np.asarray(studies, str),
        patients=np.asarray(groups, str),
    )


def rescored(cells: Graded, score: Score | None) -> Graded:
    """The cells with another threshold of 'united'.

    Raises:
        BadTable: if the score has other grades than the cells.
    """
    if score is None:
        return cells
    if score.grades != cells.score.grades:
        raise BadTable(
            f"the table has {len(cells.score.grades)} grades and {score.name} has {len(score.grades)}",
            remedy="choose the score that the grades were given in",
        )
    return replace(cells, score=score)


def one_hot_of(cells: Graded, model: str = "") -> tuple[NDArray[np.bool_], Floats, NDArray[np.intp]]:
    """The 18 labels of each image, a model's scores for them, and the image's first cell.

    A cortex that is hidden, or has no grade, has four labels 0. The score of a label is the probability of its grade,
    times that of being scoreable where the model gives it; 0 for a hidden cortex; for the view, which is known, 0 or 1.

    Returns:
        (m, 18) labels in the order of `osteon.tasks.rust.LABELS`, (m, 18) scores (0 without a model), (m,) cells.
    """
    first = np.unique(cells.image, return_index=True)[1]
    grades = np.full((len(first), len(CORTICES)), NOT_VISIBLE, np.int8)
    grades[cells.image, cells.cortex] = cells.target
    views = np.where(cells.lateral[first], "LAT", "AP")
    labels = rust.one_hot(grades, views) > 0
    scores = np.zeros((len(first), len(CORTICES), rust.HIGHEST))
    if model:
        p = cells.grades[model] * cells.scoreable.get(model, np.ones(len(cells.image)))[:, None]
        scores[cells.image, cells.cortex, : p.shape[1]] = p
    return labels, np.hstack([scores.reshape(len(first), -1), labels[:, -2:]]), first


def _of_model(rows: pd.DataFrame, model: str) -> pd.DataFrame:
    return rows[rows["model"] == model].sort_values(KEY).reset_index(drop=True)


def _same_cells(first: pd.DataFrame, other: pd.DataFrame, judged: str, model: str) -> None:
    one, two = (pd.MultiIndex.from_frame(frame[KEY]) for frame in (first, other))
    if not one.equals(two):
        raise BadTable(
            f"{model} and {judged} differ in {len(one.symmetric_difference(two))} cortices",
            remedy="a comparison needs grades of every model for the same images and cortices",
        )
    for column in ("fold", "group", "study", "view", "target"):
        a, b = (frame[column].astype("string").fillna("").to_numpy(str) for frame in (first, other))
        if (differ := int((a != b).sum())) > 0:
            raise BadTable(
                f"{model} and {judged} disagree about the {column} of {differ} cortices",
                remedy="evaluate models on the same split and the same labels",
            )


def _no_leak(frame: pd.DataFrame) -> None:
    places = frame[["group", "part", "fold"]].drop_duplicates()
    leaking = sorted(places.loc[places["group"].duplicated(), "group"].astype(str).unique())
    if leaking:
        shown = ", ".join(leaking[:5]) + (", …" if len(leaking) > 5 else "")
        raise Leak(
            f"{len(leaking)} group{'s are' if len(leaking) > 1 else ' is'} in several folds or parts ({shown})",
            remedy="split by patient: osteon split",
        )


def _refuse(wrong: pd.Series | NDArray[np.bool_], what: str, remedy: str) -> None:
    count = int(np.asarray(wrong, bool).sum())
    if count:
        raise BadTable(f"in {count} row{'s' * (count > 1)} of the table of grades {what}", remedy=remedy)
