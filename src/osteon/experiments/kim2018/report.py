"""The report of the experiment: all figures as one dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from osteon import __version__
from osteon.evaluate import report as full_report
from osteon.evaluate.intervals import LEVEL
from osteon.evaluate.report import plain
from osteon.evaluate.words import PHANTOM
from osteon.experiments.kim2018 import judged, story
from osteon.experiments.kim2018.cohort import Cohort
from osteon.experiments.kim2018.plan import PUBLISHED, Plan, compared
from osteon.experiments.kim2018.protocols import LEAKY, PROTOCOLS, Augmented, Outcome
from osteon.learn.copies import EIGHT
from osteon.learn.fold_tables import BY_PATIENT
from osteon.learn.log_figures import POINTS, moving_average
from osteon.types import Progress, silent

KEYS = {LEAKY: "as_study", BY_PATIENT: "by_patient"}
"""Protocol → place in report.json."""


@dataclass(frozen=True, eq=False)
class Found:
    """All that the stages gave.

    Attributes:
        cohort: the radiographs. augmented: all images.
        done: protocol → outcome.
        rates: the accuracy on the test part at several learning rates.
        predictions: of both models and the floors, the final set opened.
    """

    cohort: Cohort
    augmented: Augmented
    done: Mapping[str, Outcome]
    rates: pd.DataFrame
    predictions: pd.DataFrame

    def finals(self) -> pd.Series:
        """Targets of the final set."""
        rows = self.predictions[self.predictions["part"] == "test"]
        return rows.loc[rows["model"] == judged.NAMES[BY_PATIENT], "target"].astype(int)


def whole_page(found: Found, plan: Plan, *, seed: int, phantom: bool, openings: int) -> dict[str, Any]:
    """The house's own report on the model that was split by patient, beside the floors.

    Args:
        found: by the stages.
        plan: of the run. seed: of the bootstrap.
        phantom: whether the data are simulated.
        openings: how often the final set was opened.
    """
    return full_report.evaluate(
        found.predictions,
        found.cohort.table,
        seed=seed,
        model=judged.NAMES[BY_PATIENT],
        openings=openings,
        phantom=phantom,
        resamples=plan.resamples,
    )


def report_of(
    found: Found, plan: Plan, *, seed: int, phantom: bool, openings: int, progress: Progress = silent
) -> dict[str, Any]:
    """What report.json holds: plain dictionaries, lists, text and numbers.

    Args:
        found: by the stages.
        plan: of the run. seed: of the bootstrap.
        phantom: whether the data are simulated.
        openings: how often the final set was opened.
        progress: told of parts judged.
    """
    how: dict[str, Any] = {"seed": seed, "resamples": plan.resamples}
    data = _data(found, plan)
    elsewhere = judged.cut_elsewhere(found.predictions)
    models: dict[str, dict[str, Any]] = {}
    for number, (protocol, key) in enumerate(KEYS.items()):
        progress(number, len(KEYS) + 1)
        outcome = found.done[protocol]
        models[key] = {
            "name": judged.NAMES[protocol],
            "protocol": protocol,
            "about": PROTOCOLS[protocol],
            "images": dict(outcome.images),
            "last": _last(outcome.curves),
            "test_part": judged.test_part(found.augmented, outcome, **how),
            "final": judged.final(
                found.predictions, protocol, cut=elsewhere if protocol == BY_PATIENT else None, **how
            ),
        }
    progress(len(KEYS), len(KEYS) + 1)
    leak = judged.added(found.augmented, found.done[LEAKY], found.done[BY_PATIENT], **how)
    finals = [models[key]["final"]["discrimination"]["auroc"] for key in KEYS.values()]
    gap = judged.gap_on_final(found.predictions, **how)
    report: dict[str, Any] = {
        "title": "Kim and MacKinnon 2018, run again: wrist fractures by transfer learning",
        "experiment": "kim2018",
        "scale": plan.scale,
        "phantom": phantom,
        "label": PHANTOM if phantom else "",
        "compared": compared(plan, data, found.augmented.backbone),
        "data": data,
        "backbone": found.augmented.backbone,
        **models,
        "leak": [*leak, {"title": story.ON_FINAL, "leaky": finals[0], "honest": finals[1], "added": gap}],
        "rates": found.rates.to_dict("records"),
        "openings": openings,
        "published": dict(PUBLISHED),
        "settings": {"seed": seed, "resamples": plan.resamples, "level": LEVEL, "over": POINTS, "osteon": __version__},
    }
    content: dict[str, Any] = plain(report)
    content["leak"] = [row | {"short": short} for row, short in zip(content["leak"], story.SHORT, strict=True)]
    content["sentence"] = story.sentence(content)
    content["cautions"] = story.cautions(content)
    return content


def _data(found: Found, plan: Plan) -> dict[str, Any]:
    cohort, finals = found.cohort, found.finals()
    known = cohort.table.loc[~cohort.sealed, "target"].astype(int)
    return {
        "classes": [int((known == 1).sum()), int((known == 0).sum())],
        "final_classes": [int((finals == 1).sum()), int((finals == 0).sum())],
        "radiographs": len(known),
        "patients": int(cohort.table.loc[~cohort.sealed, "patient"].nunique()),
        "augmented": int((~found.augmented.table["fold"].eq(-1)).sum()),
        "final": len(finals),
        "final_patients": int(cohort.table.loc[cohort.sealed, "patient"].nunique()),
        "without_answer": int(cohort.sealed.sum()) - len(finals),
        "other_views": cohort.other_views,
        "unlabelled": cohort.unlabelled,
        "size": plan.size,
        "each": plan.each,
        "of_each": EIGHT,
        "batch": plan.training.batch,
    }


def _last(curves: pd.DataFrame) -> dict[str, float]:
    """Accuracy and error at the end of the curves: of training the moving average, of validation the last point."""
    told = {}
    for name in ("accuracy", "error"):
        told[f"training_{name}"] = float(moving_average(curves[f"training_{name}"], least=POINTS)[-1])
        told[f"validation_{name}"] = float(curves[f"validation_{name}"].iloc[-1])
    return told
