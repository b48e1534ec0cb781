"""Phantom studies of one to four views: every study rule beside models that learn from labels of studies alone.

    python benchmarks/study_level.py FOLDER [--patients 2000] [--seed 2021] [--quanta 2e4] [--json FILE] [--figure SVG]

A cohort is made, taken in, prepared, split by patient, and led through a frozen backbone; then all models are
cross-validated on the same folds. 31 % of the studies are fractured, and a tenth of the labels is wrong. The fracture
shows in all, half or a third of the views of 81, 14 and 4 of 99 fractured studies, as a radiologist read them (de Cid
2021, section 6.3). Models learn from the labels, and cut-offs are chosen on them; the truth is what they are judged by.

What is done already is not done again, so a run that was cut off goes on. Choices (dose, size, epochs, share of views
left out, sharpness to choose from) were made on other seeds, 100 to 103. Bootstrap samples draw whole patients, and all
models share them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import write
from numpy.typing import NDArray
from scipy.special import expit, logit

from osteon import files, tables
from osteon.drawing import BLUE, GREEN, QUIET, drawing
from osteon.evaluate import metrics, thresholds
from osteon.evaluate.intervals import Resamples, bootstrap, draw, estimate, point
from osteon.evaluate.outcomes import collect
from osteon.evaluate.report import plain
from osteon.evaluate.study_rules import STUDY_RULES, by_rule, studies_of
from osteon.learn.bank import FeatureBank
from osteon.learn.crossval import cross_validate
from osteon.learn.studies.aggregator import Aggregator, aggregator
from osteon.learn.studies.bags import Bags, bags_of
from osteon.learn.studies.crossval import cross_validate_studies
from osteon.learn.studies.lse import cross_validate_lse
from osteon.learn.studies.training import USUAL, StudyOptions
from osteon.learn.studies.views import Features
from osteon.phantom.plan import AS_READ, Plan
from osteon.types import Estimate
from osteon.verbs.data import phantom, prepare, split
from osteon.verbs.intake import ingest
from osteon.verbs.models import features

SIZE, FOLDS = 256, 5
QUANTA = 2e4
"""Dose per mm²: noise enough that a single view is read with an AUROC between 0.85 and 0.92, chosen on seed 100."""

FIRST = "rule: at_least_one"
JOINT = "joint"
"""At least one and all networks together: log odds in equal parts for the rule and for the networks' mean."""
LSE, SHARPNESS = "lse", "sharpness.json"


def plan_of(patients: int, quanta: float) -> Plan:
    """The cohort: 40, 40, 10 and 10 % of the studies have one to four views."""
    return Plan(
        patients=patients,
        fractured=0.3113,
        views=("PA", "LAT", "OBL", "LAT"),
        instances=(0.4, 0.4, 0.1, 0.1),
        shown=AS_READ,
        mislabelled=0.1,
        rows=320,
        columns=256,
        quanta_per_mm2=quanta,
        syntaxes=("explicit",),
    )


@dataclass(frozen=True)
class Network:
    """A network that learns from labels of studies: what makes it for so many features, and how it is trained."""

    title: str
    fresh: Callable[[int], Aggregator]
    options: StudyOptions = USUAL


NETWORKS = {
    "max": Network("MVCNN: maximum over views", lambda f: aggregator(f, "max")),
    "mean": Network("mean over views", lambda f: aggregator(f, "mean")),
    "attention": Network("gated attention over views", lambda f: aggregator(f, "attention")),
}


def prepared(folder: Path, patients: int, seed: int, quanta: float = QUANTA) -> pd.DataFrame:
    """The split manifest of the cohort, with the truth beside it: `fractured`, and `shows` of each image."""
    cohort, plan = folder / "cohort", plan_of(patients, quanta)
    if not (cohort / "truth.parquet").exists():
        said(phantom(cohort, plan, seed=seed, progress=progress).said)
    if not (folder / "ingest" / "manifest.parquet").exists():
        said(ingest(cohort / "dicom", folder / "ingest", labels=cohort / "labels.csv").said)
    if not (folder / "split" / "manifest.parquet").exists():
        said(prepare(folder / "ingest", folder / "prepared", size=SIZE, progress=progress).said)
        said(split(folder / "prepared", folder / "split", folds=FOLDS, duplicates=False, seed=seed).said)
    said(features(folder / "prepared", folder / "features", progress=progress).said)
    manifest = tables.read(folder / "split" / "manifest.parquet", tables.MANIFEST)
    truth = pd.read_parquet(cohort / "truth.parquet")
    truth.index = pd.Index([files.digest_of(cohort / path)[:32] for path in truth["path"]])
    of_images = truth.loc[manifest["image"]].reset_index(drop=True)
    return manifest.assign(fractured=of_images["fractured"], shows=of_images["contrast"] > 0)


