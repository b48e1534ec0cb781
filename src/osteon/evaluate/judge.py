"""One part of the data judged: headline, floors, operating points, calibration, all on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon import tables
from osteon.evaluate import calibration, metrics
from osteon.evaluate.curves import FITS, not_available
from osteon.evaluate.intervals import (
    Resamples,
    bootstrap,
    delong_interval,
    difference,
    estimate,
    independent_pairs,
    point,
)
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.thresholds import OPERATING_POINTS
from osteon.types import Estimate

FLOORS = {
    "majority": "majority class",
    "view": "view only",
    "tags": "tags only",
    "size": "image size only",
    "thumbnail": "32 × 32 thumbnail",
    "month": "months alone",
}
"""Floor → how a reader is told of it."""

NO_PROBABILITY = "the model gives no calibrated probability"

NO_INTERVAL_OF_ERROR = "no interval: chance alone lifts this figure, and lifts it once more in every resample"
"""Measured: for right probabilities a percentile interval never held the true 0, and often not the figure itself."""


def title_of(model: str) -> str:
    """A model's name as readers see it."""
    name = model.removeprefix(tables.FLOOR)
    return FLOORS.get(name, name) if model.startswith(tables.FLOOR) else model


def cases_of(cases: Outcomes, resamples: Resamples) -> dict[str, Any]:
    """How much was tested."""
    studies = np.unique(cases.study)
    return {
        "images": len(cases.name),
        "positives": int(cases.target.sum()),
        "prevalence": float(cases.target.mean()),
        "studies": None if "" in studies else len(studies),
        "groups": cases.groups,
        "one_case_per_group": cases.groups == len(cases.name),
        "folds": [
            {
                "fold": f,
                "images": int((cases.fold == f).sum()),
                "positives": int(cases.target[cases.fold == f].sum()),
                "groups": len(np.unique(cases.group[cases.fold == f])),
            }
            for f in cases.folds
        ],
        "resamples": len(resamples.counts),
        "redrawn": resamples.redrawn,
    }


def discrimination(cases: Outcomes, model: str, floors: list[str], resamples: Resamples) -> dict[str, Any]:
    """AUROC as mean of the folds and pooled, average precision, and the paired gain over each floor."""
    n, pairs = len(cases.name), independent_pairs(cases.group, cases.fold, cases.target)
    ours = _over_folds(cases, model, resamples)
    headline = estimate(ours[0][0], ours[1][:, 0], n, trials=pairs)
    per_fold = []
    for i, fold in enumerate(cases.folds, start=1):
        inside = cases.fold == fold
        trials = independent_pairs(cases.group[inside], cases.fold[inside], cases.target[inside])
        note = "one class only" if np.isnan(ours[0][i]) else ""
        figure = estimate(ours[0][i], ours[1][:, i], int(inside.sum()), trials=trials, note=note)
        per_fold.append({"fold": fold, "auroc": figure})
    lines: list[dict[str, Any]] = []
    for floor in floors:
        theirs = _over_folds(cases, floor, resamples)
        level = estimate(theirs[0][0], theirs[1][:, 0], n, trials=pairs)
        lines.append(
            {
                "model": floor,
                "title": title_of(floor),
                "auroc": level,
                "auroc_pooled": _pooled(cases, floor, resamples, pairs),
                "average_precision": _average_precision(cases, floor, resamples),
                "gain": difference(headline, level, ours[1][:, 0] - theirs[1][:, 0]),
            }
        )
    # The strongest floor is the one to beat; of equals, the first by name.
    lines.sort(key=lambda line: (-line["auroc"].value, line["model"]))
    missing = not_available(n, "floor not available")
    return {
        "auroc": headline,
        "auroc_per_fold": per_fold,
        "folds_counted": int(np.isfinite(ours[0][1:]).sum()),
        "auroc_pooled": _pooled(cases, model, resamples, pairs),
        "pooled_on": "probability" if model in cases.probabilities else "score",
        "auroc_delong": _delong(cases, model),
        "average_precision": _average_precision(cases, model, resamples),
        "floors": lines,
        "best_floor": lines[0] if lines else None,
        "gain": lines[0]["gain"] if lines else missing,
    }


