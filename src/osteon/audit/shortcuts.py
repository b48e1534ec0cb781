"""How much of an AUROC an attribute carries: its tie to the label, times how far the score follows it.

A shortcut takes two: the attribute is commoner in one class, and images that have it score higher than images *of the
same class* that have not. Either alone does no harm to the figure. The effect here is their product, as an AUROC:

    carried = Σₐ (pₐ − qₐ) · eₐ

pₐ, qₐ is the share of the positives and of the negatives at level a, and eₐ how much higher images at level a rank
within their own class, fitted by least squares with the class held fixed (rank: 0 lowest, 1 highest score of the class,
ties in the middle). For two levels e is the chance, less ½, that of two images of one class the one with the attribute
scores higher: the stratified test of van Elteren (1960) as an effect. So `carried` is how much higher a positive ranks
than a negative for its attribute alone: 0 if the classes are alike in it, 0 if the score does not follow it, and at
most ½, when the attribute decides the order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osteon.audit.attributes import Attribute
from osteon.evaluate import metrics
from osteon.evaluate.intervals import Resamples, bootstrap, estimate, independent_pairs, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.types import Estimate

LEVEL = 0.95
"""Of all intervals of an audit together (Bonferroni): with m attributes, each is taken at 1 − 0.05 / m."""

IDENTIFIED = 1e-6
"""Largest part of the shares' difference that may lie where the class decides the level."""


@dataclass(frozen=True)
class Row:
    """One level of an attribute.

    Attributes:
        level: its name.
        n, positives: images.
        rank: mean rank of its images within their class, less ½ (e of the module's formula); NaN if not known.
        auroc: within the level.
    """

    level: str
    n: int
    positives: int
    rank: float
    auroc: Estimate


@dataclass(frozen=True)
class Shortcut:
    """What one attribute does.

    Attributes:
        name, title, source: of the attribute.
        carried: AUROC that it carries, with the corrected interval.
        plain: the same with its own 95 % interval.
        same_level: AUROC among pairs of a positive and a negative of the same level (after Janes and Pepe 2009).
        rows: one for each level.
    """

    name: str
    title: str
    source: str
    carried: Estimate
    plain: Estimate
    same_level: Estimate
    rows: tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class Judged:
    """The scores that are audited.

    Attributes:
        score: (n,) out of fold, on one scale for all folds.
        target: (n,) True for positives.
        group, fold: (n,).
    """

    score: Floats
    target: NDArray[np.bool_]
    group: NDArray[np.intp]
    fold: NDArray[np.intp]


def carried_of(cases: Judged, attribute: Attribute) -> Statistic:
    """The statistic (b, 1 + levels) of weights (b, n): what is carried, and the e of each level.

    It is NaN where the classes do not share enough levels to tell the attribute from the label.
    """
    levels = len(attribute.levels)
    member = np.eye(levels)[attribute.level]
    ranked = {sick: _Within(cases.score, cases.target == sick) for sick in (True, False)}

    def statistic(weights: Floats) -> Floats:
        curvature = np.zeros((len(weights), levels, levels))
        slope, share = np.zeros((len(weights), levels)), np.zeros((len(weights), levels))
        for sick, within in ranked.items():
            mine, belongs = weights[:, within.rows], member[within.rows]
            count = mine @ belongs
            total = np.maximum(count.sum(axis=1, keepdims=True), 1e-300)
            slope += (mine * within.ranks(mine)) @ belongs - count / 2
            curvature += np.eye(levels) * count[:, None, :] - count[:, :, None] * count[:, None, :] / total[:, :, None]
            share += (1 if sick else -1) * count / total
        inverse = np.linalg.pinv(curvature, rcond=1e-9, hermitian=True)
        effect = np.einsum("bij,bj->bi", inverse, slope)
        seen = np.einsum("bij,bjk,bk->bi", curvature, inverse, share)
        known = np.abs(seen - share).max(axis=1) < IDENTIFIED
        value = np.where(known, (share * effect).sum(axis=1), np.nan)
        return np.column_stack([value, np.where(known[:, None], effect, np.nan)])

    return statistic


