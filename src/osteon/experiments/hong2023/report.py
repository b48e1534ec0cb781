"""The report of the experiment: all figures as one dictionary, and what is written of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from osteon import __version__
from osteon.evaluate import eighteen, healing_report
from osteon.evaluate.intervals import LEVEL, Resamples
from osteon.evaluate.report import plain
from osteon.evaluate.words import PHANTOM
from osteon.experiments.hong2023 import judged, story
from osteon.experiments.hong2023.cohort import Cohort
from osteon.experiments.hong2023.honest import NESTED, Nested
from osteon.experiments.hong2023.models import HEAD, INCEPTION, LENET
from osteon.experiments.hong2023.outcomes import Outcome
from osteon.experiments.hong2023.plan import Plan, compared
from osteon.experiments.hong2023.stages import OURS
from osteon.learn.search.regimes import Searched
from osteon.types import Progress, silent

TOP = 10
"""Rows of a table of the best trials."""

KEYS = {LENET: "lenet", INCEPTION: "inception"}
"""Networks that are trained whole: name → stage."""

OPTIONS = ("batch", "dropout", "learning_rate", "epsilon", "epochs")
"""What the tables say of how a model was trained."""

OF_REGIME = {"one": ("batch", "dropout"), "two": ("learning_rate", "epsilon")}
"""What each regime varies."""


@dataclass(frozen=True, eq=False)
class Found:
    """All that the stages gave.

    Attributes:
        cohort: as the models saw it. opened: with the answers of the sealed part, or None.
        baselines: the untuned models. best: the place of the one whose backbone was gone on with.
        one, two: Regime I and II.
        final, by_patient: the tuned head under both protocols.
        nested: the procedure inside outer folds by patient.
        grades: the table of grades.
    """

    cohort: Cohort
    opened: Cohort | None
    baselines: Sequence[Outcome]
    best: int
    one: Searched
    two: Searched
    final: Outcome
    by_patient: Outcome
    nested: Nested
    grades: pd.DataFrame

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Every cross-validated model, in the order of the report."""
        return (*self.baselines, self.final, self.by_patient)


JUDGED = {"nested": NESTED, "ours": OURS}
"""The honestly judged models: place in the report → name in the table of grades."""


def healing_reports(found: Found, plan: Plan, *, seed: int, phantom: bool, openings: int) -> dict[str, dict[str, Any]]:
    """The full reports on the healing score of the honestly judged models, by their place in the report.

    Args:
        found: by the stages.
        plan: of the run. seed: of the bootstrap.
        phantom: whether the data are simulated.
        openings: how often the sealed part was opened.
    """
    return {
        name: healing_report.evaluate(
            found.grades,
            seed=seed,
            model=model,
            openings=openings,
            phantom=phantom,
            rater="one simulated rater" if phantom else "",
            resamples=plan.resamples,
        )
        for name, model in JUDGED.items()
    }


def report_of(
    found: Found,
    plan: Plan,
    full: Mapping[str, Mapping[str, Any]],
    *,
    seed: int,
    openings: int,
    progress: Progress = silent,
) -> dict[str, Any]:
    """What report.json holds: plain dictionaries, lists, text and numbers.

    Args:
        found: by the stages.
        plan: of the run. seed: of the bootstrap.
        full: as `healing_reports` returned it.
        openings: how often the sealed part was opened.
        progress: told of models judged.
    """
    cohort, steps = found.cohort, len(found.baselines) + 2
    phantom = bool(full["nested"]["phantom"])
    done = [0]

    def told() -> None:
        done[0] += 1
        progress(done[0], steps)

    sample = judged.of_patients(cohort, ~cohort.sealed, seed=seed, resamples=plan.resamples)
    baselines = [_row(outcome, cohort, sample, told) for outcome in found.baselines]
    kfold, by_patient = (_row(outcome, cohort, sample, told) for outcome in (found.final, found.by_patient))
    leak = judged.added(cohort, found.final, found.by_patient, sample)
    report: dict[str, Any] = {
        "title": "Hong 2023, run again: RUST by transfer learning",
        "experiment": "hong2023",
        "scale": plan.scale,
        "phantom": phantom,
        "label": PHANTOM if phantom else "",
        "compared": _compared(found, plan),
        "data": _data(cohort, plan),
        "baselines": baselines,
        "best": found.best,
        "final": {"kfold": kfold, **_test(found, plan, seed=seed)},
        "by_patient": by_patient,
        "leak": [{**row, "short": short} for row, short in zip(leak, _LEAK_SHORT, strict=True)],
        "nested": {
            "model": NESTED,
            "network": found.baselines[found.best].network,
            "chosen": list(found.nested.chosen),
            **_parts(full["nested"]),
        },
        "ours": {"model": OURS, "network": _frozen(found)[0], **_parts(full["ours"])},
        "openings": openings,
        "published": {"regimes": story.REGIMES, "test": story.TEST},
        "settings": {
            "seed": seed,
            "resamples": plan.resamples,
            "resamples_of_18_labels": min(plan.resamples, eighteen.RESAMPLES),
            "level": LEVEL,
            "osteon": __version__,
        },
    }
    content: dict[str, Any] = plain(report) | {"regimes": _regimes(found)}
    rows = (*content["baselines"], content["final"]["kfold"], content["by_patient"])
    for row, outcome in zip(rows, found.outcomes, strict=True):
        # Not by way of `plain`, which keeps six digits: an ε of 1e-8 would be 0.
        row["options"] = {name: outcome.options[name] for name in OPTIONS}
    content["sentence"] = story.sentence(content)
    content["cautions"] = story.cautions(content)
    return content


