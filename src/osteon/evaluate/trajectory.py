"""Healing over months: the totals of one patient's visits with intervals, united or not, and a flag for delayed union.

The flag follows one stated rule (`DelayRule`), and says 'possibly' where the interval of the total reaches the
threshold of united. It describes totals, and is no diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from osteon.drawing import GREEN, INK, LINE, QUIET, drawing
from osteon.errors import BadTable
from osteon.evaluate.figures import CUT, MODEL, SQUARE, WIDE
from osteon.evaluate.report import plain
from osteon.tasks.rust import MODIFIED_RUST, Score

UNITED, NOT_UNITED, UNKNOWN = "united", "not united", "incomplete"
"""What a visit is called: its total, rounded, reaches the threshold, or does not, or there is no total."""

DELAYED, MAYBE, ON_TIME, EARLY, NONE = (
    "delayed union",
    "possibly delayed union",
    "not delayed",
    "too early to say",
    "no total",
)
"""What a patient is called by a `DelayRule`."""


@dataclass(frozen=True)
class DelayRule:
    """When a fracture counts as delayed in its union.

    Judged is the first visit at or after `months` that has a total. If that is united, the patient is 'not delayed'; if
    not, 'delayed union' where the whole interval of the total lies below the threshold, 'possibly delayed union' where
    the interval reaches it. Without such a visit it is 'too early to say', unless an earlier visit is united. Whether a
    delayed fracture united later is told beside the flag.

    Attributes:
        months: since the injury, from which a fracture that is not united is late. Six months is the common clinical
            convention for the tibia, and no more than that.
    """

    months: float = 6.0

    def __post_init__(self) -> None:
        if not self.months > 0:
            raise ValueError(f"a fracture is late after some months, not after {self.months}")

    @property
    def text(self) -> str:
        """The rule in one sentence."""
        return (
            f"delayed union: at the first visit with a total from month {self.months:g} on, the whole interval of the "
            "total lies below the threshold of united; possibly delayed: the total does, the interval reaches it"
        )


@dataclass(frozen=True)
class Visit:
    """One visit: when, its total with its interval (None where incomplete), and what that means."""

    study: str
    month: float
    total: float | None
    low: float | None
    high: float | None
    state: str  # UNITED, NOT_UNITED or UNKNOWN
    sure: bool = False  # the whole interval lies on that side of the threshold
    rated: float | None = None  # by a human, where there is one


@dataclass(frozen=True)
class Trajectory:
    """One patient's visits in the order of months, and what the rule says of them."""

    patient: str
    visits: tuple[Visit, ...]
    flag: str
    reason: str


def trajectories(
    visits: pd.DataFrame, *, score: Score = MODIFIED_RUST, rule: DelayRule | None = None
) -> list[Trajectory]:
    """The trajectory of each patient, by patient.

    Args:
        visits: one row per visit: `patient`, `study`, `month`, `total`, `low`, `high` (missing where the visit is
            incomplete), and `rated` where a human gave a total. An interval that is missing is the total itself.
        score: with the threshold of united.
        rule: for delayed union; by default six months.

    Raises:
        BadTable: if a column is missing, a visit has no month, a study comes twice, an interval does not hold its
            total, or a total is outside the score's range.
    """
    rule = rule or DelayRule()
    table = _checked(visits, score)
    found = []
    for patient, mine in table.groupby("patient", sort=True):
        ordered = [_visit(row, score) for row in mine.sort_values(["month", "study"]).to_dict("records")]
        flag, reason = judge(ordered, score, rule)
        found.append(Trajectory(str(patient), tuple(ordered), flag, reason))
    return found


