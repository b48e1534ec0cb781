"""Are two samples of patients alike? Stability index, discrepancy and classifier, by permuting whole patients.

A patient counts once, however many images it has: of each column every patient has a row of shares, and a sample is the
mean of its patients' rows. Patients are what is exchanged between the samples to see what chance does, and what is
drawn again for intervals. So every statistic here is a function of weights, one per patient and side.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from osteon.evaluate.metrics import Floats

FOLDS = 5
"""Of the classifier; a sample of fewer patients cannot be told apart by one."""

RIDGE = 0.1
"""Penalty of the classifier, in units of the mean variance of its inputs and of the patients that it learns from."""

WAVES = 256
"""Random Fourier features of the discrepancy's kernel; the error of a kernel value is about one over their root."""

_DIGITS = 10  # to which statistics of two permutations count as equal: sums in another order differ in the last bits
_BLOCK = 250  # permutations that are held at once

Statistic = Callable[[Floats, Floats], Floats]
"""Weights of the patients in the reference and in the new sample, (k, patients) each → (k,) values."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Which patients are new: as they came, as chance would have it, and as other samples might have been.

    Attributes:
        new: (patients,) bool.
        permuted: (permutations, patients) bool, as many new ones in each.
        counts: (resamples, patients), how often a bootstrap of each sample by itself drew each patient.
    """

    new: NDArray[np.bool_]
    permuted: NDArray[np.bool_]
    counts: Floats

    def chance(self, statistic: Statistic) -> Floats:
        """(1 + permutations,) the statistic as it came, then as chance has it."""
        labels = np.concatenate([self.new[None], self.permuted]).astype(float)
        blocks = (labels[start : start + _BLOCK] for start in range(0, len(labels), _BLOCK))
        return np.concatenate([statistic(1 - block, block) for block in blocks])

    def again(self, statistic: Statistic) -> Floats:
        """(resamples,) the statistic of the bootstrap samples."""
        blocks = (self.counts[start : start + _BLOCK] for start in range(0, len(self.counts), _BLOCK))
        return np.concatenate([statistic(block * ~self.new, block * self.new) for block in blocks])


