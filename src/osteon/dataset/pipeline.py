"""Run a recipe on every image of a manifest: in processes, restartable, the same bytes however often it was killed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import files, tables
from osteon.dataset import journal as journals
from osteon.dataset import refusals as refusal_table
from osteon.dataset import steps
from osteon.dataset.frame import render
from osteon.dataset.journal import Done, Journal, Part
from osteon.dataset.workers import each
from osteon.dicom.read import read
from osteon.errors import BadTable, CannotWrite, NotFound, UnreadableImage
from osteon.types import Progress, Recipe, Refusal, silent

IMAGES = "images"
"""Folder of the prepared images: <image>.png, or <image>-0.png, <image>-1.png, … where a step split the image."""

PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
"""Of the settings of OpenCV these are nearly the fastest, and write the smallest files, for 8-bit radiographs."""

_OURS = re.compile(r"[0-9a-f]{32}(-\d+)?\.png")


@dataclass(frozen=True, eq=False)
class Prepared:
    """What `prepare` made of a manifest.

    Attributes:
        manifest: one row per prepared image, in the order of the manifest given, with `prepared`, `steps` and `part`.
        refusals: those of ingest, and those of the images that could not be prepared.
        done: images of the manifest that this run worked on; `skipped`: those that were fresh.
        reasons: why images were worked on → how many.
    """

    manifest: pd.DataFrame
    refusals: list[Refusal]
    done: int
    skipped: int
    reasons: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One image to prepare: where it lies, what to do with it, where it goes."""

    image: str
    source: Path
    path: str
    recipe: Recipe
    images: Path


