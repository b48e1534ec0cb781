"""How far a figure may be trusted: 95 % intervals by a bootstrap of whole patients, and DeLong's as its check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, rankdata

from osteon.evaluate.metrics import Floats, Statistic
from osteon.types import Estimate

LEVEL = 0.95
TAIL = (1 - LEVEL) / 2
RESAMPLES = 2000
EXACT = "exact binomial limit"
BLOCK = 2**18  # weights held at once: small enough for the cache, large enough to hide Python


@dataclass(frozen=True, eq=False)
class Resamples:
    """Bootstrap samples of whole groups, drawn once and used for every figure, so that all comparisons are paired.

    Attributes:
        counts: (resamples, groups) how often each group was drawn.
        group: (n,) group number of each case.
        redrawn: draws thrown away because a fold had lost a class.
    """

    counts: NDArray[np.uint8]
    group: NDArray[np.intp]
    redrawn: int = 0

    def weights(self) -> Iterator[Floats]:
        """The samples as weights of the cases, in blocks (b, n)."""
        step = max(1, BLOCK // max(1, len(self.group)))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step].astype(float)[:, self.group]

    def of(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Resamples:
        """The same samples as they weigh some of the cases alone."""
        return Resamples(self.counts, self.group[rows], self.redrawn)

    def first(self, number: int) -> Resamples:
        """The first samples alone, for figures that take long to fit."""
        return Resamples(self.counts[:number], self.group, self.redrawn)


def draw(
    group: NDArray[np.intp],
    fold: NDArray[np.intp],
    target: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> Resamples:
    """Draw groups with replacement within each fold, as many as the fold has.

    A draw that takes a class away from a fold that has both is thrown away and drawn again: the AUROC of that fold
    would not exist. The number of such draws is kept, since it shows how thin the data are.

    Args:
        group: (n,) 0-based group numbers; no group lies in two folds.
        fold: (n,) fold of each case.
        target: (n,) True for positives.
        rng: source of randomness.
        resamples: number of samples.
    """
    # How often a group is drawn is at most the number of groups, and near Poisson(1) for many: a byte holds it.
    counts = np.zeros((resamples, int(group.max()) + 1), np.uint8)
    redrawn = 0
    for f in np.unique(fold):
        members, inverse = np.unique(group[fold == f], return_inverse=True)
        positives = np.bincount(inverse, target[fold == f], len(members))
        negatives = np.bincount(inverse, ~target[fold == f], len(members))
        wanted = np.arange(resamples)
        while wanted.size:
            drawn = _multinomial(len(members), len(wanted), rng)
            counts[wanted[:, None], members] = drawn
            lost = (drawn @ positives == 0) | (drawn @ negatives == 0)
            wanted = wanted[lost] if positives.any() and negatives.any() else wanted[:0]
            redrawn += len(wanted)
    return Resamples(counts, group, redrawn)


def bootstrap(statistic: Statistic, resamples: Resamples) -> Floats:
    """The statistic of every sample: (resamples,) or (resamples, k)."""
    return np.concatenate([statistic(weights) for weights in resamples.weights()])


def point(statistic: Statistic, n: int) -> Floats:
    """The statistic of the data themselves: (), or (k,)."""
    return np.asarray(statistic(np.ones((1, n)))[0])


def estimate(value: float, samples: Floats, n: int, *, trials: int = 0, note: str = "") -> Estimate:
    """A figure with its percentile interval.

    Samples in which the figure does not exist (NaN) are skipped, and the note says how many. A figure that sits at 0 or
    at 1 in every sample has a bootstrap interval without width, which would claim certainty; its open end is then the
    exact binomial (Clopper & Pearson 1934) limit after `trials` independent trials that all went one way.

    Args:
        value: the figure.
        samples: (resamples,) the same figure in every bootstrap sample.
        n: cases behind the figure.
        trials: independent trials behind it (patients, or disjoint pairs of patients for an AUROC); 0 if not known.
        note: what else the reader must know.
    """
    if np.isnan(value):
        return Estimate(float("nan"), n=n, note=note or "not defined on these cases")
    kept = samples[~np.isnan(samples)]
    notes = [note] if note else []
    if kept.size < samples.size:
        notes.append(
            f"{samples.size - kept.size} of {samples.size} resamples skipped, since the figure is not defined there"
        )
    if kept.size < samples.size / 2 or not kept.size:
        return Estimate(float(value), n=n, note="; ".join([*notes, "no interval"]))
    low, high = np.quantile(kept, [TAIL, 1 - TAIL])
    if low == high:
        low, high = _open_end(float(value), trials)
        notes.append(
            "every resample gives the same figure; "
            + ("no interval" if np.isnan(low) else f"{EXACT} for {trials} independent trials")
        )
    return Estimate(float(value), float(low), float(high), n, "; ".join(notes))


def difference(first: Estimate, second: Estimate, samples: Floats) -> Estimate:
    """The first figure less the second, with the interval of their paired difference.

    Where one of the two sits at 0 or 1 in every sample, its own uncertainty is not in the samples. The interval is then
    put together from the two single ones (Zou & Donner 2008) as if the figures were independent, which widens it.

    Args:
        first, second: the two figures, from `estimate`.
        samples: (resamples,) their difference in every bootstrap sample.
    """
    value, n = first.value - second.value, min(first.n, second.n)
    if EXACT not in first.note and EXACT not in second.note:
        return estimate(value, samples, n)
    below, above = ((f.value - f.low, f.high - f.value) if f.low <= f.high else (0.0, 0.0) for f in (first, second))
    low, high = np.hypot(below[0], above[1]), np.hypot(below[1], above[0])
    return Estimate(value, value - float(low), value + float(high), n, "put together from the two single intervals")


def independent_pairs(group: NDArray[np.intp], fold: NDArray[np.intp], target: NDArray[np.bool_]) -> int:
    """Disjoint pairs of a group with a positive and one with a negative, within folds: the trials behind an AUROC."""
    total = 0
    for f in np.unique(fold):
        positive, negative = np.unique(group[(fold == f) & target]), np.unique(group[(fold == f) & ~target])
        total += min(len(positive), len(negative), len(np.union1d(positive, negative)) // 2)
    return total


def delong(scores: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    """AUROC of k models on the same independent cases, and their covariance, after DeLong (1988) as in Sun & Xu (2014).

    Only for data in which every case is a patient of its own; elsewhere the intervals are too narrow.

    Args:
        scores: (k, n), or (n,) for one model.
        target: (n,) 0 or 1.

    Returns:
        (k,) areas and (k, k) covariance.
    """
    values, positive = np.atleast_2d(np.asarray(scores, float)), np.asarray(target) == 1
    x, y = values[:, positive], values[:, ~positive]
    m, n = x.shape[1], y.shape[1]
    # Mid-ranks in the whole less mid-ranks within the class: how many of the other class lie below, ties one half.
    ranks = rankdata(np.hstack([x, y]), axis=1)
    below_x = (ranks[:, :m] - rankdata(x, axis=1)) / n
    above_y = 1 - (ranks[:, m:] - rankdata(y, axis=1)) / m
    covariance = np.atleast_2d(np.cov(below_x)) / m + np.atleast_2d(np.cov(above_y)) / n
    return below_x.mean(axis=1), covariance


def delong_interval(score: ArrayLike, target: ArrayLike) -> Estimate:
    """AUROC with the normal interval of DeLong, cut at 0 and 1. For one case per patient; needs two cases per class."""
    areas, covariance = delong(score, target)
    half = norm.ppf(1 - TAIL) * np.sqrt(covariance[0, 0])
    n = int(np.size(np.asarray(target)))
    return Estimate(float(areas[0]), float(max(0, areas[0] - half)), float(min(1, areas[0] + half)), n, "DeLong")


def _multinomial(groups: int, samples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(samples, groups): how often each group comes up in `groups` draws; one bincount for all samples."""
    drawn = rng.integers(0, groups, (samples, groups)) + groups * np.arange(samples)[:, None]
    return np.bincount(drawn.ravel(), minlength=samples * groups).reshape(samples, groups)


def _open_end(value: float, trials: int) -> tuple[float, float]:
    if trials < 1 or value not in (0.0, 1.0):
        return float("nan"), float("nan")
    limit = TAIL ** (1 / trials)
    return (limit, 1.0) if value == 1.0 else (0.0, 1 - limit)
