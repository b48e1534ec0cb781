"""From a folder to a manifest: every file that is given becomes a case or a refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from osteon import tables
from osteon.dataset import labels as label_table
from osteon.dataset import sources
from osteon.dataset.guard import Lost
from osteon.dataset.workers import each
from osteon.dicom import read as dicom
from osteon.errors import NotFound, TooFewCases, UnreadableImage
from osteon.tasks import Task
from osteon.types import Case, Progress, Refusal, silent


@dataclass(frozen=True, eq=False)
class Ingested:
    """What became of a folder.

    Attributes:
        manifest: one row per image, columns as in `osteon.tables.MANIFEST` and those of the label table.
        refusals: one per file that was left out. Manifest and refusals together are all files given.
        labels_without_image: keys of the label table that are about no image that could be read.
        notes: what had to be decided, one sentence each.
    """

    manifest: pd.DataFrame
    refusals: list[Refusal]
    labels_without_image: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def given(self) -> int:
        """Number of files that were given."""
        return len(self.manifest) + len(self.refusals)


def ingest(
    source: Path,
    labels: Path | None,
    *,
    task: Task,
    patient_column: str = "",
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Ingested:
    """Look at every file of a folder, without decoding pixels, and join the label table.

    Args:
        source: folder of DICOM, PNG and JPEG files under any names, nested. `files_given` says which files count.
        labels: CSV or Parquet (see `osteon.dataset.labels`); None keeps all images, unlabelled.
        task: what the labels answer.
        patient_column: column of the label table that names the patient; "" takes `patient` if there is one.
        workers: processes.
        executor: used instead of own processes, if given.

    Raises:
        NotFound: if the folder or the label table is not there.
        TooFewCases: if no file is given.
        BadTable: if the label table lacks a column, contradicts itself, or is about none of these files.
    """
    if not source.is_dir() and not (source.is_file() and source.suffix.lower() == sources.ARCHIVE):
        raise NotFound(
            f"{source} is neither a folder nor a zip archive", remedy="give the folder that holds the images"
        )
    table = label_table.read(labels, task, patient_column) if labels else None
    paths = sources.files_given(source, labels)
    if not paths:
        raise TooFewCases(f"{source} holds no files", remedy="give a folder of DICOM, PNG or JPEG files")
    looked: list[Case | Refusal] = [Refusal(path, "crashed", "not looked at") for path in paths]
    jobs = [(source, path) for path in paths]
    for done, (position, result) in enumerate(each(look, jobs, workers=workers, executor=executor, lost=_lost), 1):
        looked[position] = result
        progress(done, len(jobs))
    cases, refusals = _without_copies([case for case in looked if isinstance(case, Case)])
    refusals += [refusal for refusal in looked if isinstance(refusal, Refusal)]
    notes, unmet = list[str](), tuple[str, ...]()
    if table:
        cases, unlabelled, unmet = label_table.attach(cases, table, task)
        refusals += unlabelled
        notes += table.notes
    cases, more = _named(cases)
    refusals.sort(key=lambda refusal: refusal.path)
    return Ingested(_manifest(cases), refusals, unmet, (*notes, *more))


def look(job: tuple[Path, str]) -> Case | Refusal:
    """One file: what it is, or why it is left out. `job` is the folder and the path in it."""
    source, path = job
    if not _is_text(path):
        legible = path.encode("utf-8", "backslashreplace").decode()
        return Refusal(legible, "not_an_image", "its name is not valid UTF-8", "rename the file")
    try:
        data = sources.read_bytes(source, path)
        header, rows, columns = dicom.peek(data)
    except UnreadableImage as error:
        return Refusal(path, error.code, error.message, error.remedy)
    except (NotFound, OSError) as error:
        return Refusal(path, "not_an_image", f"cannot be opened ({error})", "check the link and its permissions")
    image = hashlib.sha256(data).hexdigest()[:32]
    return Case(image=image, path=path, target=None, rows=rows, columns=columns, header=header)


def _lost(job: tuple[Path, str], why: Lost) -> Refusal:
    return Refusal(job[1], why.code, why.reason, why.remedy)


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _without_copies(cases: Sequence[Case]) -> tuple[list[Case], list[Refusal]]:
    """The first of byte-identical files, and a refusal for each further one."""
    first: dict[str, Case] = {}
    copies = []
    for case in cases:
        kept = first.setdefault(case.image, case)
        if kept is not case:
            copies.append(Refusal(case.path, "duplicate_file", f"the same bytes as {kept.path}", "nothing to do"))
    return list(first.values()), copies


def _named(cases: Sequence[Case]) -> tuple[list[Case], list[str]]:
    """Every case with a patient and a study; where nothing names them, the image is its own."""
    named = []
    for case in cases:
        header = case.header
        study = header.study or header.accession or case.image
        named.append(replace(case, header=replace(header, patient=header.patient or case.image, study=study)))
    nameless = sum(not case.header.patient for case in cases)
    note = (
        f"{nameless} of {len(cases)} images name no patient: each of them counts as a patient of its own "
        "(if a column of the label table tells who belongs together, name it with --patient-column)"
    )
    return named, [note] if nameless else []


def _manifest(cases: Sequence[Case]) -> pd.DataFrame:
    frame = pd.DataFrame([_row(case) for case in cases], columns=None if cases else list(_REQUIRED))
    return tables.check(frame, tables.MANIFEST, "the manifest")


_REQUIRED = [name for name, column in tables.MANIFEST.items() if column.required]


def _row(case: Case) -> dict[str, Any]:
    header = case.header
    own: dict[str, Any] = {name: getattr(case, name) for name in ("image", "path", "target", "rows", "columns")}
    own["spacing_mm"] = header.spacing_mm[0] if header.spacing_mm else None
    row = {name: own[name] if name in own else getattr(header, name) for name in _REQUIRED}
    return row | dict(case.extra)
