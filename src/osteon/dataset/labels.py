"""The label table: which row belongs to which image, and what it says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset.sources import INSIDE
from osteon.dataset.text_table import text_table
from osteon.errors import BadTable
from osteon.tasks import INCONCLUSIVE, Task

IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")
"""Endings that a label table may leave out. Others may be part of the name: many files are called by a UID."""

FILE_KEYS = ("image", "path", "file", "filename", "image_id")
"""Key columns that hold a file name, or a path relative to the ingested folder, with or without its ending."""

KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(FILE_KEYS, ("path", "inside", "name", "path_stem", "inside_stem", "name_stem")),
    "instance": ("instance",),
    "study": ("study", "accession"),
    "accession": ("accession",),
    "patient": ("patient",),
}
"""Key column → what of an image it may name, the most exact first. The first of these that a table has counts."""

ANY_KEY = ("study", "accession", "instance", *KEYS["path"])
"""What a key column of another name may hold."""

SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys(("accessionnumber", "accessionno", "accessionnr", "acc", "accnumber"), "accession"),
    **dict.fromkeys(("studyid", "studyuid", "studyinstanceuid"), "study"),
    **dict.fromkeys(("sopinstanceuid", "instanceuid"), "instance"),
    **dict.fromkeys(("patientid", "patid"), "patient"),
    "imageid": "image_id",
}
"""How else these columns are called, without blanks, hyphens and underscores."""

ANSWER, PATIENT, STUDY = "_answer", "_patient", "_study"
"""Columns of `Labels.rows` that the table need not call so; further columns begin with no underscore."""


@dataclass(frozen=True)
class Columns:
    """Which column of a label table says what; "" lets their names decide. Capitals do not count.

    Attributes:
        key: names the image or study that a row is about.
        answer: holds the answer.
        patient: names the patient.
        sheet: of a workbook; "" takes the first.
        naming: what the words of a table of grades mean, a name of `osteon.dataset.naming.NAMINGS`.
        inconclusive: the answer where people could not tell; "" takes no such answer.
    """

    key: str = ""
    answer: str = ""
    patient: str = ""
    sheet: str = ""
    naming: str = "as-written"
    inconclusive: str = ""


BY_NAME = Columns()
"""Names alone decide."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A label table.

    Attributes:
        name: of the file, for messages.
        key: its key column; `names` is what of an image that may name.
        answer: its column with the answer.
        keys: (n,) values of the key column, unique, not empty.
        rows: n rows, in that order: ANSWER, PATIENT, STUDY, and the further columns under the names that they get in
            the manifest.
        notes: what had to be decided, one sentence each.
        inconclusive: the answer where people could not tell, in lower case; "" if there is no such answer.
    """

    name: str
    key: str
    names: tuple[str, ...]
    answer: str
    keys: NDArray[np.object_]
    rows: pd.DataFrame
    notes: tuple[str, ...] = ()
    inconclusive: str = ""

    @property
    def names_files(self) -> bool:
        """Whether a row is about one file."""
        return self.key in FILE_KEYS


def read(path: Path, task: Task, columns: Columns = BY_NAME) -> Labels:
    """Read a label table.

    Args:
        path: CSV or Excel workbook (see `osteon.sheets`), or Parquet. Needs a key column (KEYS) and an answer
            (`task.label_columns`); all further columns are carried along as text.
        task: names the columns that may hold the answer.
        columns: which column says what, where the names do not tell.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is no table, lacks a column (the message says which it has), or contradicts itself.
        UnknownName: if the workbook has no such sheet.
    """
    return parse(*text_table(path, columns.sheet), path.name, task, columns)


def parse(frame: pd.DataFrame, notes: Sequence[str], name: str, task: Task, columns: Columns) -> Labels:
    """As `read`, from a table of text that is called `name` and whose index is the number of the row in its file."""
    notes = list(notes)
    unsure = _unsure(columns.inconclusive, task)
    known = {column: SPELLINGS.get(re.sub(r"[\s_-]", "", column), column) for column in frame}
    key = _named(frame, columns.key, name, "the key") or _first(known, KEYS, name, "says which image a row is about")
    answer = _named(frame, columns.answer, name, "the answer") or _first(
        {column: column for column in frame}, task.label_columns, name, _holds(task)
    )
    patient = _named(frame, columns.patient, name, "the patient") or _column(known, "patient")
    study = _column(known, "study")
    # Carried along, a second answer would lie open in the manifest when the answers of the test set are sealed.
    spare = [column for column in task.label_columns if column in frame and column not in (answer, key, patient)]
    used = {key, answer, patient, study, *spare}
    if known[key] not in KEYS or known[key] == "accession":  # no column of the manifest holds it otherwise
        used.discard(key)
    extra = {column: _free_name(column) for column in frame if column not in used - {""}}
    filled = Counter([*extra.values(), *([INCONCLUSIVE] if unsure else [])])
    doubled = [new for new, times in filled.items() if times > 1]
    if doubled:
        raise BadTable(f"{name} would fill the column {doubled[0]!r} twice", remedy="rename one of its columns")
    nothing = pd.Series("", frame.index, dtype="string")
    said = {ANSWER: answer, PATIENT: patient, STUDY: study}
    rows = pd.DataFrame({what: frame[column] if column else nothing for what, column in said.items()}, frame.index)
    rows = pd.concat([rows, frame[list(extra)].rename(columns=extra)], axis=1)
    keys, rows, without_key = _by_key(rows, frame[key], known[key], name)
    notes += [f"column {column} of {name} is carried as {new}" for column, new in extra.items() if column != new]
    notes += [f"column {column} of {name} is left out: {answer} is the answer" for column in spare]
    if without_key:
        notes.append(f"{without_key} rows of {name} have no {key} and are left out")
    return Labels(name, known[key], KEYS.get(known[key], ANY_KEY), answer, keys, rows, tuple(notes), unsure)


def rows_of(labels: Labels, frame: pd.DataFrame) -> NDArray[np.intp]:
    """(n,) which row of the label table each image meets, -1 for none.

    File names match without regard to capitals if no row spells them exactly.

    Args:
        labels: the label table.
        frame: one row per image, with the columns of `osteon.dataset.rows.SCHEMA`.
    """
    found = np.full(len(frame), -1, np.intp)
    _fill(found, labels.names, frame, labels.keys, np.arange(len(labels.keys)))
    if "path" in labels.names:
        folded = np.array([key.casefold() for key in labels.keys], object)
        alone = np.flatnonzero(~pd.Index(folded).duplicated(keep=False))
        _fill(found, labels.names, frame, folded[alone], alone, fold=True)
    return found


def must_meet(labels: Labels, met: NDArray[np.intp], frame: pd.DataFrame) -> None:
    """Check that a table belongs to a folder.

    Args:
        labels: the label table.
        met: as `rows_of` gave it.
        frame: the images, without copies.

    Raises:
        BadTable: if no row meets an image, or a file name that a row gives belongs to several files.
    """
    if labels.names_files:
        several = pd.Series(met).where(met >= 0).dropna().duplicated(keep=False)
        if several.any():
            row = int(met[several.idxmax()])
            first, second = frame["path"].to_numpy()[np.flatnonzero(met == row)[:2]]
            raise BadTable(
                f"{labels.name} names {labels.keys[row]}, and there are {first} and {second}",
                remedy="give each file a row of its own, by its path relative to the folder",
            )
    if len(frame) and not (met >= 0).any():
        example = f": it says {labels.keys[0]}, and there is {frame['path'].iloc[0]}" if labels.names_files else ""
        zeros = zeros_apart(labels, met, frame)
        raise BadTable(
            f"no row of {labels.name} is about an image in this folder, by its column {labels.key!r}{example}",
            remedy=f"{zeros} rows would fit but for leading zeros: format the column as text"
            if zeros
            else "check that the table belongs to the folder, and how the column spells its values",
        )


def zeros_apart(labels: Labels, met: NDArray[np.intp], frame: pd.DataFrame) -> int:
    """How many rows without an image would meet one if leading zeros did not count; spreadsheets like to drop them."""
    unmet = np.setdiff1d(np.arange(len(labels.keys)), met)
    lone = frame[met < 0]
    there = {text.lstrip("0") for name in labels.names for text in _texts(name, lone)} - {""}
    return sum(str(labels.keys[row]).lstrip("0") in there for row in unmet)


def _texts(name: str, frame: pd.DataFrame) -> list[str]:
    """What of each image a key may name, as `KEYS` calls it."""
    if name in frame:
        return [str(text) for text in frame[name]]
    paths = [str(path) for path in frame["path"]]
    if name.startswith("inside"):  # the path within the archive
        paths = [path.rpartition(INSIDE)[2] for path in paths]
    if name.startswith("name"):
        paths = [path.rpartition("/")[2] for path in paths]
    if not name.endswith("stem"):
        return paths
    return [path.rpartition(".")[0] if path.lower().endswith(IMAGE_SUFFIXES) else "" for path in paths]


def _fill(
    found: NDArray[np.intp],
    names: Iterable[str],
    frame: pd.DataFrame,
    keys: NDArray[np.object_],
    rows: NDArray[np.intp],
    *,
    fold: bool = False,
) -> None:
    """Where nothing is found yet, the one of `rows` whose key the image has for a name, the first name first."""
    index = pd.Index(keys)
    for name in names:
        lone = np.flatnonzero(found < 0)
        texts = _texts(name, frame.iloc[lone])
        places = index.get_indexer(np.array([text.casefold() for text in texts] if fold else texts, object))
        met = (places >= 0) & np.array([text != "" for text in texts], bool)
        found[lone[met]] = rows[places[met]]


def _by_key(rows: pd.DataFrame, keys: pd.Series, kind: str, name: str) -> tuple[NDArray[np.object_], pd.DataFrame, int]:
    """The keys, the row of each, and how many rows have none; equal rows are one."""
    keys = keys.str.replace("\\", "/", regex=False) if kind in FILE_KEYS else keys
    whole = pd.concat([keys.rename("_key"), rows], axis=1)[keys != ""].drop_duplicates()
    again = whole["_key"].duplicated()
    if again.any():
        line = again.idxmax()
        value = whole["_key"][line]
        earlier = (whole["_key"] == value).idxmax()
        # A patient's id stays out of messages: they end in logs.
        about = "the same patient" if kind == "patient" else f"{kind} {value}"
        raise BadTable(
            f"rows {earlier} and {line} of {name} contradict each other about {about}",
            remedy=f"leave one row per {kind}, or use a finer key column ({', '.join(KEYS)})",
        )
    kept = whole.drop(columns="_key").reset_index(drop=True)
    return whole["_key"].to_numpy(object), kept, int((keys == "").sum())


def _unsure(word: str, task: Task) -> str:
    """The answer that says that people could not tell, as it is compared; "" if there is none."""
    text = word.strip().lower()
    if text and (task.score is not None or task.encode(text) is not None):
        why = "grades are never inconclusive" if task.score is not None else "it says yes or no"
        raise BadTable(
            f"{word!r} cannot mean that people could not tell: {why}", remedy="leave --inconclusive out, or name a word"
        )
    return text


def _free_name(column: str) -> str:
    return f"label_{column}" if column in tables.MANIFEST or column.startswith("_") else column


def _named(frame: pd.DataFrame, column: str, name: str, purpose: str) -> str:
    column = column.strip().lower()
    if column and column not in frame:
        raise _lacks(frame, name, f"column {column!r} for {purpose}", "")
    return column


def _column(known: Mapping[str, str], kind: str) -> str:
    return next((column for column, means in known.items() if means == kind), "")


def _first(known: Mapping[str, str], wanted: Iterable[str], name: str, purpose: str) -> str:
    for kind in wanted:
        if column := _column(known, kind):
            return column
    raise _lacks(known, name, f"column that {purpose}", f"name one of them {', '.join(wanted)}; ")


def _holds(task: Task) -> str:
    return f"holds the answer ({task.positive} or {task.negative})"


def _lacks(columns: Iterable[str], name: str, what: str, remedy: str) -> BadTable:
    return BadTable(f"{name} has no {what}", remedy=f"{remedy}it has {', '.join(map(str, columns)) or 'none'}")
