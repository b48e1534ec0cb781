"""A worklist put in order by a model: how much earlier fractures are read, and what the normal images pay.

Days are simulated: radiographs arrive by a Poisson process, each is read by the next reader who is free, and the order
decides which one that is. All orders see the same arrivals, the same cases and the same reading times.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.intervals import RESAMPLES, estimate
from osteon.evaluate.metrics import Floats
from osteon.types import Progress, silent

DAY = 24 * 60.0

PROFILE = (4, 3, 2, 2, 2, 2, 3, 5, 8, 10, 11, 11, 10, 9, 9, 10, 11, 12, 12, 11, 10, 8, 7, 5)
"""Arrivals of each hour from midnight on, relative to each other: an emergency department with peaks before noon and in
the early evening. Assumed, not measured: give the hours of your own department."""

FIRST_COME, BY_SCORE, BY_SCORE_AGED = "first come", "by score", "by score, with ageing"
ORDERS: Mapping[str, str] = {
    FIRST_COME: "the one that has waited longest is read next",
    BY_SCORE: "the one with the highest score is read next",
    BY_SCORE_AGED: "a score of 1 is worth the patience in minutes: who comes later than that overtakes nobody",
}
"""Order → which radiograph is read next."""

TIMES = ("mean", "median", "ninth_decile")


@dataclass(frozen=True)
class Worklist:
    """The department that is simulated.

    Attributes:
        arrivals_per_day: expected number of radiographs.
        readers: who read at any hour.
        reading_minutes: mean time that one takes.
        variation: standard deviation of that time over its mean; gamma distributed, 1 is exponential, 0 constant.
        prevalence: share of the radiographs with the finding.
        patience_minutes: by how much a score of 1 moves a radiograph ahead, in the order with ageing.
        profile: relative arrivals of each hour of the day.
    """

    arrivals_per_day: float = 200.0
    readers: int = 1
    reading_minutes: float = 5.0
    variation: float = 0.7
    prevalence: float = 0.15
    patience_minutes: float = 120.0
    profile: tuple[float, ...] = PROFILE

    def __post_init__(self) -> None:
        if not (self.arrivals_per_day > 0 and self.reading_minutes > 0 and self.readers >= 1):
            raise ValueError(f"arrivals, readers and reading time are positive, not {self}")
        if not (self.variation >= 0 and self.patience_minutes >= 0 and 0 < self.prevalence < 1):
            raise ValueError(f"variation and patience are not negative, and the prevalence lies in 0..1, not {self}")
        if len(self.profile) != 24 or min(self.profile) < 0 or sum(self.profile) <= 0:
            raise ValueError("a profile has 24 numbers, none negative and not all 0")

    @property
    def load(self) -> float:
        """Share of their time that the readers read, on average; from 1 on, the worklist grows without end."""
        return self.arrivals_per_day * self.reading_minutes / (DAY * self.readers)

    def describe(self) -> str:
        """The department in one sentence."""
        return (
            f"{self.arrivals_per_day:g} radiographs a day, {self.prevalence:.3g} of them with the finding, "
            f"{self.readers} reader{'s' * (self.readers > 1)} round the clock, {self.reading_minutes:g} minutes each "
            f"(± {self.variation * self.reading_minutes:.2g}), busy for {self.load:.0%} of the time"
        )


@dataclass(frozen=True, eq=False)
class Arrivals:
    """What comes in, in the order in which it comes.

    Attributes:
        at: (n,) minutes.
        minutes: (n,) reading time of each.
        case: (n,) row of the predictions that it is.
    """

    at: Floats
    minutes: Floats
    case: NDArray[np.intp]


def triage(
    score: ArrayLike,
    target: ArrayLike,
    rng: np.random.Generator,
    worklist: Worklist | None = None,
    *,
    days: int = 200,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Time to read by each order of the worklist, for radiographs with the finding and without.

    Each day is simulated by itself, between a day before, so that it does not begin with an empty worklist, and a day
    after, so that its last cases may be overtaken. Cases are drawn from the predictions with replacement, at the
    prevalence of the worklist. The time to read is that from arrival until the reading is done.

    Args:
        score: (n,) probability, or another score in 0..1, of cases that the model has not seen.
        target: (n,) 0 or 1.
        rng: source of randomness.
        worklist: the department; None takes the defaults of `Worklist`.
        days: simulated.
        progress: told of days.

    Returns:
        `worklist`, `load` and `about` the department; `orders`, for each order and each kind (`positive`, `negative`,
        `all`) the `mean`, `median` and `ninth_decile` of a day in minutes, as the mean over days with its interval, and
        the `longest` of all days; `saved`, the minutes less than by first come, paired by day. Intervals are 95 %, over
        days; they do not hold the uncertainty of the scores, nor that of the assumptions.

    Raises:
        BadTable: for a score outside 0..1.
        TooFewCases: if all targets are of one class, there are fewer than two days, or the load is 1 or more.
    """
    worklist = worklist or Worklist()
    scores, positive = np.asarray(score, float), np.asarray(target) == 1
    if not ((scores >= 0) & (scores <= 1)).all():
        raise BadTable("a score lies outside 0..1", remedy="order by calibrated probabilities")
    if positive.all() or not positive.any():
        raise TooFewCases("a worklist needs cases of both classes", remedy="pass predictions of both")
    if days < 2:
        raise TooFewCases("one day has no interval", remedy="simulate two days or more")
    if worklist.load >= 1:
        raise TooFewCases(
            f"the readers would be busy for {worklist.load:.0%} of the time, and the worklist would never end",
            remedy="add readers, or take fewer or shorter readings",
        )
    times = np.full((days, len(ORDERS), 3, len(TIMES)), np.nan)
    longest = np.zeros((len(ORDERS), 3))
    for day in range(days):
        come = arrivals(worklist, positive, rng, days=3)
        today = (come.at >= DAY) & (come.at < 2 * DAY)
        kinds = (today & positive[come.case], today & ~positive[come.case], today)
        for i, order in enumerate(ORDERS):
            until = simulate(come, urgency(order, come, scores, worklist.patience_minutes), worklist.readers)
            until = until + come.minutes - come.at
            for k, kind in enumerate(kinds):
                if kind.any():
                    times[day, i, k] = until[kind].mean(), *np.quantile(until[kind], (0.5, 0.9))
                    longest[i, k] = max(longest[i, k], until[kind].max())
        progress(day + 1, days)
    drawn = rng.multinomial(days, np.full(days, 1 / days), RESAMPLES) / days
    return {
        "worklist": asdict(worklist),
        "load": worklist.load,
        "about": worklist.describe(),
        "days": days,
        "orders": [_told(order, times, longest, drawn) for order in ORDERS],
    }


