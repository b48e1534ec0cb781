"""Does the gate of `osteon audit` fail where a shortcut was planted, and pass where none was?

    nice -n 5 python benchmarks/audit_gate.py FOLDER [--seeds 20] [--tuning] [--json FILE]

Phantom cohorts of 300 wrists (one PA image of 256 px each, half of them fractured, all fractures hairlines), through
the whole path: ingest, prepare, split, features of the frozen trunk, out-of-fold scores, audit. A neutral cohort has
metal, a cast and a letter in three of ten images of either class; a planted one has one of them, in turn, in nine of
ten fractured images and in one of ten others. What is done is kept in FOLDER: a killed run goes on. `--tuning` makes
cohorts of other seeds than those reported: number of wrists and hairlines were chosen on such.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from common import write

from osteon import files, tables, verbs
from osteon.dicom.pseudonyms import Key
from osteon.learn.bank import FeatureBank
from osteon.learn.nested import as_predictions, lay_out, linear_scores, nested
from osteon.phantom.plan import Chance, Plan, even
from osteon.verbs.audits import JSON
from osteon.verbs.folders import MANIFEST, PREDICTIONS

SHORTCUTS = ("hardware", "cast", "marker")
PLANTED = Chance(fractured=0.9, intact=0.1)
NEUTRAL = even(0.3)
PATIENTS, SIDE = 300, 256
HAIRLINES = 1.0
"""Share of the fractures that are hairlines: what is hard to see is what a model takes a shortcut around."""
PENALTY = 1e-3
FIRST, TUNING = 101, 9100
"""First seeds of the cohorts that are reported, and of those on which the plan was chosen."""


def plan_of(planted: str) -> Plan:
    """A cohort with that shortcut, or none."""
    chances = {name: PLANTED if name == planted else NEUTRAL for name in SHORTCUTS}
    sizes = {"rows": SIDE, "columns": SIDE, "views": ("PA",), "syntaxes": ("explicit",)}
    return Plan(patients=PATIENTS, subtle=HAIRLINES, **sizes, **chances)  # type: ignore[arg-type]


def made(folder: Path, bank: Path, planted: str, seed: int) -> Path:
    """A cohort with its split and out-of-fold predictions, made if they are not there."""
    if (folder / PREDICTIONS).exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    cohort = folder / "cohort"
    verbs.phantom(cohort, plan_of(planted), seed=seed)
    # One image a study: what the truth says of the image may stand in the table of the studies.
    truth = pd.read_parquet(cohort / "truth.parquet")
    letters = truth.assign(marker=(truth["marker"] != "").astype(int))[["study", "marker"]]
    pd.read_csv(cohort / "labels.csv").merge(letters, on="study").to_csv(cohort / "marked.csv", index=False)
    Key(bytes(32)).save(folder / "phantom.key")
    verbs.ingest(cohort, folder / "ingest", labels=cohort / "marked.csv", key=folder / "phantom.key")
    verbs.prepare(folder / "ingest", folder / "prepared", size=SIDE)
    verbs.split(folder / "prepared", folder / "split", seed=seed)
    # Both cohorts of a seed are of the same patients, so one bank serves them: images that are equal are computed once.
    verbs.features(folder / "prepared", bank)
    manifest = tables.read(folder / "split" / MANIFEST, tables.MANIFEST)
    layout = lay_out(manifest)
    scores = linear_scores(FeatureBank.open(bank).array(list(manifest["image"])), layout, [PENALTY])[0]
    found = nested(layout, scores)
    predictions = as_predictions("frozen + logistic regression", manifest, layout, found.score, found.probability)
    tables.write(folder / PREDICTIONS, predictions, tables.PREDICTIONS)
    shutil.rmtree(cohort)
    return folder


def judged(folder: Path, planted: str, seed: int) -> dict[str, Any]:
    """What the audit of a cohort says."""
    done = verbs.audit(
        folder / PREDICTIONS, folder / "audit", manifest=folder / "split", images=folder / "prepared", probes=False
    )
    content = files.read_json(folder / "audit" / JSON)
    rows = {row["name"]: row["carried"] for row in content["shortcuts"]["rows"]}
    others = [row["high"] for name, row in rows.items() if name != planted and row["high"] is not None]
    return {
        "seed": seed,
        "planted": planted,
        "passed": done.figures["passed"],
        "right": done.figures["passed"] == (not planted),
        "auroc_pooled": content["cases"]["auroc_pooled"]["value"],
        "attributes": content["gate"]["tests"],
        "carried": rows.get(planted),
        "highest_of_others": max(others),
        "lowest_of_others": max(
            rows[name]["low"] for name in rows if name != planted and rows[name]["low"] is not None
        ),
        "findings": {name: finding for name, finding in content["gate"]["findings"].items() if finding != "ruled out"},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    first = TUNING if given.tuning else FIRST
    plan = {
        "patients": PATIENTS,
        "side": SIDE,
        "hairlines": HAIRLINES,
        "planted": asdict(PLANTED),
        "neutral": asdict(NEUTRAL),
    }
    rows = []
    for seed in range(first, first + given.seeds):
        for planted in (SHORTCUTS[seed % len(SHORTCUTS)], ""):
            name = f"{planted or 'neutral'}-{seed}"
            rows.append(
                judged(made(given.folder / name, given.folder / f"features-{seed}", planted, seed), planted, seed)
            )
            told = rows[-1]["carried"] or {}
            print(name, "pass" if rows[-1]["passed"] else "fail", told.get("value"), told.get("low"), flush=True)
        write(given.json, "audit_gate", {"plan": plan, "cohorts": rows})  # what is done is there, however it ends
    for what, wanted in (("planted", True), ("neutral", False)):
        kind = [row for row in rows if bool(row["planted"]) == wanted]
        print(f"{what}: {sum(row['right'] for row in kind)} of {len(kind)} decided rightly")


if __name__ == "__main__":
    main()
