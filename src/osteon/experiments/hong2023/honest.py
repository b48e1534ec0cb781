"""The study's procedure judged honestly: folds by patient, the search inside them, figures within the view, floors.

Of each outer fold nothing is seen, neither by the search nor by the choice of an epoch: inside the others the study's
procedure is run, and the checkpoint that it would have handed over is judged on the outer fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from osteon.dataset.splits import SEALED
from osteon.experiments.hong2023.cohort import Cohort
from osteon.experiments.hong2023.models import DEALS, Frozen, best_of
from osteon.experiments.hong2023.plan import Plan
from osteon.learn.fold_tables import BY_PATIENT, deal, hide, visible
from osteon.learn.healing.layout import as_grades, lay_out
from osteon.learn.search.flat_heads import Examples, HeadOptions, fit_heads
from osteon.learn.search.regimes import regime_one, search
from osteon.learn.train import part_of
from osteon.tasks.rust import CORTICES, HIGHEST, NOT_VISIBLE
from osteon.types import Progress, silent

NESTED = "Hong 2023, nested"
"""Name of the honestly judged model in tables."""

LEAST = 1e-12
"""Smallest score of a grade: scores that all vanish are no probabilities."""


@dataclass(frozen=True, eq=False)
class Nested:
    """Scores of images that nothing of their model has seen.

    Attributes:
        table: the cohort's, with the outer folds; -1 sealed.
        probabilities: (n, 18); of the sealed part by the model that was found on all other images.
        chosen: for each outer fold (-1 for the model of the sealed part), the `fold`, and the `batch` and `dropout`
            that its search chose.
    """

    table: pd.DataFrame
    probabilities: NDArray[np.float64]
    chosen: Sequence[Mapping[str, Any]]


def nested(
    cohort: Cohort,
    frozen: Frozen,
    plan: Plan,
    folder: Path,
    *,
    seed: int,
    workers: int = 1,
    progress: Progress = silent,
) -> Nested:
    """Run Regime I inside each outer fold by patient, and judge its best fold's best checkpoint on that fold.

    A call that was cut off goes on, when repeated, behind the last finished trial.

    Args:
        cohort: of which the sealed part is not learnt from.
        frozen: its features.
        plan: `outer`, `inner`, `inner_trials` and `search_epochs`.
        folder: gets a search for each outer fold.
        seed: of folds, trials and training.
        workers: processes.
        progress: told of thousandths of all searches.
    """
    outer = cohort.dealt(plan.outer, seed=seed + DEALS)
    fold = outer["fold"].to_numpy(int)
    probabilities, chosen = np.full(cohort.labels.shape, np.nan), []
    numbers = [*range(plan.outer), *([SEALED] if cohort.sealed.any() else [])]
    for place, number in enumerate(numbers):
        seen = outer if number == SEALED else hide(outer, number)
        inner = deal(seen, plan.inner, seed=seed + 2 * DEALS + place, strata=cohort.strata)
        rows, parts = visible(inner, BY_PATIENT)
        examples = Examples.of(frozen.features[rows], cohort.labels[rows])
        regime = regime_one(seed=seed + place, trials=plan.inner_trials, base=HeadOptions(epochs=plan.search_epochs))
        where = folder / ("sealed" if number == SEALED else f"outer-{number}")
        told = part_of(progress, place, len(numbers))
        found = search(where, regime, examples, parts, seed=seed + place, workers=workers, progress=told)
        # The same seed as in the search: these are the heads whose curves it chose by.
        heads = fit_heads(examples, parts, found.options, seed=(seed + place, found.best))
        own = fold == number
        probabilities[own] = expit(heads[best_of(heads)](frozen.features[own, 0]).astype(float))
        chosen.append({"fold": number, "batch": found.options.batch, "dropout": found.options.dropout})
    return Nested(outer, probabilities, chosen)


def grades_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 4, 4) probabilities of the grades of each cortex, from (n, 18) scores: the four scores over their sum."""
    scores = probabilities[:, : len(CORTICES) * HIGHEST].reshape(-1, len(CORTICES), HIGHEST)
    scores = np.maximum(scores, LEAST)
    return np.asarray(scores / scores.sum(axis=2, keepdims=True))


def graded(
    cohort: Cohort, inner: Nested, beside: pd.DataFrame, others: Mapping[str, NDArray[np.float64]]
) -> pd.DataFrame:
    """The table of grades: the nested model, what stands beside it, and in the sealed part the other models too.

    Args:
        cohort: whose sealed part has no grades yet.
        inner: the nested model.
        beside: rows of osteon's own model and of the floors, on the same outer folds.
        others: model → (n, 18) scores, of which those of the sealed part are used.
    """
    cells = lay_out(inner.table)
    frames = [as_grades(NESTED, inner.table, cells, grades_of(inner.probabilities)), beside]
    sealed = cohort.sealed[:, None]
    for name, probabilities in others.items():
        rows = as_grades(name, inner.table, cells, grades_of(np.where(sealed, probabilities, 0.0)))
        frames.append(rows[rows["part"] == "test"])
    return pd.concat(frames, ignore_index=True)


def with_answers(table: pd.DataFrame, opened: Cohort) -> pd.DataFrame:
    """The table of grades with the targets of the sealed part, from a cohort whose sealed part is opened."""
    place = {image: row for row, image in enumerate(opened.table["image"].astype(str))}
    row = table["image"].astype(str).map(place).to_numpy(int)
    cortex = table["cortex"].map(CORTICES.index).to_numpy(int)
    target = opened.grades[row, cortex]
    known = pd.Series(target, index=table.index, dtype="Int8").mask(target == NOT_VISIBLE)
    return table.assign(target=table["target"].where(table["part"] != "test", known))
