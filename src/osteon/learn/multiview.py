"""From the images of a visit to one distribution of grades per cortex, and to the total with an interval that holds.

A network gives each cortex that an image shows a score, and another for whether it can be graded at all. `Fusion`
turns scores into probabilities: a cumulative link per cortex on its own score, that of its neighbour in the image, and
that of the other view of the visit, since the cortices of one bone heal together. No weight is below 0, so that a
higher score never makes a lower grade more likely: the calibration is monotone.

The total is the sum over the four cortices. Its distribution takes them as independent given the images, which they are
not quite, so intervals are not taken from it as they are: `conformal_level` asks how wide they must be to hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from osteon.evaluate.totals import distribution
from osteon.learn.logistic import Array
from osteon.learn.ordinal import CumulativeLink, fit
from osteon.tasks.rust import CORTICES, NOT_SCOREABLE, NOT_VISIBLE, Grades, Score

COVERAGE = 0.95
"""Share of new visits whose total the intervals are to hold."""

PROBABLY = 0.5
"""Probability of being gradable below which a cortex counts as not scoreable, and its visit as incomplete."""

PENALTY = 3e-4
"""Of the weights of a fusion: hardly felt, but it keeps them finite where scores part the grades without an error."""

Bools = NDArray[np.bool_]
Numbers = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class CortexScores:
    """What a network says of the cortices of n images, on its own scale.

    Attributes:
        healed: (n, 4) larger for a higher grade.
        scoreable: (n, 4) log odds that the cortex can be graded.
    """

    healed: Array
    scoreable: Array


@dataclass(frozen=True, eq=False)
class Fusion:
    """From scores to probabilities, one link for each of the four cortices.

    Attributes:
        alone: on the own score and the neighbour's, for an image of a visit without the other view.
        together: on these and on the other view's.
        scoreable: two "grades", cannot and can be scored, from the network's log odds.
    """

    alone: tuple[CumulativeLink, ...]
    together: tuple[CumulativeLink, ...]
    scoreable: tuple[CumulativeLink, ...]

    def __call__(self, scores: CortexScores, shown: Bools, study: Numbers) -> tuple[Array, Array]:
        """Probabilities of the grades (n, 4, g), and of being scoreable (n, 4); NaN for cortices that are not shown.

        Args:
            scores: of n images. shown: (n, 4). study: (n,) number of each image's visit.
        """
        design = _design(scores, shown, study)
        grades = len(self.alone[0].cuts) + 1
        p, can = np.full((*shown.shape, grades), np.nan), np.full(shown.shape, np.nan)
        for place in range(len(CORTICES)):
            mine = shown[:, place]
            single = self.alone[place].probabilities(design[mine, place, :2])
            both = self.together[place].probabilities(design[mine, place])
            p[mine, place] = np.where(np.isnan(both), single, both)
            can[mine, place] = self.scoreable[place].probabilities(scores.scoreable[mine, place, None])[:, 1]
        return p, can


def fit_fusion(scores: CortexScores, shown: Bools, study: Numbers, grades: Grades, score: Score) -> Fusion:
    """The fusion of the most likely grades; each cortex learns from the images that show it and have a grade of it.

    Args:
        scores: of n images, by models that have not seen them. shown: (n, 4). study: (n,).
        grades: (n, 4) 1..4, NOT_SCOREABLE or NOT_VISIBLE.
        score: which grades there are.

    Raises:
        TooFewCases: if a cortex has no grade. If it has none in a visit with both views, the other counts for nothing.
    """
    design, highest = _design(scores, shown, study), score.grades[-1]
    alone, together, scoreable = [], [], []
    for place in range(len(CORTICES)):
        graded = grades[:, place] > NOT_SCOREABLE
        both = graded & ~np.isnan(design[:, place, 2])
        single = fit(design[graded, place, :2], grades[graded, place], highest, penalty=PENALTY, rising=True)
        alone.append(single)
        together.append(
            fit(design[both, place], grades[both, place], highest, penalty=PENALTY, rising=True)
            if both.any()
            else CumulativeLink(np.append(single.weight, 0.0), single.cuts)
        )
        said = grades[:, place] > NOT_VISIBLE
        can = 1 + (grades[said, place] > NOT_SCOREABLE)
        scoreable.append(fit(scores.scoreable[said, place, None], can, 2, penalty=PENALTY, rising=True))
    return Fusion(tuple(alone), tuple(together), tuple(scoreable))


@dataclass(frozen=True, eq=False)
class Visits:
    """What is said of v visits.

    Attributes:
        grades: (v, 4, g) probabilities, averaged over the images that show the cortex; NaN where none does.
        scoreable: (v, 4) probability that the cortex can be graded, averaged likewise.
        totals: (v, t) probability of each total, the lowest first; NaN for a visit without one of its views, or with a
            cortex that probably cannot be graded: a total is never guessed.
        low, high: (v,) the interval of the total; NaN there too.
    """

    grades: Array
    scoreable: Array
    totals: Array
    low: Array
    high: Array

    @property
    def complete(self) -> Bools:
        """(v,) which have a total."""
        return ~np.isnan(self.low)

    def expected(self, score: Score) -> Array:
        """(v,) the mean of each total's distribution."""
        return np.asarray(self.totals @ np.arange(score.lowest, score.highest + 1.0))