def calibration_of(cases: Outcomes, model: str, resamples: Resamples) -> dict[str, Estimate]:
    """Brier score, expected calibration error, and slope and intercept of the recalibration curve."""
    n, probability = len(cases.name), cases.probabilities.get(model)
    names = ("brier", "brier_of_prevalence", "expected_calibration_error", "slope", "intercept")
    if probability is None:
        return {name: not_available(n, NO_PROBABILITY) for name in names}
    curve = calibration.recalibration(probability, cases.target)
    fitted, refitted = point(curve, n), bootstrap(curve, resamples.first(FITS))
    prevalence = np.full(n, cases.target.mean())
    return {
        "brier": _figure(lambda w: metrics.brier_of(probability, cases.target, w), n, resamples),
        "brier_of_prevalence": _figure(lambda w: metrics.brier_of(prevalence, cases.target, w), n, resamples),
        "expected_calibration_error": Estimate(
            calibration.expected_calibration_error(probability, cases.target), n=n, note=NO_INTERVAL_OF_ERROR
        ),
        "slope": estimate(float(fitted[0]), refitted[:, 0], n, note="" if np.isfinite(fitted[0]) else "no fit"),
        "intercept": estimate(float(fitted[1]), refitted[:, 1], n, note="" if np.isfinite(fitted[1]) else "no fit"),
    }


def operating_points(
    cases: Outcomes, model: str, cuts: Mapping[str, Floats], resamples: Resamples, prevalence: float | None
) -> list[dict[str, Any]]:
    """Sensitivity, specificity, predictive values and accuracy at each operating point.

    The cut-offs stand fixed while cases are resampled.

    Args:
        cases: all cases.
        model: the model judged.
        cuts: operating point → (n,) cut-off that applies to each case, on the scale of `cases.pooled(model)`.
        resamples: bootstrap samples of the cases.
        prevalence: 0..1, share of positives for which predictive values are wanted beside the observed one.
    """
    rows = []
    for name, cut in cuts.items():
        called = cases.pooled(model) >= cut
        rates = point(_rates(called, cases.target, prevalence), len(called))
        samples = bootstrap(_rates(called, cases.target, prevalence), resamples)
        bases = _bases(called, cases.target)
        figures = {
            rate: estimate(rates[i], samples[:, i], int(base.sum()), trials=len(np.unique(cases.group[base])))
            for i, (rate, base) in enumerate(bases.items())
        }
        if prevalence is not None:
            for i, rate in enumerate(("ppv_at_prevalence", "npv_at_prevalence"), start=len(bases)):
                figures[rate] = estimate(rates[i], samples[:, i], len(called))
        shown = [{"fold": f, "cut": float(cut[cases.fold == f][0])} for f in cases.folds]
        counts = {"called": int(called.sum()), "called_rightly": int((called & cases.target).sum())}
        rows.append({"name": name, "rule": OPERATING_POINTS[name], "cuts": shown, **counts, **figures})
    return rows


def _over_folds(cases: Outcomes, model: str, resamples: Resamples) -> tuple[Floats, Floats]:
    statistic = metrics.mean_over_folds(cases.scores[model], cases.target, cases.fold)
    return point(statistic, len(cases.name)), bootstrap(statistic, resamples)


def _figure(statistic: Statistic, n: int, resamples: Resamples, trials: int = 0) -> Estimate:
    return estimate(float(point(statistic, n)), bootstrap(statistic, resamples), n, trials=trials)


def _pooled(cases: Outcomes, model: str, resamples: Resamples, pairs: int) -> Estimate:
    ranked = metrics.rank(cases.pooled(model), cases.target)
    return _figure(lambda w: metrics.auroc_of(ranked, w), len(cases.name), resamples, pairs)


def _average_precision(cases: Outcomes, model: str, resamples: Resamples) -> Estimate:
    ranked = metrics.rank(cases.pooled(model), cases.target)
    return _figure(lambda w: metrics.average_precision_of(ranked, w), len(cases.name), resamples)


def _delong(cases: Outcomes, model: str) -> Estimate:
    n = len(cases.name)
    if cases.groups < n:
        return not_available(n, "several cases of one group: DeLong's interval would be too narrow")
    if min(cases.target.sum(), (~cases.target).sum()) < 2:
        return not_available(n, "fewer than two cases of a class")
    return delong_interval(cases.pooled(model), cases.target)


def _rates(called: NDArray[np.bool_], target: NDArray[np.bool_], prevalence: float | None) -> Statistic:
    def statistic(weights: Floats) -> Floats:
        rates = metrics.rates_of(called, target, weights)
        columns = list(rates.values())
        if prevalence is not None:
            columns += metrics.predictive_values(rates["sensitivity"], rates["specificity"], prevalence)
        return np.stack(columns, axis=1)

    return statistic


def _bases(called: NDArray[np.bool_], target: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """The cases that each rate is a share of, in the order of `metrics.rates_of`."""
    everyone = np.ones(len(target), bool)
    return {"sensitivity": target, "specificity": ~target, "ppv": called, "npv": ~called, "accuracy": everyone}
