"""The healing score judged: cortices within the view that shows them, totals of visits, floors beside every figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from osteon.evaluate import agreement, eighteen, metrics
from osteon.evaluate.graded import Graded, one_hot_of
from osteon.evaluate.intervals import Resamples, bootstrap, difference, estimate, independent_pairs, point
from osteon.evaluate.judge import title_of
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.totals import COMPLETE, CONTESTED, NOT_GRADED, ONE_VIEW, Totals, half_width, totals_of
from osteon.tasks.rust import CORTICES, NOT_SCOREABLE, NOT_VISIBLE, SHOWN, united
from osteon.types import Estimate

HUMANS: tuple[dict[str, Any], ...] = (
    {"source": "Whelan 2010", "score": "RUST", "low": 0.86, "high": 0.86},
    {"source": "Leow 2016", "score": "", "low": 0.67, "high": 0.79},
    {"source": "Litrenta 2015", "score": "RUST", "low": 0.63, "high": 0.63},
    {"source": "Litrenta 2015", "score": "modified RUST", "low": 0.68, "high": 0.68},
    {"source": "Mitchell 2019", "score": "modified RUST", "low": 0.71, "high": 0.71},
)
"""Agreement between human raters in the literature: ICC of the total, or the range that the study gives."""

BAND = (min(h["low"] for h in HUMANS), max(h["high"] for h in HUMANS))
"""The human band of the ICC."""

LEAST_VISITS = 3
"""Complete visits below which no figure of totals is computed."""

ERRORS = ("mae",)
"""Figures of which less is better."""

OF_TOTALS = ("icc", "mae", "united", "bias", "deviation", "lower_limit", "upper_limit", "holds")
"""Figures of totals, in the order in which they are computed."""

Rows = NDArray[np.intp]


def cortices(cells: Graded, models: Sequence[str], resamples: Resamples) -> dict[str, Any]:
    """Every figure of the cortices, each judged within the view that shows it, and their means.

    Per cortex: AUROC of each grade against the others and its mean over the grades, quadratic-weighted kappa and mean
    absolute error of the called grade. The called grade is the expected one, rounded.

    Args:
        cells: of one part.
        models: the judged one first, then the floors.
        resamples: of the cells.
    """
    rows = np.flatnonzero(cells.graded)
    sample, n = resamples.of(rows), len(rows)
    found = {}
    for model in models:
        statistic = _of_cells(cells, model, rows)
        found[model] = (np.atleast_1d(point(statistic, n)), bootstrap(statistic, sample))
    names = _columns(cells)
    parts = []
    for place in range(len(CORTICES)):
        mine = cells.graded & (cells.cortex == place)
        figures: dict[str, Any] = {"auroc_per_grade": []}
        for column, (name, where, grade) in enumerate(names):
            if where != place:
                continue
            trials = 0
            if grade:
                trials = independent_pairs(cells.group[mine], cells.fold[mine], cells.target[mine] == grade)
            line = _compare(found, column, int(mine.sum()), larger=name not in ERRORS, trials=trials)
            if grade:
                count = int((cells.target[mine] == grade).sum())
                figures["auroc_per_grade"].append({"grade": grade, "cells": count, **line})
            else:
                figures[name] = line
        parts.append({**_counts(cells, place), **figures, "confusion": _confusion(cells, models[0], mine)})
    overall = {
        name: _compare(found, column, n, larger=name not in ERRORS)
        for column, (name, where, _) in enumerate(names)
        if where < 0
    }
    return {"cells": n, "cortices": parts, "overall": overall}


def visits(cells: Graded, models: Sequence[str], resamples: Resamples) -> dict[str, Any]:
    """Every figure of the totals of complete visits; the incomplete ones are counted, never filled in.

    Args:
        cells: of one part.
        models: the judged one first, then the floors.
        resamples: of the cells; the groups' draws are used for their visits.
    """
    totals, model = totals_of(cells), models[0]
    states = {state: int((totals.state == state).sum()) for state in (COMPLETE, ONE_VIEW, NOT_GRADED, CONTESTED)}
    rows = np.flatnonzero(~np.isnan(totals.true))
    content: dict[str, Any] = {"visits": len(totals.state), "states": states, "judged": len(rows) >= LEAST_VISITS}
    if not content["judged"]:
        return content
    sample = Resamples(resamples.counts, totals.group[rows], resamples.redrawn)
    found = {}
    for name in models:
        statistic = _of_totals(totals, name, rows, cells)
        found[name] = (np.atleast_1d(point(statistic, len(rows))), bootstrap(statistic, sample))
    true, said = totals.true[rows], totals.said[model][rows]
    healed = united(true, cells.score) == 1
    pairs = independent_pairs(totals.group[rows], totals.fold[rows], healed)
    values, samples = found[model]

    def compared(name: str, trials: int = 0) -> dict[str, Any]:
        return _compare(found, OF_TOTALS.index(name), len(rows), larger=name not in ERRORS, trials=trials)

    def ours(name: str, trials: int = 0) -> Estimate:
        column = OF_TOTALS.index(name)
        return estimate(float(values[column]), samples[:, column], len(rows), trials=trials)

    return {
        **content,
        "icc": compared("icc"),
        "icc_by_f": agreement.icc(np.column_stack([true, said])),
        "mae": compared("mae"),
        "united": {
            "threshold": cells.score.united,
            "positives": int(healed.sum()),
            "auroc": compared("united", pairs),
        },
        "differences": {name: ours(name) for name in ("bias", "deviation", "lower_limit", "upper_limit")},
        "interval": _interval(totals, model, rows, ours("holds", len(np.unique(totals.group[rows])))),
        "points": {"true": true, "said": said},
    }


def published(cells: Graded, model: str, resamples: Resamples) -> dict[str, Any]:
    """The 18-label figures of a model and of the view-only floor on the same images, for comparison with Hong 2023."""
    labels, scores, first = one_hot_of(cells, model)
    return eighteen.compare(labels, scores, cells.fold[first], resamples.of(first))


def called(expected: Floats) -> Floats:
    """The grade that a model is taken to give: the expected one, rounded; a half goes up."""
    return np.floor(expected + 0.5)


def _columns(cells: Graded) -> list[tuple[str, int, int]]:
    """What `_of_cells` returns: figure, place of the cortex (-1 for the mean of the four), grade (0 for all)."""
    columns = []
    for place in range(len(CORTICES)):
        columns += [("auroc", place, grade) for grade in cells.score.grades]
        columns += [("auroc", place, 0), ("kappa", place, 0), ("mae", place, 0)]
    return [*columns, ("auroc", -1, 0), ("kappa", -1, 0), ("mae", -1, 0)]


def _of_cells(cells: Graded, model: str, rows: Rows) -> Statistic:
    target, cortex, fold = cells.target[rows], cells.cortex[rows], cells.fold[rows]
    p, said = cells.grades[model][rows], called(cells.expected(model)[rows])
    parts = [np.flatnonzero(cortex == place) for place in range(len(CORTICES))]
    areas = [[_area(p[mine, g - 1], target[mine] == g, fold[mine]) for g in cells.score.grades] for mine in parts]

    def statistic(weights: Floats) -> Floats:
        columns, means = [], []
        for mine, each in zip(parts, areas, strict=True):
            inside = weights[:, mine]
            per_grade = np.stack([area(inside) for area in each], axis=1)
            first, second = target[mine].astype(float), said[mine]
            mean = metrics.mean_defined(per_grade, axis=1)
            kappa = agreement.quadratic_kappa_of(first, second, inside)
            error = agreement.absolute_error_of(first, second, inside)
            means.append(np.column_stack([mean, kappa, error]))
            columns += [per_grade, means[-1]]
        return np.hstack([*columns, metrics.mean_defined(np.stack(means), axis=0)])

    return statistic


def _area(score: Floats, target: NDArray[np.bool_], fold: Rows) -> Statistic:
    """AUROC as mean over the folds in which it is defined, in each sample."""
    if not len(score):
        return lambda weights: np.full(len(weights), np.nan)
    over_folds = metrics.mean_over_folds(score, target, fold)
    return lambda weights: metrics.mean_defined(over_folds(weights)[:, 1:], axis=1)


def _of_totals(totals: Totals, model: str, rows: Rows, cells: Graded) -> Statistic:
    """The figures of OF_TOTALS, (b, 8)."""
    true, said = totals.true[rows], totals.said[model][rows]
    held = ((totals.low[model][rows] <= true) & (true <= totals.high[model][rows])).astype(float)
    both = np.column_stack([true, said])
    area = _area(said, united(true, cells.score) == 1, totals.fold[rows])

    def statistic(weights: Floats) -> Floats:
        return np.column_stack(
            [
                agreement.icc_of(both, weights),
                agreement.absolute_error_of(true, said, weights),
                area(weights),
                agreement.differences_of(true, said, weights),
                metrics.ratio(weights @ held, weights.sum(axis=1)),
            ]
        )

    return statistic


def _compare(
    found: Mapping[str, tuple[Floats, Floats]], column: int, n: int, *, larger: bool, trials: int = 0
) -> dict[str, Any]:
    """One figure of the model, of each floor, the best floor first, and the paired gains over them."""
    model, *floors = found
    values, samples = found[model]
    ours = estimate(float(values[column]), samples[:, column], n, trials=trials)
    sign = 1.0 if larger else -1.0
    lines: list[dict[str, Any]] = []
    for floor in floors:
        level = estimate(float(found[floor][0][column]), found[floor][1][:, column], n, trials=trials)
        gap = sign * (samples[:, column] - found[floor][1][:, column])
        gain = difference(ours, level, gap) if larger else difference(level, ours, gap)
        lines.append({"model": floor, "title": title_of(floor), "figure": level, "gain": gain})
    lines.sort(key=lambda line: (_rank(line["figure"], sign), line["model"]))
    best = lines[0] if lines else None
    missing = Estimate(float("nan"), n=n, note="floor not available")
    return {"figure": ours, "floors": lines, "best_floor": best, "gain": best["gain"] if best else missing}


def _rank(figure: Estimate, sign: float) -> float:
    """Smaller is a better floor; one without a figure comes last."""
    return float("inf") if np.isnan(figure.value) else -sign * figure.value


def _counts(cells: Graded, place: int) -> dict[str, Any]:
    mine, cortex = cells.target[cells.cortex == place], CORTICES[place]
    return {
        "cortex": cortex,
        "view": next(view for view, shown in SHOWN.items() if cortex in shown),
        "graded": int((mine > NOT_SCOREABLE).sum()),
        "not_scoreable": int((mine == NOT_SCOREABLE).sum()),
        "missing": int((mine == NOT_VISIBLE).sum()),
    }


def _confusion(cells: Graded, model: str, mine: NDArray[np.bool_]) -> Rows:
    """How often (rater's grade, called grade) came together, (g, g); rows are the rater's."""
    size = len(cells.score.grades)
    pair = (cells.target[mine].astype(int) - 1) * size + called(cells.expected(model)[mine]).astype(int) - 1
    return np.asarray(np.bincount(pair, minlength=size * size).reshape(size, size), np.intp)


def _interval(totals: Totals, model: str, rows: Rows, holds: Estimate) -> dict[str, Any]:
    """How often 95 % intervals of the total hold the rater's: those of the probabilities, and those of the errors."""
    true, said, fold = totals.true[rows], totals.said[model][rows], totals.fold[rows]
    width = totals.high[model][rows] - totals.low[model][rows]
    held: list[Any] = []
    for f in np.unique(fold):
        others = fold != f
        wide = half_width(true[others], said[others]) if others.any() else float("inf")
        held += [] if np.isinf(wide) else list(np.abs(true - said)[~others] <= wide + 1e-9)
    return {
        "probabilities": {
            "holds": holds,
            "mean_width": float(width.mean()),
        },
        "errors": {
            "half_width": half_width(true, said),
            "holds_cross_fitted": float(np.mean(held)) if held else float("nan"),
            "visits": len(held),
        },
    }
