"""Ours on the healing score: from DICOM files of a phantom cohort to figures beside floors, the rater and the truth.

A cohort of the size of Hong 2023 is made in a folder, or taken from it, and goes the way of any data, by the commands
that any data takes: ingest with the grades of rater A, prepare, split by patient with a sealed share, maps, train.
The table of grades is judged against rater A, beside the floors, as any table is; then against the truth, which only a
phantom knows, beside what raters A and B reach. Nothing is chosen here: the settings were found on a cohort of another
seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd

from osteon import files, tables
from osteon.dataset.labels import Columns
from osteon.evaluate import agreement, healing_report, intervals
from osteon.evaluate.healing import called
from osteon.evaluate.metrics import Floats, auroc
from osteon.learn.backbones import DEFAULT
from osteon.learn.multiview import PROBABLY
from osteon.phantom.healing_cohort import HealingPlan, make_healing_cohort
from osteon.settings import Settings
from osteon.tasks.rust import CORTICES
from osteon.types import Progress
from osteon.verbs import data, grading, intake, models
from osteon.verbs.folders import PREDICTIONS
from osteon.verbs.grading import VISITS

MODEL = f"{DEFAULT}, frozen, + cortex reader"
RATERS, PARTS = ("A", "B"), ("validation", "test")
PAIRS = (("ours", "truth"), ("A", "truth"), ("ours", "A"), ("B", "truth"), ("A", "B"), ("ours", "B"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the cohort and all that is made of it")
    parser.add_argument("--patients", type=int, default=1207)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--side", type=int, default=256, help="of the prepared images, in pixels")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    seconds = walked(options)
    trained = options.folder / "trained"
    manifest = tables.read(options.folder / "split" / "manifest.parquet", tables.MANIFEST)
    grades = tables.read(trained / PREDICTIONS, tables.GRADES)
    visits = pd.read_parquet(trained / VISITS)
    report = healing_report.evaluate(grades, model=MODEL, seed=0, phantom=True, rater="one simulated rater")
    healing_report.write(report, options.folder / "report")
    truth = truth_of(options.folder / "cohort")
    figures = {
        "cohort": {"seed": options.seed, "patients": int(manifest["patient"].nunique()), "images": len(manifest)},
        "backbone": result_of(options.folder / "maps")["backbone"],
        "folds": options.folds,
        "side": options.side,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "against rater A, out of fold": of_rater(report["validation"]),
        "against the truth": {part: of_truth(grades, truth, part) for part in PARTS},
        "intervals": {part: of_intervals(grades, visits, truth, part) for part in PARTS},
        "what fails, out of fold": of_failures(cells_of(grades, truth, "validation")),
        "called not scoreable, out of fold": of_scoreable(grades),
        "notes": result_of(trained)["notes"],
    }
    print(table(figures))
    common.write(options.json, "healing_crossval", figures)


def reporting(what: str) -> Progress:
    """Says every hundredth, since this takes minutes."""

    def report(done: int, total: int) -> None:
        if done % max(1, total // 100) == 0:
            print(f"\r{what}: {done / total:.0%}", end="", file=sys.stderr, flush=True)

    return report


def walked(options: argparse.Namespace) -> dict[str, float]:
    """Every command from the cohort to the trained model, and its seconds; what is there is not made again."""
    folder, seconds = options.folder, {}
    cohort, ingested, prepared, split, maps = (folder / name for name in ("cohort", "in", "prepared", "split", "maps"))
    work = {"workers": options.workers}
    labels = {"labels": cohort / "labels.csv", "columns": Columns(), "task": "modified-rust"}
    plan, chosen = HealingPlan(patients=options.patients), Settings(threads=options.workers)
    commands: dict[str, tuple[Path, Callable[[], Any]]] = {
        "phantom": (cohort, lambda: make_healing_cohort(plan, cohort, seed=options.seed, **work)),
        "ingest": (ingested, lambda: intake.ingest(cohort, ingested, **labels, **work)),
        "prepare": (prepared, lambda: data.prepare(ingested, prepared, size=options.side, **work)),
        "split": (split, lambda: data.split(prepared, split, folds=options.folds, test=0.15, seed=options.seed)),
        "maps": (maps, lambda: models.features(prepared, maps, maps=True, settings=chosen, progress=reporting("maps"))),
        "train": (
            folder / "trained" / PREDICTIONS,
            lambda: grading.train_healing(
                split, folder / "trained", bank=maps, seed=options.seed, progress=reporting("train")
            ),
        ),
    }
    for name, (there, do) in commands.items():
        if not there.exists():
            start = time.perf_counter()
            do()
            seconds[name] = time.perf_counter() - start
    return seconds


def result_of(folder: Path) -> dict[str, Any]:
    """What the command that wrote a folder recorded as its result."""
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))["result"])


def truth_of(cohort: Path) -> pd.DataFrame:
    """By image: the true grades of the four cortices, and what raters A and B gave them (0: not scoreable)."""
    truth, ratings = pd.read_parquet(cohort / "truth.parquet"), pd.read_csv(cohort / "ratings.csv")
    for rater in RATERS:
        mine = ratings[ratings["rater"] == rater].set_index("study")[list(CORTICES)]
        truth = truth.join(mine.add_suffix(f" {rater}"), on="study")
    # An image is called after the bytes of its file.
    return truth.set_index([[files.digest_of(cohort / path)[:32] for path in truth["image"]]])


def cells_of(grades: pd.DataFrame, truth: pd.DataFrame, part: str) -> pd.DataFrame:
    """Our cells of a part, less those that cannot be graded: what we say, the truth, and both raters."""
    mine = grades[(grades["model"] == MODEL) & (grades["part"] == part)].reset_index(drop=True)
    place, rows = mine["cortex"].map(CORTICES.index).to_numpy(int), truth.loc[mine["image"]]
    cells = mine[["study", "group", "cortex"]].assign(ours=mine[["p1", "p2", "p3", "p4"]] @ np.arange(1, 5.0))
    cells["implant"] = rows["implant"].fillna("").replace("", "none").to_numpy(str)
    for name, suffix in (("truth", ""), *((rater, f" {rater}") for rater in RATERS)):
        values = rows[[f"{cortex}{suffix}" for cortex in CORTICES]].to_numpy(float)
        cells[name] = values[np.arange(len(cells)), place]
    return cells[cells["A"] > 0].reset_index(drop=True)


def of_truth(grades: pd.DataFrame, truth: pd.DataFrame, part: str) -> dict[str, Any]:
    """Kappa of each cortex and ICC(2,1) of the total: ours and the raters' with the truth, and with each other."""
    cells = cells_of(grades, truth, part)
    calls = cells.assign(ours=called(cells["ours"].to_numpy(float)))
    told: dict[str, Any] = {"cells": len(cells), "kappa": {}, "icc": {}}
    for cortex in CORTICES:
        mine = calls[calls["cortex"] == cortex]
        told["kappa"][cortex] = {f"{a} with {b}": figure(mine, a, b, kappa) for a, b in PAIRS[:3]}
    by_visit = cells.groupby("study")
    visits = by_visit[["ours", "truth", *RATERS]].sum().assign(group=by_visit["group"].first())
    visits = visits[by_visit.size() == len(CORTICES)]
    told["visits"] = len(visits)
    told["icc"] = {f"{a} with {b}": figure(visits, a, b, icc) for a, b in PAIRS}
    told["mae"] = float((visits["ours"] - visits["truth"]).abs().mean())
    return told


