"""From grades of images to totals of visits, and the ratings of several raters. What is incomplete stays so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset import grades as grade_tables
from osteon.dataset.grades import GradeTable, arrays, with_grades
from osteon.dataset.naming import AS_WRITTEN, Naming, columns_of
from osteon.dataset.text_table import text_table
from osteon.errors import BadTable
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, MODIFIED_RUST, NOT_SCOREABLE, Score

COMPLETE, ONE_VIEW, NOT_GRADED = "complete", "incomplete: one view", "incomplete: a cortex without a grade"
"""States of a visit: a total needs the grades of all four cortices, from both views."""

OF_VISIT = ("patient", "month")
"""Columns in which the images of a visit agree."""


def visits(rows: pd.DataFrame, score: Score = MODIFIED_RUST) -> pd.DataFrame:
    """One row per visit, in the order of their first images.

    Args:
        rows: with `study`, the four grades and, as far as they are known, `view`, `patient` and `month`: the rows of a
            `GradeTable`, or a manifest with grades.
        score: the grades that there are.

    Returns:
        `study`, `patient`, `month`, the four grades, `total` (Float64, missing where the visit is incomplete),
        `bridged` (Boolean: every graded cortex has 3 or more) and `state`: COMPLETE, ONE_VIEW or NOT_GRADED.

    Raises:
        BadTable: without a study for every row, or if the images of a visit differ in patient or month.
    """
    if "study" not in rows or rows["study"].fillna("").eq("").any():
        raise BadTable("totals need to know which images are of one visit", remedy="give every row a study")
    grades, views = arrays(rows, score)
    number, studies = pd.factorize(rows["study"])
    first = np.unique(number, return_index=True)[1]
    table = pd.DataFrame({"study": pd.array(np.asarray(studies, str), dtype="string")})
    for column in OF_VISIT:
        if column in rows:
            _must_agree(rows, number, column)
            table[column] = rows[column].iloc[first].reset_index(drop=True)
    joined, _ = rust.joined(grades, number)
    shown = np.zeros(joined.shape, bool)
    np.logical_or.at(shown, number, rust.shown(views))
    total, bridged = rust.totals(joined), rust.bridged(joined)
    one_view = shown.any(axis=1) & ~shown.all(axis=1)
    table = with_grades(table, joined)
    table["total"] = pd.Series(total, dtype="Float64").mask(np.isnan(total))
    table["bridged"] = pd.Series(bridged == 1, dtype="boolean").mask(np.isnan(bridged))
    table["state"] = pd.Series(
        np.where(~np.isnan(total), COMPLETE, np.where(one_view, ONE_VIEW, NOT_GRADED)), dtype="string"
    )
    return table


def states(table: pd.DataFrame) -> Mapping[str, int]:
    """How many visits are in each state."""
    return {state: int((table["state"] == state).sum()) for state in (COMPLETE, ONE_VIEW, NOT_GRADED)}


def read_ratings(
    path: Path, score: Score = MODIFIED_RUST, naming: Naming = AS_WRITTEN, *, sheet: str = ""
) -> GradeTable:
    """Read what several raters gave to the same visits: one row per rater and visit, or per rater and image.

    Args:
        path: CSV, Excel workbook or Parquet, with `rater`, `study` and the four grades, or `total`, or both. Where
            `patient` is missing, each study is taken for a patient of its own, with a note.
        score: the grades that there are.
        naming: what the table's words mean.
        sheet: of a workbook; "" takes the first.

    Returns:
        A table whose rows are one per rater and visit: `rater`, `study`, `patient`, the four grades, `total` (Float64,
        missing where incomplete), and `month` where the table has it.

    Raises:
        NotFound: if there is no such file.
        BadTable: as `osteon.dataset.grades.read`; also without raters, if a total is not the sum of its four grades,
            or if a rater rated one visit twice, differently.
    """
    frame, notes = text_table(path, sheet)
    where = path.name
    meanings = columns_of(map(str, frame.columns), naming, where)
    if missing := [name for name in ("rater", "study") if name not in meanings.values()]:
        if missing == ["study"] and {"patient", "month"} <= set(meanings.values()):
            missing = []
        if missing:
            raise BadTable(
                f"{where} has no column {' and no column '.join(missing)}",
                remedy="ratings have one row per rater and visit, with rater, study, and grades or a total",
            )
    told = frame.rename(columns=meanings)
    if told["rater"].eq("").any():
        raise BadTable(f"row {told.index[told['rater'].eq('')][0]} of {where} names no rater", remedy="name one")
    if not set(CORTICES) & set(told):
        frame = frame.assign(**dict.fromkeys(CORTICES, ""))
    table = grade_tables.parse(frame, where, score, naming)
    stated = _stated_totals(table.rows, score, where)
    rows = _per_rater(table.rows.assign(total=stated), score, where)
    notes += table.notes
    if "patient" not in rows:
        rows["patient"] = rows["study"]
        notes.append(f"{where} names no patients: each study is taken for a patient of its own")
    counts = {**table.counts, "incomplete": int(rows["total"].isna().sum())}
    return replace(table, rows=rows, counts=counts, notes=tuple(notes))


def _per_rater(rows: pd.DataFrame, score: Score, where: str) -> pd.DataFrame:
    """The rows of each rater joined per visit, with totals."""
    parts = []
    for rater, mine in rows.groupby("rater", sort=True):
        joined = visits(mine, score).drop(columns=["bridged", "state"])
        given = mine.groupby("study")["total"].first()
        joined["total"] = joined["total"].fillna(joined["study"].map(given).astype("Float64"))
        parts.append(joined.assign(rater=rater))
    whole = pd.concat(parts, ignore_index=True).astype({"rater": "string"})
    for column in OF_VISIT:
        if column in whole:
            _must_agree(whole, pd.factorize(whole["study"])[0], column)
    if whole["total"].isna().all() and whole[list(CORTICES)].isna().all(axis=None):
        raise BadTable(f"{where} has neither grades nor totals", remedy="give the four grades, or a total")
    return whole


def _stated_totals(rows: pd.DataFrame, score: Score, where: str) -> pd.Series:
    """Totals as the table has them, in rows without any grade; beside four grades they must be the sum."""
    if "total" not in rows:
        return pd.Series(pd.NA, index=rows.index, dtype="Float64")
    text = rows["total"].fillna("").astype("string")
    total = pd.to_numeric(text.replace("", None), errors="coerce").astype("Float64")
    wrong = (text != "") & ~total.between(score.lowest, score.highest).fillna(False)
    if wrong.any():
        row = wrong.idxmax()
        raise BadTable(
            f"row {row} of {where} has the total {text[row]!r}",
            remedy=f"totals of {score.name} are {score.lowest} to {score.highest}",
        )
    grades = arrays(rows, score)[0]
    summed = pd.Series(rust.totals(grades), index=rows.index, dtype="Float64")
    differ = (summed.notna() & total.notna() & (summed != total)).fillna(False)
    if differ.any():
        row = differ.idxmax()
        raise BadTable(
            f"row {row} of {where} has the total {total[row]:g}, and grades that sum to {summed[row]:g}",
            remedy="leave the total out: it is computed from the grades",
        )
    # Beside an incomplete set of grades a total would be somebody's guess.
    return total.mask((grades >= NOT_SCOREABLE).any(axis=1))


def _must_agree(rows: pd.DataFrame, number: NDArray[np.intp], column: str) -> None:
    """All rows of a visit have one patient, one month; a missing value agrees with itself alone."""
    values = rows[column].astype("string").fillna("").to_numpy(str)
    pairs = pd.DataFrame({"visit": number, "value": values}).drop_duplicates()
    torn = pairs.loc[pairs["visit"].duplicated(), "visit"].nunique()
    if torn:
        raise BadTable(
            f"{torn} stud{'y has' if torn == 1 else 'ies have'} rows with different values of {column}",
            remedy=f"a study is one visit of one patient: give its rows one {column}",
        )