_LEAK_SHORT = ("18 labels: macro AUROC", "within the view: AUROC", "within the view: kappa")


def _row(outcome: Outcome, cohort: Cohort, sample: Resamples, told: Callable[[], None]) -> dict[str, Any]:
    """What a table says of a cross-validated model."""
    row = {
        "name": outcome.name,
        "network": outcome.network,
        "protocol": outcome.protocol,
        "folds": outcome.folds,
        "published": story.counterpart(outcome),
        "best_epoch": outcome.best_epoch,
        "at_best": outcome.at_best(),
        "training_at_best": outcome.at_best("training")["mean"],
        "eighteen": judged.eighteen_of(cohort, outcome, sample),
    }
    told()
    return row


def _data(cohort: Cohort, plan: Plan) -> dict[str, Any]:
    return {
        "images": len(cohort.table),
        "patients": int(cohort.table["patient"].nunique()),
        "visits": int(cohort.table["study"].nunique()),
        "views": {str(view): int(count) for view, count in cohort.table["view"].value_counts().items()},
        "sealed": int(cohort.sealed.sum()),
        "sealed_patients": int(cohort.table.loc[cohort.sealed, "patient"].nunique()),
        "left_out": cohort.left_out,
        "contradicting": cohort.contradicting,
        "size": plan.size,
    }


def _frozen(found: Found) -> list[str]:
    """The frozen backbones that were compared, and their weights; osteon's own model reads maps of the first."""
    return [outcome.network.removesuffix(HEAD) for outcome in found.baselines if outcome.name not in KEYS]


def _compared(found: Found, plan: Plan) -> list[dict[str, Any]]:
    table = found.cohort.table
    return compared(
        plan,
        images=len(table),
        patients=int(table["patient"].nunique()),
        sealed=int(found.cohort.sealed.sum()),
        frozen=_frozen(found),
    )


def _regimes(found: Found) -> dict[str, Any]:
    """Both searches, every number in full."""
    told = {}
    for name, searched in (("one", found.one), ("two", found.two)):
        ranked = searched.top(TOP)[[*OF_REGIME[name], "auroc", "lowest", "highest", "epoch"]]
        rows = [
            {"rank": place, **{key: None if pd.isna(value) else value for key, value in row.items()}}
            for place, row in enumerate(ranked.to_dict("records"), start=1)
        ]
        scored = int(searched.trials["auroc"].notna().sum())
        told[name] = {"trials": len(searched.trials), "scored": scored, "columns": OF_REGIME[name], "top": rows}
    return told


def _test(found: Found, plan: Plan, *, seed: int) -> dict[str, Any]:
    """The final model on the sealed part: the 18 labels, and within the view."""
    if found.opened is None:
        return {"test": None, "within": None}
    return {
        "test": judged.tested(found.opened, found.final, seed=seed, resamples=plan.resamples),
        "within": _slim(judged.within_view_tested(found.grades, found.final.name, seed=seed, resamples=plan.resamples)),
    }


def _parts(full: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a full report that the story tells."""
    test = full["test"]
    opened = test["state"] == "opened"
    return {
        "sentence": full["sentence"],
        "united": full["score"]["united"],
        "validation": {"cases": full["validation"]["cases"], **_slim(full["validation"])},
        "test": {"cases": test["cases"], **_slim(test)} if opened else None,
    }


def _slim(part: Mapping[str, Any]) -> dict[str, Any]:
    totals = {name: value for name, value in part["totals"].items() if name != "points"}
    return {"overall": part["overall"], "totals": totals}
