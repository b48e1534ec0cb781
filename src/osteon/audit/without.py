"""The seed's table: how the model does on the images, and on the studies, that do not show an attribute.

De Cid 2021 (section 6.3) read a balanced set of 120 studies without osteosynthesis again: accuracy fell by 10 points
for the ResNet and by 20 for Model Rx. Balanced accuracy, the mean of sensitivity and specificity, is the accuracy on a
balanced set, whatever the share of fractures is here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.audit.attributes import EXPECTED, Attribute
from osteon.errors import TooFewCases
from osteon.evaluate import metrics
from osteon.evaluate.intervals import Resamples, bootstrap, difference, estimate, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.study_rules import at_least_one, studies_of
from osteon.evaluate.thresholds import cross_fitted

ABSENT = ("0", "no", "none", "false", "not stated")
"""Levels, in lower case, that say an attribute is not there."""


def tables(cases: Outcomes, model: str, attributes: Sequence[Attribute], resamples: Resamples) -> list[dict[str, Any]]:
    """A table for each of the expected shortcuts that the images have: rows with, without, and the difference.

    Args:
        cases: of the part audited, out of fold.
        model: the model judged.
        attributes: of the same cases; those with two levels, of which one says absent, have a table.
        resamples: of the same cases.
    """
    known = {column for columns in EXPECTED.values() for column in columns}
    return [
        _table(cases, model, attribute, resamples)
        for attribute in attributes
        if attribute.name.lower() in known and len(attribute.levels) == 2 and _absent(attribute) is not None
    ]


def _table(cases: Outcomes, model: str, attribute: Attribute, resamples: Resamples) -> dict[str, Any]:
    without = attribute.level == _absent(attribute)
    values = cases.pooled(model)
    try:
        called, note = values >= cross_fitted(values, cases.target, cases.fold)["youden"], ""
    except TooFewCases as error:
        called, note = np.zeros(len(values), bool), error.message
    parts = [_Part("images", values, called, cases.target, without, resamples)]
    studies = studies_of(cases)
    if len(studies.names) and (studies.images > 1).any():
        rows, number = studies.rows, studies.number
        any_of = partial(at_least_one, study=number)
        # A study is without it if none of its images shows it.
        bare = any_of((~without[rows]).astype(float)) < 1
        yes = any_of(called[rows].astype(float)) > 0
        parts.append(
            _Part("studies, at least one", any_of(values[rows]), yes, studies.target, bare, resamples.of(studies.first))
        )
    rows_of = [row for part in parts for row in _rows(part, note)]
    cut = f"not available: {note}" if note else "Youden, chosen on the other folds"
    return {"name": attribute.name, "title": attribute.title, "cut": cut, "rows": rows_of}


@dataclass(frozen=True, eq=False)
class _Part:
    """Images, or studies."""

    what: str
    values: Floats
    called: NDArray[np.bool_]
    target: NDArray[np.bool_]
    without: NDArray[np.bool_]
    resamples: Resamples


def _rows(part: _Part, note: str) -> list[dict[str, Any]]:
    """All, without, with, and what is lost without."""
    found: dict[str, dict[str, Any]] = {}
    drawn = {}
    for kind, mine in {"all": np.ones(len(part.target), bool), "without": part.without, "with": ~part.without}.items():
        statistic = _statistic(part, np.flatnonzero(mine))
        values, samples = point(statistic, len(part.target)), bootstrap(statistic, part.resamples)
        n, sick = int(mine.sum()), int((mine & part.target).sum())
        reason = "one class only" if sick in (0, n) else ""
        accuracy = float("nan") if note else float(values[1])
        found[kind] = {
            "n": n,
            "positives": sick,
            "auroc": estimate(float(values[0]), samples[:, 0], n, note=reason),
            "balanced_accuracy": estimate(accuracy, samples[:, 1], n, note=note or reason),
        }
        drawn[kind] = samples
    lost = {
        name: difference(found["all"][name], found["without"][name], drawn["all"][:, i] - drawn["without"][:, i])
        for i, name in enumerate(("auroc", "balanced_accuracy"))
    }
    rows = [{"what": part.what, "which": kind, **figures} for kind, figures in found.items()]
    return [*rows, {"what": part.what, "which": "all less without", "n": None, "positives": None, **lost}]


def _statistic(part: _Part, rows: NDArray[np.intp]) -> Statistic:
    """AUROC, and the mean of sensitivity and specificity."""
    target, called = part.target[rows], part.called[rows]
    ranked = metrics.rank(part.values[rows], target)

    def statistic(weights: Floats) -> Floats:
        inside = weights[:, rows]
        rates = metrics.rates_of(called, target, inside)
        return np.stack([metrics.auroc_of(ranked, inside), (rates["sensitivity"] + rates["specificity"]) / 2], axis=1)

    return statistic


def _absent(attribute: Attribute) -> int | None:
    places = [k for k, level in enumerate(attribute.levels) if level.lower() in ABSENT]
    return places[0] if len(places) == 1 else None
