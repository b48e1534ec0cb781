"""How a broken shaft heals over months, and how raters grade it: the law from which the grades of visits are drawn.

A visit has a stage of healing, standard normal over the visits of a cohort. What a cortex has reached is the stage plus
its own unevenness, and its grade is how many of three cuts that passes. The cuts give each cortex its published share
of grades; the unevenness, which is wide early and all but gone late and which some patients lack altogether, gives the
published correlations and the lumps of the published totals at 4, 8, 12 and 16. A patient keeps it from visit to visit
and the stage only grows, so that no cortex ever falls back.

A rater sees stage and unevenness through noise of one relative variance, which is solved for so that two raters agree
as wanted. Ratings then follow the law of the truth: no rater is harsher than it.

Published figures are those of Hong 2023, counted in the label file of the study. What that file does not say, which is
how fast anybody heals, is judgement: `PACE_SHAPE`, `SHARES`, `CARRIED`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import norm

from osteon.phantom.space import Floats

Grades = NDArray[np.int8]

CORTICES = ("anterior", "posterior", "medial", "lateral")
"""The cortices in the order of every array of grades."""

SHOWN = {"AP": (2, 3), "LAT": (0, 1)}
"""View position → indices of the cortices that it shows in profile."""

COUNTS = np.array([(169, 378, 464, 265), (115, 376, 551, 285), (149, 404, 478, 251), (121, 365, 498, 257)])
"""(4, 4) how often each cortex had each grade."""

TOTALS = np.array([53, 27, 29, 50, 189, 60, 112, 77, 291, 15, 18, 17, 180])
"""(13,) how often a visit had a total of 4 to 16."""

MONTHS = (0, 3, 6, 12)
"""Months since a patient entered the trial, which may be long after the injury."""

SHARES = (0.0, 0.4, 0.7, 1.0)
"""Share of a year's healing that is done by each of MONTHS."""

PACE_SHAPE = 1.5
"""Shape of the gamma distribution of a patient's pace: at its default mean nearly a quarter hardly heal at all."""

CARRIED = 0.5
"""How far a patient's stage belongs to the middle of the own visits, the rest to the middle of all: slow healers are
seen late, so that the month of a visit says less than progress within a patient would have it say."""

ALIKE = 0.58
"""Share of patients whose four cortices heal as one."""

EARLY, LATE, TURN, SLOPE, FAR = 1.512, 0.057, -0.237, 0.740, 1.8
"""Unevenness of the others: its deviation falls from EARLY to LATE as a logistic function of the stage, about TURN with
SLOPE, and beyond FAR deviations it is cut off. As (EARLY − LATE) · FAR < 4 · SLOPE, a cortex always gains as the stage
does. Fitted, with ALIKE, to TOTALS: the total variation distance that is left is 0.08, of which chance in 1,118 visits
explains half; all correlations come to lie between 0.76 and 0.80."""

VISITS_DRAWN = 1 << 15
"""Visits that are drawn to find the noise of raters."""


@dataclass(frozen=True, eq=False)
class Healing:
    """What is true of the healing of n visits.

    Attributes:
        stage: (n,). uneven: (n, 4), standard normal. alike: (n,) bool, whether the unevenness is ignored.
    """

    stage: Floats
    uneven: Floats
    alike: NDArray[np.bool_]

    def grades(self) -> Grades:
        """(n, 4) grades 1..4, in the order of CORTICES."""
        reached = _reached(self.stage[:, None], self.uneven, self.alike[:, None])
        return np.asarray(1 + (reached[..., None] > _cuts()).sum(axis=-1), np.int8)

    def seen(self, noise: float, rng: Generator) -> Healing:
        """The same visits through the eyes of a rater; `noise` is its share of the variance, 0..1."""
        keep, add = np.sqrt(1 - noise), np.sqrt(noise)
        stage = keep * self.stage + add * rng.standard_normal(self.stage.shape)
        return Healing(stage, keep * self.uneven + add * rng.standard_normal(self.uneven.shape), self.alike)


