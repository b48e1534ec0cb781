"""The report of the experiment: all figures as one dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import __version__
from osteon.dataset.splits import SEALED
from osteon.evaluate import report as full_report
from osteon.evaluate.intervals import LEVEL
from osteon.evaluate.report import plain
from osteon.evaluate.words import PHANTOM
from osteon.experiments.around import InForm
from osteon.experiments.decid2021 import judged, story
from osteon.experiments.decid2021.arms import BASELINE, BY_SIZE, RX_LITE, Arm, ours_name
from osteon.experiments.decid2021.cohort import LEARNT, VALIDATION, Cohort
from osteon.experiments.decid2021.comparisons import asked
from osteon.experiments.decid2021.levels import Part
from osteon.experiments.decid2021.plan import PUBLISHED, Plan, compared
from osteon.experiments.decid2021.pointing import pointing
from osteon.experiments.decid2021.stages import Trained
from osteon.learn.samplers import expected_share
from osteon.types import Progress, silent


@dataclass(frozen=True, eq=False)
class Found:
    """All that the stages gave.

    Attributes:
        cohort: the radiographs.
        done: name of the arm → what it left.
        probe: the hairlines; None if there are none.
        answers: `image` and `target` of the test set.
        truth: of a phantom cohort, by `image`; None of other data.
        forms: in which the images were prepared.
        predictions: of all arms and the floors, the test set opened.
    """

    cohort: Cohort
    done: Mapping[str, Trained]
    probe: pd.DataFrame | None
    answers: pd.DataFrame
    truth: pd.DataFrame | None
    forms: Mapping[str, InForm]
    predictions: pd.DataFrame

    def target(self) -> pd.Series:
        """(n,) of all images, the test set opened; missing where there is no answer."""
        answered = self.answers.set_index(self.answers["image"].astype(str))["target"]
        told = pd.Series(self.cohort.names).map(answered).astype("Int8")
        own = self.cohort.table["target"].astype("Int8").reset_index(drop=True)
        return own.where(self.cohort.part != SEALED, told)

    def floors(self) -> dict[str, NDArray[np.float64]]:
        """Name of a floor → its scores (n,) of the test images, NaN for others."""
        rows = self.predictions[self.predictions["part"] == "test"]
        told = {}
        for name in full_report.floors_of(rows, "test"):
            mine = rows[rows["model"] == name]
            told[name] = mine.set_index(mine["image"].astype(str))["score"].reindex(self.cohort.names).to_numpy(float)
        return told

    def parts(self, *, seed: int, resamples: int) -> dict[str, Part]:
        """What is judged: `train`, `validation` (the study's balanced set), `inner` and `test`."""
        target, part = self.target(), self.cohort.part
        known = target.notna().to_numpy(bool)
        chosen = {
            "train": part == LEARNT,
            "validation": self.cohort.balanced(seed=seed),
            "inner": part == VALIDATION,
            "test": (part == SEALED) & known,
        }
        values = np.asarray(target.fillna(0).to_numpy(int), np.intp)
        # Each part from a source of its own: samples of two parts must not vary together.
        return {
            name: Part.of(self.cohort.table, rows, values, np.random.default_rng([seed, place]), resamples=resamples)
            for place, (name, rows) in enumerate(chosen.items())
        }


def main_arms(plan: Plan) -> list[str]:
    """The study's two models, and the first of ours at the smallest size."""
    return [BASELINE, RX_LITE, *([ours_name(plan.ours[0], 0)] if plan.ours else [])]


def whole_pages(found: Found, plan: Plan, *, seed: int, phantom: bool, openings: int) -> dict[str, dict[str, Any]]:
    """The house's own report on each of the main models: name of the arm → all figures.

    Args:
        found: by the stages.
        plan: of the run. seed: of the bootstrap.
        phantom: whether the data are simulated.
        openings: how often the test set was opened.
    """
    return {
        name: full_report.evaluate(
            found.predictions,
            found.cohort.table,
            seed=seed,
            model=found.done[name].arm.label,
            openings=openings,
            phantom=phantom,
            resamples=plan.resamples,
        )
        for name in main_arms(plan)
    }


def report_of(
    found: Found, plan: Plan, *, seed: int, phantom: bool, openings: int, progress: Progress = silent
) -> dict[str, Any]:
    """What report.json holds: plain dictionaries, lists, text and numbers.

    Args:
        found: by the stages.
        plan: of the run. seed: of the bootstrap.
        phantom: whether the data are simulated.
        openings: how often the test set was opened.
        progress: told of arms judged.
    """
    how: dict[str, Any] = {"seed": seed, "resamples": plan.resamples}
    parts = found.parts(**how)
    arms: dict[str, Any] = {}
    for number, (name, each) in enumerate(found.done.items()):
        progress(number, len(found.done) + 1)
        arms[name] = _arm(each, found, parts)
    main = main_arms(plan)
    weights = list(dict.fromkeys(arm["weights"] for arm in arms.values()))
    floors = found.floors()
    data = _data(found, parts, plan)
    report: dict[str, Any] = {
        "title": "de Cid 2021, run again: fractures in studies of the wrist",
        "experiment": "decid2021",
        "scale": plan.scale,
        "phantom": phantom,
        "label": PHANTOM if phantom else "",
        "compared": compared(plan, data, weights),
        "data": data,
        "weights": weights,
        "main": main,
        "arms": arms,
        "tables": asked(plan, arms),
        "floors": {name: judged.beside_floors(found.done[name].scores, floors, parts["test"]) for name in main},
        "hardware": _hardware(found, parts["test"], main),
        "hairlines": _hairlines(found, plan, **how),
        "pointing": _pointing(found, plan, **how),
        "layers": {name: each.kept.tables["layers"].to_dict("records") for name, each in _looked_at(found).items()},
        "openings": openings,
        "published": dict(PUBLISHED),
        "settings": {"seed": seed, "resamples": plan.resamples, "level": LEVEL, "osteon": __version__},
    }
    content: dict[str, Any] = plain(report)
    content["chosen"] = story.chosen(content)
    content["hairlines"]["paragraph"] = story.hairlines(content)
    content["sentence"] = story.sentence(content)
    content["cautions"] = story.cautions(content)
    return content


def _arm(each: Trained, found: Found, parts: Mapping[str, Part]) -> dict[str, Any]:
    arm, told, epochs = each.arm, each.kept.told, each.kept.tables["epochs"]
    return {
        "label": arm.label,
        "title": arm.title,
        "size": arm.form.size,
        "fit": arm.form.told,
        "mm": _mm(arm, found.cohort),
        "weights": told["weights"],
        "epochs": len(epochs),
        "epoch": told["epoch"],
        "seconds": told["seconds"],
        "share": told["share"],
        "loss": float(epochs["training_loss"].iloc[-1]),
        "study": judged.as_study(each.scores, parts),
        "honest": judged.honest(each.scores, parts),
    }


def _mm(arm: Arm, cohort: Cohort) -> float | None:
    """Upright millimetres to a pixel of the form, over all images; None where nobody knows the spacing."""
    rows = cohort.table
    known = rows["spacing_mm"].notna()
    if not known.any():
        return None
    sides = [rows.loc[known, side].astype(float) * rows.loc[known, "spacing_mm"] for side in ("rows", "columns")]
    each = [arm.form.mm_per_pixel(float(height), float(width)) for height, width in zip(*sides, strict=True)]
    return float(np.median(each))


def _looked_at(found: Found) -> dict[str, Trained]:
    return {name: each for name, each in found.done.items() if each.arm.layers}


def _hardware(found: Found, test: Part, main: list[str]) -> dict[str, Any]:
    known = found.cohort.hardware
    if known is None:
        return {"reason": "the label table has no column hardware"}
    shows, clean = known
    if not shows[test.rows].any():
        return {"reason": "no image of the test set is known to show hardware"}
    kept = test.only(clean[test.rows])
    if kept.target.all() or not kept.target.any():
        return {"reason": "the images of the test set without hardware are of one class"}
    learnt = found.cohort.part == LEARNT
    target = found.cohort.target
    return {
        "reason": "",
        "images": [len(test.rows), len(kept.rows)],
        "studies": [len(test.first), len(kept.first)],
        "planted": {
            kind: float(shows[learnt & (target == value)].mean()) for kind, value in (("fractured", 1), ("intact", 0))
        },
        "arms": {name: judged.without_hardware(found.done[name].scores, test, clean) for name in main},
    }


def _hairlines(found: Found, plan: Plan, *, seed: int, resamples: int) -> dict[str, Any]:
    if found.probe is None:
        return {"reason": "the data are no phantoms, and nobody knows how wide the gap of a fracture is", "arms": {}}
    arms: dict[str, Any] = {}
    means = {}
    for name, each in found.done.items():
        if each.arm.probed:
            seen = judged.seen_hairlines(each.kept.arrays["hairlines"], found.probe, seed=seed, resamples=resamples)
            means[name] = seen["mean"]
            arms[name] = {
                "rows": seen["rows"],
                "mean": seen["mean"][0],
                "smallest": judged.smallest_seen(seen["rows"]),
            }
    families = [list(BY_SIZE), *([ours_name(choice, place) for place in range(3)] for choice in plan.ours)]
    sizes = [{"names": names, "gained": judged.less(means[names[-1]], means[names[0]])} for names in families]
    return {"reason": "", "patients": plan.probe.patients, "arms": arms, "sizes": sizes}


def _pointing(found: Found, plan: Plan, *, seed: int, resamples: int) -> dict[str, Any]:
    if found.truth is None:
        return {"reason": "nobody knows where the fractures lie", "arms": {}}
    arms = {}
    for name in main_arms(plan):
        each = found.done[name]
        form = found.forms[each.arm.form.name]
        arms[name] = pointing(each, found.cohort, found.answers, found.truth, form, seed=seed, resamples=resamples)
    reasons = [arm["reason"] for arm in arms.values() if arm["reason"]]
    return {"reason": reasons[0] if reasons else "", "arms": arms}


def _data(found: Found, parts: Mapping[str, Part], plan: Plan) -> dict[str, Any]:
    cohort, learnt = found.cohort, parts["train"]
    target = found.target()
    positives = int(learnt.target.sum())
    counts = {
        name: {
            "images": len(part.rows),
            "studies": len(part.first),
            "patients": len(np.unique(part.group)),
            "fractured_images": int(part.target.sum()),
            "fractured_studies": int(part.target[part.first].sum()),
        }
        for name, part in parts.items()
    }
    open_rows = np.flatnonzero(cohort.part != SEALED)
    names = [cohort.names[row] for row in open_rows]
    all_parts = [counts[name] for name in ("train", "inner", "test")]
    studies = sum(each["studies"] for each in all_parts)
    return {
        "studies": studies,
        "radiographs": sum(each["images"] for each in all_parts),
        "patients": sum(each["patients"] for each in all_parts),
        "fractured": sum(each["fractured_studies"] for each in all_parts) / studies,
        "unlabelled": cohort.unlabelled,
        "without_answer": int(target.isna().sum()),
        "parts": counts,
        "images_each": _images_each(cohort),
        "noise": None
        if found.truth is None
        else judged.label_noise(found.truth, names, cohort.target[open_rows].astype(float)),
        "sampler": {
            "expected": expected_share(positives, len(learnt.rows) - positives),
            "drawn": 2 * min(positives, len(learnt.rows) - positives),
            "of_all": positives / len(learnt.rows),
        },
    }


def _images_each(cohort: Cohort) -> list[dict[str, int]]:
    images, studies = np.unique(cohort.table.groupby("study").size(), return_counts=True)
    return [{"images": int(i), "studies": int(s)} for i, s in zip(images, studies, strict=True)]
