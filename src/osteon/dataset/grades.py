"""Tables of RUST grades as people make them: one row per image, one-hot or with four columns, or one per rater."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.labels import FILE_KEYS
from osteon.dataset.naming import AS_WRITTEN, Naming, columns_of, view_of
from osteon.dataset.text_table import text_table
from osteon.errors import BadTable
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, LABELS, MODIFIED_RUST, NOT_SCOREABLE, NOT_VISIBLE, Grades, Score

ONE_HOT, GRADES, VISITS = "one-hot", "grades", "visits"
"""Forms of a table: 18 columns of 0 and 1; four grades and the view of each image; four grades of each visit."""

COUNTS: Mapping[str, str] = {
    "rows": "rows of the table",
    "repeated": "rows that say again what an earlier row said",
    "contested": "cortices of a visit that were given different grades; missing now",
    "hidden": "grades of cortices that the view of their image does not show; missing now",
    "unknown_view": "images whose view shows no cortex that could be graded",
    "graded": "cortices with a grade",
    "not_scoreable": "cortices that the rater could not grade",
    "not_given": "cortices that the view shows and that have no grade",
    "same_month": "visits of a patient in a month in which another visit is",
}
"""What is counted in every table, and what it counts."""

_NUMBER = re.compile(r"([+-]?\d+)(?:\.0*)?")
_YES, _NO = ("1", "1.0", "true"), ("0", "0.0", "false", "")


@dataclass(frozen=True, eq=False)
class GradeTable:
    """A table of grades.

    Attributes:
        name: of the file, for messages.
        form: ONE_HOT, GRADES or VISITS.
        rows: the four grades (Int8: 1..4, 0 not scoreable, missing), and as far as the table has them `study`,
            `patient`, `view`, `month` (Float32), `rater`, `total` and the key of the image; further columns as text.
        counts: as COUNTS.
        notes: what had to be decided and what the reader should know, one sentence each.
    """

    name: str
    form: str
    rows: pd.DataFrame
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()


def read(path: Path, score: Score = MODIFIED_RUST, naming: Naming = AS_WRITTEN, *, sheet: str = "") -> GradeTable:
    """Read a table of grades, whatever its form.

    A grade that cannot be right becomes a missing one and is counted: that of a cortex to which two rows of one visit
    give different grades, and that of a cortex which its view does not show. A table most of whose views contradict
    anatomy gets a note that says so: its words for views or cortices are probably swapped.

    Args:
        path: CSV, Excel workbook or Parquet.
        score: the grades that there are.
        naming: what the table's words mean.
        sheet: of a workbook; "" takes the first.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it has neither form, a grade is outside the score's, a one-hot row says two things, two rows
            contradict each other about one image (or visit and view, where images have no name), or no grade is left.
    """
    frame, notes = text_table(path, sheet)
    table = parse(frame, path.name, score, naming)
    return replace(table, notes=(*notes, *table.notes))


def parse(frame: pd.DataFrame, where: str, score: Score = MODIFIED_RUST, naming: Naming = AS_WRITTEN) -> GradeTable:
    """As `read`, from a table of text whose index is the number of the row in its file."""
    meanings = columns_of(map(str, frame.columns), naming, where)
    frame = frame.rename(columns=meanings)
    form = _form(frame, where)
    if form == ONE_HOT:
        rows = _from_one_hot(frame, where, score)
    else:
        rows = frame.assign(**{cortex: _grades(frame[cortex], cortex, where, score) for cortex in CORTICES})
        if form == GRADES:
            rows["view"] = _views(frame["view"], naming, where)
    if "month" in rows:
        rows["month"] = _months(frame["month"], where)
    notes: list[str] = []
    if "study" not in rows and {"patient", "month"} <= set(rows):
        named = rows["patient"] + "@" + rows["month"].map("{:g}".format, na_action="ignore").astype("string")
        rows["study"] = named.where(rows["patient"] != "").fillna("")
        notes.append(f"{where} has no study: a patient's rows of one month are one visit")
    counts = {"rows": len(rows), **dict.fromkeys(list(COUNTS)[1:], 0)}
    rows = _without_repeats(rows, where, counts)
    rows = _settled(rows, form, where, counts, notes)
    return GradeTable(where, form, rows, counts, tuple(notes))


def arrays(rows: pd.DataFrame, score: Score = MODIFIED_RUST) -> tuple[Grades, NDArray[np.str_]]:
    """Grades (n, 4) and views (n,) of any table with the four columns of grades, as text or as numbers.

    Raises:
        BadTable: if a column is missing, or a grade is outside the score's.
    """
    missing = [cortex for cortex in CORTICES if cortex not in rows]
    if missing:
        raise BadTable(f"the table has no grades of the cortices {', '.join(missing)}", remedy="see docs: Tables")
    columns = [_grades(rows[cortex].astype("string").fillna(""), cortex, "the table", score) for cortex in CORTICES]
    grades = np.column_stack([column.fillna(NOT_VISIBLE).to_numpy(np.int8) for column in columns])
    view = rows["view"].fillna("") if "view" in rows else pd.Series("", index=rows.index)
    return grades, view.to_numpy(str)


def with_grades(rows: pd.DataFrame, grades: Grades) -> pd.DataFrame:
    """The table with these grades (n, 4) in its four columns; NOT_VISIBLE is a missing value there."""
    columns = {
        cortex: pd.Series(grades[:, place], index=rows.index, dtype="Int8").mask(grades[:, place] == NOT_VISIBLE)
        for place, cortex in enumerate(CORTICES)
    }
    return rows.assign(**columns)


def _form(frame: pd.DataFrame, where: str) -> str:
    one_hot = [label for label in LABELS if label in frame]
    if "AP" in one_hot or any("_" in label for label in one_hot):
        # A table of RUST, whose grades end at 3, need not have columns for the fourth.
        missing = [label for label in LABELS if label not in frame and not label.endswith("_4")]
        if missing:
            raise BadTable(
                f"{where} has {len(one_hot)} of the 18 one-hot columns and lacks {', '.join(missing)}",
                remedy="say with --column NAME=MEANING which columns they are",
            )
        return ONE_HOT
    missing = [cortex for cortex in CORTICES if cortex not in frame]
    if missing:
        raise BadTable(
            f"{where} has no column for the {' and '.join(missing)} cortex",
            remedy=f"say with --column NAME=MEANING which it is; it has {', '.join(map(str, frame.columns))}",
        )
    return GRADES if "view" in frame else VISITS


def _from_one_hot(frame: pd.DataFrame, where: str, score: Score) -> pd.DataFrame:
    there = [label for label in LABELS if label in frame]
    text = frame[there].apply(lambda column: column.str.lower())
    wrong = ~text.isin((*_YES, *_NO))
    if wrong.to_numpy().any():
        row, place = (int(i[0]) for i in np.nonzero(wrong.to_numpy()))
        raise BadTable(
            f"row {frame.index[row]} of {where} has {text.iloc[row, place]!r} in the column {there[place]}",
            remedy="one-hot columns hold 0 or 1",
        )
    labels = text.isin(_YES).reindex(columns=list(LABELS), fill_value=False).to_numpy(int)
    ones = {cortex: labels[:, 4 * place : 4 * place + 4].sum(axis=1) for place, cortex in enumerate(CORTICES)}
    for what, most in {
        **{f"grades of the {c} cortex": n for c, n in ones.items()},
        "views": labels[:, -2:].sum(axis=1),
    }.items():
        rows = np.flatnonzero(most > 1)
        if rows.size:
            raise BadTable(
                f"row {frame.index[rows[0]]} of {where} has two {what} ({rows.size} such rows)",
                remedy="leave a single 1 among them",
            )
    grades, views = rust.from_one_hot(labels)
    if grades.max(initial=0) > score.grades[-1]:
        raise BadTable(f"{where} has grades above {score.grades[-1]}", remedy="read it as modified RUST, 1 to 4")
    return with_grades(frame.drop(columns=there), grades).assign(view=pd.array(views, dtype="string"))


def _grades(cells: pd.Series, cortex: str, where: str, score: Score) -> pd.Series:
    found = cells.map(lambda text: _NUMBER.fullmatch(text.strip()))
    value = found.map(lambda match: int(match[1]) if match else None).astype("Int64")
    allowed = value.isin((NOT_SCOREABLE, *score.grades))
    wrong = cells.index[(cells.str.strip() != "") & ~allowed]
    if len(wrong):
        more = f" ({len(wrong)} such cells)" if len(wrong) > 1 else ""
        raise BadTable(
            f"row {wrong[0]} of {where} gives the {cortex} cortex the grade {cells[wrong[0]]!r}{more}",
            remedy=f"grades of {score.name} are 1 to {score.grades[-1]}; 0 is not scoreable, an empty cell not given",
        )
    return value.astype("Int8")


def _views(cells: pd.Series, naming: Naming, where: str) -> pd.Series:
    views = cells.map(lambda text: view_of(text, naming))
    if views.isna().any():
        row = views.index[views.isna()][0]
        raise BadTable(
            f"row {row} of {where} names the view {cells[row]!r} ({int(views.isna().sum())} such rows)",
            remedy="a view is AP, PA, LAT, OBL, or empty",
        )
    return views.astype("string")


def _months(cells: pd.Series, where: str) -> pd.Series:
    months = pd.to_numeric(cells.str.lower().replace({"baseline": "0", "": None}), errors="coerce").astype("Float32")
    wrong = cells.index[((cells != "") & months.isna()) | (months < 0).fillna(False)]
    if len(wrong):
        raise BadTable(
            f"row {wrong[0]} of {where} has {cells[wrong[0]]!r} in the column month",
            remedy="months since the injury are numbers from 0 on; 'baseline' is 0",
        )
    return months


def _without_repeats(rows: pd.DataFrame, where: str, counts: dict[str, int]) -> pd.DataFrame:
    kept = rows.drop_duplicates()
    counts["repeated"] = len(rows) - len(kept)
    image = [name for name in (*FILE_KEYS, "instance") if name in kept][:1]
    key = image or [name for name in ("study", "accession") if name in kept][:1]
    if not key:
        return kept
    key += [name for name in ("view",) if name in kept and not image] + [name for name in ("rater",) if name in kept]
    again = kept.duplicated(key) & (kept[key[0]] != "")
    if again.any():
        second = again.idxmax()
        same = (kept[key].fillna("") == kept.loc[second, key].fillna("")).all(axis=1)
        raise BadTable(
            f"rows {same.idxmax()} and {second} of {where} contradict each other about the same {' and '.join(key)}"
            + (f" ({int(again.sum())} such rows)" if again.sum() > 1 else ""),
            remedy="leave one of them" + ("" if image else ", or name the images in a column `image`"),
        )
    return kept


def _settled(rows: pd.DataFrame, form: str, where: str, counts: dict[str, int], notes: list[str]) -> pd.DataFrame:
    """Contested grades and those of hidden cortices taken out, and everything counted."""
    grades, views = arrays(rows)
    given = int((grades > NOT_SCOREABLE).sum())
    if "study" in rows:
        visit = _visits(rows)
        contested = rust.joined(grades, visit)[1]
        counts["contested"] = int(contested.sum())
        grades = np.where(contested[visit], NOT_VISIBLE, grades).astype(np.int8)
        counts["same_month"] = _same_months(rows)
    if form != VISITS:
        hidden = rust.contradicting(grades, views)
        counts["hidden"] = int(hidden.sum())
        counts["unknown_view"] = int((~rust.shown(views).any(axis=1)).sum())
        counts["not_given"] = int(((grades == NOT_VISIBLE) & rust.shown(views)).sum())
        notes += _against_anatomy(hidden, grades, views, where)
        grades = rust.masked(grades, views)
    else:
        counts["not_given"] = int((grades == NOT_VISIBLE).sum())
    counts["graded"] = int((grades > NOT_SCOREABLE).sum())
    counts["not_scoreable"] = int((grades == NOT_SCOREABLE).sum())
    if given and not counts["graded"]:
        raise BadTable(
            f"no grade of {where} is left: every one is contested, or of a cortex that its view does not show",
            remedy="its views or cortices are named the other way round; read it with another --naming",
        )
    notes += [f"{counts[name]} {COUNTS[name]}" for name in ("repeated", "contested", "same_month") if counts[name]]
    return with_grades(rows, grades)


def _visits(rows: pd.DataFrame) -> NDArray[np.intp]:
    """Number of the visit of each row, as one rater saw it; a row without a study is a visit of its own."""
    alone = "row " + rows.index.astype(str).to_series(index=rows.index)
    name = rows["study"].where(rows["study"] != "", alone).astype(str)
    if "rater" in rows:
        name = name + "\0" + rows["rater"].astype(str)
    return np.asarray(pd.factorize(name)[0], np.intp)


def _same_months(rows: pd.DataFrame) -> int:
    """How many visits are in a month in which the patient has another."""
    if not {"patient", "month"} <= set(rows):
        return 0
    told = rows[(rows["study"] != "") & (rows["patient"] != "") & rows["month"].notna()].drop_duplicates("study")
    return int(told.duplicated(["patient", "month"]).sum())


def _against_anatomy(hidden: NDArray[np.bool_], grades: Grades, views: NDArray[np.str_], where: str) -> list[str]:
    """The warnings about views that a table grades against anatomy."""
    notes = []
    for view in rust.SHOWN:
        rows = (views == view) & (grades > NOT_SCOREABLE).any(axis=1)
        against = int(hidden[rows].any(axis=1).sum())
        if not against:
            continue
        seen, unseen = rust.SHOWN[view], [c for c in CORTICES if c not in rust.SHOWN[view]]
        text = (
            f"{against} of {int(rows.sum())} {view} rows of {where} grade the {' or '.join(unseen)} cortex; "
            f"the view {view} shows the {' and '.join(seen)} one, so these grades were left out"
        )
        wholly = int((hidden[rows].any(axis=1) & ~(grades[rows] * rust.shown(views[rows]) > 0).any(axis=1)).sum())
        swapped = "; its views or cortices seem to be named the other way round (--naming)"
        notes.append(text + (swapped if wholly > rows.sum() / 2 else ""))
    return notes
