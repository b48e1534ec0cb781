"""What the top layer is worth: on the final set beside the floors, on the parts held out, and what the leak adds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.splits import SEALED
from osteon.evaluate import curves, judge, metrics, outcomes, thresholds
from osteon.evaluate.intervals import Resamples, bootstrap, difference, draw, estimate, independent_pairs, point
from osteon.evaluate.metrics import Statistic
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.report import floors_of
from osteon.experiments.beside import of_model, together
from osteon.experiments.kim2018.cohort import TEST, VALIDATION
from osteon.experiments.kim2018.protocols import ACCURACY_FROM, LEAKY, Augmented, Outcome
from osteon.learn.fold_tables import BY_PATIENT
from osteon.types import Estimate

NAMES: Mapping[str, str] = {LEAKY: "Kim 2018, split by copy", BY_PATIENT: "Kim 2018, split by patient"}
"""Protocol → name of its model in tables."""

LEAK = ("AUROC, mean of the ten test parts", "accuracy in the ten test parts")
"""Figures of all images, originals and copies, in which the two ways of splitting are compared."""


def predictions(augmented: Augmented, done: Mapping[str, Outcome], floors: pd.DataFrame) -> pd.DataFrame:
    """Rows of `osteon.tables.PREDICTIONS`: both models and the floors, the targets of the final set still missing.

    By patient, the radiographs of the validation and the test tenth are the part validation: nothing was chosen by
    them. By copy there are no such rows, since no patient of theirs is unseen.
    """
    frames = [floors]
    for protocol, outcome in done.items():
        wanted = (VALIDATION, TEST, SEALED) if protocol == BY_PATIENT else (SEALED,)
        rows = augmented.original & np.isin(outcome.tenth, wanted)
        frames.append(of_model(NAMES[protocol], augmented.table[rows], outcome.tenth[rows], outcome.study[rows]))
    return together(*frames)


def of_part(table: pd.DataFrame, part: str, protocol: str, *, seed: int, resamples: int) -> tuple[Outcomes, Resamples]:
    """The cases of a part, the model of a protocol beside the floors, and bootstrap samples of them."""
    cases = outcomes.collect(outcomes.check(table), part, [NAMES[protocol], *floors_of(table, part)])
    rng = np.random.default_rng(seed)
    return cases, draw(cases.group, cases.fold, cases.target, rng, resamples=resamples)


def final(table: pd.DataFrame, protocol: str, *, cut: float | None, seed: int, resamples: int) -> dict[str, Any]:
    """The figures of a model on the final set.

    Args:
        table: opened.
        protocol: of the model.
        cut: chosen elsewhere; None if there is none. The study chose its own on the final set itself.
        seed: of the bootstrap. resamples: samples.

    Returns:
        `cases`, `discrimination` beside the floors, the operating points `chosen_here` and `chosen_elsewhere`, and the
        `curves`: ROC, binormal fit and histogram.
    """
    cases, sample = of_part(table, "test", protocol, seed=seed, resamples=resamples)
    name = NAMES[protocol]
    floors = [floor for floor in cases.scores if floor != name]
    found = judge.discrimination(cases, name, floors, sample)
    scores = cases.scores[name]
    here = thresholds.choose(scores, cases.target)["youden"]
    cuts = {"chosen_here": here, "chosen_elsewhere": cut}
    drawn = curves.curves(cases, name, [line["model"] for line in found["floors"]], sample)
    return {
        "cases": judge.cases_of(cases, sample),
        "discrimination": found,
        **{key: None if at is None else _point(cases, name, at, sample) for key, at in cuts.items()},
        # The score is a share of a softmax, so its histogram goes from 0 to 1 although it is not calibrated.
        "curves": {key: drawn[key] for key in ("roc", "binormal")}
        | {"histogram": curves.histogram(scores, cases.target, True)},
    }


def cut_elsewhere(table: pd.DataFrame) -> float:
    """Youden's cut-off on the radiographs of the two held-out tenths, of the model split by patient."""
    rows = table[(table["part"] == "validation") & (table["model"] == NAMES[BY_PATIENT])]
    return thresholds.choose(rows["score"].to_numpy(float), rows["target"].to_numpy(int))["youden"]