def judge(visits: Sequence[Visit], score: Score, rule: DelayRule) -> tuple[str, str]:
    """What the rule says of visits in the order of months, and why, in one sentence."""
    told = [visit for visit in visits if visit.total is not None]
    if not told:
        return NONE, "no visit has a total, since each lacks a view or a grade"
    late = [visit for visit in told if visit.month >= rule.months]
    if not late:
        if any(visit.state == UNITED for visit in told):
            first = next(visit for visit in told if visit.state == UNITED)
            return ON_TIME, f"united at month {first.month:g}, before month {rule.months:g}"
        return EARLY, f"no visit with a total from month {rule.months:g} on"
    first = late[0]
    flag = ON_TIME if first.state == UNITED else DELAYED if first.sure else MAYBE
    reason = (
        f"{first.state} at month {first.month:g}: total {first.total:.3g} ({first.low:.3g} to {first.high:.3g}), "
        f"united from {score.united}"
    )
    later = [visit.month for visit in late if visit.state == UNITED]
    return flag, f"{reason}; united at month {later[0]:g}" if later and flag != ON_TIME else reason


def as_json(found: Sequence[Trajectory], *, score: Score = MODIFIED_RUST, rule: DelayRule | None = None) -> Any:
    """The trajectories as JSON can hold them, with the rule and the count of each flag."""
    flags = [trajectory.flag for trajectory in found]
    return plain(
        {
            "score": {"name": score.name, "united": score.united, "lowest": score.lowest, "highest": score.highest},
            "rule": (rule or DelayRule()).text,
            "counts": {flag: flags.count(flag) for flag in (DELAYED, MAYBE, ON_TIME, EARLY, NONE)},
            "patients": [asdict(trajectory) for trajectory in found],
        }
    )


def agreement_of_flags(found: Sequence[Trajectory], rated: Sequence[Trajectory]) -> Mapping[str, Mapping[str, int]]:
    """How often (flag by rated totals, flag by the model's) came together, for the same patients in the same order.

    Raises:
        BadTable: if the patients differ.
    """
    if [one.patient for one in found] != [one.patient for one in rated]:
        raise BadTable("the two sets of trajectories are of different patients", remedy="compare the same cohort")
    flags = (DELAYED, MAYBE, ON_TIME, EARLY, NONE)
    pairs = [(b.flag, a.flag) for a, b in zip(found, rated, strict=True)]
    return {true: {said: pairs.count((true, said)) for said in flags} for true in flags}


def figure(trajectory: Trajectory, *, score: Score = MODIFIED_RUST, rule: DelayRule | None = None) -> str:
    """One patient's totals over months with their intervals, as SVG text.

    Green is united, orange is not; a dot is filled where the whole interval says so. Incomplete visits are marked
    below.
    """
    says = f"Total over months: {trajectory.flag}"
    with drawing(f"trajectory-{trajectory.patient}", WIDE, says) as (canvas, svg):
        axes = canvas.subplots()
        _ground(axes, score, rule or DelayRule())
        told = [(v, v.total) for v in trajectory.visits if v.total is not None]
        axes.plot([v.month for v, _ in told], [total for _, total in told], color=MODEL, lw=1.2)
        for v, total in told:
            axes.vlines(v.month, v.low or 0, v.high or 0, color=MODEL, lw=2, alpha=0.5)
            colour = GREEN if v.state == UNITED else CUT
            axes.plot(v.month, total, "o", color=colour if v.sure else "white", mec=colour, mew=1.5, ms=7, zorder=3)
        rated = [(v.month, v.rated) for v in trajectory.visits if v.rated is not None]
        if rated:
            axes.plot(*zip(*rated, strict=True), "x", color=INK, ms=5, label="rater", zorder=4)
        missing = [v.month for v in trajectory.visits if v.total is None]
        if missing:
            axes.plot(missing, [score.lowest] * len(missing), "|", color=QUIET, ms=10, label="incomplete visit")
        axes.plot([], [], "o-", color=MODEL, ms=5, lw=1.2, label="total, 95 % interval")
        latest = max((v.month for v in trajectory.visits), default=0)
        axes.set_xlim(-0.5, max(12.0, latest) + 0.5)
        axes.set_title(f"{trajectory.flag}: {trajectory.reason}", fontsize=8, color=INK, loc="left", wrap=True)
        canvas.legend(loc="outside lower center", ncols=3)
    return svg.text


