"""Kim & MacKinnon 2018 again: fractures of the wrist by retraining the top layer of a network.

Lateral radiographs, a sealed final set beside those that are split 80:10:10, are copied eightfold, go once through a
frozen backbone, and a linear top layer is trained on them by stochastic gradient descent. It is done twice: split after
copying, as in the study (`leaky-by-copy`), and split by patient before. Both are judged once on the final set, beside
floors. Every finished stage is kept in `stages/`: a run that was cut off goes on behind the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from osteon import tables
from osteon.experiments import beside
from osteon.experiments.around import Run, begin
from osteon.experiments.kim2018 import judged, stages
from osteon.experiments.kim2018.cohort import Cohort, cohort_of
from osteon.experiments.kim2018.page import write
from osteon.experiments.kim2018.plan import SCALES, Plan, plan_of
from osteon.experiments.kim2018.protocols import PROTOCOLS
from osteon.experiments.kim2018.report import KEYS, Found, report_of, whole_page
from osteon.phantom import plan as wrists
from osteon.types import Recipe

__all__ = ["SCALES", "Cohort", "cohort_of", "figures_of", "phantom_of", "plan_of", "run"]

PREDICTIONS = "predictions.parquet"

NOT_SETTINGS = ("patients", "rows", "columns")
"""Of a plan, what is about the phantom that stands in for data: the digest of the data says it."""


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
        TooFewCases: if the cohort is too small for ten parts of both classes.
        BadTable: if the answers of the final set are missing.
    """
    settings = {name: value for name, value in asdict(plan).items() if name not in NOT_SETTINGS}
    begin(around, "kim2018", data=cohort.digest, settings=settings)
    images = stages.augmented(cohort, plan, around)
    done = {protocol: stages.outcome(images, protocol, plan, around) for protocol in PROTOCOLS}
    rates = stages.looked_at(images, plan, around)
    floors = stages.beside(cohort, images, around)
    answers = beside.answers(around, "final set")
    table = beside.opened(judged.predictions(images, done, floors), answers)
    tables.write(around.out / PREDICTIONS, table, tables.PREDICTIONS)

    found, openings = Found(cohort, images, done, rates, table), around.openings()
    with around.bars("report") as progress:
        content = report_of(found, plan, seed=around.seed, phantom=around.phantom, openings=openings, progress=progress)
        full = whole_page(found, plan, seed=around.seed, phantom=around.phantom, openings=openings)
        write(content, full, found, around.out)
    return content


def phantom_of(plan: Plan) -> wrists.Plan:
    """Wrists in the lateral view alone; the study left plasters out and had the grey values set by a radiologist."""
    nothing = wrists.even(0)
    return wrists.Plan(
        patients=plan.patients,
        rows=plan.rows,
        columns=plan.columns,
        views=("LAT",),
        cast=nothing,
        hardware=nothing,
        inverted=nothing,
    )


def forms_of(plan: Plan) -> dict[str, Recipe]:
    """The one form in which the images are prepared is enough."""
    return {}


def figures_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the run record repeats: both models on the final set, the best floor, what the leak adds."""
    told = {}
    for key in KEYS.values():
        final = content[key]["final"]
        told[key] = {name: final["discrimination"][name] for name in ("auroc", "gain")}
        told[key] |= {name: final["chosen_here"][name] for name in ("sensitivity", "specificity")}
    return told | {"leak": content["leak"]}
