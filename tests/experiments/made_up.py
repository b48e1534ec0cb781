"""What the stages of `decid2021` leave, made up: scores of a stated strength, so that the report is made in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from osteon.dataset.placement import Placement
from osteon.dataset.splits import SEALED
from osteon.experiments.around import InForm
from osteon.experiments.beside import of_model, opened
from osteon.experiments.decid2021.cohort import LEARNT, cohort_of
from osteon.experiments.decid2021.plan import SCALES, Plan
from osteon.experiments.decid2021.report import Found
from osteon.experiments.decid2021.stages import Trained, predictions
from osteon.experiments.stages import Kept
from tests.make import some_cases, some_split_cases

PATIENTS, SEALED_PATIENTS = 120, 30


def some_found(plan: Plan = SCALES["small"], *, strength: float = 1.0, seed: int = 0) -> Found:
    """Every arm of a plan on the same studies, each a little stronger than the one before; hairlines by their width."""
    rng = np.random.default_rng(seed)
    options = {"fractured": 0.3, "images_each": 2}
    whole = some_cases(PATIENTS, **options)
    sick = whole.set_index("image")["target"].astype(int)
    metal = [str(int(s and rng.random() < 0.3)) for s in sick]
    manifest = some_split_cases(PATIENTS, sealed=SEALED_PATIENTS, hardware=metal, **options)
    cohort = cohort_of(manifest, {image: Path(f"{image}.png") for image in manifest["image"]})
    target = sick.loc[cohort.names].to_numpy(int)
    gaps = (0.0, *plan.probe.gaps_mm)
    rows = [(f"{p:04d}-{gap:g}", p, gap, gap > 0) for p in range(plan.probe.patients) for gap in gaps]
    probe = pd.DataFrame(rows, columns=["image", "patient", "gap_mm", "visible"])
    done = {}
    for number, arm in enumerate(plan.arms):
        signal = strength * (0.5 + number / len(plan.arms))
        # Over-fitted: what was learnt from is told apart far better.
        learnt = np.where(cohort.part == LEARNT, 2.0, 1.0)
        scores = signal * learnt * (target - 0.5) + rng.normal(size=len(target))
        seen = signal * np.log10(1 + 5 * probe["gap_mm"].to_numpy(float)) + rng.normal(size=len(probe))
        peaks = np.full((len(target), 3), np.nan)
        peaks[cohort.part == SEALED] = rng.uniform(
            (0, 0, 0), (arm.form.width, arm.form.height, 1), (sum(cohort.part == SEALED), 3)
        )
        done[arm.name] = Trained(arm, _kept(arm, scores, seen if arm.probed else np.empty(0), peaks, rng))
    held_out = cohort.part != LEARNT
    floor = [
        of_model(f"floor:{name}", cohort.table[held_out], cohort.part[held_out], np.asarray(value, float))
        for name, value in (("majority", np.zeros(held_out.sum())), ("view", cohort.table["view"][held_out] == "AP"))
    ]
    answers = pd.DataFrame({"image": cohort.names, "target": target})[cohort.part == SEALED]
    answers = answers.assign(target=answers["target"].astype("Int8"))
    table = opened(predictions(cohort, done, pd.concat(floor)), answers)
    forms = {name: _in_form(cohort.names, form.width, form.height) for name, form in plan.forms.items()}
    return Found(cohort, done, probe, answers, _truth(cohort.names, target, rng), forms, table)


def _kept(arm, scores, hairlines, peaks, rng) -> Kept:  # type: ignore[no-untyped-def]
    epochs = np.arange(1, arm.epochs + 1)
    falls = np.exp(-epochs / 8)
    tables = {
        "epochs": pd.DataFrame(
            {
                "epoch": epochs,
                "training_loss": 0.7 * falls,
                "validation_loss": 0.7 - 0.05 * falls + rng.normal(size=len(epochs)) * 0.02,
                "training_accuracy": 1 - 0.5 * falls,
                "validation_accuracy": 0.7 - 0.2 * falls,
            }
        ),
        "steps": pd.DataFrame(
            {"epoch": epochs, "step": epochs, "learning_rate": 0.001, "loss": falls, "gradient_norm": falls}
        ),
        "layers": pd.DataFrame(
            [
                (when, f"layer{place}", 10.0 ** (place - (9 if when == "at the start" else 7)))
                for when in ("at the start", "at the end")
                for place in range(5 if "lite" in arm.name else 9)
            ]
            if arm.layers
            else [],
            columns=["when", "layer", "gradient"],
        ),
    }
    told = {"weights": f"{arm.trunk.backbone} (random, seed 0)", "seconds": 61.0, "epoch": arm.epochs, "share": 0.41}
    return Kept(told, {"scores": scores, "hairlines": hairlines, "peaks": peaks}, tables)


def _in_form(names: list[str], width: int, height: int) -> InForm:
    shrunk = np.array([[512 / width, 0, 0], [0, 512 / height, 0]], float)
    return InForm({}, dict.fromkeys(names, str(Placement((height, width), shrunk))))


def _truth(names: list[str], target: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    n = len(names)
    visible = (target == 1) & (rng.random(n) < 0.8)
    boxes = {
        "box_x": rng.uniform(100, 200, n),
        "box_y": rng.uniform(150, 250, n),
        "box_width": 120.0,
        "box_height": 60.0,
    }
    return pd.DataFrame({"image": names, "visible": visible, **boxes})