class _Within:
    """Cases of one class, sorted once by score."""

    def __init__(self, score: Floats, mine: NDArray[np.bool_]) -> None:
        self.rows = np.flatnonzero(mine)
        self._order = np.argsort(score[self.rows], kind="stable")
        values = score[self.rows][self._order]
        self._run = np.cumsum(np.append(False, values[1:] != values[:-1])) if len(values) else np.empty(0, int)
        self._ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if len(values) else np.empty(0, int)

    def ranks(self, weights: Floats) -> Floats:
        """(b, k) rank of each case, 0..1: the weight below it and half of that beside it, of all (b, k) weights."""
        ends = np.cumsum(weights[:, self._order], axis=1)[:, self._ends]
        middle = (ends + np.pad(ends, ((0, 0), (1, 0)))[:, :-1]) / 2
        ranks = np.empty_like(weights)
        ranks[:, self._order] = metrics.ratio(middle, ends[:, -1:], otherwise=0.5)[:, self._run]
        return ranks


def shortcut(cases: Judged, attribute: Attribute, resamples: Resamples, *, tests: int) -> Shortcut:
    """What one attribute carries, and the figures of each of its levels.

    Args:
        cases: all of them.
        attribute: of the same cases.
        resamples: of the same cases; whole patients.
        tests: attributes that are looked at together; the interval is corrected for their number.
    """
    n = len(cases.target)
    statistic = carried_of(cases, attribute)
    values, samples = point(statistic, n), bootstrap(statistic, resamples)
    plain = estimate(float(values[0]), samples[:, 0], n, note=_why_not(values[0]))
    within = _within(cases, attribute)
    figures, spread = point(within, n), bootstrap(within, resamples)
    rows = []
    for k, level in enumerate(attribute.levels):
        mine = attribute.level == k
        pairs = independent_pairs(cases.group[mine], np.zeros(int(mine.sum()), int), cases.target[mine])
        one_class = "one class only" if np.isnan(figures[1 + k]) else ""
        auroc = estimate(float(figures[1 + k]), spread[:, 1 + k], int(mine.sum()), trials=pairs, note=one_class)
        rows.append(Row(level, int(mine.sum()), int(cases.target[mine].sum()), float(values[1 + k]), auroc))
    same = estimate(
        float(figures[0]), spread[:, 0], n, note="no level holds both classes" if np.isnan(figures[0]) else ""
    )
    corrected = _corrected(plain, samples[:, 0], tests)
    return Shortcut(attribute.name, attribute.title, attribute.source, corrected, plain, same, tuple(rows))


def _within(cases: Judged, attribute: Attribute) -> Statistic:
    """The statistic (b, 1 + levels): AUROC among pairs of one level, and of each level."""
    rows = [np.flatnonzero(attribute.level == k) for k in range(len(attribute.levels))]
    ranked = [metrics.rank(cases.score[r], cases.target[r]) for r in rows]

    def statistic(weights: Floats) -> Floats:
        each = np.stack([metrics.auroc_of(k, weights[:, r]) for k, r in zip(ranked, rows, strict=True)], axis=1)
        sick = np.stack([weights[:, r] @ cases.target[r] for r in rows], axis=1)
        well = np.stack([weights[:, r] @ ~cases.target[r] for r in rows], axis=1)
        together = metrics.ratio(
            np.where(sick * well > 0, sick * well * each, 0).sum(axis=1), (sick * well).sum(axis=1)
        )
        return np.column_stack([together, each])

    return statistic


def _corrected(plain: Estimate, samples: Floats, tests: int) -> Estimate:
    """The figure with an interval that holds for all figures of the audit together."""
    if np.isnan(plain.low):
        return plain
    tail = (1 - LEVEL) / 2 / tests
    low, high = np.quantile(samples[~np.isnan(samples)], [tail, 1 - tail])
    return Estimate(plain.value, float(low), float(high), plain.n, plain.note)


def _why_not(value: float) -> str:
    return "" if np.isfinite(value) else "the attribute and the label go together, and no class holds it in two forms"
