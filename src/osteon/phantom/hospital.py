"""The export of a hospital: studies of wrists with all the dirt that archives have, a label table, and the truth."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import SeedSequence, default_rng

from osteon import files
from osteon.errors import BadTable
from osteon.phantom.archive import INSIDE, others, write_archive
from osteon.phantom.dirt import Dirt
from osteon.phantom.hospital_plan import HospitalPlan
from osteon.phantom.hospital_study import accession_of, make_study
from osteon.phantom.mapping import mapping
from osteon.types import Progress, silent

__all__ = ["Dirt", "HospitalPlan", "make_export"]

PER_ARCHIVE = 12
"""Studies in one zip archive."""


def make_export(
    plan: HospitalPlan, folder: Path, *, seed: int, workers: int = 1, progress: Progress = silent
) -> dict[str, int]:
    """Make an export, whole or not at all; an earlier one under the name `folder` is replaced.

    Written are `export/` (the tree as it came from the hospital), `labels.csv` (one row per study: accession,
    fractured, inconclusive, cast, growth_plate, other_fracture), `truth.parquet` (one row per file of the tree or
    member of an archive) and `studies.parquet` (one row per study that has files, a label, or both); columns in
    `docs/reference/phantom.md`. The same plan and seed give the same bytes, whatever the number of workers.

    Args:
        plan: what the export is like.
        folder: where it is written.
        seed: source of all chance, 0 or more.
        workers: processes.
        progress: told of studies done.

    Returns:
        How many studies have files, and how many files are images, spoiled, or other; copies and the members of
        archives are counted.

    Raises:
        BadTable: if the seed is negative.
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    if seed < 0:
        raise BadTable(f"the seed is {seed}", remedy="give a whole number, 0 or more")
    sick = _classes(plan, seed)
    with files.replacing_folder(folder) as temporary:
        tree, staged = temporary / "export", temporary / "staged"
        jobs = [(plan, seed, k, bool(f), temporary) for k, f in enumerate(sick, start=1)]
        made: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        with mapping(workers) as mapped:
            for done, result in enumerate(mapped(_make, jobs), start=1):
                made.append(result)
                progress(done, len(jobs))
        rows = [row for _, of_study in made for row in of_study]
        studies = [study for study, _ in made] + _orphans(plan, seed)
        _pack(staged, tree, rows)
        rows += _strangers(tree, seed)
        _write_tables(temporary, rows, studies, seed)
    contents = [row["content"] for row in rows]
    kinds = (("images", "image"), ("spoiled", "spoiled"), ("other", "other"))
    return {"studies": len(made), **{name: contents.count(kind) for name, kind in kinds}}


def _classes(plan: HospitalPlan, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Who has a fracture: the planned share in random order, and at the end the giant study, if there is one."""
    rng = default_rng(SeedSequence((seed, 0)))
    order = rng.permutation(plan.studies) < round(plan.fractured * plan.studies)
    giant = [bool(rng.random() < plan.fractured)] if plan.giant else []
    return np.append(order, np.array(giant, bool))


def _make(job: tuple[HospitalPlan, int, int, bool, Path]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return make_study(*job)


def _pack(staged: Path, tree: Path, rows: list[dict[str, Any]]) -> None:
    """Pack the studies that were staged for it into archives, and give their rows the path inside."""
    packed = [row for row in rows if row["zipped"]]
    studies = list(dict.fromkeys(row["study"] for row in packed))
    for first in range(0, len(studies), PER_ARCHIVE):
        chosen = set(studies[first : first + PER_ARCHIVE])
        name = f"envios/radiografias {first // PER_ARCHIVE + 1:02d}.zip"
        of_archive = [row for row in packed if row["study"] in chosen]
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        write_archive(target, ((f"radiografias/{r['path']}", (staged / r["path"]).read_bytes()) for r in of_archive))
        for row in of_archive:
            for column in ("path", "duplicate_of"):
                row[column] = row[column] and f"{name}{INSIDE}radiografias/{row[column]}"
    if staged.exists():
        shutil.rmtree(staged)


def _strangers(tree: Path, seed: int) -> list[dict[str, Any]]:
    """Write what is no radiograph into the tree."""
    found = []
    for name, data in others(default_rng(SeedSequence((seed, 1, 1)))).items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        found.append({"path": name, "content": "other"})
    return found


def _orphans(plan: HospitalPlan, seed: int) -> list[dict[str, Any]]:
    """Labels of studies that no one sent."""
    rng = default_rng(SeedSequence((seed, 0, 1)))
    count = round(plan.orphaned * plan.studies)
    return [
        {
            "accession": accession_of(seed, 900_000 + k),
            "study": "",
            "instances": 0,
            "fractured": int(rng.random() < plan.fractured),
            "labelled": True,
            **{name: int(rng.random() < getattr(plan, name)) for name in ("inconclusive", "growth_plate")},
            "cast": int(rng.random() < plan.dirt.cast),
            "other_fracture": int(rng.random() < plan.other_fracture),
        }
        for k in range(count)
    ]


LABELS = ("accession", "fractured", "inconclusive", "cast", "growth_plate", "other_fracture")
"""Columns of the label table."""


def _write_tables(folder: Path, rows: list[dict[str, Any]], studies: list[dict[str, Any]], seed: int) -> None:
    for name, content in (("truth", rows), ("studies", studies)):
        table = pa.Table.from_pylist(_filled(content))
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    frame = pd.DataFrame([s for s in studies if s["labelled"]], columns=list(LABELS))
    order = default_rng(SeedSequence((seed, 0, 2))).permutation(len(frame))
    frame.iloc[order].to_csv(folder / "labels.csv", index=False, lineterminator="\n")


def _filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with one set of columns; what a row does not tell is missing."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]
