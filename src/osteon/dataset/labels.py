"""The label table: which row belongs to which image, and what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from osteon import files, sheets, tables
from osteon.errors import BadTable
from osteon.tasks import Task
from osteon.types import Case, Header, Refusal

IMAGE_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg")
"""Endings that a label table may leave out. Others may be part of the name: many files are called by a UID."""


def _names(case: Case) -> tuple[str, ...]:
    whole = case.path, case.path.rpartition("/")[2]
    return *whole, *(Path(name).with_suffix("").as_posix() for name in whole if name.lower().endswith(IMAGE_SUFFIXES))


KEYS: Mapping[str, Callable[[Case], tuple[str, ...]]] = {
    "image": _names,
    "path": _names,
    "file": _names,
    "filename": _names,
    "image_id": _names,
    "instance": lambda case: (case.header.instance,),
    "study": lambda case: (case.header.study,),
    "accession": lambda case: (case.header.accession,),
    "patient": lambda case: (case.header.patient,),
}
"""Key column → what it may say of a case, the most exact first. The first of these columns that a table has counts."""

FILE_KEYS = ("image", "path", "file", "filename", "image_id")
"""Key columns that hold a file name, or a path relative to the ingested folder, with or without its ending."""


@dataclass(frozen=True)
class Label:
    """One row of a label table: the answer as it is spelt, whom it is about, and what else the row says."""

    answer: str
    patient: str
    study: str
    extra: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Labels:
    """A label table by key.

    Attributes:
        name: of the file, for messages.
        key: name of its key column, one of KEYS.
        rows: key value → row.
        notes: what had to be decided, one sentence each.
    """

    name: str
    key: str
    rows: Mapping[str, Label]
    notes: tuple[str, ...] = ()


def read(path: Path, task: Task, patient_column: str = "") -> Labels:
    """Read a label table.

    Args:
        path: CSV (see `osteon.sheets`) or Parquet. Needs a key column (KEYS) and an answer (`task.label_columns`); all
            further columns are carried along as text. Capitals in the names of columns do not count.
        task: names the columns that may hold the answer.
        patient_column: column that says who the patient is; "" takes `patient` if there is one.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is no table, lacks a column (the message says which it has), or contradicts itself.
    """
    frame = _text_table(files.must_exist(path))
    patient_column = patient_column.strip().lower()
    key = _first(frame, KEYS, path.name, "says which image a row is about")
    answer = _first(frame, task.label_columns, path.name, f"holds the answer ({task.positive} or {task.negative})")
    if patient_column and patient_column not in frame:
        raise _lacks(frame, path.name, f"column {patient_column!r} for the patient", "")
    patient = patient_column or "patient"
    # Carried along, a second answer would lie open in the manifest when the answers of the test set are sealed.
    spare = [column for column in task.label_columns if column in frame and column not in (answer, key, patient_column)]
    used = {key, answer, patient, "study", *spare} & set(frame.columns)
    used -= {"accession"}  # no column of the manifest: as a key it is carried too
    extra = {column: _free_name(column) for column in frame.columns if column not in used}
    doubled = [name for name, times in Counter(extra.values()).items() if times > 1]
    if doubled:
        raise BadTable(f"{path.name} would fill the column {doubled[0]!r} twice", remedy="rename one of its columns")
    rows, without_key = _by_key(frame, path.name, key, answer, patient, extra)
    notes = [f"column {column} of {path.name} is carried as {new}" for column, new in extra.items() if column != new]
    notes += [f"column {column} of {path.name} is left out: {answer} is the answer" for column in spare]
    if without_key:
        notes.append(f"{without_key} rows of {path.name} have no {key} and are left out")
    return Labels(path.name, key, rows, tuple(notes))


def attach(cases: Iterable[Case], labels: Labels, task: Task) -> tuple[list[Case], list[Refusal], tuple[str, ...]]:
    """Give each case what the table says of it.

    Returns:
        The labelled cases; refusals `no_label` and `bad_label`; and the keys of the table that met no case.

    Raises:
        BadTable: if no row meets a case, or a file name that a row gives belongs to several files.
    """
    kept, refused, met = [], [], dict[str, str]()
    find = _finder(labels)
    for case in cases:
        key = find(case)
        if key is None:
            refused.append(_no_label(case, labels))
            continue
        if labels.key in FILE_KEYS and met.setdefault(key, case.path) != case.path:
            raise BadTable(
                f"{labels.name} names {key}, and there are {met[key]} and {case.path}",
                remedy="give each file a row of its own, by its path relative to the folder",
            )
        met[key] = case.path
        row = labels.rows[key]
        target = task.encode(row.answer)
        if target is None:
            refused.append(_bad_label(case, row, task))
        else:
            kept.append(replace(case, target=target, header=_told(case, row), extra=row.extra))
    if (kept or refused) and not met:
        example = ""
        if labels.key in FILE_KEYS:
            example = f": it says {next(iter(labels.rows), '')}, and there is {refused[0].path}"
        raise BadTable(
            f"no row of {labels.name} is about an image in this folder, by its column {labels.key!r}{example}",
            remedy="check that the table belongs to the folder, and how the column spells its values",
        )
    return kept, refused, tuple(key for key in labels.rows if key not in met)


def _finder(labels: Labels) -> Callable[[Case], str | None]:
    """From a case to the key of its row. File names match without regard to capitals if no row spells them exactly."""
    folded: dict[str, str] = {}
    if labels.key in FILE_KEYS:
        times = Counter(map(str.casefold, labels.rows))
        folded = {key.casefold(): key for key in labels.rows if times[key.casefold()] == 1}

    def find(case: Case) -> str | None:
        names = [name for name in KEYS[labels.key](case) if name]
        exact = next((name for name in names if name in labels.rows), None)
        return exact or next((folded[name.casefold()] for name in names if name.casefold() in folded), None)

    return find


def _told(case: Case, row: Label) -> Header:
    # The table's patient wins, since it knows who is who across sites; the file's own study wins, since it is a UID.
    return replace(case.header, patient=row.patient or case.header.patient, study=case.header.study or row.study)


def _no_label(case: Case, labels: Labels) -> Refusal:
    return Refusal(
        case.path,
        "no_label",
        f"no row of {labels.name} has its {labels.key}",
        "add a row, or ingest without a label table",
    )


def _bad_label(case: Case, row: Label, task: Task) -> Refusal:
    said = f"its label is {row.answer!r}" if row.answer.strip() else "its label is empty"
    return Refusal(
        case.path, "bad_label", said, f"write {task.yes[0]} for {task.positive}, {task.no[0]} for {task.negative}"
    )


def _text_table(path: Path) -> pd.DataFrame:
    """All columns as text, "" where nothing is said; the index is the number of the row in a spreadsheet."""
    ways = {".csv": sheets.read, ".parquet": _parquet_as_text}
    if path.suffix.lower() not in ways:
        raise BadTable(f"{path} is neither .csv nor .parquet", remedy=sheets.SAVE_AS)
    frame = ways[path.suffix.lower()](path)
    if frame.empty:
        raise BadTable(f"{path.name} has no rows below its header", remedy="give one row per image or study")
    return frame


def _parquet_as_text(path: Path) -> pd.DataFrame:
    try:
        table = pq.read_table(path)
        texts = [column.cast(pa.string()).fill_null("").to_pylist() for column in table.columns]
    except (pa.ArrowException, OSError) as error:
        raise BadTable(f"{path.name} is not a readable table ({error})", remedy=sheets.SAVE_AS) from error
    names = sheets.plain(table.column_names, path.name)
    return pd.DataFrame(
        {name: [text.strip() for text in column] for name, column in zip(names, texts, strict=True)},
        index=range(2, len(table) + 2),
        dtype="string",
    )


def _by_key(
    frame: pd.DataFrame, name: str, key: str, answer: str, patient: str, extra: Mapping[str, str]
) -> tuple[dict[str, Label], int]:
    nothing = [""] * len(frame)
    columns = [list(frame[column]) if column in frame else nothing for column in (key, answer, patient, "study")]
    others = list(zip(*(frame[column] for column in extra), strict=True)) if extra else [()] * len(frame)
    rows, line_of, without_key = dict[str, Label](), dict[str, int](), 0
    for line, value, said, who, study, rest in zip(frame.index, *columns, others, strict=True):
        label = Label(said, who, study, tuple(zip(extra.values(), rest, strict=True)))
        value = value.replace("\\", "/") if key in FILE_KEYS else value
        if not value:
            without_key += 1
        elif rows.setdefault(value, label) != label:
            # A patient's id stays out of messages: they end in logs.
            about = "the same patient" if key == "patient" else f"{key} {value}"
            raise BadTable(
                f"rows {line_of[value]} and {line} of {name} contradict each other about {about}",
                remedy=f"leave one row per {key}, or use a finer key column ({', '.join(KEYS)})",
            )
        line_of.setdefault(value, line)
    return rows, without_key


def _free_name(column: str) -> str:
    return f"label_{column}" if column in tables.MANIFEST else column


def _first(frame: pd.DataFrame, wanted: Iterable[str], name: str, purpose: str) -> str:
    for column in wanted:
        if column in frame:
            return column
    raise _lacks(frame, name, f"column that {purpose}", f"name one of them {', '.join(wanted)}; ")


def _lacks(frame: pd.DataFrame, name: str, what: str, remedy: str) -> BadTable:
    return BadTable(f"{name} has no {what}", remedy=f"{remedy}it has {', '.join(map(str, frame.columns)) or 'none'}")