def draw_healing(months: Sequence[int], pace: float, wide: float, rng: Generator) -> Healing:
    """The visits of one patient, at the given months.

    Args:
        months: of the visits, ascending.
        pace: mean growth of the stage in a year, in deviations of the stage between visits.
        wide: deviation between patients, as `deviation_between` gives it.
        rng: source of chance.
    """
    own = rng.gamma(PACE_SHAPE, pace / PACE_SHAPE)
    stage = wide * rng.standard_normal() + own * _progress(months)
    uneven, alike = rng.standard_normal(4), rng.random() < ALIKE
    return Healing(stage, np.tile(uneven, (len(months), 1)), np.full(len(months), alike))


def deviation_between(pace: float, visits: Sequence[float]) -> float:
    """Deviation of the stage between patients that leaves it a variance of 1 over all visits.

    Args:
        pace: mean growth of the stage in a year.
        visits: share of the patients with 1, 2, … visits, each at any months with equal chance.

    Returns:
        The deviation; not a number if progress within patients alone exceeds that variance.
    """
    within = weight = 0.0
    for count, share in enumerate(visits, start=1):
        choices = [_progress(months) for months in combinations(MONTHS, count)]
        within += share * float(np.mean([np.square(c).sum() for c in choices]))
        weight += share * count
    square = pace**2 * (1 + 1 / PACE_SHAPE)  # E[X²] of the gamma distribution
    rest = 1 - square * within / weight
    return float(np.sqrt(rest)) if rest > 0 else float("nan")


@lru_cache(maxsize=16)
def noise_for(icc: float) -> float:
    """The noise of raters at which ICC(2,1) of the total between any two of them is `icc` (0 < icc ≤ 1).

    For raters of equal distribution, ICC(2,1) of many visits is 1 − E[(a − b)²] / (2 Var) (Shrout and Fleiss 1979, case
    2, with no variance between raters). It is solved by bisection on visits that are the same for every call.
    """
    low, high = 0.0, 1.0
    for _ in range(18):
        middle = (low + high) / 2
        low, high = (middle, high) if _agreement(middle) > icc else (low, middle)
    return (low + high) / 2


def _agreement(noise: float) -> float:
    rng = np.random.default_rng(0)
    truth = Healing(
        rng.standard_normal(VISITS_DRAWN), rng.standard_normal((VISITS_DRAWN, 4)), rng.random(VISITS_DRAWN) < ALIKE
    )
    first, second = (truth.seen(noise, rng).grades().sum(axis=1, dtype=float) for _ in range(2))
    return float(1 - np.mean((first - second) ** 2) / (first.var() + second.var()))


def _progress(months: Sequence[int]) -> Floats:
    """Progress at some visits of a patient, relative to where the stage of the patient belongs."""
    done = np.interp(months, MONTHS, SHARES)
    return np.asarray(done - CARRIED * done.mean() - (1 - CARRIED) * np.mean(SHARES))


def _reached(stage: Floats, uneven: Floats, alike: NDArray[np.bool_]) -> Floats:
    spread = LATE + (EARLY - LATE) / (1 + np.exp((stage - TURN) / SLOPE))
    return np.asarray(stage + np.where(alike, 0.0, spread * np.clip(uneven, -FAR, FAR)))


@lru_cache(maxsize=1)
def _cuts() -> Floats:
    """(4, 3) what a cortex must have reached for the grades 2, 3 and 4: quantiles of `_reached` on a fine grid."""
    stage, uneven = (norm.ppf((np.arange(n) + 0.5) / n) for n in (800, 400))
    uneven_ones = _reached(stage[:, None], uneven, np.array(False)).ravel()
    even_ones = np.repeat(stage, len(uneven))
    value = np.concatenate([even_ones, uneven_ones])
    weight = np.repeat([ALIKE, 1 - ALIKE], len(even_ones))
    order = np.argsort(value)
    upto = np.cumsum(weight[order])
    shares = np.cumsum(COUNTS, axis=1)[:, :3] / COUNTS.sum(axis=1, keepdims=True)
    return np.asarray(np.interp(shares, upto / upto[-1], value[order]))
