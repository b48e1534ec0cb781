"""The stages of the experiment, each kept once it is finished: what was cut off goes on behind the last one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from osteon import tables
from osteon.dataset.grades import arrays, with_grades
from osteon.experiments.around import Run, answers_of
from osteon.experiments.hong2023 import honest
from osteon.experiments.hong2023.cohort import Cohort
from osteon.experiments.hong2023.honest import Nested
from osteon.experiments.hong2023.models import (
    DEALS,
    Frozen,
    cross_validate,
    train_inception,
    train_lenet,
)
from osteon.experiments.hong2023.outcomes import Outcome, once
from osteon.experiments.hong2023.plan import Plan
from osteon.experiments.trunks import TrunkChoice, slug
from osteon.learn.features import FOUR_FLIPS, extract
from osteon.learn.fold_tables import BY_IMAGE, visible
from osteon.learn.healing.crossval import cross_validate_healing
from osteon.learn.maps import flips_of
from osteon.learn.search import regimes
from osteon.learn.search.flat_heads import Examples, HeadOptions
from osteon.learn.search.regimes import Regime, Searched
from osteon.tasks.rust import CORTICES

GRADES = "grades.parquet"

FINAL, HONEST = "tuned head, folds by image", "tuned head, folds by patient"
"""Names of the final model under both protocols."""

OURS = "osteon's cortex reader"
"""Name of osteon's own model in tables."""


def networks(cohort: Cohort, plan: Plan, around: Run) -> list[Outcome]:
    """The baselines that are trained whole."""
    whole: dict[str, Callable[..., Outcome]] = {"lenet": train_lenet}
    if plan.inception:
        whole["inception"] = train_inception
    return [_network(name, train, cohort, plan, around) for name, train in whole.items()]


def _network(name: str, train: Callable[..., Outcome], cohort: Cohort, plan: Plan, around: Run) -> Outcome:
    folder = around.stages / name
    with around.bars(name) as progress:

        def make() -> Outcome:
            return train(
                cohort,
                folder / "folds",
                folds=plan.folds,
                epochs=plan.network_epochs,
                seed=around.seed,
                progress=progress,
            )

        done = once(folder, make, around.tell)
    # A checkpoint of LeNet at 299 pixels has a gigabyte, and a finished outcome asks for none.
    shutil.rmtree(folder / "folds", ignore_errors=True)
    return done


def features(cohort: Cohort, choice: TrunkChoice, number: int, around: Run) -> Frozen:
    """The features of a backbone, computed as far as they are not there."""
    trunk = around.open_trunk(choice)
    name = f"features-{number}-{slug(Path(str(choice)).name)}"
    folder = around.stages / name
    with around.bars(f"features {number + 1}") as progress:
        bank = extract(trunk, cohort.images, folder, flips=FOUR_FLIPS, threads=around.threads, progress=progress)
    around.tell(f"{'features':<22} {bank.computed} images through {bank.trunk}, {bank.reused} were there")
    return Frozen.of(bank, cohort)


def untuned(cohort: Cohort, frozen: Frozen, plan: Plan, number: int, around: Run) -> Outcome:
    """The study's head with its first settings on one backbone: the comparison of weights."""
    options = HeadOptions(epochs=plan.epochs)
    return _head(frozen.short, cohort, frozen, options, plan, BY_IMAGE, f"frozen-{number}", around)


def tuned(
    name: str, cohort: Cohort, frozen: Frozen, options: HeadOptions, plan: Plan, protocol: str, around: Run
) -> Outcome:
    """The head with the settings that the searches chose, under a protocol."""
    stage = "final" if protocol == BY_IMAGE else "final-by-patient"
    return _head(name, cohort, frozen, options, plan, protocol, stage, around)


