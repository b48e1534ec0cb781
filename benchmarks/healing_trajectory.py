"""The second cohort: visits of 200 patients over the months, read by the model that `healing_crossval.py` left behind.

    python benchmarks/healing_crossval.py FOLDER
    python benchmarks/healing_trajectory.py FOLDER [--figures docs/results/figures] [--json FILE]

The model has seen none of these patients, and they are of another seed. Each visit gets its grades and its total as
`osteon read` gives them; months since the injury come from the cohort, as they would from a table. The totals, their
change from a patient's first visit to the last, and the flags of the stated rule for delayed union stand beside those
of rater A and of the truth. A floor for the flags is to say of everybody what is most common.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd
from healing_crossval import figure, icc, reporting

from osteon import files, visit_reader
from osteon.evaluate import trajectory
from osteon.evaluate.metrics import Floats
from osteon.evaluate.trajectory import DELAYED, MAYBE, ON_TIME, Trajectory
from osteon.learn.healing import bundle as healing_bundle
from osteon.phantom.healing_cohort import make_healing_cohort
from osteon.phantom.healing_plan import healing_plan
from osteon.verbs.folders import BUNDLE

RATERS = ("A", "B")
LATE = (DELAYED, MAYBE)
JUDGED = (*LATE, ON_TIME)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="what healing_crossval.py wrote")
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--visits", type=int, default=4)
    parser.add_argument("--seed", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--figures", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cohort = options.folder / "visits"
    if not cohort.exists():
        plan = healing_plan(patients=options.patients, visits=options.visits)
        make_healing_cohort(plan, cohort, seed=options.seed, workers=options.workers, progress=reporting("phantom"))
    start = time.perf_counter()
    visits = beside_the_truth(said_of(cohort, options.folder / "trained" / BUNDLE), cohort)
    seconds = time.perf_counter() - start
    found = {who: paths_of(visits, who) for who in ("ours", "truth", *RATERS)}
    figures = {
        "cohort": {"seed": options.seed, "patients": int(visits["patient"].nunique()), "visits": len(visits)},
        "rule": trajectory.DelayRule().text,
        "seconds to read": round(seconds, 1),
        "totals": of_totals(visits),
        "change from first to last visit": of_changes(visits),
        "flags": {f"{who} with the truth": of_flags(found[who], found["truth"]) for who in ("ours", *RATERS)},
    }
    for name, told in figures.items():
        print(name, told, sep=": ")
    if options.figures is not None:
        draw(found["ours"], options.figures)
    common.write(options.json, "healing_trajectory", figures)


def said_of(cohort: Path, bundle: Path) -> pd.DataFrame:
    """By visit, in the order of the folders: what the bundle says of its files."""
    model = visit_reader.ready(healing_bundle.load(bundle))
    rows = []
    studies = sorted({path.parent for path in (cohort / "dicom").rglob("*.dcm")})
    for study in studies:
        (reading,) = visit_reader.read_visits([sorted(study.glob("*.dcm"))], model)
        rows.append({"study": reading.study, "total": reading.total, "low": reading.low, "high": reading.high})
    return pd.DataFrame(rows).astype({"total": float, "low": float, "high": float})


def beside_the_truth(said: pd.DataFrame, cohort: Path) -> pd.DataFrame:
    """The same visits with patient, month, the true total and those of the raters, missing where they gave none."""
    truth, ratings = pd.read_parquet(cohort / "truth.parquet"), pd.read_csv(cohort / "ratings.csv")
    visits = said.merge(
        truth.drop_duplicates("study")[["study", "patient", "month", "total"]].rename(columns={"total": "truth"}),
        on="study",
        validate="one_to_one",
    )
    for rater in RATERS:
        mine = ratings.loc[ratings["rater"] == rater, ["study", "total"]].rename(columns={"total": rater})
        visits = visits.merge(mine, on="study", how="left", validate="one_to_one")
    return visits.rename(columns={"total": "ours"}).sort_values(["patient", "month"], ignore_index=True)


def paths_of(visits: pd.DataFrame, who: str) -> list[Trajectory]:
    """Trajectories by the totals of ours, of a rater or of the truth; only ours has intervals."""
    table = visits[["patient", "study", "month"]].assign(total=visits[who])
    if who == "ours":
        table = table.assign(low=visits["low"], high=visits["high"], rated=visits["A"])
    return trajectory.trajectories(table)


def of_totals(visits: pd.DataFrame) -> dict[str, Any]:
    """ICC(2,1) of totals with intervals by patients, and how often our intervals hold what they should."""
    whole = visits.dropna(subset=["ours", *RATERS])
    table = whole.assign(group=whole["patient"])
    pairs = (("ours", "truth"), ("A", "truth"), ("A", "B"))
    held = {who: float(((whole["low"] <= whole[who]) & (whole[who] <= whole["high"])).mean()) for who in ("A", "truth")}
    return {
        "visits with a total of ours and of both raters": len(whole),
        "visits without a total of ours": int(visits["ours"].isna().sum()),
        "ICC": {f"{a} with {b}": figure(table, a, b, icc) for a, b in pairs},
        "mean absolute error": {who: figure(table, who, "truth", error) for who in ("ours", "A")},
        "intervals hold": held,
    }


def of_changes(visits: pd.DataFrame) -> dict[str, Any]:
    """From each patient's first to the last visit with totals of everybody: the change, and who told it how well."""
    whole = visits.dropna(subset=["ours", *RATERS])
    by_patient = whole.groupby("patient")[["ours", "truth", *RATERS]]
    change = (by_patient.last() - by_patient.first())[by_patient.size() > 1].reset_index(names="group")
    return {
        "patients": len(change),
        "mean true change": float(change["truth"].mean()),
        "ICC": {f"{who} with truth": figure(change, who, "truth", icc) for who in ("ours", "A")},
        "mean absolute error": {who: figure(change, who, "truth", error) for who in ("ours", "A")},
    }


def error(first: Floats, second: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ np.abs(first - second) / weights.sum(axis=1))


def of_flags(found: list[Trajectory], truth: list[Trajectory]) -> dict[str, Any]:
    """How often the flag is that of the truth, where both judge; 'possibly delayed' counts as delayed."""
    pairs = [(a.flag in LATE, b.flag in LATE) for a, b in zip(found, truth, strict=True) if judged(a) and judged(b)]
    table = pd.DataFrame(pairs, columns=["said", "true"]).astype(float)
    table["group"] = [str(k) for k in range(len(table))]
    most = max(table["true"].mean(), 1 - table["true"].mean())
    return {
        "patients judged by both": len(table),
        "truly delayed": int(table["true"].sum()),
        "agree": figure(table, "said", "true", lambda a, b, w: 1 - error(a, b, w)),
        "floor, the most common flag for all": float(most),
        "delayed and called so": int((table["said"] * table["true"]).sum()),
        "not delayed and called so": int(((1 - table["said"]) * (1 - table["true"])).sum()),
        "pairs": {
            true: said for true, said in trajectory.agreement_of_flags(found, truth).items() if any(said.values())
        },
    }


def judged(one: Trajectory) -> bool:
    return one.flag in JUDGED


def draw(found: list[Trajectory], folder: Path) -> None:
    """All patients together, and the first of each flag."""
    pages = {"healing-trajectories.svg": trajectory.cohort_figure(found)}
    for flag in JUDGED:
        first = next((one for one in found if one.flag == flag), None)
        if first is not None:
            pages[f"healing-trajectory-{flag.replace(' ', '-')}.svg"] = trajectory.figure(first)
    for name, svg in pages.items():
        with files.replacing(folder / name) as temporary:
            temporary.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