def kappa(first: Floats, second: Floats, weights: Floats) -> Floats:
    return agreement.quadratic_kappa_of(first, second, weights)


def icc(first: Floats, second: Floats, weights: Floats) -> Floats:
    return agreement.icc_of(np.column_stack([first, second]), weights)


def figure(
    rows: pd.DataFrame, first: str, second: str, statistic: Callable[[Floats, Floats, Floats], Floats]
) -> dict[str, Any]:
    """A figure of two columns, with its interval by patients."""
    a, b = rows[first].to_numpy(float), rows[second].to_numpy(float)
    group, n = pd.factorize(rows["group"])[0], len(rows)
    resamples = intervals.draw(group, np.zeros(n, int), np.ones(n, bool), np.random.default_rng(0))
    samples = intervals.bootstrap(lambda weights: statistic(a, b, weights), resamples)
    found = intervals.estimate(float(statistic(a, b, np.ones((1, n)))[0]), samples, n)
    return {"value": found.value, "low": found.low, "high": found.high, "n": n}


def of_intervals(grades: pd.DataFrame, visits: pd.DataFrame, truth: pd.DataFrame, part: str) -> dict[str, Any]:
    """How often the intervals of totals hold rater A's total, and the true one, and how wide they are."""
    cells = cells_of(grades, truth, part)
    by_visit = cells.groupby("study")[["truth", "A"]]
    totals = by_visit.sum()[by_visit.size() == len(CORTICES)]
    visits = visits[visits["part"] == part].set_index("study")
    shown = visits.dropna(subset="low").join(totals, how="inner")
    held = {who: ((shown["low"] <= shown[who]) & (shown[who] <= shown["high"])).mean() for who in ("A", "truth")}
    return {
        "visits": len(visits),
        "with a total": int(visits["low"].notna().sum()),
        "graded by A, without a total": int(len(totals) - len(shown)),
        "holds rater A": float(held["A"]),
        "holds the truth": float(held["truth"]),
        "mean width": float((shown["high"] - shown["low"]).mean()),
    }


