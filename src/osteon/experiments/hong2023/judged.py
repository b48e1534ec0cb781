"""What the outcomes are worth: the 18-label figures beside the view alone, and what image-level folds add."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.evaluate import agreement, eighteen, graded, healing, metrics
from osteon.evaluate.intervals import Resamples, bootstrap, difference, draw, estimate, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.report import floors_of
from osteon.experiments.hong2023.cohort import Cohort
from osteon.experiments.hong2023.honest import grades_of
from osteon.experiments.hong2023.outcomes import Outcome
from osteon.tasks.rust import CORTICES, HIGHEST, NOT_SCOREABLE

LEAK = (
    "macro AUROC of the 18 labels",
    "AUROC of a grade within its view, mean of grades and cortices",
    "quadratic kappa of a cortex within its view, mean of four",
)
"""Figures for which image-level and patient-level folds are compared."""

Rows = NDArray[np.intp] | NDArray[np.bool_]


def of_patients(cohort: Cohort, rows: Rows, *, seed: int, resamples: int) -> Resamples:
    """Bootstrap samples of whole patients over some of the cohort's rows, whatever folds they are in."""
    group = np.unique(cohort.group[rows], return_inverse=True)[1].astype(np.intp)
    nothing = np.zeros(len(group), bool)
    return draw(group, np.zeros(len(group), np.intp), nothing, np.random.default_rng(seed), resamples=resamples)


def eighteen_of(cohort: Cohort, outcome: Outcome, sample: Resamples) -> dict[str, Any]:
    """The 18-label figures of an outcome's held-out images, of the view alone on the same folds, and the gain.

    Args:
        cohort: of the outcome. outcome: a cross-validated model.
        sample: of the open rows.
    """
    rows = ~cohort.sealed
    return eighteen.compare(cohort.labels[rows] > 0, outcome.probabilities[rows], outcome.fold[rows], sample)


def tested(opened: Cohort, outcome: Outcome, *, seed: int, resamples: int) -> dict[str, Any]:
    """The 18-label figures in the sealed part, once it is opened."""
    rows = opened.sealed
    sample = of_patients(opened, rows, seed=seed, resamples=resamples)
    one = np.zeros(int(rows.sum()), np.intp)
    return eighteen.compare(opened.labels[rows] > 0, outcome.probabilities[rows], one, sample)


def within_view_tested(table: pd.DataFrame, model: str, *, seed: int, resamples: int) -> dict[str, Any]:
    """Figures of the cortices and of the totals of a model in the opened test part, beside the floors.

    Args:
        table: of grades, opened.
        model: whose.
        seed: of the bootstrap. resamples: samples.
    """
    cells = graded.collect(graded.check(table), "test", [model, *floors_of(table, "test")])
    nothing = np.zeros(len(cells.group), bool)
    sample = draw(cells.group, cells.fold, nothing, np.random.default_rng(seed), resamples=resamples)
    models = list(cells.grades)
    return {**healing.cortices(cells, models, sample), "totals": healing.visits(cells, models, sample)}


def added(cohort: Cohort, leaky: Outcome, honest: Outcome, sample: Resamples) -> list[dict[str, Any]]:
    """What folds by image add to each figure of LEAK over folds by patient: `title`, `leaky`, `honest`, `added`.

    Both models are trained alike, and each image is judged by a model that it was held out of; the same patients are
    drawn for both, so the difference is paired.

    Args:
        cohort: of both. leaky: folds by image. honest: folds by patient.
        sample: of the open rows.
    """
    sample = sample.first(eighteen.RESAMPLES)
    found = []
    for outcome in (leaky, honest):
        statistic = _figures(cohort, outcome)
        found.append((point(statistic, len(sample.group)), bootstrap(statistic, sample)))
    rows = []
    for place, title in enumerate(LEAK):
        one, other = (estimate(float(value[place]), samples[:, place], len(sample.group)) for value, samples in found)
        gap = difference(one, other, found[0][1][:, place] - found[1][1][:, place])
        rows.append({"title": title, "leaky": one, "honest": other, "added": gap})
    return rows


def _figures(cohort: Cohort, outcome: Outcome) -> Statistic:
    """The figures of LEAK, (b, 3)."""
    rows = ~cohort.sealed
    fold, labels = outcome.fold[rows], cohort.labels[rows] > 0
    all_labels = eighteen.statistic(outcome.probabilities[rows], labels, fold)
    inside = _within_view(grades_of(outcome.probabilities[rows]), cohort.grades[rows], fold)
    return lambda weights: np.column_stack([all_labels(weights)[:, 0], inside(weights)])


def _within_view(p: Floats, grades: NDArray[np.int8], fold: NDArray[np.intp]) -> Statistic:
    """Mean AUROC of the grades and mean quadratic kappa of the cortices, (b, 2); AUROC as mean over the folds."""
    parts = []
    for place in range(len(CORTICES)):
        mine = np.flatnonzero(grades[:, place] > NOT_SCOREABLE)
        target = grades[mine, place]
        said = healing.called(p[mine, place] @ np.arange(1.0, HIGHEST + 1))
        areas = [
            metrics.mean_over_folds(p[mine, place, grade - 1], target == grade, fold[mine])
            for grade in range(1, HIGHEST + 1)
        ]
        parts.append((mine, target.astype(float), said, areas))

    def figures(weights: Floats) -> Floats:
        means, kappas = [], []
        for mine, target, said, areas in parts:
            inside = weights[:, mine]
            means += [metrics.mean_defined(area(inside)[:, 1:], axis=1) for area in areas]
            kappas.append(agreement.quadratic_kappa_of(target, said, inside))
        return np.column_stack([metrics.mean_defined(np.stack(v), axis=0) for v in (means, kappas)])

    return figures
