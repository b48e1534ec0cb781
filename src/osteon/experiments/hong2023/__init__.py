"""Hong 2023 again: RUST by transfer learning, as the study did it, and beside it what an honest protocol says.

Baselines → weights → Regime I → Regime II → final model → test, with the study's folds by image (`leaky-by-image`).
Then the same head on folds by patient, the search nested in them, figures within the view, and floors. Every finished
stage is kept in `stages/`: a run that was cut off goes on behind the last one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from osteon import tables
from osteon.experiments.around import Run, begin
from osteon.experiments.hong2023 import honest, stages
from osteon.experiments.hong2023.cohort import Cohort, cohort_of
from osteon.experiments.hong2023.plan import SCALES, Plan, plan_of
from osteon.experiments.hong2023.report import Found, healing_reports, report_of
from osteon.experiments.hong2023.writing import write
from osteon.learn.fold_tables import BY_IMAGE, BY_PATIENT
from osteon.phantom.healing_plan import HealingPlan, healing_plan
from osteon.types import Recipe

__all__ = ["SCALES", "Cohort", "cohort_of", "figures_of", "phantom_of", "plan_of", "run"]


def run(cohort: Cohort, plan: Plan, around: Run) -> dict[str, Any]:
    """The whole experiment: `report.html`, `report.json`, `figures/`, `curves/`, `tables/`, `grades.parquet`.

    Args:
        cohort: the images.
        plan: how large.
        around: where, and with what.

    Returns:
        What report.json holds.

    Raises:
        Mismatch: if the folder holds an experiment of another plan, seed or data.
        TooFewCases: if the cohort is too small for the folds.
    """
    _begin(cohort, plan, around)
    whole = stages.networks(cohort, plan, around)
    frozen = [stages.features(cohort, choice, number, around) for number, choice in enumerate(plan.trunks)]
    heads = [stages.untuned(cohort, one, plan, number, around) for number, one in enumerate(frozen)]
    best = int(np.argmax([outcome.at_best()["mean"] for outcome in heads]))
    chosen = frozen[best]

    one = stages.regime_one(cohort, chosen, plan, around)
    two = stages.regime_two(cohort, chosen, plan, one.options, around)
    options = replace(two.options, epochs=plan.epochs)
    final = stages.tuned(stages.FINAL, cohort, chosen, options, plan, BY_IMAGE, around)

    by_patient = stages.tuned(stages.HONEST, cohort, chosen, options, plan, BY_PATIENT, around)
    nested = stages.nested(cohort, chosen, plan, around)
    beside = stages.ours(cohort, nested, plan, around)
    others = {stages.FINAL: final.probabilities} if cohort.sealed.any() else {}
    table = honest.graded(cohort, nested, beside, others)
    opened = stages.opened(cohort, around)
    if opened is not None:
        table = honest.with_answers(table, opened)
    tables.write(around.out / stages.GRADES, table, tables.GRADES)

    found = Found(cohort, opened, (*whole, *heads), len(whole) + best, one, two, final, by_patient, nested, table)
    openings = around.openings()
    with around.bars("report") as progress:
        full = healing_reports(found, plan, seed=around.seed, phantom=around.phantom, openings=openings)
        content = report_of(found, plan, full, seed=around.seed, openings=openings, progress=progress)
        write(content, full, found, around.out)
    return content


def phantom_of(plan: Plan) -> HealingPlan:
    """Healing tibiae, as many patients as the plan asks for."""
    return healing_plan(patients=plan.patients)


def forms_of(plan: Plan) -> dict[str, Recipe]:
    """The one form in which the images are prepared is enough."""
    return {}


def figures_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the run record repeats: the tuned head beside the view, the nested one, what a leak adds."""
    kfold, line = content["final"]["kfold"]["eighteen"], content["nested"]["validation"]["totals"].get("icc")
    return {
        "final": {who: kfold[who]["macro_auroc"] for who in ("model", "view_only", "gain")},
        "nested": {"icc": line["figure"], "gain": line["gain"]} if line else None,
        "leak": content["leak"],
    }


def _begin(cohort: Cohort, plan: Plan, around: Run) -> None:
    """Checks that the folder is this run's, or nobody's."""
    shown = cohort.table[["image", "view", "fold"]].astype(str).to_csv(index=False).encode()
    data = hashlib.sha256(shown + cohort.grades.tobytes()).hexdigest()
    settings = {name: value for name, value in asdict(plan).items() if name != "patients"}
    begin(around, "hong2023", data=data, settings=settings)
