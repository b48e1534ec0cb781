"""Three answers on FracAtlas: is the coverage what is stated, in each class and region, and how many stay without one?

    python benchmarks/doubt.py TRAINED [--splits 20] [--json FILE] [--figure FILE]

TRAINED is the folder OUT of `docs/results/fracatlas.sh`. Its model's out-of-fold probabilities stay as they are. In
each split half of the groups, drawn at random, find the limits, and the other half is judged. Beside the limits by
patient stand those that take each image for a patient of its own, and what many would do instead: two cut-offs with a
sensitivity and a specificity of one less the error rate on the same half. The figure is that of the report: each fold
judged by limits found on the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from common import write
from numpy.typing import NDArray

from osteon import files, tables
from osteon.evaluate import conformal, doubt_figures, outcomes, three_way
from osteon.evaluate.calibrations import choose_calibration
from osteon.evaluate.conformal import INCONCLUSIVE, Conformal, Limit, Sets
from osteon.evaluate.intervals import draw
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.report import floors_of, plain

REGIONS = ("hand", "leg", "hip", "shoulder")
RATES = (0.05, 0.10, 0.20)
ROADS = ("by patient", "by patient, per region", "by patient, proven", "by image", "two cut-offs")


def cases_of(trained: Path) -> tuple[Outcomes, NDArray[np.str_]]:
    """The model's out-of-fold answers, and the region of each image."""
    table = outcomes.check(tables.read(trained / "model" / "predictions.parquet", tables.PREDICTIONS))
    floors = floors_of(table, "validation")
    (model,) = set(table["model"]) - set(floors)
    cases = outcomes.collect(table, "validation", [str(model)])
    manifest = tables.read(trained / "split" / "manifest.parquet", tables.MANIFEST).set_index("image").loc[cases.name]
    flags = manifest[list(REGIONS)].astype(int)
    region = np.where(manifest["mixed"].astype(int) == 1, "mixed", flags.idxmax(axis=1)).astype(str)
    return cases, region


def two_cut_offs(value: NDArray, target: NDArray, rate: float) -> Conformal:
    """The cut-offs that reach sensitivity and specificity 1 - rate on the cases themselves."""
    low = np.quantile(value[target], rate, method="lower")
    high = np.quantile(value[~target], 1 - rate, method="higher")
    limits = (Limit("", True, float(low), 0, 0), Limit("", False, float(high), 0, 0))
    return Conformal(rate, limits)


def answers(road: str, cases: Outcomes, region: NDArray, seen: NDArray, rate: float) -> Sets:
    """What the other half may be, by limits found on the half that was seen."""
    value = cases.pooled(next(iter(cases.scores)))
    if road == "two cut-offs":
        return two_cut_offs(value[seen], cases.target[seen], rate)(value[~seen])
    unit = np.arange(len(value)) if road == "by image" else cases.group
    stratum = region if "region" in road else None
    found = conformal.fit(
        value[seen],
        cases.target[seen],
        unit[seen],
        error_rate=rate,
        stratum=None if stratum is None else stratum[seen],
        proven="proven" in road,
    )
    return found(value[~seen], None if stratum is None else stratum[~seen])


def half(cases: Outcomes, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n,) True for the images of half of the groups."""
    taken = rng.permutation(cases.groups)[: cases.groups // 2]
    return np.isin(cases.group, taken)


def judge(sets: Sets, target: NDArray, group: NDArray, region: NDArray) -> list[dict[str, object]]:
    """Coverage by patient and by image, share inconclusive and wrong: for each class, in each region and in all."""
    covered, said = sets.covered(target), sets.answers()
    unclear = said == INCONCLUSIVE
    rows = []
    for place in ("all", *np.unique(region)):
        for kind in ("fracture", "none", "both"):
            of = np.ones_like(target) if kind == "both" else target == (kind == "fracture")
            asked = of & ((region == place) | (place == "all"))
            member = asked & sets.available
            row: dict[str, object] = {"region": str(place), "of": kind, "asked": int(asked.sum())}
            row |= {"images": int(member.sum())}
            if member.any():
                each = pd.Series(covered[member]).groupby(group[member]).mean()
                row |= {"coverage": each.mean(), "coverage_of_images": covered[member].mean()}
                row |= {"inconclusive": unclear[member].mean()}
                row |= {"wrong": (~unclear & ~covered)[member].mean()}
            rows.append(row)
    return rows


def draw_coverage(cases: Outcomes, region: NDArray, path: Path) -> None:
    """The figure of the report with regions as strata."""
    resamples = draw(cases.group, cases.fold, cases.target, np.random.default_rng(0))
    labels = {"Region": region.astype(object)}
    found = three_way.judge_three_way(cases, next(iter(cases.scores)), resamples, labels=labels)
    with files.replacing(path) as temporary:
        temporary.write_text(doubt_figures.coverage(plain(found)), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("trained", type=Path, help="OUT of docs/results/fracatlas.sh")
    parser.add_argument("--splits", type=int, default=20, help="random splits of the groups")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--figure", type=Path, help="write the coverage by region here, as SVG")
    arguments = parser.parse_args()
    cases, region = cases_of(arguments.trained)
    if arguments.figure:
        draw_coverage(cases, region, arguments.figure)
    rows = []
    for number in range(arguments.splits):
        seen = half(cases, np.random.default_rng(number))
        for rate in RATES:
            for road in ROADS:
                sets = answers(road, cases, region, seen, rate)
                found = judge(sets, cases.target[~seen], cases.group[~seen], region[~seen])
                rows += [{"split": number, "error_rate": rate, "road": road, **row} for row in found]
    keys = ["error_rate", "road", "region", "of"]
    figures = pd.DataFrame(rows).groupby(keys, sort=False)
    told = figures[["coverage", "coverage_of_images", "inconclusive", "wrong", "images", "asked"]].mean()
    told["spread"], told["splits"] = figures["coverage"].std(), figures["coverage"].count()
    pd.set_option("display.width", 160)
    for (rate, road), block in told.groupby(level=[0, 1], sort=False):
        print(f"\nerror rate {rate:g}, {road} (stated coverage {1 - rate:g}), mean of {arguments.splits} splits")
        print(block.droplevel([0, 1]).round(3).to_string())
    log_odds = cases.scores[next(iter(cases.scores))]
    choice = choose_calibration(log_odds, cases.target, cases.group)
    print(f"\n{choice.describe()}")
    kept = told.reset_index().round(4).astype(object).where(lambda frame: frame.notna(), None)
    write(
        arguments.json,
        "doubt",
        {
            "images": len(cases.name),
            "groups": cases.groups,
            "splits": arguments.splits,
            "rows": kept.to_dict("records"),
            "calibration": {"chosen": choice.name, "log_loss": dict(choice.losses)},
        },
    )


if __name__ == "__main__":
    main()