def visits_of(
    grades: Array, scoreable: Array, study: Numbers, score: Score, *, level: float | Array = COVERAGE
) -> Visits:
    """The visits of n images.

    Args:
        grades: (n, 4, g) probabilities of the grades; NaN for cortices that are not shown.
        scoreable: (n, 4) of being gradable; NaN there too.
        study: (n,) 0-based number of each image's visit.
        score: which grades there are.
        level: of the intervals, as `conformal_level` found it; a number, or one for each visit (v,).
    """
    told = np.concatenate([grades, scoreable[:, :, None]], axis=2)
    known = ~np.isnan(told).any(axis=2)
    count = np.zeros((int(study.max(initial=-1)) + 1, len(CORTICES)))
    mean = np.zeros((*count.shape, told.shape[2]))
    np.add.at(count, study, known)
    np.add.at(mean, study, np.where(known[:, :, None], told, 0.0))
    mean = np.where(count[:, :, None] > 0, mean / np.maximum(count, 1)[:, :, None], np.nan)
    mean, can = mean[:, :, :-1], mean[:, :, -1]
    whole = (np.nan_to_num(can) >= PROBABLY).all(axis=1)
    totals = np.full((len(count), score.highest - score.lowest + 1), np.nan)
    totals[whole] = distribution(mean[whole])
    low, high = np.full(len(count), np.nan), np.full(len(count), np.nan)
    wanted = np.broadcast_to(np.asarray(level, float), len(count))[whole]
    inside = needed_levels(totals[whole]) <= wanted[:, None] + 1e-12
    low[whole] = score.lowest + inside.argmax(axis=1)
    high[whole] = score.highest - inside[:, ::-1].argmax(axis=1)
    return Visits(mean, can, totals, low, high)


def needed_levels(totals: Array) -> Array:
    """(v, t) the level of the smallest interval that holds each total, from their probabilities (v, t).

    Of a central interval that is 1 − 2 min(P(≤ t), P(≥ t)), which grows to both sides of the median. Median and mean
    are in every interval, with what lies between them: an interval that leaves the expected total out helps nobody.
    """
    upto = np.cumsum(totals, axis=1)
    from_on = np.cumsum(totals[:, ::-1], axis=1)[:, ::-1]
    needed = np.maximum(1 - 2 * np.minimum(upto, from_on), 0.0)
    place = np.arange(totals.shape[1])
    mean, median = (totals @ place)[:, None], needed.argmin(axis=1)[:, None]
    inside = (place >= np.minimum(np.floor(mean), median)) & (place <= np.maximum(np.ceil(mean), median))
    return np.where(inside, 0.0, needed)


def conformal_level(totals: Array, given: Array, score: Score, coverage: float = COVERAGE) -> float:
    """The nominal level at which central intervals hold the total of a new visit with probability `coverage`.

    The ⌈(n + 1) coverage⌉-th smallest of the levels that n visits needed (split conformal prediction, Vovk 2005): it
    asks of the probabilities no more than an order, and of the visits that they are as good as exchangeable.

    Args:
        totals: (n, t) probabilities of the totals of visits that their model has not seen.
        given: (n,) the rater's totals; rows without one, or without probabilities, are left out.
        score: whose totals they are.
        coverage: wanted.

    Returns:
        The level; 1 for fewer than coverage / (1 − coverage) visits: the interval is then the whole range.
    """
    known = ~np.isnan(given) & ~np.isnan(totals).any(axis=1)
    place = given[known].astype(int) - score.lowest
    needed = np.sort(needed_levels(totals[known])[np.arange(len(place)), place])
    rank = int(np.ceil((len(needed) + 1) * coverage - 1e-9))
    return float(needed[rank - 1]) if rank <= len(needed) else 1.0


def _design(scores: CortexScores, shown: Bools, study: Numbers) -> Array:
    """(n, 4, 3) for each cortex: own score, neighbour's, the other view's of the same visit (NaN if there is none).

    The neighbour is the other cortex of the image. The other view's score is the mean over its cortices, each weighted
    by how surely it can be scored.
    """
    own = scores.healed
    surely = np.where(shown, expit(scores.scoreable), 0.0)
    scored = surely * np.where(shown, own, 0.0)
    visits = int(study.max(initial=-1)) + 1
    lateral, frontal = shown[:, 0], shown[:, 2]
    other = np.full(len(study), np.nan)
    for here, there in ((lateral, frontal), (frontal, lateral)):
        weight = np.bincount(study[there], surely[there].sum(axis=1), visits)
        total = np.bincount(study[there], scored[there].sum(axis=1), visits)
        mean = np.divide(total, weight, out=np.full(visits, np.nan), where=weight > 0)
        other[here] = mean[study[here]]
    neighbour = own[:, _NEIGHBOURS]
    return np.stack([own, neighbour, np.broadcast_to(other[:, None], own.shape)], axis=2)


_NEIGHBOURS: Sequence[int] = (1, 0, 3, 2)
"""Place of the other cortex that the same view shows."""
