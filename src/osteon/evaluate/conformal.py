"""Answers with a stated error rate: split conformal prediction for two classes, by stratum and by patient.

A value that rises with the finding gets two limits, one for each class. What lies above the limit of the positives may
be positive, what lies below that of the negatives may be negative; what may be one alone is answered, what may be both
or neither is inconclusive. Of the cases of each class, at most the stated share is not taken for what it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.metrics import Floats
from osteon.evaluate.patient_quantiles import fewest, highest, tightest

ERROR_RATE = 0.10

EVERYONE = ""
"""The stratum of all cases, where limits are not taken for each stratum by itself."""

POSITIVE, NEGATIVE, INCONCLUSIVE, UNAVAILABLE = "positive", "negative", "inconclusive", "not available"
ANSWERS = (POSITIVE, INCONCLUSIVE, NEGATIVE, UNAVAILABLE)


@dataclass(frozen=True)
class Limit:
    """How far the values of a class reach: its lowest ones for the positives, its highest for the negatives.

    Attributes:
        stratum: whose cases these are, or EVERYONE.
        positive: of which class.
        value: the limit; NaN if there are too few patients for the error rate.
        images, patients: of this class and stratum.
        note: why there is no limit, and how many patients it takes.
    """

    stratum: str
    positive: bool
    value: float
    images: int
    patients: int
    note: str = ""

    @property
    def available(self) -> bool:
        """Whether there were patients enough."""
        return not math.isnan(self.value)


@dataclass(frozen=True, eq=False)
class Sets:
    """What each of n cases may be.

    Attributes:
        positive, negative: (n,) whether the case may be of that class.
        available: (n,) whether there are limits for it.
    """

    positive: NDArray[np.bool_]
    negative: NDArray[np.bool_]
    available: NDArray[np.bool_]

    def answers(self) -> NDArray[np.str_]:
        """(n,) of ANSWERS: a case that may be both or neither is inconclusive."""
        said = np.where(self.positive, POSITIVE, NEGATIVE)
        said = np.where(self.positive == self.negative, INCONCLUSIVE, said)
        return np.where(self.available, said, UNAVAILABLE)

    def covered(self, target: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(n,) whether the truth is among what the case may be."""
        return np.where(target, self.positive, self.negative)


@dataclass(frozen=True)
class Conformal:
    """The limits of both classes, in every stratum.

    Attributes:
        error_rate: share of each class that its limit may leave out, in 0..1 exclusive.
        limits: the positives' before the negatives', stratum by stratum.
    """

    error_rate: float
    limits: tuple[Limit, ...]

    def __call__(self, value: ArrayLike, stratum: ArrayLike | None = None) -> Sets:
        """What cases may be.

        Args:
            value: (n,) on the scale that the limits were found on.
            stratum: (n,) names; None if the limits were found for everyone.
        """
        values = np.asarray(value, float)
        names = _strata(stratum, len(values))
        positive, negative = (np.zeros(len(values), bool) for _ in range(2))
        available = np.zeros(len(values), bool)
        for low, high in zip(self.limits[::2], self.limits[1::2], strict=True):
            rows = names == low.stratum
            available[rows] = low.available and high.available
            positive[rows] = values[rows] >= low.value  # no number is on either side of NaN
            negative[rows] = values[rows] <= high.value
        return Sets(positive & available, negative & available, available)


def fit(
    value: ArrayLike,
    target: ArrayLike,
    group: ArrayLike,
    *,
    error_rate: float = ERROR_RATE,
    stratum: ArrayLike | None = None,
    proven: bool = False,
) -> Conformal:
    """Find the limits of both classes on patients that the model has not seen.

    Each class has a limit of its own (Vovk 2013, label-conditional), so the error rate holds among the fractured and
    among the others, whatever their shares. With strata it holds in each of them (Mondrian; Vovk et al. 2005, section
    4.5). It is an average over calibration sets: with few patients, that of one set may lie off it.

    The limits are those of `tightest`, which keep to the error rate where patients have several images; with `proven`
    they are those of `highest`, which are too careful then, but hold by a theorem. With one image each both are one.

    Args:
        value: (n,) rising with the finding; for several models, a probability that each calibrated by itself.
        target: (n,) 0 or 1.
        group: (n,) patient of each case.
        error_rate: share of each class that may be left out, in 0..1 exclusive.
        stratum: (n,) names of views or body parts, each to have limits of its own; None for the same for everyone.
        proven: whether the error rate must never be exceeded, at the price of more inconclusive cases.

    Raises:
        BadTable: for an error rate outside 0..1 exclusive, or a value that is not finite.
        TooFewCases: without any case.
    """
    values, positive, patient = np.asarray(value, float), np.asarray(target) == 1, np.asarray(group)
    if not 0 < error_rate < 1:
        raise BadTable(f"an error rate of {error_rate} is not between 0 and 1", remedy="give it as a share, e.g. 0.1")
    if not values.size:
        raise TooFewCases("there are no cases to find limits on", remedy="pass predictions of held-out patients")
    if not np.isfinite(values).all():
        raise BadTable("a score is not a finite number", remedy="look at the model that gave it")
    names = _strata(stratum, len(values))
    limits = []
    for name in np.unique(names):
        for of_positives in (True, False):
            rows = (names == name) & (positive == of_positives)
            limits.append(_limit(str(name), of_positives, values[rows], patient[rows], error_rate, proven))
    return Conformal(error_rate, tuple(limits))


def cross_fitted(
    value: Floats,
    target: NDArray[np.bool_],
    group: NDArray[np.intp],
    fold: NDArray[np.intp],
    *,
    error_rate: float = ERROR_RATE,
    stratum: NDArray[np.object_] | None = None,
) -> Sets:
    """What every case may be by the limits found on the cases of all other folds, so that none judges itself.

    Raises:
        TooFewCases: with fewer than two folds.
        BadTable: as `fit`.
    """
    folds = np.unique(fold)
    if len(folds) < 2:
        raise TooFewCases("one fold leaves no other to find limits on", remedy="use two folds or more")
    parts = np.zeros((3, len(value)), bool)
    for f in folds:
        here, others = fold == f, fold != f
        mine, theirs = (None if stratum is None else stratum[rows] for rows in (here, others))
        found = fit(value[others], target[others], group[others], error_rate=error_rate, stratum=theirs)
        sets = found(value[here], mine)
        parts[:, here] = sets.positive, sets.negative, sets.available
    return Sets(*parts)


def _limit(
    stratum: str, positive: bool, values: Floats, group: NDArray[np.generic], error_rate: float, proven: bool
) -> Limit:
    patients, needed = len(np.unique(group)), fewest(error_rate)
    sign = -1.0 if positive else 1.0  # the positives' limit is a lower one
    found = sign * (highest if proven else tightest)(sign * values, group, error_rate)
    if math.isfinite(found):
        return Limit(stratum, positive, found, len(values), patients)
    of = f"{POSITIVE if positive else NEGATIVE} cases" + (f" of {stratum}" if stratum else "")
    note = f"{patients} patient{'s' * (patients != 1)} with {of}; an error rate of {error_rate:g} needs {needed}"
    return Limit(stratum, positive, math.nan, len(values), patients, note)


def _strata(stratum: ArrayLike | None, n: int) -> NDArray[np.str_]:
    return np.full(n, EVERYONE) if stratum is None else np.asarray(stratum).astype(str)
