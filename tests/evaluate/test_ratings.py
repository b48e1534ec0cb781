"""Agreement of raters: what is missing is handled as each statistic allows, and disjoint raters are told so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from osteon.dataset.visits import visits
from osteon.errors import BadTable, TooFewCases
from osteon.evaluate import agreement, ratings
from osteon.tasks.rust import CORTICES
from tests.make import some_visits


def some_ratings(raters: str = "AB", *, patients: int = 30, noise: float = 0.6, seed: int = 0) -> pd.DataFrame:
    """Each rater's grades of the same visits: the true ones with rounded noise."""
    truth = visits(some_visits(patients, seed=seed))
    rng = np.random.default_rng(seed + 1)
    parts = []
    for rater in raters:
        seen = truth[list(CORTICES)].to_numpy(float) + np.rint(rng.normal(0, noise, (len(truth), 4)))
        grades = pd.DataFrame(np.clip(seen, 1, 4), columns=list(CORTICES)).astype("Int8")
        mine = truth[["study", "patient", "month"]].join(grades)
        parts.append(mine.assign(rater=rater, total=grades.sum(axis=1).astype("Float64")))
    return pd.concat(parts, ignore_index=True)


def a_report(rows: pd.DataFrame | None = None, **options) -> dict:
    return ratings.evaluate(some_ratings() if rows is None else rows, **{"seed": 0, "resamples": 100, **options})


def without(rows: pd.DataFrame, wrong: pd.Series) -> pd.DataFrame:
    """The ratings with no grade and no total where `wrong`."""
    return rows.assign(**{name: rows[name].mask(wrong) for name in (*CORTICES, "total")})


def test_two_complete_raters_by_another_road() -> None:
    rows = some_ratings()
    report = a_report(rows)
    first, second = (rows[rows["rater"] == r].set_index("study").sort_index() for r in "AB")
    both = np.column_stack([first["total"], second["total"]]).astype(float)
    (pair,) = report["total"]["pairs"]
    assert (pair["first"], pair["second"], pair["n"]) == ("A", "B", len(first))
    assert pair["icc"]["value"] == pytest.approx(agreement.icc(both).value, abs=1e-6)
    assert report["total"]["icc"]["ICC(2,1)"]["bootstrap"]["value"] == pair["icc"]["value"]
    assert pair["bias"]["value"] == pytest.approx((both[:, 1] - both[:, 0]).mean(), abs=1e-6)
    for cortex in report["cortices"]:
        kappa = cohen_kappa_score(
            first[cortex["cortex"]].astype(int), second[cortex["cortex"]].astype(int), weights="quadratic"
        )
        assert cortex["pairs"][0]["kappa"]["value"] == pytest.approx(kappa, abs=1e-6)


def test_missing_cells_leave_each_statistic_what_it_can_use() -> None:
    rows = some_ratings("ABC", patients=20)
    studies = sorted(rows["study"].unique())
    rows = without(rows, (rows["rater"] == "C") & rows["study"].isin(studies[:10]))
    lone = (rows["study"] == studies[10]) & (rows["rater"] != "A")
    report = a_report(rows[~lone])
    n = {f"{p['first']}{p['second']}": p["n"] for p in report["total"]["pairs"]}
    assert n == {"AB": 39, "AC": 29, "BC": 29}
    assert report["total"]["icc"]["ICC(2,1)"]["bootstrap"]["n"] == 29  # rated by all three
    assert report["total"]["alpha"]["n"] == 39  # rated by two or more
    assert [r["incomplete"] for r in report["raters"]] == [0, 0, 10]


def test_not_scoreable_is_no_grade() -> None:
    rows = some_ratings()
    first = rows.index[rows["rater"] == "A"][:4]
    rows.loc[first, "medial"] = 0
    medial = next(c for c in a_report(rows)["cortices"] if c["cortex"] == "medial")
    assert medial["pairs"][0]["kappa"]["n"] == len(rows) / 2 - 4


def test_raters_without_a_common_case_are_named() -> None:
    rows = some_ratings("ABC")
    odd = rows["study"].str.endswith("1")
    rows = rows[((rows["rater"] == "A") & odd) | ((rows["rater"] == "B") & ~odd) | (rows["rater"] == "C")]
    report = a_report(rows)
    assert report["disjoint"] == [["A", "B"]]
    pair = report["total"]["pairs"][0]
    assert pair["n"] == 0 and pair["kappa"] == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "note": "no common case",
    }
    assert report["total"]["icc"]["ICC(2,1)"]["bootstrap"]["value"] is None
    assert report["total"]["alpha"]["value"] is not None
    assert "no ICC of the total for all together" in ratings.sentence(report)
    with pytest.raises(TooFewCases, match="no two of the 2 raters share a case"):
        a_report(rows[rows["rater"] != "C"])


def test_one_rater_agrees_with_nobody() -> None:
    rows = some_ratings()
    with pytest.raises(TooFewCases, match="one rater only"):
        a_report(rows[rows["rater"] == "A"])
    with pytest.raises(BadTable, match="rates a study twice"):
        a_report(pd.concat([rows, rows.head(1)]))
    with pytest.raises(BadTable, match="names no patient"):
        a_report(rows.assign(patient=""))


def test_the_bootstrap_of_patients_and_the_f_interval_agree_where_visits_are_independent() -> None:
    rows = some_ratings("ABC", patients=150)
    alone = rows[rows["study"].str.endswith("0")]  # one visit of each patient
    found = a_report(alone, resamples=1000)["total"]["icc"]["ICC(2,1)"]
    drawn, by_f = found["bootstrap"], found["by_f"]
    assert drawn["value"] == by_f["value"]
    assert drawn["high"] - drawn["low"] == pytest.approx(by_f["high"] - by_f["low"], rel=0.3)


def test_the_files_hold_the_figures_and_the_names_of_raters_as_text(tmp_path: Path) -> None:
    rows = some_ratings("AB", patients=10)
    report = a_report(rows.assign(rater=rows["rater"].replace("A", "<i>Dr A</i>")), notes=["a note"])
    ratings.write(report, tmp_path)
    assert json.loads((tmp_path / ratings.JSON).read_text(encoding="utf-8")) == report
    page = (tmp_path / ratings.HTML).read_text(encoding="utf-8")
    assert "&lt;i&gt;Dr A" in page and "<i>Dr" not in page and "a note" in page
    assert page.count("<svg") == 1 and "src=" not in page