def cohort_figure(found: Sequence[Trajectory], *, score: Score = MODIFIED_RUST, rule: DelayRule | None = None) -> str:
    """All patients' totals over months as thin lines, coloured by their flag, and the median of each month bold."""
    colours = {DELAYED: CUT, MAYBE: QUIET, ON_TIME: GREEN, EARLY: MODEL, NONE: QUIET}
    with drawing("trajectories", SQUARE, "Totals over months of all patients") as (canvas, svg):
        axes = canvas.subplots()
        _ground(axes, score, rule or DelayRule())
        for one in found:
            told = [(v.month, v.total) for v in one.visits if v.total is not None]
            if told:
                axes.plot(*zip(*told, strict=True), color=colours[one.flag], lw=0.6, alpha=0.35)
        months = sorted({v.month for one in found for v in one.visits if v.total is not None})
        each = [[v.total for one in found for v in one.visits if v.month == m and v.total is not None] for m in months]
        if months:
            axes.plot(months, [float(np.median(totals)) for totals in each], "o-", color=INK, lw=2, ms=5)
        for flag in (DELAYED, MAYBE, ON_TIME, EARLY):
            count = sum(one.flag == flag for one in found)
            axes.plot([], [], color=colours[flag], lw=1.5, label=f"{flag} ({count})")
        axes.plot([], [], "o-", color=INK, lw=2, ms=4, label="median of the month")
        canvas.legend(loc="outside lower center", ncols=2, fontsize=7)
    return svg.text


def _ground(axes: Axes, score: Score, rule: DelayRule) -> None:
    axes.axhline(score.united, color=GREEN, lw=1, ls="--")
    axes.axvline(rule.months, color=LINE, lw=1.5)
    place = (0.01, score.united)
    axes.annotate(
        f"united from {score.united}",
        place,
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        color=GREEN,
        fontsize=8,
    )
    axes.set(xlabel="months since the injury", ylabel=f"total ({score.name})")
    axes.set_ylim(score.lowest - 0.6, score.highest + 0.8)
    axes.locator_params(axis="y", integer=True)


def _visit(row: Mapping[Any, Any], score: Score) -> Visit:
    total, low, high, rated = (_or_none(row.get(name)) for name in ("total", "low", "high", "rated"))
    if total is None:
        return Visit(str(row["study"]), float(row["month"]), None, None, None, UNKNOWN, rated=rated)
    low, high = total if low is None else low, total if high is None else high
    least, said, most = (np.floor(value + 0.5) >= score.united for value in (low, total, high))
    sure = bool(least) if said else not most
    state = UNITED if said else NOT_UNITED
    return Visit(str(row["study"]), float(row["month"]), total, low, high, state, sure, rated)


def _or_none(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)


def _checked(visits: pd.DataFrame, score: Score) -> pd.DataFrame:
    missing = [name for name in ("patient", "study", "month", "total") if name not in visits]
    if missing:
        raise BadTable(
            f"the table of visits lacks {', '.join(missing)}", remedy="a trajectory needs them for each visit"
        )
    table = visits.reset_index(drop=True)
    _refuse(table["month"].isna(), "no month", "a trajectory is over months since the injury")
    _refuse(table["study"].duplicated(), "a study that another row has too", "give one row per visit")
    for name in ("total", "rated"):
        if name in table:
            values = table[name].astype("Float64")
            outside = values.notna() & ~values.between(score.lowest - 1e-9, score.highest + 1e-9).fillna(True)
            _refuse(outside, f"a {name} outside {score.lowest} to {score.highest}", f"use totals of {score.name}")
    total = table["total"].astype("Float64")
    for name, sign in (("low", 1.0), ("high", -1.0)):
        if name in table:
            beyond = ((table[name].astype("Float64") - total) * sign > 1e-9).fillna(False)
            _refuse(beyond, "a total outside its interval", "give low ≤ total ≤ high")
    return table


def _refuse(wrong: pd.Series, what: str, remedy: str) -> None:
    if count := int(wrong.astype(bool).sum()):
        raise BadTable(f"{count} row{'s' * (count > 1)} of the table of visits have {what}", remedy=remedy)
