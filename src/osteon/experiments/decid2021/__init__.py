"""de Cid 2021 again: fractures of the wrist in studies of several radiographs, from DICOM files to a call per study.

Networks of the study are trained at three sizes, padded or stretched, with inversion, several batches and optimisers,
and beside them one of ours. One class-balanced validation set chooses everything, as in the study; a sealed test set,
opened once, says what is left of it. Phantom wrists with gaps of stated widths answer how small an image may be. Every
training is kept in `stages/`: a run that was cut off goes on behind the last epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from threadpoolctl import threadpool_limits

from osteon import tables
from osteon.experiments import beside
from osteon.experiments.around import Run, begin
from osteon.experiments.decid2021 import hairlines, stages
from osteon.experiments.decid2021.cohort import Cohort, cohort_of
from osteon.experiments.decid2021.page import write
from osteon.experiments.decid2021.plan import SCALES, Plan, plan_of
from osteon.experiments.decid2021.report import Found, report_of, whole_pages
from osteon.phantom import plan as wrists
from osteon.types import Recipe

__all__ = ["SCALES", "Cohort", "cohort_of", "figures_of", "forms_of", "phantom_of", "plan_of", "run"]

PREDICTIONS = "predictions.parquet"

NOT_SETTINGS = ("patients",)
"""Of a plan, what is about the phantom that stands in for data alone: the digest of the data says it."""

INSTANCES = (0.58, 0.31, 0.08, 0.03)
"""Share of studies with 1 to 4 images: 1.56 on average, near the study's 1.58."""


def run(cohort: Cohort, plan: Plan, around: Run) -> dict[str, Any]:
    """The whole experiment: `report.html`, `report.json`, `figures/`, `curves/`, `tables/`, `predictions.parquet`.

    Args:
        cohort: the radiographs.
        plan: how large.
        around: where, and with what.

    Returns:
        What report.json holds.

    Raises:
        Mismatch: if the folder holds an experiment of another plan, seed or data.
        TooFewCases: if a part of the cohort lacks a class.
        Diverged: if the loss of a training is no number any more; its last good epoch is kept.
        BadTable: if the answers of the test set are missing.
    """
    settings = {name: value for name, value in asdict(plan).items() if name not in NOT_SETTINGS}
    begin(around, "decid2021", data=cohort.digest, settings=settings)
    # Of other data than phantoms nobody knows a gap: figures of one kind of image say nothing of another.
    probe = hairlines.probe(plan, around) if around.phantom else None
    done = stages.trained(cohort, probe, plan, around)
    floors = stages.floors(cohort, around)
    answers = beside.answers(around, "test set")
    table = beside.opened(stages.predictions(cohort, done, floors), answers)
    tables.write(around.out / PREDICTIONS, table, tables.PREDICTIONS)

    found = Found(cohort, done, probe, answers, around.truth(), around.forms, table)
    openings = around.openings()
    # On a busy machine the threads of a product of small matrices wait for each other longer than they compute.
    with around.bars("report") as progress, threadpool_limits(1, "blas"):
        content = report_of(found, plan, seed=around.seed, phantom=around.phantom, openings=openings, progress=progress)
        full = whole_pages(found, plan, seed=around.seed, phantom=around.phantom, openings=openings)
        write(content, full, found, around.out)
    return content


def phantom_of(plan: Plan) -> wrists.Plan:
    """Studies of 1 to 4 views; 31 % are fractured, not to be seen in every view, and with hardware more often."""
    return wrists.Plan(
        patients=plan.patients,
        fractured=0.3113,
        views=("PA", "LAT", "OBL", "LAT"),
        instances=INSTANCES,
        shown=wrists.AS_READ,
        rows=plan.rows,
        columns=plan.columns,
        field_mm=plan.field_mm,
        hardware=wrists.Chance(fractured=0.25, intact=0.03),
    )


def forms_of(plan: Plan) -> dict[str, Recipe]:
    """Every size, padded or stretched, in which an arm takes the images."""
    return {name: form.recipe for name, form in plan.forms.items()}


def figures_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the run record repeats: the main models on the test set, and what choosing adds."""
    told: dict[str, Any] = {}
    for name in content["main"]:
        honest = content["arms"][name]["honest"]
        told[name] = {"auroc": honest["auroc"]["instance"], "flattered": honest["flattered"]}
    return told
