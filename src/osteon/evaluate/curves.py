"""The curves of the report as plain numbers, so that report.json holds whatever its figures show."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.evaluate import binormal, calibration, metrics
from osteon.evaluate.intervals import TAIL, Resamples, bootstrap, estimate, point
from osteon.evaluate.metrics import Floats, Ranked
from osteon.evaluate.outcomes import Outcomes
from osteon.types import Estimate

GRID = np.linspace(0, 1, 101)
DECISIONS = np.linspace(0.01, 0.99, 99)
FITS = 300  # resamples for curves that are fitted, not counted
HISTOGRAM_BINS = 30


def curves(outcomes: Outcomes, model: str, floors: list[str], resamples: Resamples) -> dict[str, Any]:
    """Every curve of one part, of the pooled cases: ROC, binormal ROC, precision and recall, reliability, decision.

    Curves that need probabilities are None where the model gives none.
    """
    values, target = outcomes.pooled(model), outcomes.target
    ranked = metrics.rank(values, target)
    probability = outcomes.probabilities.get(model)
    return {
        "roc": _roc(outcomes, model, floors, ranked, resamples),
        "binormal": fitted_roc(values, target, resamples.first(FITS)),
        "precision_recall": _precision_recall(ranked, resamples),
        "histogram": histogram(values, target, probability is not None),
        "reliability": None if probability is None else reliability(probability, target, resamples),
        "decision": None if probability is None else _decision(ranked, target, resamples),
    }


def _roc(outcomes: Outcomes, model: str, floors: list[str], ranked: Ranked, resamples: Resamples) -> dict[str, Any]:
    low, high = band(bootstrap(lambda w: metrics.sensitivity_at(ranked, w, GRID), resamples))
    lines = {}
    for name in [model, *floors]:
        rate, sensitivity = metrics.roc_points(outcomes.pooled(name), outcomes.target)
        lines[name] = {"false_positive_rate": rate, "sensitivity": sensitivity}
    return {"lines": lines, "band": {"false_positive_rate": GRID, "low": low, "high": high}}


def fitted_roc(values: Floats, target: NDArray[np.bool_], resamples: Resamples) -> dict[str, Any]:
    """The binormal curve with its parameters, area and bootstrap band; only `note` where the data determine none."""
    membership, _ = binormal.categories(values, target)
    fitted, start = binormal.fit(membership.sum(axis=0))
    if fitted is None:
        return {"note": "the scores do not determine a binormal curve (too few distinct scores, or separated classes)"}
    refits = [binormal.fit(counts, start)[0] for counts in bootstrap(lambda w: w @ membership, resamples)]
    empty = np.full(3 + len(GRID), np.nan)
    samples = np.array([empty if f is None else [f.a, f.b, f.area, *f.sensitivity(GRID)] for f in refits])
    low, high = band(samples[:, 3:])
    a, b, area = (estimate(getattr(fitted, k), samples[:, i], len(target)) for i, k in enumerate(("a", "b", "area")))
    line = {"false_positive_rate": GRID, "sensitivity": fitted.sensitivity(GRID), "low": low, "high": high}
    return {"a": a, "b": b, "area": area, **line, "note": ""}


def _precision_recall(ranked: Ranked, resamples: Resamples) -> dict[str, Any]:
    def at_grid(weights: Floats) -> Floats:
        return metrics.precision_at(ranked, weights, GRID[1:])

    low, high = band(bootstrap(at_grid, resamples))
    return {
        "recall": GRID[1:],
        "precision": point(at_grid, len(ranked.order)),
        "low": low,
        "high": high,
        "prevalence": float(ranked.positive.mean()),
    }


def reliability(probability: Floats, target: NDArray[np.bool_], resamples: Resamples) -> list[dict[str, Any]]:
    """The reliability table: size, mean probability and observed share of positives of each bin of equal mass."""
    bins = calibration.bins_of(probability, target)
    mass, mean, _ = (part[0] for part in calibration.reliability_of(bins, np.ones((1, len(target)))))

    def observed(weights: Floats) -> Floats:
        return calibration.reliability_of(bins, weights)[2]

    shares, samples = point(observed, len(target)), bootstrap(observed, resamples)
    trials = [len(np.unique(resamples.group[bins.member[:, i] == 1])) for i in range(len(mass))]
    return [
        {
            "n": int(mass[i]),
            "mean_probability": float(mean[i]),
            "observed": estimate(float(shares[i]), samples[:, i], int(mass[i]), trials=trials[i]),
        }
        for i in range(len(mass))
    ]


def histogram(values: Floats, target: NDArray[np.bool_], probability: bool) -> dict[str, Any]:
    """Counts of positives and negatives in bins of equal width, over 0..1 for probabilities."""
    limits = (0.0, 1.0) if probability else (float(values.min()), float(values.max()))
    edges = np.histogram_bin_edges(values, HISTOGRAM_BINS, limits)
    counts = [np.histogram(values[chosen], edges)[0] for chosen in (target, ~target)]
    return {"edges": edges, "positives": counts[0], "negatives": counts[1]}


def _decision(ranked: Ranked, target: NDArray[np.bool_], resamples: Resamples) -> dict[str, Any]:
    def benefit(weights: Floats) -> Floats:
        return metrics.net_benefit_of(ranked, weights, DECISIONS)

    low, high = band(bootstrap(benefit, resamples))
    return {
        "threshold": DECISIONS,
        "net_benefit": point(benefit, len(target)),
        "low": low,
        "high": high,
        "treat_all": metrics.treat_all(float(target.mean()), DECISIONS),
    }


def band(samples: Floats) -> tuple[Floats, Floats]:
    """Pointwise 95 % band of (resamples, g) curves, ignoring samples without a curve (NaN)."""
    kept = samples[~np.isnan(samples).any(axis=1)]
    if not len(kept):
        return np.full(samples.shape[1], np.nan), np.full(samples.shape[1], np.nan)
    low, high = np.quantile(kept, [TAIL, 1 - TAIL], axis=0)
    return low, high


def not_available(n: int, why: str) -> Estimate:
    """An estimate that says why it is missing."""
    return Estimate(float("nan"), n=n, note=why)
