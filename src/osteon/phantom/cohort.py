"""A phantom cohort on disk: DICOM files, a label table as a hospital has it, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from osteon import files
from osteon.errors import BadTable
from osteon.phantom.mapping import mapping
from osteon.phantom.patient import make_patient
from osteon.phantom.plan import AS_READ, Chance, Plan, even
from osteon.types import Progress, silent

__all__ = ["AS_READ", "Chance", "Plan", "even", "make_cohort"]


def make_cohort(plan: Plan, folder: Path, *, seed: int, workers: int = 1, progress: Progress = silent) -> int:
    """Make a cohort of phantom patients, whole or not at all; an earlier one under the name `folder` is replaced.

    Written are `dicom/<patient>/<number>.dcm`, `labels.csv` (study, fractured, hardware, cast; one row per study) and
    `truth.parquet` (one row per image; columns in `docs/reference/phantom.md`). The same plan and seed give the same
    bytes, whatever the number of workers.

    Args:
        plan: what the cohort is like.
        folder: where it is written.
        seed: source of all chance, 0 or more.
        workers: processes.
        progress: told of patients done.

    Returns:
        How many images there are.

    Raises:
        BadTable: if the seed is negative.
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    if seed < 0:
        raise BadTable(f"the seed is {seed}", remedy="give a whole number, 0 or more")
    sick = classes(plan, seed)
    with files.replacing_folder(folder) as temporary:
        images = temporary / "dicom"
        images.mkdir()
        rows: list[dict[str, Any]] = []
        jobs = [(plan, seed, number, bool(f), images) for number, f in enumerate(sick, start=1)]
        with mapping(workers) as mapped:
            for done, made in enumerate(mapped(_make, jobs), start=1):
                rows += made
                progress(done, len(jobs))
        truth = pd.DataFrame(rows)
        truth["path"] = "dicom/" + truth["path"]
        table = pa.Table.from_pandas(truth, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, temporary / "truth.parquet", compression="zstd")
        _labels(truth, plan, seed).to_csv(temporary / "labels.csv", index=False, lineterminator="\n")
    return len(truth)


def classes(plan: Plan, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(patients,) who has a fracture: the planned share, to the nearest patient, in random order."""
    order = np.random.default_rng(np.random.SeedSequence((seed, 0))).permutation(plan.patients)
    return np.asarray(order < round(plan.fractured * plan.patients))


def _labels(truth: pd.DataFrame, plan: Plan, seed: int) -> pd.DataFrame:
    studies = truth.drop_duplicates("study")
    order = np.random.default_rng(np.random.SeedSequence((seed, 0, 1))).permutation(len(studies))
    wrong = order < round(plan.mislabelled * len(studies))
    return pd.DataFrame(
        {
            "study": studies["study"],
            "fractured": studies["fractured"] ^ wrong.astype(int),
            "hardware": (studies["hardware"] != "").astype(int),
            "cast": studies["cast"].astype(int),
        }
    )


def _make(job: tuple[Plan, int, int, bool, Path]) -> list[dict[str, Any]]:
    return make_patient(*job)
