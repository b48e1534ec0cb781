"""Totals of visits from the grades of their cortices: the rater's, the expected one, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.evaluate.graded import Graded
from osteon.evaluate.intervals import TAIL
from osteon.evaluate.metrics import Floats
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES

COMPLETE, ONE_VIEW, NOT_GRADED, CONTESTED = "complete", "one_view", "not_graded", "contested"
"""States of a visit: four grades; one view only; a cortex in view without a grade; two images with different grades."""


@dataclass(frozen=True, eq=False)
class Totals:
    """What several models said of the totals of the same visits.

    Attributes:
        group: (v,) 0-based number of the split unit, as in `Graded`.
        fold: (v,) fold.
        month: (v,) months since the injury, NaN where not known.
        state: (v,) COMPLETE, ONE_VIEW, NOT_GRADED or CONTESTED.
        true: (v,) the rater's total; NaN where the visit is not complete.
        said: model → (v,) expected total; NaN where the table lacks a cortex of the visit.
        low, high: model → (v,) 95 % interval of the total by the model's probabilities; NaN there too.
    """

    group: NDArray[np.intp]
    fold: NDArray[np.intp]
    month: Floats
    state: NDArray[np.str_]
    true: Floats
    said: Mapping[str, Floats]
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]


def totals_of(cells: Graded) -> Totals:
    """The totals of all visits. Several images of one view are averaged; if their grades differ, they are contested."""
    visits = int(cells.visit.max()) + 1
    first = np.unique(cells.visit, return_index=True)[1]
    grades = np.full((len(cells.visit), len(CORTICES)), rust.NOT_VISIBLE, np.int8)
    grades[np.arange(len(grades)), cells.cortex] = cells.target
    joined, contested = rust.joined(grades, cells.visit)
    true = rust.totals(joined)
    seen = np.zeros((visits, len(CORTICES)), int)
    np.add.at(seen, (cells.visit, cells.cortex), 1)
    whole = np.asarray((seen > 0).all(axis=1), bool)
    frontal, lateral = (np.bincount(cells.visit, kind, visits) > 0 for kind in (~cells.lateral, cells.lateral))
    state = np.select(
        [contested.any(axis=1), ~(frontal & lateral), np.isnan(true)], [CONTESTED, ONE_VIEW, NOT_GRADED], COMPLETE
    )
    said, low, high = {}, {}, {}
    for model, p in cells.grades.items():
        mean: Floats = np.zeros((visits, len(CORTICES), p.shape[1]))
        np.add.at(mean, (cells.visit, cells.cortex), p)
        mean[whole] /= seen[whole][:, :, None]
        said[model] = np.where(whole, (mean @ np.array(cells.score.grades, float)).sum(axis=1), np.nan)
        ends = interval(distribution(mean[whole]), cells.score.lowest)
        low[model], high[model] = (_spread(end, whole) for end in ends)
    month = pd.Series(cells.month).groupby(cells.visit).min().to_numpy(float)
    return Totals(cells.group[first], cells.fold[first], month, state, true, said, low, high)


def visits_of(cells: Graded, model: str, half_width: float | None = None) -> pd.DataFrame:
    """The totals of a model as a table for `osteon.evaluate.trajectory`, one row per visit.

    Args:
        cells: of one part.
        model: whose totals.
        half_width: of the interval round the expected total, as `half_width` found it on other visits; without it, the
            interval follows from the model's probabilities.

    Returns:
        `patient` (the group), `study`, `month`, `total`, `low`, `high` (missing where the visit is incomplete), and
        `rated`, the rater's total.
    """
    totals, score = totals_of(cells), cells.score
    said, low, high = totals.said[model], totals.low[model], totals.high[model]
    if half_width is not None:
        low, high = np.maximum(said - half_width, score.lowest), np.minimum(said + half_width, score.highest)
    columns = {"month": totals.month, "total": said, "low": np.minimum(low, said), "high": np.maximum(high, said)}
    columns["rated"] = totals.true
    return pd.DataFrame(
        {
            "patient": pd.array(cells.patients[totals.group], dtype="string"),
            "study": pd.array(cells.studies, dtype="string"),
            **{name: pd.Series(v, dtype="Float64").mask(np.isnan(v)) for name, v in columns.items()},
        }
    )


def distribution(grades: Floats) -> Floats:
    """(v, 4 (g - 1) + 1) probability of each total, the lowest first, from (v, 4, g) of each cortex's grades.

    The cortices count as independent once the images are known. They are not quite: what misleads the reading of one
    misleads that of its neighbour. So the spread is too narrow if anything, and the report measures what it holds.
    """
    whole = grades[:, 0]
    for place in range(1, grades.shape[1]):
        wider = np.zeros((len(whole), whole.shape[1] + grades.shape[2] - 1))
        for grade in range(grades.shape[2]):
            wider[:, grade : grade + whole.shape[1]] += whole * grades[:, place, grade, None]
        whole = wider
    return whole


def interval(probabilities: Floats, lowest: int) -> tuple[Floats, Floats]:
    """The central 95 % interval of totals, (v,) and (v,), from their distribution; `lowest` is the smallest total."""
    below = np.cumsum(probabilities, axis=1)
    # Rounding must not let a sum of exactly 2.5 % fall on either side by chance.
    low, high = (below < TAIL - 1e-12).sum(axis=1), (below < 1 - TAIL - 1e-12).sum(axis=1)
    return lowest + low.astype(float), lowest + np.minimum(high, probabilities.shape[1] - 1).astype(float)


def half_width(true: Floats, said: Floats, level: float = 1 - 2 * TAIL) -> float:
    """Half the width of an interval that holds a new visit's total with probability `level` at least.

    The ⌈(n + 1) level⌉-th smallest of the n absolute errors (split conformal prediction, Vovk 2005), so it needs no
    trust in the model's probabilities, but visits that are as good as exchangeable. Infinite for fewer than
    level / (1 - level) visits.
    """
    errors = np.sort(np.abs(true - said))
    place = int(np.ceil((len(errors) + 1) * level - 1e-9))
    return float(errors[place - 1]) if place <= len(errors) else float("inf")


def _spread(values: Floats, where: NDArray[np.bool_]) -> Floats:
    wide = np.full(len(where), np.nan)
    wide[where] = values
    return wide
