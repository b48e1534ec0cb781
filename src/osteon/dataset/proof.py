"""Is a tree clean? Every file held against the standard's table, its name, its pixels, and what it came from.

The proof knows nothing of how the tree was made: any tree of DICOM files can be held against it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import FileDataset

from osteon.dataset import sources
from osteon.dataset.cleaning import DICOM
from osteon.dataset.guard import Lost
from osteon.dataset.release import FILE_NAME, LABELS
from osteon.dataset.workers import each
from osteon.dataset.writing import find_writing
from osteon.dicom.attributes import PARSING_ERRORS
from osteon.dicom.hush import hushed
from osteon.dicom.identifiers import identifiers_of, tells
from osteon.dicom.parsing import parse
from osteon.dicom.pseudonyms import PATTERN, Key, is_ours
from osteon.dicom.read import read
from osteon.dicom.residue import Violation, left_of, violations_of
from osteon.errors import BadTable, NotFound, UnreadableImage
from osteon.runs import RECORD
from osteon.types import Progress, silent


@dataclass(frozen=True)
class Found:
    """A violation and the file that holds it, relative to the tree."""

    file: str
    violation: Violation


@dataclass(frozen=True, eq=False)
class Proof:
    """What was looked at, and what was found against it.

    Attributes:
        files: of the tree. compared: those whose original was given.
        found: everything that may not be there, by file.
    """

    files: int
    compared: int
    found: list[Found]


def prove(
    tree: Path,
    *,
    original: Path | None = None,
    key: Key | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Proof:
    """Look for everything that a clean tree may not hold.

    Without an original: every attribute against the table (`osteon.dicom.residue`), names of files, writing in the
    pixels, and files that have no business in the tree. With it: also every name, number, place, UID and date of the
    file that a clean one was made of.

    Args:
        tree: folder that `osteon.dataset.release` wrote, or any folder of DICOM files.
        original: the export that it was made of; needs the key.
        key: with which it was made.

    Raises:
        NotFound: if there is no such folder, or it holds no files.
        BadTable: if an original is given without its key.
    """
    if original is not None and key is None:
        raise BadTable("originals are found by the key that the tree was made with", remedy="give --key too")
    if not tree.is_dir():
        raise NotFound(f"{tree} is not a folder", remedy="give the folder that holds the files")
    paths = [path.relative_to(tree).as_posix() for path in sorted(tree.rglob("*")) if path.is_file()]
    images = [path for path in paths if path not in (LABELS, RECORD)]
    if not images:
        raise NotFound(f"{tree} holds no files", remedy="give the folder that holds the files")
    before = _originals(original, key, progress) if original is not None and key is not None else {}
    jobs = [_Job(tree, path, original, before.get(_instance_of(tree / path), "")) for path in images]
    found, compared = list[Found](), sum(bool(job.before) for job in jobs)
    with closing(each(_look, jobs, workers=workers, executor=executor, lost=_lost)) as results:
        for done, (position, violations) in enumerate(results, 1):
            found += [Found(images[position], violation) for violation in violations]
            progress(done, len(images))
    if LABELS in paths:
        found += [Found(LABELS, violation) for violation in _of_labels((tree / LABELS).read_bytes())]
    return Proof(
        len(images) + (LABELS in paths), compared, sorted(found, key=lambda one: (one.file, one.violation.attribute))
    )


@dataclass(frozen=True)
class _Job:
    """A file of the tree, and the file that it was made of, "" if that is not known."""

    tree: Path
    path: str
    original: Path | None
    before: str


def _originals(original: Path, key: Key, progress: Progress) -> dict[str, str]:
    """New SOP instance UID → file of the export."""
    found = {}
    paths = sources.files_given(original)
    for done, path in enumerate(paths, 1):
        try:
            instance = str(_dataset(sources.read_bytes(original, path), whole=False).get("SOPInstanceUID", ""))
        except UnreadableImage:
            continue  # it cannot have become a clean file
        found[key.uid(instance)] = path
        progress(done, len(paths))
    return found


def _dataset(data: bytes, *, whole: bool) -> FileDataset:
    with hushed():
        return parse(data, whole=whole)[0]


def _instance_of(path: Path) -> str:
    try:
        return str(_dataset(path.read_bytes(), whole=False).get("SOPInstanceUID", ""))
    except (UnreadableImage, *PARSING_ERRORS):
        return ""


def _look(job: _Job) -> list[Violation]:
    """Everything against one file."""
    data = (job.tree / job.path).read_bytes()
    found = violations_of(data)
    if job.path.startswith(f"{DICOM}/") and not FILE_NAME.fullmatch(job.path):
        found.append(Violation("the name of the file", "is not made of pseudonyms"))
    if job.before and job.original is not None:
        before = _dataset(sources.read_bytes(job.original, job.before), whole=True)
        found += left_of(before, data)
        if tells(job.path, identifiers_of(before)):
            found.append(Violation("the name of the file", "says what the original said"))
    try:
        radiograph = read(data)
    except UnreadableImage:
        return [*found, Violation("the pixels", "cannot be searched for writing")]
    if find_writing(radiograph.pixels, radiograph.white):
        found.append(Violation("the pixels", "hold what looks like writing"))
    return found


def _lost(job: _Job, why: Lost) -> list[Violation]:
    return [Violation("the file", f"could not be looked through ({why.code})")]


def _of_labels(data: bytes) -> list[Violation]:
    """What is wrong with the table of labels."""
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8", "replace"))))
    fine: dict[str, Callable[[str], object]] = {
        "patient": PATTERN.fullmatch,
        "study": is_ours,
        "file": FILE_NAME.fullmatch,
    }
    return [
        Violation(f"column {name}", "holds something else than pseudonyms")
        for name, looks_right in fine.items()
        if any(not looks_right(row.get(name) or "") for row in rows)
    ]