def test_part(augmented: Augmented, outcome: Outcome, *, seed: int, resamples: int) -> dict[str, Any]:
    """Accuracy and AUROC in the 10 % test part of the study's run, with intervals clustered by patient.

    By copy it holds copies of radiographs that were learnt from; by patient, radiographs of unseen patients.
    """
    rows = (outcome.tenth == TEST) & (augmented.original | (outcome.protocol == LEAKY))
    sample, group, target = _of_rows(augmented, rows, outcome.tenth, seed=seed, resamples=resamples)
    score, fold = outcome.study[rows], outcome.tenth[rows]
    pairs = independent_pairs(group, np.zeros(len(group), np.intp), target)
    statistic = _figures(score, target, fold)
    values, samples = point(statistic, len(score)), bootstrap(statistic, sample)
    return {
        "images": int(rows.sum()),
        "radiographs": int(augmented.table.loc[rows, "copy_of"].fillna(augmented.table["image"]).nunique()),
        "patients": len(np.unique(group)),
        "auroc": estimate(float(values[0]), samples[:, 0], len(score), trials=pairs),
        "accuracy": estimate(float(values[1]), samples[:, 1], len(score), trials=len(np.unique(group))),
    }


def added(augmented: Augmented, leaky: Outcome, honest: Outcome, *, seed: int, resamples: int) -> list[dict[str, Any]]:
    """What copies on both sides add to each figure of LEAK: `title`, `leaky`, `honest`, `added`.

    Every image that is not sealed is judged by the run whose test part it is in. The images are the same under both
    protocols, and the same patients are drawn for both, so the difference is paired.

    Args:
        augmented: all images. leaky: split by copy. honest: split by patient.
        seed: of the bootstrap. resamples: samples.
    """
    rows = honest.tenth != SEALED
    # Drawn within the tenths by patient, so that none of them loses a class.
    sample, _, target = _of_rows(augmented, rows, honest.tenth, seed=seed, resamples=resamples)
    found = []
    for outcome in (leaky, honest):
        statistic = _figures(outcome.score[rows], target, outcome.tenth[rows])
        found.append((point(statistic, int(rows.sum())), bootstrap(statistic, sample)))
    told = []
    for place, title in enumerate(LEAK):
        one, other = (estimate(float(value[place]), samples[:, place], int(rows.sum())) for value, samples in found)
        gap = difference(one, other, found[0][1][:, place] - found[1][1][:, place])
        told.append({"title": title, "leaky": one, "honest": other, "added": gap})
    return told


def gap_on_final(table: pd.DataFrame, *, seed: int, resamples: int) -> Estimate:
    """AUROC on the final set of the model split by copy less that of the model split by patient, paired."""
    found = []
    for protocol in NAMES:
        cases, sample = of_part(table, "test", protocol, seed=seed, resamples=resamples)
        statistic, n = _auroc(cases, NAMES[protocol]), len(cases.name)
        pairs, samples = independent_pairs(cases.group, cases.fold, cases.target), bootstrap(statistic, sample)
        found.append((estimate(float(point(statistic, n)), samples, n, trials=pairs), samples))
    (leaky, of_leaky), (honest, of_honest) = found
    return difference(leaky, honest, of_leaky - of_honest)


def _point(cases: Outcomes, name: str, cut: float, sample: Resamples) -> dict[str, Any]:
    """Sensitivity, specificity and predictive values at a cut-off, which stands fixed while cases are resampled."""
    row = judge.operating_points(cases, name, {"youden": np.full(len(cases.name), cut)}, sample, None)[0]
    return {"cut": cut, **{rate: row[rate] for rate in ("sensitivity", "specificity", "ppv", "npv", "accuracy")}}


def _auroc(cases: Outcomes, name: str) -> Statistic:
    ranked = metrics.rank(cases.scores[name], cases.target)
    return lambda weights: metrics.auroc_of(ranked, weights)


def _of_rows(
    augmented: Augmented, rows: NDArray[np.bool_], fold: NDArray[np.intp], *, seed: int, resamples: int
) -> tuple[Resamples, NDArray[np.intp], NDArray[np.bool_]]:
    """Bootstrap samples of whole patients over some of the images, with (n,) groups and targets of these."""
    group = np.unique(augmented.group[rows], return_inverse=True)[1].astype(np.intp)
    target = augmented.target[rows] == 1
    torn = len(np.unique(np.column_stack([group, fold[rows]]), axis=0)) > group.max() + 1
    within = np.zeros(len(group), np.intp) if torn else fold[rows]
    rng = np.random.default_rng(seed)
    return draw(group, within, target, rng, resamples=resamples), group, target


def _figures(score: NDArray[np.float64], target: NDArray[np.bool_], fold: NDArray[np.intp]) -> Statistic:
    """The mean AUROC of the folds and the accuracy, (b, 2)."""
    area = metrics.mean_over_folds(score, target, fold)
    called = score >= ACCURACY_FROM

    def statistic(weights: metrics.Floats) -> metrics.Floats:
        areas = metrics.mean_defined(area(weights)[:, 1:], axis=1)
        return np.column_stack([areas, metrics.rates_of(called, target, weights)["accuracy"]])

    return statistic
