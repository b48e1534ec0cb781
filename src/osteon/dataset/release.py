"""A hospital's export → a tree of DICOM files that names nobody, with its labels under pseudonyms.

Every file is cleaned by itself (`osteon.dataset.cleaning`) and written whole under a name made of pseudonyms. All that
ties the tree to people — refusals with their paths, and the list of which file became which — goes to a second, private
folder.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from osteon import files
from osteon.dataset import refusals as refusal_table
from osteon.dataset.cleaning import DICOM, Cleaned, Job, clean_one
from osteon.dataset.guard import Lost
from osteon.dataset.workers import each
from osteon.dicom.profile import EDITION
from osteon.dicom.pseudonyms import Key
from osteon.errors import BadTable, CannotWrite
from osteon.types import Progress, Refusal, silent

LABELS = "labels.csv"
"""In the clean folder, beside the tree: the labels of its files."""

CROSSWALK, REFUSALS = "crosswalk.jsonl", "refusals.parquet"
"""In the private folder: which file became which, and which were left out and why."""

FILE_NAME = re.compile(r"dicom/P[A-Z2-7]{12}/S[A-Z2-7]{12}/I[A-Z2-7]{12}\.dcm")
"""How the files of a clean tree are called, relative to the clean folder."""


@dataclass(frozen=True, eq=False)
class Tree:
    """What `release` made: files in the order of the manifest, and all refusals; `skipped` files were there already."""

    files: list[Cleaned]
    refusals: list[Refusal]
    skipped: int


def release(
    manifest: pd.DataFrame,
    source: Path,
    out: Path,
    private: Path,
    key: Key,
    *,
    label: str = "",
    keep_columns: Sequence[str] = (),
    refusals: Iterable[Refusal] = (),
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Tree:
    """Write `dicom/` and `labels.csv` into one folder, and what ties them to people into another.

    Kill it at any moment and run it again: files are written whole, those that are there are kept, and the end is the
    same, byte for byte. With another key the tree is made anew. Files of an earlier run that the manifest no longer
    names are removed.

    Args:
        manifest: as `osteon.dataset.ingest` made it.
        source: what was ingested.
        out: the clean folder. private: the folder that stays in the hospital; not inside `out`.
        key: of the pseudonyms.
        label: name of the column for `target` in `labels.csv`; "" writes none.
        keep_columns: columns of the manifest that go into `labels.csv` as they are. No other column leaves.
        refusals: those of ingest.

    Raises:
        BadTable: if a column to be kept is not there, or `private` lies inside `out`.
        CannotWrite: if the disk is full; what was finished is kept.
    """
    missing = [name for name in keep_columns if name not in manifest]
    if missing:
        raise BadTable(f"there is no column {missing[0]!r} to keep", remedy=f"there are: {', '.join(manifest)}")
    if private.resolve().is_relative_to(out.resolve()):
        raise BadTable("the private folder lies in the clean one", remedy="choose a --private folder outside --out")
    private.mkdir(parents=True, exist_ok=True)
    private.chmod(0o700)
    known = _earlier(private / CROSSWALK, out, key)
    rows = list(zip(manifest["image"], manifest["path"], manifest["patient"], strict=True))
    done: dict[str, Cleaned | Refusal] = {image: known[image] for image, _, _ in rows if image in known}
    jobs = [Job(image, source, path, patient, key, out) for image, path, patient in rows if image not in done]
    skipped = len(done)
    _write_crosswalk(private / CROSSWALK, key, [one for one in done.values() if isinstance(one, Cleaned)])
    results = each(clean_one, jobs, workers=workers, executor=executor, lost=_lost)
    with (private / CROSSWALK).open("a", encoding="utf-8") as stream, closing(results):
        for position, result in results:
            done[jobs[position].image] = result
            if isinstance(result, Cleaned):
                _append(stream, result)
            progress(len(done), len(rows))
    made = [one for image, _, _ in rows if isinstance(one := done[image], Cleaned)]
    refused = [*refusals, *(one for image, _, _ in rows if isinstance(one := done[image], Refusal))]
    _write_crosswalk(private / CROSSWALK, key, made)
    refusal_table.write(private / REFUSALS, refused)
    _write_labels(out / LABELS, manifest, made, label, keep_columns)
    _remove_others(out, made)
    return Tree(made, refused, skipped)


def _lost(job: Job, why: Lost) -> Cleaned | Refusal:
    return Refusal(job.path, why.code, why.reason, why.remedy)


def _head(key: Key) -> dict[str, str]:
    return {"key": key.fingerprint, "edition": EDITION}


def _earlier(path: Path, out: Path, key: Key) -> dict[str, Cleaned]:
    """What an earlier run with this key finished and is still there: image → file."""
    if not path.exists():
        return {}
    head, *lines = [_parsed(line) for line in path.read_text(encoding="utf-8").splitlines()] or [{}]
    if head != _head(key):
        return {}
    found = [Cleaned(**line) for line in lines if line]
    return {one.image: one for one in found if _size(out / one.file) == one.size}


def _parsed(line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except json.JSONDecodeError:
        return {}  # cut off by a kill
    return content if isinstance(content, dict) else {}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def _line(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False) + "\n"


def _write_crosswalk(path: Path, key: Key, made: Iterable[Cleaned]) -> None:
    with files.replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(_line(_head(key)))
        stream.writelines(_line(asdict(one)) for one in made)


def _append(stream: TextIO, one: Cleaned) -> None:
    try:
        stream.write(_line(asdict(one)))
        stream.flush()
    except OSError as error:
        raise CannotWrite(
            f"could not write {CROSSWALK} ({error.strerror})",
            remedy="free some space and run again: what was finished is kept",
        ) from error


def _write_labels(
    path: Path, manifest: pd.DataFrame, made: Sequence[Cleaned], label: str, keep_columns: Sequence[str]
) -> None:
    """One row per file: pseudonyms, label, and the columns that were asked for; in an order that tells nothing."""
    rows = manifest.set_index("image")
    answers = [(label, "target")] if label else []
    carried = [*answers, *((name, name) for name in keep_columns)]
    with files.replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "patient", "study", *(name for name, _ in carried)])
        for one in sorted(made, key=lambda one: one.file):
            values = [rows.at[one.image, column] for _, column in carried]
            texts = ["" if pd.isna(value) else str(value) for value in values]
            writer.writerow([one.file, one.patient, one.study, *texts])


def _remove_others(out: Path, made: Sequence[Cleaned]) -> None:
    """Remove files of earlier runs, and what a killed run left half-written; nothing that has another name."""
    named = {one.file for one in made}
    for path in sorted((out / DICOM).rglob("*"), reverse=True):
        name = path.relative_to(out).as_posix()
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif (FILE_NAME.fullmatch(name) and name not in named) or ".dcm.tmp-" in path.name:
            path.unlink()