# One name for each thing that differs between the four calls.
def _head(
    name: str,
    cohort: Cohort,
    frozen: Frozen,
    options: HeadOptions,
    plan: Plan,
    protocol: str,
    stage: str,
    around: Run,
) -> Outcome:
    with around.bars(stage) as progress:

        def make() -> Outcome:
            return cross_validate(
                name,
                cohort,
                frozen,
                options,
                folds=plan.folds,
                protocol=protocol,
                seed=around.seed,
                progress=progress,
            )

        return once(around.stages / stage, make, around.tell)


def regime_one(cohort: Cohort, frozen: Frozen, plan: Plan, around: Run) -> Searched:
    """Random trials of batch size and dropout, on the study's folds by image."""
    base = HeadOptions(epochs=plan.search_epochs)
    return _search(cohort, frozen, plan, regimes.regime_one(seed=around.seed, trials=plan.trials, base=base), around)


def regime_two(cohort: Cohort, frozen: Frozen, plan: Plan, best: HeadOptions, around: Run) -> Searched:
    """The grid of learning rate and epsilon, as far as the plan asks for it, with the best settings of Regime I."""
    whole = regimes.regime_two(batch=best.batch, dropout=best.dropout, base=HeadOptions(epochs=plan.search_epochs))
    asked = [t for t in whole.trials if t.learning_rate in plan.learning_rates and t.epsilon in plan.epsilons]
    return _search(cohort, frozen, plan, replace(whole, trials=tuple(asked)), around)


def _search(cohort: Cohort, frozen: Frozen, plan: Plan, regime: Regime, around: Run) -> Searched:
    table = cohort.dealt(plan.search_folds, seed=around.seed + DEALS, protocol=BY_IMAGE)
    rows, folds = visible(table, BY_IMAGE)
    examples = Examples.of(frozen.features[rows], cohort.labels[rows])
    workers = around.processes(len(regime.trials))
    with around.bars(regime.name) as progress:
        folder = around.stages / slug(regime.name)
        found = regimes.search(folder, regime, examples, folds, seed=around.seed, workers=workers, progress=progress)
    best = found.top(1)["auroc"].iloc[0]
    around.tell(f"{regime.name:<22} {len(found.trials)} trials, the best reaches an 18-label AUROC of {best:.3f}")
    return found


def nested(cohort: Cohort, frozen: Frozen, plan: Plan, around: Run) -> Nested:
    """Regime I inside outer folds by patient."""
    with around.bars("nested") as progress:
        found = honest.nested(
            cohort,
            frozen,
            plan,
            around.stages / "nested",
            seed=around.seed,
            workers=around.processes(plan.inner_trials),
            progress=progress,
        )
    around.tell(f"{'nested':<22} {plan.outer} outer folds by patient, {plan.inner_trials} trials inside each")
    return found


def ours(cohort: Cohort, inner: Nested, plan: Plan, around: Run) -> pd.DataFrame:
    """osteon's own model and the floors, on the outer folds of the nested one: rows of `osteon.tables.GRADES`.

    It reads maps of the first backbone of the plan.
    """
    folder = around.stages / "ours"
    path = folder / GRADES
    if path.exists():
        around.tell(f"{'ours':<22} kept")
        return tables.read(path, tables.GRADES)
    trunk = around.open_trunk(plan.trunks[0])
    with around.bars("maps") as progress:
        bank = extract(trunk, cohort.images, folder / "maps", maps=True, threads=around.threads, progress=progress)
    maps = bank.maps_of(inner.table["image"].tolist(), flips_of(inner.table))
    with around.bars("ours") as progress:
        found = cross_validate_healing(
            maps, inner.table, model=OURS, images=cohort.images, seed=around.seed, progress=progress
        )
    tables.write(path, found.grades, tables.GRADES)
    around.tell(f"{'ours':<22} {OURS}, on maps of {trunk.spec}, beside floors")
    return found.grades


def opened(cohort: Cohort, around: Run) -> Cohort | None:
    """The cohort with the answers of its sealed part, which are opened once and then kept; None if there are none."""
    if not cohort.sealed.any():
        return None
    answers = answers_of(around, lambda given: with_grades(given, arrays(given)[0])[["image", *CORTICES]])
    return None if answers is None else cohort.opened(answers)