def arrivals(worklist: Worklist, positive: NDArray[np.bool_], rng: np.random.Generator, *, days: int) -> Arrivals:
    """What comes in on so many days: a Poisson process whose rate follows the hours of the profile.

    Args:
        worklist: the department.
        positive: (n,) of the cases that are drawn from.
        rng: source of randomness.
        days: from minute 0 on.
    """
    share = np.asarray(worklist.profile) / np.sum(worklist.profile)
    numbers = rng.poisson(np.tile(share * worklist.arrivals_per_day, days))
    begin = np.repeat(np.arange(24 * days) * 60.0, numbers)
    at = np.sort(begin + rng.uniform(0, 60.0, len(begin)))
    n = len(at)
    ill = rng.random(n) < worklist.prevalence
    case = np.where(ill, rng.choice(np.flatnonzero(positive), n), rng.choice(np.flatnonzero(~positive), n))
    if worklist.variation:
        shape = 1 / worklist.variation**2
        minutes = rng.gamma(shape, worklist.reading_minutes / shape, n)
    else:
        minutes = np.full(n, worklist.reading_minutes)
    return Arrivals(at, minutes, case)


def urgency(order: str, come: Arrivals, scores: Floats, patience_minutes: float) -> Floats:
    """(n,) what an order sorts by, the smallest first; equal ones go by arrival.

    With ageing it is the arrival less patience times score. That is fixed once a radiograph has come, and still bounds
    the wait of normal ones: an image can only be overtaken by those that came at most the patience after it.
    """
    keys: Mapping[str, Callable[[], Floats]] = {
        FIRST_COME: lambda: come.at,
        BY_SCORE: lambda: -scores[come.case],
        BY_SCORE_AGED: lambda: come.at - patience_minutes * scores[come.case],
    }
    return keys[order]()


def simulate(come: Arrivals, key: Floats, readers: int) -> Floats:
    """(n,) minute at which each radiograph begins to be read, when the smallest key that waits is read next.

    A reader who is free takes the next one at once, and finishes it before another.
    """
    start = np.empty(len(come.at))
    free = [-math.inf] * readers  # when each reader is; all equal, so a heap already
    waiting: list[tuple[float, int]] = []
    at, minutes, keys = come.at.tolist(), come.minutes.tolist(), key.tolist()
    n, come_in = len(at), 0
    while come_in < n or waiting:
        # The next reading begins when a reader is free and something is there.
        now = free[0] if waiting else max(free[0], at[come_in])
        while come_in < n and at[come_in] <= now:
            heapq.heappush(waiting, (keys[come_in], come_in))
            come_in += 1
        case = heapq.heappop(waiting)[1]
        start[case] = now
        heapq.heapreplace(free, now + minutes[case])
    return start


def _told(order: str, times: Floats, longest: Floats, drawn: Floats) -> dict[str, Any]:
    """The figures of one order."""
    i = list(ORDERS).index(order)
    row: dict[str, Any] = {"name": order, "rule": ORDERS[order]}
    for k, kind in enumerate(("positive", "negative", "all")):
        mine, first = times[:, i, k], times[:, list(ORDERS).index(FIRST_COME), k]
        row[kind] = {
            **{name: _over_days(mine[:, t], drawn) for t, name in enumerate(TIMES)},
            "longest": float(longest[i, k]),
            "saved": {name: _over_days((first - mine)[:, t], drawn) for t, name in enumerate(TIMES)},
        }
    return row


def _over_days(values: Floats, drawn: Floats) -> Any:
    """The mean over the days that have such a case, with its interval over resampled days (resamples, days)."""
    there = np.isfinite(values)
    if not there.any():
        return estimate(math.nan, np.empty(0), 0, note="no day had such a case")
    share = drawn[:, there]
    total = share.sum(axis=1)
    samples = np.divide(share @ values[there], total, out=np.full(len(total), np.nan), where=total > 0)
    return estimate(float(values[there].mean()), samples, int(there.sum()))
