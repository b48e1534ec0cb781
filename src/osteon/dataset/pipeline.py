"""Run a recipe on every study of a manifest: on any executor, restartable, the same bytes however often it was killed.

A task is one study. Its images are read, placed, warped and written one by one by `osteon.dataset.preparation`, each
in a process that can be killed (`osteon.dataset.guard`); the journal keeps what became of them.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import files, tables
from osteon.dataset import journal as journals
from osteon.dataset import privacy, statistics, steps
from osteon.dataset import refusals as refusal_table
from osteon.dataset.guard import LIMITS, Limits
from osteon.dataset.journal import Part
from osteon.dataset.preparation import Job, lost, prepare_one
from osteon.dataset.statistics import Moments
from osteon.dataset.trace import TRACE
from osteon.dataset.workers import in_groups
from osteon.errors import BadTable, CannotWrite
from osteon.types import Progress, Recipe, Refusal, silent

IMAGES = "images"
"""Folder of the prepared images: <image>.png, or <image>-0.png, <image>-1.png, … where a step split the image."""

_OURS = re.compile(r"[0-9a-f]{32}(-\d+)?\.png")
_RESULTS = ("manifest.parquet", "refusals.parquet", statistics.STATISTICS)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What `prepare` made of a manifest.

    Attributes:
        manifest: one row per prepared image, in the order of the manifest given, with `prepared`, `steps`, `placement`
            and `part`, and without what `osteon.dataset.privacy` keeps private.
        refusals: those given, and those of the images that could not be prepared, by their ids.
        done: images of the manifest that this run worked on; `skipped`: those that were fresh.
        reasons: why images were worked on → how many.
        moments: of all pixels of all prepared images.
    """

    manifest: pd.DataFrame
    refusals: list[Refusal]
    done: int
    skipped: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    moments: Moments = field(default_factory=Moments)


def prepare(
    manifest: pd.DataFrame,
    source: Path,
    recipe: Recipe,
    out: Path,
    *,
    refusals: Iterable[Refusal] = (),
    workers: int = 1,
    executor: Executor | None = None,
    limits: Limits = LIMITS,
    progress: Progress = silent,
    on_refused: Callable[[int], None] = lambda count: None,
) -> Prepared:
    """Write `images/`, `manifest.parquet`, `refusals.parquet`, `statistics.json` and the journal `prepared.jsonl`.

    Kill it at any moment and run it again: what was finished is kept, and the end is the same, byte for byte. With
    another recipe all images are made anew, and the tables of the earlier one go first, so that no table ever speaks
    of images that are not its own. Prepared images that the manifest no longer names are removed at the end.

    Args:
        manifest: as `osteon.dataset.ingest` made it.
        source: what was ingested.
        recipe: what to do with each image.
        out: the folder to write.
        refusals: those of ingest, as `osteon.dataset.privacy.anonymous` tells them, carried over so that the counts add
            up over this folder alone.
        workers: processes to start; with an `executor`, how many it has.
        executor: any `concurrent.futures.Executor`, whose workers lead the processes; by default threads do.
        limits: what one image may take.
        progress: told of the images finished, fresh ones included, and of all.
        on_refused: told how many of the images finished were refused.

    Raises:
        NotFound: if the source is not there.
        BadTable: if two rows of the manifest have the same image id.
        CannotWrite: if the disk is full; what was finished is kept.
    """
    files.must_exist(source, remedy="pass the folder that was ingested")
    manifest = tables.check(manifest, tables.MANIFEST, "the manifest")
    if not manifest["image"].is_unique:
        raise BadTable("the manifest names an image twice", remedy="ingest the folder again")
    wanted = steps.to_json(recipe)
    standing = _standing(manifest["image"], _opened(out), wanted, limits)
    begins, stale = standing.begins, np.flatnonzero(standing.begins < 0)
    if journals.read(out).recipe != wanted:
        _without_results(out)
    studies = _by_study(manifest["study"], stale)
    jobs = (_jobs(manifest.iloc[rows], source, recipe, out / IMAGES, limits) for rows in studies)
    done, count = len(manifest) - len(stale), standing.refused
    progress(done, len(manifest))
    on_refused(count)
    groups = in_groups(prepare_one, jobs, workers=workers, executor=executor, lost=lost, limits=limits)
    with journals.opened(out, wanted) as stream, closing(groups):
        for number, results in groups:
            for row, result in zip(studies[number], results, strict=True):
                begins[row] = journals.append(stream, result)
                count += result.refusal is not None
            done += len(results)
            progress(done, len(manifest))
            on_refused(count)
    prepared, refusals, moments = _finished(manifest, begins, wanted, out, list(refusals))
    return Prepared(prepared, refusals, len(stale), len(manifest) - len(stale), standing.reasons, moments)