def of_failures(cells: pd.DataFrame) -> dict[str, Any]:
    """Called grades that are not the true ones: the share of all, by implant, by cortex, by true grade."""
    calls = called(cells["ours"].to_numpy(float))
    wrong, true = calls != cells["truth"], cells["truth"].to_numpy(int)
    bare = cells["implant"] == "none"
    return {
        "cells": len(cells),
        "wrong": float(wrong.mean()),
        "wrong by two grades or more": int((np.abs(calls - true) >= 2).sum()),
        "rater A wrong": float((cells["A"] != cells["truth"]).mean()),
        "wrong by implant": wrong.groupby(cells["implant"]).mean().to_dict(),
        "wrong with a plate, by cortex": wrong[cells["implant"] == "plate"].groupby(cells["cortex"]).mean().to_dict(),
        "wrong without metal, by cortex": wrong[bare].groupby(cells["cortex"][bare]).mean().to_dict(),
        "true 4": int((true == 4).sum()),
        "true 4, called 3": int(((true == 4) & (calls == 3)).sum()),
        "true 1": int((true == 1).sum()),
        "true 1, called 2": int(((true == 1) & (calls == 2)).sum()),
    }


def of_scoreable(grades: pd.DataFrame) -> dict[str, Any]:
    """Cortices that rater A could not grade, and whether the model calls them so."""
    mine = grades[(grades["model"] == MODEL) & (grades["part"] == "validation") & grades["target"].notna()]
    lacking, said = mine["target"].to_numpy(int) == 0, mine["scoreable"].to_numpy(float) < PROBABLY
    return {
        "not scoreable": int(lacking.sum()),
        "of these called so": float(said[lacking].mean()),
        "of the others called so": float(said[~lacking].mean()),
        "AUROC": float(auroc(1 - mine["scoreable"].to_numpy(float), lacking)),
    }


def of_rater(report: Any) -> dict[str, Any]:
    """From the report: each headline against rater A, beside the best floor, and floors by AUROC."""
    auroc, totals, published = report["overall"]["auroc"], report["totals"], report["eighteen"]
    told = {f"kappa {c['cortex']}": line(c["kappa"]) for c in report["cortices"]}
    told |= {"macro AUROC": line(auroc), "ICC": line(totals["icc"]), "MAE of the total": line(totals["mae"])}
    told["AUROC of united"] = line(totals["united"]["auroc"])
    told["floors, macro AUROC"] = {f["model"]: f["figure"]["value"] for f in auroc["floors"]}
    told["floors, ICC"] = {f["model"]: f["figure"]["value"] for f in totals["icc"]["floors"]}
    told["18 labels, macro AUROC"] = {name: published[name]["macro_auroc"]["value"] for name in ("model", "view_only")}
    return told


def line(content: Any) -> dict[str, Any]:
    best, ours = content["best_floor"], content["figure"]
    return {
        "value": ours["value"],
        "low": ours["low"],
        "high": ours["high"],
        "best floor": best["model"] if best else "",
        "floor": best["figure"]["value"] if best else None,
    }


def table(figures: dict[str, Any]) -> str:
    """The headlines for people."""
    lines = []
    for part, told in figures["against the truth"].items():
        lines.append(f"{part}: {told['visits']} visits, {told['cells']} cells; 95 % intervals by patient")
        lines += [f"  ICC {name:18} {_said(f)}" for name, f in told["icc"].items()]
        for cortex, found in told["kappa"].items():
            lines += [f"  kappa {cortex:9} {name:18} {_said(f)}" for name, f in found.items()]
        held = figures["intervals"][part]
        lines.append(f"  intervals of totals hold rater A {held['holds rater A']:.3f}, width {held['mean width']:.2f}")
    for name, found in figures["against rater A, out of fold"].items():
        if "value" in found:
            lines.append(f"  {name:18} {_said(found)}; {found['best floor']} {found['floor']:.3f}")
    return "\n".join(lines)


def _said(found: dict[str, Any]) -> str:
    return f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


if __name__ == "__main__":
    main()
