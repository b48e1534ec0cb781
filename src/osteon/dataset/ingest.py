"""From an export to a manifest: every file that is given becomes a case or a refusal."""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor
from contextlib import closing
from pathlib import Path

from osteon.dataset import graded_labels, sources
from osteon.dataset import labels as label_table
from osteon.dataset.guard import Lost
from osteon.dataset.labels import BY_NAME, Columns, Labels
from osteon.dataset.rows import Rows
from osteon.dataset.settle import NO_RULES, Ingested, Rules, settle
from osteon.dataset.workers import each
from osteon.dicom import read as dicom
from osteon.dicom.stored import stored_pixels
from osteon.errors import NotFound, TooFewCases, UnreadableImage
from osteon.tasks import Task
from osteon.types import Case, Progress, Refusal, silent


def ingest(
    source: Path,
    labels: Path | None,
    *,
    task: Task,
    columns: Columns = BY_NAME,
    rules: Rules = NO_RULES,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Ingested:
    """Look at every file of an export, without decoding pixels, and join the label table.

    Args:
        source: folder of DICOM, PNG and JPEG files under any names, nested, and of zip archives; or one archive.
            `osteon.dataset.sources.files_given` says which files count.
        labels: CSV, Excel or Parquet (see `osteon.dataset.labels`); None keeps all images, unlabelled.
        task: what the labels answer.
        columns: which column of the label table says what, where the names do not tell.
        rules: what is left out on purpose.
        workers: processes.
        executor: used instead of own processes, if given.

    Raises:
        NotFound: if the source or the label table is not there.
        TooFewCases: if no file is given.
        BadTable: if the label table lacks a column, contradicts itself, or is about none of these files, or a rule
            names no column.
    """
    if not source.is_dir() and not (source.is_file() and source.suffix.lower() == sources.ARCHIVE):
        raise NotFound(
            f"{source} is neither a folder nor a zip archive", remedy="give the folder that holds the images"
        )
    table = _labels_of(labels, task, columns) if labels else None
    paths = sources.files_given(source, labels)
    if not paths:
        raise TooFewCases(f"{source} holds no files", remedy="give a folder of DICOM, PNG or JPEG files")
    seen, refusals = Rows(), list[Refusal]()
    jobs = ((source, path) for path in paths)
    with closing(each(look, jobs, workers=workers, executor=executor, lost=_lost)) as results:
        for done, (_, result) in enumerate(results, 1):
            if isinstance(result, Case):
                seen.add(result)
            else:
                refusals.append(result)
            progress(done, len(paths))
    return settle(seen.frame(), refusals, table, task=task, rules=rules)


def look(job: tuple[Path, str]) -> Case | Refusal:
    """One file: what it is, or why it is left out. `job` is the source and the path in it."""
    source, path = job
    if not _is_text(path):
        legible = path.encode("utf-8", "backslashreplace").decode()
        return Refusal(legible, "not_an_image", "its name is not valid UTF-8", "rename the file")
    try:
        data = sources.read_bytes(source, path)
        header, rows, columns = dicom.peek(data)
        pixels = stored_pixels(data) if header.transfer_syntax else ""
    except UnreadableImage as error:
        return Refusal(path, error.code, error.message, error.remedy)
    except (NotFound, OSError) as error:
        return Refusal(path, "not_an_image", f"cannot be opened ({error})", "check the link and its permissions")
    image = hashlib.sha256(data).hexdigest()[:32]
    return Case(image=image, path=path, rows=rows, columns=columns, header=header, pixels=pixels)


def _labels_of(path: Path, task: Task, columns: Columns) -> Labels:
    if task.score is None:
        return label_table.read(path, task, columns)
    return graded_labels.read(path, task, task.score, columns)


def _lost(job: tuple[Path, str], lost: Lost) -> Refusal:
    return Refusal(job[1], lost.code, lost.reason, lost.remedy)


def _is_text(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