@dataclass(frozen=True, eq=False)
class _Standing:
    """Where an earlier run left off.

    Attributes:
        begins: (rows,) the byte of the journal at which the line of an image begins; -1 if it is to be prepared.
        reasons: why images are to be prepared → how many.
        refused: how many of the others were refused.
    """

    begins: NDArray[np.int64]
    reasons: Mapping[str, int]
    refused: int


def _standing(images: pd.Series[str], out: Path, wanted: Any, limits: Limits) -> _Standing:
    row_of = {image: row for row, image in enumerate(images)}
    begins, lost_ones = np.full(len(images), -1, np.int64), np.zeros(len(images), bool)
    reasons: dict[int, str] = {}
    earlier = journals.read(out)
    for begin, done in earlier:
        row = row_of.get(done.image)
        if row is None:
            continue
        another = None if earlier.recipe == wanted else "the recipe is another"
        why = another or journals.why_stale(done, out / IMAGES, limits)
        reasons.pop(row, None)
        if why:
            reasons[row] = why
        begins[row], lost_ones[row] = -1 if why else begin, done.refusal is not None
    counted = Counter(reasons.values())
    if new := int((begins < 0).sum()) - len(reasons):
        counted["not prepared yet"] = new
    return _Standing(begins, counted, int(lost_ones[begins >= 0].sum()))


def _by_study(studies: pd.Series[str], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The rows of each study together, in the order in which studies first appear."""
    numbers, _ = pd.factorize(studies.iloc[rows], use_na_sentinel=False)
    order = np.argsort(numbers, kind="stable")
    ends = np.flatnonzero(np.diff(numbers[order])) + 1
    return np.split(rows[order], ends) if len(rows) else []


def _jobs(rows: pd.DataFrame, source: Path, recipe: Recipe, images: Path, limits: Limits) -> list[Job]:
    named = zip(rows["image"], rows["path"], strict=True)
    return [Job(image, source, path, recipe, images, limits) for image, path in named]


def _opened(out: Path) -> Path:
    """The folder made ready, without what a killed run left half-written."""
    try:
        (out / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotWrite(f"could not make {out / IMAGES} ({error.strerror})", remedy="choose another --out") from error
    for folder in (out, out / IMAGES):
        for left in folder.glob(".*.tmp-*"):
            if left.is_file():
                left.unlink(missing_ok=True)
    return out


def _without_results(out: Path) -> None:
    for name in _RESULTS:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / TRACE, ignore_errors=True)


def _finished(
    manifest: pd.DataFrame, begins: NDArray[np.int64], wanted: Any, out: Path, refusals: list[Refusal]
) -> tuple[pd.DataFrame, list[Refusal], Moments]:
    """Write the ordered journal and the tables, and remove prepared images that nothing names any more."""
    rows, parts = list[tuple[int, int]](), list[Part]()
    for row, one in enumerate(journals.in_order(out, wanted, begins.tolist())):
        rows += [(row, number) for number in range(len(one.parts))]
        parts += one.parts
        refusals += [one.refusal] if one.refusal else []
    prepared = manifest.iloc[[row for row, _ in rows]].assign(
        image=[part.file.removesuffix(".png") for part in parts],
        part=[number for _, number in rows],
        prepared=[part.file for part in parts],
        steps=[part.steps for part in parts],
        placement=[part.placement for part in parts],
    )
    prepared = tables.check(privacy.shareable(prepared).reset_index(drop=True), tables.MANIFEST, "the manifest")
    moments = sum((part.moments for part in parts), Moments())
    tables.write(out / "manifest.parquet", prepared, tables.MANIFEST)
    refusal_table.write(out / "refusals.parquet", refusals)
    statistics.write(out, moments, len(prepared))
    named = set(prepared["prepared"])
    for path in (out / IMAGES).iterdir():
        # Only names that this module gives: a file that someone put there is not ours to remove.
        if _OURS.fullmatch(path.name) and path.name not in named:
            path.unlink()
    return prepared, refusals, moments
