"""What is decided once all files were looked at: copies, who is who, outliers, labels, exclusions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from osteon import tables
from osteon.dataset import exclusions
from osteon.dataset import labels as label_table
from osteon.dataset.bodypart import resolve
from osteon.dataset.duplicates import OTHER_PATIENT, same_file, same_instance, same_pixels
from osteon.dataset.exclusions import Rule
from osteon.dataset.flow import Dropped, Flow, Sieve
from osteon.dataset.labels import ANSWER, PATIENT, STUDY, Labels
from osteon.dataset.rows import SCHEMA
from osteon.tasks import INCONCLUSIVE, Task
from osteon.types import Refusal

MAX_INSTANCES = 20
"""A study of more instances is shown as an outlier. The studies of de Cid 2021 have 1 to 8, but for one of 195."""


IDENTITY = ("image", "instance", "pixels", "patient")
"""Columns by which copies are known."""

TEXTS = ("body_part", "study_description", "series_description", "protocol_name")
"""Columns that tell the body part, in the order in which `osteon.dataset.bodypart.resolve` takes them."""


@dataclass(frozen=True)
class Rules:
    """What is left out on purpose.

    Attributes:
        exclude: the first rule that applies to an image counts.
        max_instances: a study with more images than that is an outlier.
        drop_outliers: leave outliers out; else they are only shown.
    """

    exclude: tuple[Rule, ...] = ()
    max_instances: int = MAX_INSTANCES
    drop_outliers: bool = False


NO_RULES = Rules()
"""Nothing is left out on purpose."""


@dataclass(frozen=True, eq=False)
class Ingested:
    """What became of an export.

    Attributes:
        manifest: one row per image, columns as in `osteon.tables.MANIFEST` and those of the label table.
        refusals: one per file that was left out. Manifest and refusals together are all files given.
        flow: how many files, studies and patients were left out, and why.
        studies_without_label: one row per study that no row of the label table names: `study`, `accession`,
            `instances`.
        labels_without_study: one row per row of the label table that is about no image that could be read: the key and
            the answer.
        outliers: one row per study with too many instances: `study`, `accession`, `instances`, `kept`.
        notes: what had to be decided, one sentence each.
    """

    manifest: pd.DataFrame
    refusals: list[Refusal]
    flow: Flow
    studies_without_label: pd.DataFrame
    labels_without_study: pd.DataFrame
    outliers: pd.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def given(self) -> int:
        """Number of files that were given."""
        return len(self.manifest) + len(self.refusals)


def settle(
    frame: pd.DataFrame, refusals: Sequence[Refusal], table: Labels | None, *, task: Task, rules: Rules
) -> Ingested:
    """Decide what is taken.

    Args:
        frame: one row per readable image, as `osteon.dataset.rows.Rows` gives it.
        refusals: of the files that are none.
        table: the label table, if there is one.
        task: what it answers.
        rules: what is left out on purpose.

    Raises:
        BadTable: if the label table is about none of the images, or about several by one name, or a rule names no
            column.
    """
    frame = identified(frame, table)
    unmet = _unmet(table, frame)
    sieve = Sieve(frame, refusals)
    del frame  # of a million rows, one copy is enough
    sieve.apply("different images", (same_file, same_instance, same_pixels), IDENTITY)
    unlike = int(sieve.frame.loc[sieve.frame["instance"] != "", "instance"].duplicated().sum())
    sieve.frame = with_body_part(sieve.frame)
    outliers, unlabelled = _outliers(sieve.frame, rules), _studies(sieve.frame[:0])
    notes = list(table.notes) if table else []
    if table:
        met = sieve.frame["_row"].to_numpy()
        label_table.must_meet(table, met, sieve.frame)
        unlabelled = _studies(sieve.frame[met < 0])
        notes += _about_zeros(table, label_table.zeros_apart(table, met, sieve.frame))
    if rules.drop_outliers:
        few = f"in studies of at most {rules.max_instances} images"
        sieve.apply(few, [partial(_in_outliers, outliers, rules)], ["study"])
    if table:
        sieve.apply("with a label", [partial(_without_label, table)], ["_row"])
        sieve.frame = _labelled(sieve.frame, table)
    if rules.exclude:
        also = {table.answer: ANSWER} if table else {}
        columns = [exclusions.column_of(rule, sieve.frame, also) for rule in rules.exclude]
        pairs = zip(rules.exclude, columns, strict=True)
        sieve.apply("not excluded", [partial(exclusions.dropped, *pair, task) for pair in pairs], columns)
    if table:
        sieve.frame = sieve.frame.assign(target=_targets(sieve.frame[ANSWER], task), **_undecided(sieve.frame, table))
        third = f", or {table.inconclusive}" if table.inconclusive else ""
        answered = f"with an answer ({task.positive} or {task.negative}{third})"
        needs = ["target", ANSWER, *([INCONCLUSIVE] if table.inconclusive else [])]
        sieve.apply(answered, [partial(_without_answer, task, table.inconclusive)], needs)
    return Ingested(
        manifest=_manifest(sieve.frame),
        refusals=sorted(sieve.refusals, key=lambda refusal: refusal.path),
        flow=tuple(sieve.stages),
        studies_without_label=unlabelled,
        labels_without_study=unmet,
        outliers=outliers,
        notes=(
            *notes,
            *_about_copies(sieve.refusals, unlike),
            *_about_patients(sieve.frame),
            *_about_outliers(outliers, rules),
        ),
    )


def identified(frame: pd.DataFrame, table: Labels | None) -> pd.DataFrame:
    """Every image with its row of the label table, a patient and a study. Nowhere else do ids become columns.

    The table's patient wins, since it knows who is who across sites; the file's own study wins, since it is a UID.
    Where nothing names a patient or a study, the image is its own.

    Returns:
        The frame with `patient` and `study` never empty, `_row` (of the label table, -1 for none) and `_nameless`.
    """
    row = np.full(len(frame), -1, np.intp)
    patient, study = frame["patient"], frame["study"]
    if table:
        row = label_table.rows_of(table, frame)
        told, named = (_taken(table.rows[column], row, frame.index) for column in (PATIENT, STUDY))
        patient, study = told.where(told != "", patient), study.where(study != "", named)
    study = study.where(study != "", frame["accession"])
    return frame.assign(
        _row=row,
        _nameless=patient == "",
        patient=patient.where(patient != "", frame["image"]),
        study=study.where(study != "", frame["image"]),
    )


def with_body_part(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with what its free texts mean: `resolved_part`, `resolved_side`, `resolved_view`, `part_confidence`."""
    codes = np.zeros(len(frame), np.int64)
    for name in TEXTS:
        values, different = pd.factorize(frame[name])
        # Numbered anew after each text, so that the numbers stay below the square of the rows.
        codes = np.unique(codes * len(different) + values, return_inverse=True)[1]
    first, each = np.unique(codes, return_index=True, return_inverse=True)[1:]
    answers = [resolve(*texts) for texts in frame[list(TEXTS)].iloc[first].itertuples(index=False, name=None)]

    def column(name: str, dtype: str) -> pd.Series:
        return pd.Series([getattr(answer, name) for answer in answers], dtype=dtype).iloc[each].set_axis(frame.index)

    return frame.assign(
        resolved_part=column("part", "string"),
        resolved_side=column("side", "string"),
        resolved_view=column("view", "string"),
        part_confidence=column("confidence", "Float32"),
    )


