"""The stages of the experiment, each kept once it is finished: what was cut off goes on behind the last one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from osteon.dataset.splits import SEALED
from osteon.experiments.around import Run
from osteon.experiments.beside import floors_beside
from osteon.experiments.kim2018.cohort import TEST, VALIDATION, Cohort
from osteon.experiments.kim2018.plan import Plan
from osteon.experiments.kim2018.protocols import Augmented, Outcome, learn, tried
from osteon.experiments.stages import Kept, once
from osteon.experiments.trunks import slug
from osteon.learn.copies import write_copies
from osteon.learn.features import extract

DEALS = 2**16
"""Added to the seed of the training for that of the split, so that no two things draw the same numbers."""


def augmented(cohort: Cohort, plan: Plan, around: Run) -> Augmented:
    """The copies and the features of all images, made as far as they are not there."""
    with around.bars("copies") as progress:
        made = write_copies(
            cohort.dealt(seed=around.seed + DEALS),
            cohort.images,
            around.stages / "copies",
            seed=around.seed,
            each=plan.each,
            progress=progress,
        )
    count = len(made.manifest) - len(cohort.table)
    around.tell(f"{'copies':<22} {count:,} copies of {int((~cohort.sealed).sum()):,} radiographs")
    trunk = around.open_trunk(plan.trunk)
    folder = around.stages / f"features-{slug(trunk.spec.name)}-{trunk.spec.digest[:8]}"
    with around.bars("features") as progress:
        bank = extract(trunk, made.images, folder, threads=around.threads, progress=progress)
    around.tell(f"{'features':<22} {bank.computed:,} images through {bank.trunk}, {bank.reused:,} were there")
    # Of the two poolings of a bank the mean over positions: the study's network ends in it.
    features = bank.array(made.manifest["image"].tolist(), flips=1)[:, 0, : bank.trunk.d]
    return Augmented(made.manifest, np.ascontiguousarray(features), str(bank.trunk))


def outcome(images: Augmented, protocol: str, plan: Plan, around: Run) -> Outcome:
    """The top layer under a protocol."""
    with around.bars(protocol) as progress:

        def make() -> Kept:
            return learn(images, protocol, plan.training, seed=around.seed, progress=progress).kept()

        return Outcome.of(once(around.stages / protocol, make, _said, around.tell, tables=("curves",)))


def looked_at(images: Augmented, plan: Plan, around: Run) -> pd.DataFrame:
    """The accuracy on the test part at several learning rates."""
    with around.bars("rates") as progress:

        def make() -> Kept:
            training = {rate: replace(plan.training, learning_rate=rate) for rate in plan.rates}
            found = tried(images, training, seed=around.seed, progress=progress)
            return Kept({"rates": list(plan.rates)}, tables={"rates": found})

        done = once(
            around.stages / "rates",
            make,
            lambda told: f"{len(told.told['rates'])} learning rates looked at on the test part",
            around.tell,
            tables=("rates",),
        )
    return done.tables["rates"]


def beside(cohort: Cohort, images: Augmented, around: Run) -> pd.DataFrame:
    """The floors, fitted on the radiographs that the by-patient model learns from: rows of `tables.PREDICTIONS`.

    They are of the held-out tenths, as part validation, and of the final set, as part test.
    """
    rows = images.table[images.original]
    tenth = rows["fold"].to_numpy(int)
    return floors_beside(
        rows,
        cohort.images,
        around,
        # Two tenths make a fold: to choose a penalty on eight folds would take four times as long.
        learning=tenth // 2,
        held_out=np.isin(tenth, (SEALED, VALIDATION, TEST)),
        split="patient",
    )


def _said(done: Kept) -> str:
    curves, images = done.tables["curves"], done.told["images"]
    return (
        f"learnt from {images['learnt']:,} images for {int(curves['iteration'].iloc[-1]):,} iterations, "
        f"accuracy of the {images['validation']:,} validation images {curves['validation_accuracy'].iloc[-1]:.3f}"
    )