def draw(new: NDArray[np.bool_], rng: np.random.Generator, *, permutations: int, resamples: int) -> Draws:
    """Exchange patients between the samples, and draw each sample again.

    Args:
        new: (patients,) whether each patient is of the new sample.
        rng: source of randomness.
        permutations, resamples: how many.
    """
    permuted = rng.permuted(np.broadcast_to(new, (permutations, len(new))), axis=1)
    counts = np.zeros((resamples, len(new)))
    for side in (False, True):
        members = np.flatnonzero(new == side)
        counts[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return Draws(new, permuted, counts)


def shares_of(code: NDArray[np.intp], group: NDArray[np.intp], bins: int) -> Floats:
    """(patients, bins) the share of each patient's images in each bin.

    Args:
        code: (n,) 0-based bin of each image.
        group: (n,) 0-based patient of each image.
        bins: their number.
    """
    patients = int(group.max()) + 1
    counts = np.bincount(group * bins + code, minlength=patients * bins).reshape(patients, bins)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def stability(shares: Floats) -> Statistic:
    """The population stability index Σ (q - p) ln(q / p) over bins, of the shares p and q of the two samples.

    It is the symmetrised Kullback-Leibler divergence (Jeffreys 1946). Each bin gets half a patient more on either side,
    so that an empty one is not infinitely far.

    Args:
        shares: (patients, bins), from `shares_of`.
    """
    bins = shares.shape[1]

    def side(weights: Floats) -> Floats:
        patients = weights.sum(axis=1, keepdims=True)
        return np.asarray((weights @ shares + 0.5) / (patients + bins / 2))

    def statistic(reference: Floats, new: Floats) -> Floats:
        p, q = side(reference), side(new)
        return np.asarray(((q - p) * np.log(q / p)).sum(axis=1))

    return statistic


def waves_of(x: Floats, group: NDArray[np.intp], rng: np.random.Generator) -> Floats:
    """(patients, WAVES) the mean of each patient's random Fourier features of a Gaussian kernel (Rahimi & Recht 2007).

    The width of the kernel is the median distance between images, of both samples together.

    Args:
        x: (n, d) of each image.
        group: (n,) 0-based patient of each image.
        rng: source of randomness.
    """
    one, other = rng.integers(0, len(x), (2, 2000))
    apart = np.linalg.norm(x[one] - x[other], axis=1)
    width = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    phase = x @ (rng.normal(size=(x.shape[1], WAVES)) / width) + rng.uniform(0, 2 * np.pi, WAVES)
    return means_of(math.sqrt(2 / WAVES) * np.cos(phase), group)


def means_of(values: Floats, group: NDArray[np.intp]) -> Floats:
    """(patients, d) the mean over each patient's images of (n, d) values."""
    total = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(total, group, values)
    return np.asarray(total / np.bincount(group)[:, None])


def discrepancy(waves: Floats) -> Statistic:
    """The squared maximum mean discrepancy (Gretton et al. 2012, equation 3) of patients, unbiased.

    Pairs of one patient with itself are left out, in a bootstrap too, where it may come up twice; so like samples have
    an expectation of 0.

    Args:
        waves: (patients, features), from `waves_of`.
    """
    squares = (waves**2).sum(axis=1)

    def within(weights: Floats, total: Floats) -> Floats:
        pairs = weights.sum(axis=1) ** 2 - (weights**2).sum(axis=1)
        return np.asarray(((total**2).sum(axis=1) - weights**2 @ squares) / pairs)

    def statistic(reference: Floats, new: Floats) -> Floats:
        p, q = reference @ waves, new @ waves
        between = (p * q).sum(axis=1) / (reference.sum(axis=1) * new.sum(axis=1))
        return np.asarray(within(reference, p) + within(new, q) - 2 * between)

    return statistic


@dataclass(frozen=True, eq=False)
class Told:
    """What a classifier of two samples reached.

    Attributes:
        chance: (1 + permutations,) its AUROC as the samples came, then where it learnt and judged permuted ones.
        again: (resamples,) its AUROC on bootstrap samples, what it learnt held fixed.
    """

    chance: Floats
    again: Floats


def classify(x: Floats, group: NDArray[np.intp], draws: Draws, rng: np.random.Generator) -> Told:
    """How well ridge regression tells new images from reference ones, out of fold (Lopez-Paz & Oquab 2017).

    Patients are dealt to folds at random, whichever sample they are of, and scores are compared within folds, pooled
    over them by pairs: a fold that happens to hold more new patients shifts its scores, and must not be rewarded for
    it. What is learnt is linear in the labels, so that a permutation costs a product of matrices and no fit.

    Args:
        x: (n, d) of each image.
        group: (n,) 0-based patient of each image.
        draws: of these patients.
        rng: source of randomness.
    """
    weight = 1 / np.bincount(group)[group]
    fold = (rng.permutation(int(group.max()) + 1) % FOLDS)[group]
    labels = np.concatenate([draws.new[None], draws.permuted])
    chance, again = (np.zeros((2, size)) for size in (len(labels), len(draws.counts)))
    for f in range(FOLDS):
        here, others = fold == f, fold != f
        mine = group[here]
        learnt = _ridge(x[others], weight[others], group[others], len(draws.new)) @ x[here].T
        for start in range(0, len(labels), _BLOCK):
            rows = slice(start, start + _BLOCK)
            called = labels[rows].astype(float)
            chance[:, rows] += _ordered(called @ learnt, labels[rows][:, mine], weight[None, here])
        score = draws.new.astype(float) @ learnt
        again += _ordered(score[None], draws.new[None, mine], weight[here] * draws.counts[:, mine])
    with np.errstate(invalid="ignore", divide="ignore"):  # no pair in any fold: not a number, and so it is told
        return Told(chance[0] / chance[1], again[0] / again[1])


def _ridge(x: Floats, weight: Floats, group: NDArray[np.intp], patients: int) -> Floats:
    """(patients, d) what takes labels of patients to slopes: weighted ridge regression with a free intercept."""
    centred = x - weight @ x / weight.sum()
    heavy = centred * weight[:, None]
    moments = centred.T @ heavy
    penalty = RIDGE * np.trace(moments) / len(moments)
    by_patient = np.zeros((patients, x.shape[1]))
    np.add.at(by_patient, group, heavy)
    return np.asarray(np.linalg.solve(moments + penalty * np.eye(len(moments)), by_patient.T).T)


def _ordered(score: Floats, new: NDArray[np.bool_], weight: Floats) -> Floats:
    """(2, k) weight of the pairs of a new and a reference image whose scores are in order, and of all pairs.

    Args:
        score, new, weight: (k, n) each, or (1, n) for the same in every row.
    """
    shape = np.broadcast_shapes(score.shape, new.shape, weight.shape)
    order = np.broadcast_to(np.argsort(score, axis=1, kind="stable"), shape)
    mine, theirs = (np.take_along_axis(np.broadcast_to(weight * side, shape), order, axis=1) for side in (new, ~new))
    below = np.cumsum(theirs, axis=1)
    return np.stack([(mine * below).sum(axis=1), mine.sum(axis=1) * below[:, -1]])


def p_values(chance: Floats) -> Floats:
    """(1 + permutations, k) how often chance reaches at least the statistic of each row, the row itself included."""
    rounded = np.round(chance, _DIGITS)
    return np.asarray(rankdata(-rounded, method="max", axis=0) / len(rounded))


def corrected(p: Floats) -> Floats:
    """(k,) p-values of the first row, corrected for k comparisons: step-down minP (Westfall & Young 1993, 2.6).

    The probability that any of the comparisons without a difference falls below a level is at most that level. As the
    permutations are the same for all comparisons, those that say the same thing are not paid for twice.

    Args:
        p: (1 + permutations, k), from `p_values`.
    """
    order = np.argsort(p[0], kind="stable")
    least = np.minimum.accumulate(p[:, order][:, ::-1], axis=1)[:, ::-1]
    stepped = np.maximum.accumulate((least <= p[0, order]).mean(axis=0))
    found = np.empty(p.shape[1])
    found[order] = stepped
    return found


def fewest_arrangements(comparisons: int, level: float) -> int:
    """How many ways to choose the new patients among all there must be, for the rarest to be an alarm at all."""
    return math.ceil(comparisons / level)
