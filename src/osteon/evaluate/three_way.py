"""Three answers judged: how often the truth was kept, how often a clear answer was wrong, how many had none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.errors import TooFewCases
from osteon.evaluate import conformal
from osteon.evaluate.conformal import ANSWERS, ERROR_RATE, INCONCLUSIVE, NEGATIVE, POSITIVE, Sets
from osteon.evaluate.intervals import Resamples, bootstrap, estimate, point
from osteon.evaluate.metrics import Floats, Statistic, ratio
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.subgroups import Labels

STRATA = ("View", "Body part", "Region")
"""Subgroups that get limits of their own, where the manifest has them."""

SHARES = ("coverage_of_images", "inconclusive", "wrong", "answered")


def judge_three_way(
    cases: Outcomes,
    model: str,
    resamples: Resamples,
    *,
    labels: Mapping[str, Labels] | None = None,
    chosen_on: Outcomes | None = None,
    error_rate: float = ERROR_RATE,
) -> dict[str, Any]:
    """Positive, inconclusive or negative at a stated error rate: coverage and what it costs, each with its interval.

    The limits that judge a fold are found on all other folds; intervals hold them fixed.

    Args:
        cases: all cases of a part.
        model: the model judged, by its probability if it gives one.
        resamples: bootstrap samples of these cases.
        labels: subgroup → (n,) names. All are reported; those of STRATA get limits of their own besides.
        chosen_on: other cases to find the limits on, all at once; None finds those of a fold on the other folds.
        error_rate: in 0..1 exclusive.

    Returns:
        `reason` why there is nothing, or ""; `promised`, the coverage stated; the `limits` found on all cases;
        `rows`, one for everyone, each class and each subgroup; `strata`, such rows by limits of each stratum.
    """
    labels = labels or {}
    try:
        sets = _sets(cases, model, chosen_on, error_rate, None)
    except TooFewCases as error:
        return {"reason": error.message, "error_rate": error_rate, "rows": [], "strata": []}
    given = cases if chosen_on is None else chosen_on
    overall = conformal.fit(given.pooled(model), given.target, given.group, error_rate=error_rate)
    if not sets.available.any():
        why = "; ".join(limit.note for limit in overall.limits if limit.note)
        why = why or f"the other folds have too few patients of a class for an error rate of {error_rate:g}"
        return {"reason": why, "error_rate": error_rate, "rows": [], "strata": []}
    groups = [("", "all", np.ones(len(cases.name), bool))]
    groups += [
        (title, str(name), values == name) for title, values in labels.items() for name in sorted(set(values), key=str)
    ]
    return {
        "reason": "",
        "error_rate": error_rate,
        "promised": 1 - error_rate,
        "limits": list(overall.limits),
        "rows": _rows(cases, sets, groups, resamples),
        "strata": [] if chosen_on else _strata(cases, model, labels, error_rate, resamples),
    }


def shares_of(
    truth: NDArray[np.str_], answer: NDArray[np.str_], group: NDArray[np.intp], resamples: Resamples
) -> list[dict[str, Any]]:
    """What was answered to the cases of each truth: a row per truth, with the share of each answer that was given.

    For any answers, whoever gave them, such as the learned ones of `osteon.learn.three_way`.

    Args:
        truth, answer: (n,) of ANSWERS.
        group: (n,) 0-based patient of each case.
        resamples: bootstrap samples of these cases.
    """
    rows = []
    for name in (word for word in ANSWERS if (truth == word).any()):
        member = truth == name
        given = np.stack([answer == word for word in ANSWERS], axis=1).astype(float)
        figures = _figures(given[member], member, group, resamples, by_patient=False)
        shares = dict(zip(ANSWERS, figures, strict=True))
        rows.append({"truth": name, "n": int(member.sum()), "patients": len(np.unique(group[member])), **shares})
    return rows


def _sets(cases: Outcomes, model: str, chosen_on: Outcomes | None, error_rate: float, stratum: Labels | None) -> Sets:
    value = cases.pooled(model)
    if chosen_on is None:
        return conformal.cross_fitted(
            value, cases.target, cases.group, cases.fold, error_rate=error_rate, stratum=stratum
        )
    found = conformal.fit(chosen_on.pooled(model), chosen_on.target, chosen_on.group, error_rate=error_rate)
    return found(value)


def _strata(
    cases: Outcomes, model: str, labels: Mapping[str, Labels], error_rate: float, resamples: Resamples
) -> list[dict[str, Any]]:
    """The rows of each title of STRATA by limits of its own, and what is missing to have them everywhere."""
    found = []
    for title in (title for title in STRATA if title in labels):
        values = labels[title]
        sets = _sets(cases, model, None, error_rate, values)
        limits = conformal.fit(
            cases.pooled(model), cases.target, cases.group, error_rate=error_rate, stratum=values
        ).limits
        groups = [(title, str(name), values == name) for name in sorted(set(values), key=str)]
        found.append({"column": title, "limits": list(limits), "rows": _rows(cases, sets, groups, resamples)})
    return found


def _rows(
    cases: Outcomes, sets: Sets, groups: list[tuple[str, str, NDArray[np.bool_]]], resamples: Resamples
) -> list[dict[str, Any]]:
    """A row for each class of each group of cases, and for both together."""
    rows = []
    for title, name, member in groups:
        for kind, of_kind in ((POSITIVE, cases.target), (NEGATIVE, ~cases.target), ("both", np.ones_like(member))):
            row = {"column": title, "value": name, "of": kind}
            rows.append(row | _row(cases, sets, member & of_kind, resamples))
    return rows


def _row(cases: Outcomes, sets: Sets, member: NDArray[np.bool_], resamples: Resamples) -> dict[str, Any]:
    judged = member & sets.available
    counts = {"n": int(judged.sum()), "not_available": int(member.sum() - judged.sum())}
    counts["patients"] = len(np.unique(cases.group[judged]))
    if not judged.any():
        note = "no such case" if not member.any() else "too few patients to find limits on"
        return counts | {name: estimate(float("nan"), np.empty(0), 0, note=note) for name in ("coverage", *SHARES)}
    covered, answers = sets.covered(cases.target)[judged], sets.answers()[judged]
    truth = np.where(cases.target, POSITIVE, NEGATIVE)[judged]
    unclear = answers == INCONCLUSIVE
    columns = np.stack([covered, unclear, ~unclear & (answers != truth), ~unclear], axis=1).astype(float)
    by_image = _figures(columns, judged, cases.group, resamples, by_patient=False)
    (coverage,) = _figures(columns[:, :1], judged, cases.group, resamples, by_patient=True)
    return counts | {"coverage": coverage} | dict(zip(SHARES, by_image, strict=True))


def _figures(
    columns: Floats, member: NDArray[np.bool_], group: NDArray[np.intp], resamples: Resamples, *, by_patient: bool
) -> list[Any]:
    """The mean of each column (m, k) over the m members, every image counting once, or every patient."""
    patient = group[member]
    each = 1 / np.bincount(patient)[patient] if by_patient else np.ones(len(patient))
    statistic, inside = _means(columns, each), resamples.of(member)
    values, samples = point(statistic, len(patient)), bootstrap(statistic, inside)
    trials = len(np.unique(patient))
    return [estimate(float(values[i]), samples[:, i], len(patient), trials=trials) for i in range(len(values))]


def _means(columns: Floats, each: Floats) -> Statistic:
    return lambda weights: ratio((weights * each) @ columns, (weights @ each)[:, None])