def answers(folder: Path, manifest: pd.DataFrame, bags: Bags) -> dict[str, pd.DataFrame]:
    """Predictions of every model per study, and `single` per image; kept in the folder once they are there."""
    values = FeatureBank.open(folder / "features").array(list(manifest["image"]))
    views, found = Features(values), {}
    kept = folder / "answers"
    kept.mkdir(exist_ok=True)

    def told(name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        path = kept / f"{name}.parquet"
        if not path.exists():
            tables.write(path, make(), tables.PREDICTIONS)
            said(f"{name}: done")
        return tables.read(path, tables.PREDICTIONS)

    told_of = manifest.drop(columns=["fractured", "shows"])  # floors take every column for a tag
    found["single"] = told("single", lambda: cross_validate(values, told_of, model="single").predictions)
    for name, model in NETWORKS.items():

        def make(model: Network = model, name: str = name) -> pd.DataFrame:
            fresh = lambda: model.fresh(values.shape[2])  # noqa: E731
            return cross_validate_studies(views, bags, fresh, model.options, seed=0, model=name).predictions

        found[name] = told(name, make)

    def smooth() -> pd.DataFrame:
        done = cross_validate_lse(values, manifest, bags, model=LSE)
        files.write_json(kept / SHARPNESS, {"folds": [str(each) for each in done.sharpnesses]})
        return done.predictions

    found[LSE] = told(LSE, smooth)
    return found


@dataclass(frozen=True, eq=False)
class Judged:
    """Studies (k,): what is true, what the labels said, and what every model says."""

    truth: NDArray[np.bool_]
    label: NDArray[np.bool_]
    fold: NDArray[np.intp]
    views: NDArray[np.intp]
    score: dict[str, NDArray[np.float64]]
    probability: dict[str, NDArray[np.float64]]
    sample: Resamples


def judged(manifest: pd.DataFrame, found: dict[str, pd.DataFrame], resamples: int) -> Judged:
    """All models on the same studies, in the same order."""
    floors = [name for name in found["single"]["model"].unique() if name.startswith(tables.FLOOR)]
    images = collect(found["single"], "validation", ["single", *floors])
    studies = studies_of(images)
    order = pd.Index(studies.names)
    score, probability = {}, {}
    for name in floors:
        cases = by_rule(images, studies, STUDY_RULES["at_least_one"])
        score[name], probability[name] = cases.scores[name], cases.probabilities[name]
    for name, rule in STUDY_RULES.items():
        cases = by_rule(images, studies, rule)
        score[f"rule: {name}"], probability[f"rule: {name}"] = cases.scores["single"], cases.probabilities["single"]
    for name in (*NETWORKS, LSE):
        table = found[name].set_index("study").loc[order]
        score[name], probability[name] = table["score"].to_numpy(float), table["probability"].to_numpy(float)
    learnt = np.mean([log_odds(probability[name]) for name in NETWORKS], axis=0)
    score[JOINT] = (log_odds(probability[FIRST]) + learnt) / 2
    probability[JOINT] = expit(score[JOINT])
    truth = manifest.groupby("study")["fractured"].max().loc[order].to_numpy(bool)
    fold, group = images.fold[studies.first], pd.factorize(images.group[studies.first])[0]
    sample = draw(group, fold, truth, np.random.default_rng(0), resamples=resamples)
    return Judged(truth, studies.target, fold, studies.images, score, probability, sample)


def log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of probabilities, which a rule may have made 0 or 1."""
    kept: NDArray[np.float64] = logit(np.clip(probability, 1e-6, 1 - 1e-6))
    return kept


def figures_of(cases: Judged, name: str) -> dict[str, Any]:
    """AUROC (mean of the folds), and accuracy at the Youden cut-off of the labels of other folds; against the truth."""
    area = metrics.mean_over_folds(cases.score[name], cases.truth, cases.fold)
    cut = thresholds.cross_fitted(cases.probability[name], cases.label, cases.fold)["youden"]
    called = cases.probability[name] >= cut
    rates = lambda w: np.column_stack([*metrics.rates_of(called, cases.truth, w).values()])  # noqa: E731
    names = list(metrics.rates_of(called, cases.truth, np.ones((1, len(called)))))
    samples, values = bootstrap(rates, cases.sample), point(rates, len(called))
    areas = bootstrap(area, cases.sample)[:, 0]
    n = len(called)
    shown = {key: estimate(float(values[i]), samples[:, i], n) for i, key in enumerate(names)}
    return {"auroc": estimate(float(point(area, n)[0]), areas, n), "samples": areas, **shown}


def over(mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[Estimate, float]:
    """The paired difference of two AUROCs, and the two-sided p of the bootstrap that it is none."""
    samples = mine["samples"] - theirs["samples"]
    less = min((samples <= 0).sum(), (samples >= 0).sum())
    p = min(1.0, 2 * (less + 1) / (len(samples) + 1))
    return estimate(mine["auroc"].value - theirs["auroc"].value, samples, mine["auroc"].n), float(p)


def by_views(cases: Judged, name: str) -> dict[int, float]:
    """AUROC among studies of so many views, on probabilities over all folds."""
    return {
        int(n): metrics.auroc(cases.probability[name][cases.views == n], cases.truth[cases.views == n])
        for n in np.unique(cases.views)
    }


def single(manifest: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
    """AUROC of single images against what their patient has, what they show, and what their label says."""
    rows = manifest.set_index("image").loc[table.loc[table["model"] == "single", "image"]]
    p = table.loc[table["model"] == "single", "probability"].to_numpy(float)
    targets = {"patient": rows["fractured"], "shown": rows["shows"], "label": rows["target"]}
    return {name: metrics.auroc(p, target.to_numpy(int)) for name, target in targets.items()}


def title_of(name: str) -> str:
    """As readers see it."""
    names = {JOINT: "at least one with all networks", LSE: "log-mean-exp over views"}
    if name in names or name.startswith(tables.FLOOR):
        return names.get(name, name)
    rule = name.removeprefix("rule: ")
    return STUDY_RULES[rule].title if rule != name else NETWORKS[name].title


def figure(rows: dict[str, dict[str, Any]]) -> str:
    """AUROC of every rule and model, with intervals."""
    with drawing("study-level", (6.8, 0.4 * len(rows) + 0.9), "AUROC per study of every rule and model") as (page, svg):
        axes = page.subplots()
        for place, (name, row) in enumerate(reversed(rows.items())):
            colour = GREEN if name == FIRST else QUIET if name.startswith("rule: ") else BLUE
            a = row["auroc"]
            axes.plot([a.low, a.high], [place, place], color=colour, lw=1.6)
            axes.plot(a.value, place, "o", color=colour, ms=5)
        axes.set_yticks(range(len(rows)), [title_of(name) for name in reversed(rows)])
        axes.axvline(rows[FIRST]["auroc"].value, color=GREEN, lw=0.8, ls="--")
        axes.set_xlabel("AUROC per study against the truth, mean of 5 folds, 95 % interval (phantom)")
    return svg.text


def said(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def progress(done: int, total: int) -> None:
    if total and done % max(1, total // 10) == 0:
        said(f"  {done} of {total}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--patients", type=int, default=2000)
    options.add_argument("--seed", type=int, default=2021)
    options.add_argument("--quanta", type=float, default=QUANTA)
    options.add_argument("--resamples", type=int, default=5000)
    options.add_argument("--json", type=Path)
    options.add_argument("--figure", type=Path)
    given = options.parse_args()
    manifest = prepared(given.folder, given.patients, given.seed, given.quanta)
    bags = bags_of(manifest)
    found = answers(given.folder, manifest, bags)
    cases = judged(manifest, found, given.resamples)
    rows = {name: figures_of(cases, name) for name in cases.score}
    print(f"{len(manifest)} images of {len(bags)} phantom studies; single images: {single(manifest, found['single'])}")
    for name, row in rows.items():
        row["over_first"], row["p"] = over(row, rows[FIRST]) if name != FIRST else (None, None)
        row["over_mean_rule"], row["p_mean_rule"] = over(row, rows["rule: mean"])
        row["by_views"] = by_views(cases, name)
        gain = f"{row['over_first']}, p = {row['p']:.4f}" if row["p"] else ""
        print(f"{title_of(name):<30}{row['auroc']!s:<26}accuracy {row['accuracy']!s:<26}{gain}")
        print(f"{'':<30}{ {n: round(a, 3) for n, a in row['by_views'].items()} }")
    for row in rows.values():
        del row["samples"]
    if given.figure:
        shown = {name: row for name, row in rows.items() if not name.startswith(tables.FLOOR)}
        given.figure.write_text(figure(shown) + "\n", encoding="utf-8")
    about = {"images": len(manifest), "studies": len(bags), "single": single(manifest, found["single"])}
    chosen = {name: repr(model.options) for name, model in NETWORKS.items()}
    about |= {"seed": given.seed, "quanta_per_mm2": given.quanta}
    about |= {"sharpness": files.read_json(given.folder / "answers" / SHARPNESS)["folds"]}
    write(given.json, "study_level", plain({**about, "options": chosen, "rows": rows}))


if __name__ == "__main__":
    main()