def _taken(column: pd.Series, rows: np.ndarray, index: pd.Index) -> pd.Series:
    """These rows of a column, "" for row -1."""
    return pd.Series(column.array.take(rows, allow_fill=True, fill_value=""), index)


def _outliers(frame: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    studies = _studies(frame)
    many = studies[studies["instances"] > rules.max_instances].sort_values("instances", ascending=False, kind="stable")
    return many.assign(kept=not rules.drop_outliers).reset_index(drop=True)


def _studies(frame: pd.DataFrame) -> pd.DataFrame:
    grouped = frame.groupby("study", sort=True)["accession"]
    return pd.DataFrame({"accession": grouped.first(), "instances": grouped.size()}).reset_index()


def _in_outliers(outliers: pd.DataFrame, rules: Rules, frame: pd.DataFrame) -> Dropped:
    times = frame["study"].map(dict(zip(outliers["study"], outliers["instances"], strict=True)))
    hit = times.notna().to_numpy(bool)
    reasons = [f"its study has {times:.0f} images, more than {rules.max_instances}" for times in times[hit]]
    remedy = "look at the study; keep it with --outliers keep, or raise --max-instances"
    return Dropped(hit, "outlier", f"study of more than {rules.max_instances} images", reasons, remedy)


def _without_label(table: Labels, frame: pd.DataFrame) -> Dropped:
    return Dropped(
        (frame["_row"] < 0).to_numpy(bool),
        "no_label",
        "no row in the label table",
        f"no row of {table.name} has its {table.key}",
        "add a row, or ingest without a label table",
    )


def _labelled(frame: pd.DataFrame, table: Labels) -> pd.DataFrame:
    """The frame with what the table says; what only served to get here makes room for columns of the same name."""
    said = table.rows.drop(columns=[PATIENT, STUDY]).iloc[frame["_row"].to_numpy()].set_axis(frame.index)
    return pd.concat([frame.drop(columns=_PASSING), said], axis=1)


_PASSING = [name for name in SCHEMA.names if name not in tables.MANIFEST]


def _targets(answers: pd.Series, task: Task) -> pd.Series:
    meaning = {text: task.encode(text) for text in answers.unique()}
    return answers.map(meaning).astype("Int8")


def _undecided(frame: pd.DataFrame, table: Labels) -> dict[str, pd.Series]:
    """The column that says of which images people could not tell, if the table has a word for that."""
    if not table.inconclusive:
        return {}
    said = frame[ANSWER].astype("string").str.strip().str.lower() == table.inconclusive
    return {INCONCLUSIVE: said.map({True: "1", False: "0"}).astype("string")}


def _without_answer(task: Task, inconclusive: str, frame: pd.DataFrame) -> Dropped:
    hit = frame["target"].isna().to_numpy(bool)
    if inconclusive:
        hit = hit & (frame[INCONCLUSIVE] != "1").to_numpy(bool)
    reasons = [
        f"its label is {said!r}" if said else "its label is empty" for said in frame[ANSWER].to_numpy(object)[hit]
    ]
    remedy = f"write {task.yes[0]} for {task.positive}, {task.no[0]} for {task.negative}"
    return Dropped(hit, "bad_label", "the label is neither yes nor no", reasons, remedy)


def _manifest(frame: pd.DataFrame) -> pd.DataFrame:
    if "target" not in frame:
        frame = frame.drop(columns=_PASSING).assign(target=pd.NA)
    known = [name for name in tables.MANIFEST if name in frame]
    carried = [name for name in frame if name not in tables.MANIFEST and not name.startswith("_")]
    return tables.check(frame[[*known, *carried]].reset_index(drop=True), tables.MANIFEST, "the manifest")


def _unmet(table: Labels | None, frame: pd.DataFrame) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame({"key": [], "answer": []}, dtype="string")
    rows = np.setdiff1d(np.arange(len(table.keys)), frame["_row"])
    return pd.DataFrame(
        {table.key: table.keys[rows], "answer": table.rows[ANSWER].iloc[rows].to_numpy()}, dtype="string"
    )


def _about_zeros(table: Labels, rows: int) -> list[str]:
    note = (
        f"{rows} rows of {table.name} would be about images here but for leading zeros: format its column "
        f"{table.key} as text, and enter the numbers again from their source"
    )
    return [note] if rows else []


def _about_copies(refusals: Sequence[Refusal], unlike: int) -> list[str]:
    notes = []
    if unlike:
        notes.append(f"files with the UID of another instance and other pixels: {unlike}; they are kept: look at them")
    if moved := sum(refusal.reason.endswith(OTHER_PATIENT) for refusal in refusals):
        notes.append(f"files that show the pixels of an image of another patient: {moved}; find out whose they are")
    return notes


def _about_patients(frame: pd.DataFrame) -> list[str]:
    nameless = int(frame["_nameless"].sum())
    note = (
        f"{nameless} of {len(frame)} images name no patient: each of them counts as a patient of its own "
        "(if a column of the label table tells who belongs together, name it with --patient-column)"
    )
    return [note] if nameless else []


def _about_outliers(outliers: pd.DataFrame, rules: Rules) -> list[str]:
    if outliers.empty:
        return []
    done = "left out" if rules.drop_outliers else "kept: look at them, and leave them out with --outliers drop"
    return [
        f"{len(outliers)} {'study has' if len(outliers) == 1 else 'studies have'} more than {rules.max_instances} "
        f"images, the largest {outliers['instances'].max()}; they are {done}"
    ]
