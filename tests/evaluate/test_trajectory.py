"""Trajectories: ordered, never filled in, and flagged by the rule as it is stated."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from osteon.errors import BadTable
from osteon.evaluate import trajectory
from osteon.evaluate.trajectory import DELAYED, EARLY, MAYBE, NONE, ON_TIME, DelayRule
from osteon.tasks.rust import RUST


def some(*visits: tuple, patient: str = "p1") -> pd.DataFrame:
    """Visits of (month, total, low, high)."""
    rows = [
        {"patient": patient, "study": f"{patient}-{i}", "month": m, "total": t, "low": low, "high": high}
        for i, (m, t, low, high) in enumerate(visits)
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("month", "total", "low", "high"), "Float64"))


@pytest.mark.parametrize(
    ("visits", "flag"),
    [
        ([(0, 5, 4, 7), (6, 10, 8, 12)], DELAYED),
        ([(0, 5, 4, 7), (6, 13.5, 11.5, 15.5)], MAYBE),
        ([(0, 5, 4, 7), (6, 14.6, 12.5, 16)], ON_TIME),  # an expected total of 14.6 is called 15
        ([(0, 5, 4, 7), (6, 14.4, 13, 14.4)], DELAYED),
        ([(0, 5, 4, 7), (3, 9, 7, 11)], EARLY),
        ([(0, 5, 4, 7), (5, 16, 14, 16)], ON_TIME),
        ([(0, 5, 4, 7), (6, None, None, None)], EARLY),
        ([(0, None, None, None)], NONE),
        ([(6, 10, 8, 12), (12, 16, 14, 16)], DELAYED),
        ([(6, None, None, None), (12, 16, 14, 16)], ON_TIME),
        ([(6, 12, None, None)], DELAYED),  # a total without an interval is its own
    ],
)
def test_the_flag_is_that_of_the_stated_rule(visits: list, flag: str) -> None:
    (found,) = trajectory.trajectories(some(*visits))
    assert found.flag == flag
    assert found.reason


def test_a_delayed_fracture_that_unites_later_is_told_so() -> None:
    (found,) = trajectory.trajectories(some((6, 10, 8, 12), (12, 16, 14, 16)))
    assert found.reason == "not united at month 6: total 10 (8 to 12), united from 15; united at month 12"


def test_months_and_threshold_can_be_set() -> None:
    visits = some((3, 9, 8, 9), (6, 11, 10, 12))
    assert trajectory.trajectories(visits, score=RUST)[0].flag == ON_TIME
    assert trajectory.trajectories(visits, score=RUST, rule=DelayRule(months=3))[0].flag == DELAYED
    assert "from month 3 on" in DelayRule(months=3).text
    with pytest.raises(ValueError, match="after some months"):
        DelayRule(months=0)


def test_visits_are_put_in_order_and_incomplete_ones_kept() -> None:
    (found,) = trajectory.trajectories(some((6, 10, 8, 12), (0, 5, 4, 7), (3, None, None, None)))
    assert [v.month for v in found.visits] == [0, 3, 6]
    assert found.visits[1].total is None and found.visits[1].state == "incomplete"


def test_the_json_holds_the_rule_the_counts_and_every_visit() -> None:
    table = pd.concat([some((6, 10, 8, 12)), some((6, 16, 15, 16), patient="p2")])
    found = trajectory.trajectories(table)
    content = trajectory.as_json(found)
    assert json.loads(json.dumps(content)) == content
    assert content["counts"] == {DELAYED: 1, MAYBE: 0, ON_TIME: 1, EARLY: 0, NONE: 0}
    assert [p["patient"] for p in content["patients"]] == ["p1", "p2"]
    assert content["patients"][1]["visits"][0]["sure"] is True
    assert content["rule"] == DelayRule().text


def test_the_flags_of_a_model_beside_those_of_the_rater() -> None:
    said = trajectory.trajectories(pd.concat([some((6, 10, 8, 12)), some((6, 13, 12, 15), patient="p2")]))
    rated = trajectory.trajectories(pd.concat([some((6, 11, 11, 11)), some((6, 15, 15, 15), patient="p2")]))
    both = trajectory.agreement_of_flags(said, rated)
    assert both[DELAYED][DELAYED] == 1 and both[ON_TIME][MAYBE] == 1
    with pytest.raises(BadTable, match="different patients"):
        trajectory.agreement_of_flags(said, rated[:1])


def test_what_cannot_be_a_trajectory_is_refused() -> None:
    good = some((0, 5, 4, 7), (6, 10, 8, 12))
    for wrong, says in (
        (good.drop(columns="month"), "lacks month"),
        (good.assign(month=pd.NA), "2 rows of the table of visits have no month"),
        (good.assign(study="s"), "a study that another row has too"),
        (good.assign(total=17, high=18), "a total outside 4 to 16"),
        (good.assign(low=11), "a total outside its interval"),
        (good.assign(high=4), "a total outside its interval"),
    ):
        with pytest.raises(BadTable, match=says):
            trajectory.trajectories(wrong)


def test_the_figures_are_the_same_bytes_and_hold_what_they_draw() -> None:
    table = some((0, 5, 4, 7), (3, None, None, None), (6, 10, 8, 12)).assign(rated=[5.0, 9.0, None])
    (found,) = trajectory.trajectories(table)
    drawn = trajectory.figure(found)
    assert drawn == trajectory.figure(found)
    assert "incomplete visit" in drawn and "rater" in drawn and "delayed union" in drawn
    assert "median of the month" in trajectory.cohort_figure([found])
    assert trajectory.cohort_figure(trajectory.trajectories(some((0, None, None, None)))).startswith("<svg")
