"""The stages of the experiment, each kept once it is finished: what was cut off goes on behind the last epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from osteon.dataset.splits import SEALED
from osteon.experiments.around import Run
from osteon.experiments.beside import floors_beside, of_model, together
from osteon.experiments.crew import train_all
from osteon.experiments.decid2021 import hairlines
from osteon.experiments.decid2021.arms import Arm
from osteon.experiments.decid2021.cohort import LEARNT, VALIDATION, Cohort
from osteon.experiments.decid2021.plan import Plan
from osteon.experiments.decid2021.training import TABLES, Shown, Training
from osteon.experiments.stages import Kept, kept

COSTS: Mapping[str, float] = {"resnet18": 3.7, "tf_efficientnet_lite0": 4.4, "rx_lite": 0.8, "rx_large": 1.1}
"""Relative cost of a pixel, measured; of what is not here, that of ResNet18."""

DECODED = "decoded"
"""Folder of the decoded images."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A training and what it left."""

    arm: Arm
    kept: Kept

    @property
    def scores(self) -> Any:
        """(n,) logits of all images."""
        return self.kept.arrays["scores"]


def trained(cohort: Cohort, probe: pd.DataFrame | None, plan: Plan, around: Run) -> dict[str, Trained]:
    """Every arm, trained once: name → what it left."""
    arms = plan.arms
    shown = {name: _shown(cohort, name, around) for name in plan.forms}
    jobs = [_training(arm, cohort, shown[arm.form.name], probe, plan, around) for arm in arms]
    with around.bars("trainings") as progress:
        # Decoded before processes need them at the same time.
        for job in jobs:
            if kept(around.stages / job.name) is None:
                job.shown.pixels()
        done = train_all(jobs, around, _said, tables=TABLES, progress=progress)
    return {arm.name: Trained(arm, done[arm.name]) for arm in arms}


def floors(cohort: Cohort, around: Run) -> pd.DataFrame:
    """The floors, fitted on the images that the arms learn from: rows of the validation and of the test part."""
    return floors_beside(
        cohort.table,
        cohort.images,
        around,
        learning=cohort.dealt,
        held_out=cohort.part != LEARNT,
        split="patient",
    )


def predictions(cohort: Cohort, done: Mapping[str, Trained], floors: pd.DataFrame) -> pd.DataFrame:
    """All arms and the floors on the validation and on the test part, whose targets are still missing."""
    held_out = np.isin(cohort.part, (VALIDATION, SEALED))
    rows, part = cohort.table[held_out], cohort.part[held_out]
    return together(floors, *(of_model(each.arm.label, rows, part, each.scores[held_out]) for each in done.values()))


def _shown(cohort: Cohort, form: str, around: Run) -> Shown:
    return Shown(tuple(cohort.names), around.forms[form].images, around.stages / DECODED / form)


def _training(arm: Arm, cohort: Cohort, shown: Shown, probe: pd.DataFrame | None, plan: Plan, around: Run) -> Training:
    asked = None
    if arm.probed and probe is not None:
        paths = hairlines.paths(probe, arm.form, around)
        asked = Shown(tuple(paths), paths, around.stages / DECODED / f"{hairlines.STAGE}-{arm.form.name}")
    pixels = arm.form.width * arm.form.height
    return Training(
        arm=arm,
        open_trunk=around.open_trunk,
        folder=around.stages / arm.name,
        shown=shown,
        hairlines=asked,
        target=cohort.target.astype(np.float32),
        learnt=np.flatnonzero(cohort.part == LEARNT),
        held_out=np.flatnonzero(cohort.balanced(seed=around.seed)),
        sealed=np.flatnonzero(cohort.part == SEALED),
        bf16=plan.bf16,
        seed=around.seed,
        cost=COSTS.get(arm.trunk.backbone, COSTS["resnet18"]) * pixels * arm.epochs,
    )


def _said(done: Kept) -> str:
    last = done.tables["epochs"].iloc[done.told["epoch"] - 1]
    seconds = done.told["seconds"]
    took = "in several legs" if seconds is None else f"{seconds:.0f} s"
    return (
        f"epoch {done.told['epoch']} of {len(done.tables['epochs'])}, accuracy of the validation images "
        f"{last['validation_accuracy']:.3f}, {took}"
    )