def prepare(
    manifest: pd.DataFrame,
    source: Path,
    recipe: Recipe,
    out: Path,
    *,
    refusals: Iterable[Refusal] = (),
    workers: int = 1,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> Prepared:
    """Write `images/`, `manifest.parquet`, `refusals.parquet` and the journal `prepared.jsonl` into a folder.

    Kill it at any moment and run it again: what was finished is kept, and the end is the same, byte for byte. With
    another recipe all images are made anew, and the tables of the earlier one go first, so that no table ever speaks
    of images that are not its own. Prepared images that the manifest no longer names are removed at the end.

    Args:
        manifest: as `osteon.dataset.ingest` made it.
        source: the folder that was ingested.
        recipe: what to do with each image.
        out: the folder to write.
        refusals: those of ingest, carried over so that the counts add up over this folder alone.
        workers: processes to start; with an `executor`, how many it has.
        executor: any `concurrent.futures.Executor`, used instead of own processes.
        progress: called with the images finished, fresh ones included, and all.

    Raises:
        NotFound: if the source folder is not there.
        BadTable: if two rows of the manifest have the same image id.
        CannotWrite: if the disk is full; what was finished is kept.
    """
    files.must_exist(source, remedy="pass the folder that was ingested")
    manifest = tables.check(manifest, tables.MANIFEST, "the manifest")
    names = list(manifest["image"])
    if len(set(names)) < len(names):
        raise BadTable("the manifest names an image twice", remedy="ingest the folder again")
    wanted, earlier = steps.to_json(recipe), _opened(out)
    sizes = {path.name: path.stat().st_size for path in (out / IMAGES).iterdir()}
    stale = {name: why for name in names if (why := journals.why_stale(name, earlier, wanted, sizes))}
    known = {name: done for name in names if name not in stale and (done := earlier.of(name))}
    if earlier.recipe != wanted:
        for table in ("manifest.parquet", "refusals.parquet"):
            (out / table).unlink(missing_ok=True)
    path_of = dict(zip(names, manifest["path"], strict=True))
    jobs = [Job(name, source, path_of[name], recipe, out / IMAGES) for name in stale]
    journals.write(out, wanted, known.values())
    progress(len(known), len(names))
    with (out / journals.JOURNAL).open("a", encoding="utf-8") as stream:
        for position, done in each(prepare_one, jobs, workers=workers, executor=executor, lost=_crashed):
            known[jobs[position].image] = done
            _append(stream, done)
            progress(len(known), len(names))
    ordered = [known[name] for name in names]
    prepared, refused = _finished(manifest, ordered, wanted, out, list(refusals))
    return Prepared(prepared, refused, len(stale), len(names) - len(stale), Counter(stale.values()))


def prepare_one(job: Job) -> Done:
    """Read, place, render and write one image. Files that cannot be used come back as a refusal."""
    path = job.source / job.path
    try:
        if files.digest_of(path)[:32] != job.image:
            return _refused(job, "changed", "its bytes are not those that were ingested", "ingest the folder again")
        parts = steps.apply(job.recipe, read(path))
    except (NotFound, FileNotFoundError):
        return _refused(job, "changed", "the file is gone", "bring it back, or ingest the folder again")
    except UnreadableImage as error:
        return _refused(job, error.code, error.message, error.remedy)
    names = [f"{job.image}.png"] if len(parts) == 1 else [f"{job.image}-{i}.png" for i in range(len(parts))]
    written = [
        Part(name, _write_png(job.images / name, render(part)), "; ".join((*part.header.notes, *part.notes)))
        for name, part in zip(names, parts, strict=True)
    ]
    return Done(job.image, tuple(written))


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> int:
    """Write an 8-bit grey PNG, whole or not at all; its size in bytes."""
    data = cv2.imencode(".png", pixels, PNG)[1].tobytes()
    with files.replacing(path) as temporary:
        temporary.write_bytes(data)
    return len(data)


def _refused(job: Job, code: str, reason: str, remedy: str) -> Done:
    return Done(job.image, refusal=Refusal(job.path, code, reason, remedy))


def _crashed(job: Job) -> Done:
    return _refused(job, "crashed", "preparing it ended the worker process", "leave the file out, and report it")


def _opened(out: Path) -> Journal:
    """The folder made ready, without what a killed run left half-written, and its journal."""
    try:
        (out / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"could not make {out / IMAGES} ({error.strerror})", remedy="choose another --out") from error
    for folder in (out, out / IMAGES):
        for left in folder.glob(".*.tmp-*"):
            if left.is_file():
                left.unlink(missing_ok=True)
    return journals.read(out)


def _append(stream: TextIO, done: Done) -> None:
    try:
        stream.write(journals.line_of(done))
        stream.flush()
    except OSError as error:
        raise CannotWrite(
            f"could not write {journals.JOURNAL} ({error.strerror})",
            remedy="free some space and run again: what was finished is kept",
        ) from error


def _finished(
    manifest: pd.DataFrame, done: Sequence[Done], wanted: Any, out: Path, refusals: list[Refusal]
) -> tuple[pd.DataFrame, list[Refusal]]:
    """Write the tables and the ordered journal, and remove prepared images that nothing names any more."""
    rows = [(row, number, part) for row, one in enumerate(done) for number, part in enumerate(one.parts)]
    prepared = manifest.iloc[[row for row, _, _ in rows]].assign(
        image=[part.file.removesuffix(".png") for _, _, part in rows],
        part=[number for _, number, _ in rows],
        prepared=[part.file for _, _, part in rows],
        steps=[part.steps for _, _, part in rows],
    )
    prepared = tables.check(prepared.reset_index(drop=True), tables.MANIFEST, "the manifest")
    refusals = refusals + [one.refusal for one in done if one.refusal is not None]
    tables.write(out / "manifest.parquet", prepared, tables.MANIFEST)
    refusal_table.write(out / "refusals.parquet", refusals)
    journals.write(out, wanted, done)
    named = set(prepared["prepared"])
    for path in (out / IMAGES).iterdir():
        # Only names that this module gives: a file that someone put there is not ours to remove.
        if _OURS.fullmatch(path.name) and path.name not in named:
            path.unlink()
    return prepared, refusals
