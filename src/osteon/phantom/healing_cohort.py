"""A phantom cohort of healing tibiae on disk: DICOM files, labels of one rater, ratings of all, and the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.random import Generator, SeedSequence, default_rng

from osteon import files
from osteon.errors import BadTable
from osteon.phantom.healing import CORTICES, MONTHS, SHOWN
from osteon.phantom.healing_patient import Visit, make_patient
from osteon.phantom.healing_plan import ByUnion, HealingPlan, Spoilt, always
from osteon.phantom.mapping import mapping
from osteon.types import Progress, silent

__all__ = ["ByUnion", "HealingPlan", "Spoilt", "always", "make_healing_cohort", "plan_visits"]

VIEWS = (("AP", "LAT"), ("AP",), ("LAT",))
"""Views of a visit, in the order of `HealingPlan.views`."""


def make_healing_cohort(
    plan: HealingPlan, folder: Path, *, seed: int, workers: int = 1, progress: Progress = silent
) -> dict[str, int]:
    """Make a cohort of healing tibiae, whole or not at all; an earlier one under the name `folder` is replaced.

    Written are `dicom/<patient>/<month>/<number>.dcm`, `labels.csv` (one row per image, grades as rater A gave them),
    `ratings.csv` (one row per visit and rater) and `truth.parquet` (one row per image); columns in
    `docs/reference/healing-phantom.md`. The same plan and seed give the same bytes, whatever the number of workers.

    Args:
        plan: what the cohort is like.
        folder: where it is written.
        seed: source of all chance, 0 or more.
        workers: processes.
        progress: told of patients done.

    Returns:
        How many visits and images there are, and in how many images at least one cortex is not scoreable.

    Raises:
        BadTable: if the seed is negative.
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    if seed < 0:
        raise BadTable(f"the seed is {seed}", remedy="give a whole number, 0 or more")
    with files.replacing_folder(folder) as temporary:
        images = temporary / "dicom"
        images.mkdir()
        truth: list[dict[str, Any]] = []
        ratings: list[dict[str, Any]] = []
        planned = plan_visits(plan, seed)
        jobs = [(plan, seed, number, visits, images) for number, visits in enumerate(planned, start=1)]
        with mapping(workers) as mapped:
            for done, (shown, rated) in enumerate(mapped(_make, jobs), start=1):
                truth += shown
                ratings += rated
                progress(done, len(jobs))
        _write(pd.DataFrame(truth), pd.DataFrame(ratings), temporary)
    lacking = sum(reason != "" for visits in planned for v in visits for reason in v.spoilt.values())
    return {"visits": sum(map(len, planned)), "images": len(truth), "not scoreable": lacking}


def plan_visits(plan: HealingPlan, seed: int) -> list[list[Visit]]:
    """For each patient the visits: months, views, and what cannot be scored, each in the planned numbers.

    The visits whose images cannot be scored are mostly the same for both views, as in the label file of the study:
    1,118 visits have all four grades, more than 79 % of 87 % of them.
    """
    rng = default_rng(SeedSequence((seed, 0)))
    counts = 1 + _dealt(plan.visits, plan.patients, rng)
    months = [sorted(rng.choice(MONTHS, n, replace=False)) for n in counts]
    shown = [VIEWS[k] for k in _dealt(plan.views, int(counts.sum()), rng)]
    rank = rng.random(len(shown))
    spoilt: list[dict[str, str]] = [{} for _ in shown]
    for view, cortices in SHOWN.items():
        at = np.array([k for k, views in enumerate(shown) if view in views], int)
        at = at[np.argsort(rank[at])]
        share = plan.spoilt[view]
        reasons = ("both", *(CORTICES[c] for c in cortices), "")
        sizes = _sizes((share.both, *share.one, 1 - share.both - sum(share.one)), len(at))
        for k, reason in zip(at, np.repeat(reasons, sizes), strict=True):
            spoilt[k][view] = str(reason)
    taken = iter(spoilt)
    return [[Visit(int(month), next(taken)) for month in those] for those in months]


def _sizes(shares: tuple[float, ...], n: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """n things in parts of the given relative sizes: whole numbers, by largest remainders."""
    exact = np.asarray(shares, float) / np.sum(shares) * n
    sizes = np.floor(exact + 1e-9).astype(np.int64)
    most = np.argsort(-(exact - sizes), kind="stable")[: n - int(sizes.sum())]
    sizes[most] += 1
    return np.asarray(sizes)


def _dealt(shares: tuple[float, ...], n: int, rng: Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(n,) indices of shares, each as often as its share, in random order."""
    return rng.permutation(np.repeat(np.arange(len(shares)), _sizes(shares, n)))


def _write(truth: pd.DataFrame, ratings: pd.DataFrame, folder: Path) -> None:
    truth["image"] = "dicom/" + truth["image"]
    grades = dict.fromkeys(CORTICES, "Int8")
    ratings = ratings.astype({**grades, "total": "Int8"})
    first = ratings[ratings["rater"] == "A"]
    labels = truth[["image", "patient", "study", "month", "view"]].merge(first[["study", *CORTICES]], on="study")
    for view, shown in SHOWN.items():
        others = [c for k, c in enumerate(CORTICES) if k not in shown]
        labels.loc[labels["view"] == view, others] = pd.NA
    labels.to_csv(folder / "labels.csv", index=False, lineterminator="\n")
    ratings.to_csv(folder / "ratings.csv", index=False, lineterminator="\n")
    table = pa.Table.from_pandas(truth.astype({**dict.fromkeys(grades, "int8"), "total": "int8"}), preserve_index=False)
    pq.write_table(table.replace_schema_metadata(None), folder / "truth.parquet", compression="zstd")


def _make(job: tuple[HealingPlan, int, int, list[Visit], Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return make_patient(*job)
