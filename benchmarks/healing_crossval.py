"""Ours on the healing score: from DICOM files of a phantom cohort to figures beside floors, the rater and the truth.

A cohort of the size of Hong 2023 is made in a folder, or taken from it, and goes the way of any data: ingest with the
grades of rater A, prepare, split by patient with a sealed share, maps of a frozen backbone, nested cross-validation.
The table of grades is judged against rater A, beside the floors, as any table is; then against the truth, which only a
phantom knows, beside what raters A and B reach. Nothing is chosen here: the settings were found on a cohort of another
seed.
"""

from __future__ import annotations

import argparse
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
from osteon.evaluate.metrics import Floats
from osteon.learn.backbones import DEFAULT, open_backbone
from osteon.learn.bank import FeatureBank
from osteon.learn.features import extract
from osteon.learn.healing_crossval import HealingCrossValidation, cross_validate_healing
from osteon.learn.maps import flips_of
from osteon.phantom.healing_cohort import HealingPlan, make_healing_cohort
from osteon.tasks.rust import CORTICES
from osteon.types import Progress
from osteon.verbs import data, intake
from osteon.verbs.folders import pictures

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
    seconds: dict[str, float] = {}
    manifest, bank = prepared(options, seconds)
    start = time.perf_counter()
    maps = bank.maps_of(list(manifest["image"]), flips_of(manifest))
    images = pictures(options.folder / "prepared", manifest)
    found = cross_validate_healing(
        maps, manifest, model=MODEL, images=images, seed=options.seed, progress=reporting("cross-validation")
    )
    seconds["cross-validation"] = time.perf_counter() - start
    tables.write(options.folder / "grades.parquet", found.grades, tables.GRADES)
    report = healing_report.evaluate(found.grades, model=MODEL, seed=0, phantom=True, rater="one simulated rater")
    healing_report.write(report, options.folder / "report")
    truth = truth_of(options.folder)
    figures = {
        "cohort": {"seed": options.seed, "patients": int(manifest["patient"].nunique()), "images": len(manifest)},
        "backbone": str(bank.trunk),
        "folds": options.folds,
        "side": options.side,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "against rater A, out of fold": of_rater(report["validation"]),
        "against the truth": {part: of_truth(found, truth, part) for part in PARTS},
        "intervals": {part: of_intervals(found, truth, part) for part in PARTS},
        "notes": found.notes,
    }
    print(table(figures))
    common.write(options.json, "healing_crossval", figures)


def reporting(what: str) -> Progress:
    """Says every hundredth, since this takes minutes."""

    def report(done: int, total: int) -> None:
        if done % max(1, total // 100) == 0:
            print(f"\r{what}: {done / total:.0%}", end="", file=sys.stderr, flush=True)

    return report


def prepared(options: argparse.Namespace, seconds: dict[str, float]) -> tuple[pd.DataFrame, FeatureBank]:
    """The split manifest and the bank of maps of a cohort; what is there already is not made again."""
    folder, cohort = options.folder, options.folder / "cohort"
    work = {"workers": options.workers}

    def timed(name: str, there: Path, do: Any) -> None:
        start = time.perf_counter()
        if not there.exists():
            do()
        seconds[name] = time.perf_counter() - start

    plan = HealingPlan(patients=options.patients)
    timed("phantom", cohort, lambda: make_healing_cohort(plan, cohort, seed=options.seed, **work))
    labels = {"labels": cohort / "labels.csv", "columns": Columns(), "task": "modified-rust"}
    timed("ingest", folder / "in", lambda: intake.ingest(cohort, folder / "in", **labels, **work))
    timed(
        "prepare",
        folder / "prepared",
        lambda: data.prepare(folder / "in", folder / "prepared", size=options.side, **work),
    )
    timed(
        "split",
        folder / "split",
        lambda: data.split(folder / "prepared", folder / "split", folds=options.folds, test=0.15, seed=options.seed),
    )
    manifest = tables.read(folder / "split" / "manifest.parquet", tables.MANIFEST)
    start = time.perf_counter()
    bank = extract(
        open_backbone(), pictures(folder / "prepared", manifest), folder / "maps", maps=True, threads=options.workers
    )
    seconds["maps"] = time.perf_counter() - start
    return manifest, bank


def truth_of(folder: Path) -> pd.DataFrame:
    """By image: the true grades of the four cortices, and what raters A and B gave them (0: not scoreable)."""
    cohort = folder / "cohort"
    truth, ratings = pd.read_parquet(cohort / "truth.parquet"), pd.read_csv(cohort / "ratings.csv")
    for rater in RATERS:
        mine = ratings[ratings["rater"] == rater].set_index("study")[list(CORTICES)]
        truth = truth.join(mine.add_suffix(f" {rater}"), on="study")
    # An image is called after the bytes of its file.
    return truth.set_index([[files.digest_of(cohort / path)[:32] for path in truth["image"]]])


def cells_of(found: HealingCrossValidation, truth: pd.DataFrame, part: str) -> pd.DataFrame:
    """Our cells of a part, less those that cannot be graded: what we say, the truth, and both raters."""
    mine = found.grades[(found.grades["model"] == MODEL) & (found.grades["part"] == part)].reset_index(drop=True)
    place, rows = mine["cortex"].map(CORTICES.index).to_numpy(int), truth.loc[mine["image"]]
    cells = mine[["study", "group", "cortex"]].assign(ours=mine[["p1", "p2", "p3", "p4"]] @ np.arange(1, 5.0))
    for name, suffix in (("truth", ""), *((rater, f" {rater}") for rater in RATERS)):
        values = rows[[f"{cortex}{suffix}" for cortex in CORTICES]].to_numpy(float)
        cells[name] = values[np.arange(len(cells)), place]
    return cells[cells["A"] > 0].reset_index(drop=True)


def of_truth(found: HealingCrossValidation, truth: pd.DataFrame, part: str) -> dict[str, Any]:
    """Kappa of each cortex and ICC(2,1) of the total: ours and the raters' with the truth, and with each other."""
    cells = cells_of(found, truth, part)
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


def of_intervals(found: HealingCrossValidation, truth: pd.DataFrame, part: str) -> dict[str, Any]:
    """How often the intervals of totals hold rater A's total, and the true one, and how wide they are."""
    cells = cells_of(found, truth, part)
    by_visit = cells.groupby("study")[["truth", "A"]]
    totals = by_visit.sum()[by_visit.size() == len(CORTICES)]
    visits = found.visits[found.visits["part"] == part].set_index("study")
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
