"""The section on three answers and the probability elsewhere, each restated by hand."""

from __future__ import annotations

import numpy as np
import pytest

from osteon.errors import BadTable
from osteon.evaluate import conformal, outcomes, prevalence, three_way
from osteon.evaluate.intervals import draw
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.page import page
from osteon.evaluate.report import evaluate
from tests.make import some_cases, some_predictions, with_floors


def judged(patients: int = 150, **options) -> tuple[Outcomes, object]:
    cases = outcomes.collect(outcomes.check(some_predictions(patients, **options)), "validation", ["model"])
    return cases, draw(cases.group, cases.fold, cases.target, np.random.default_rng(0), resamples=200)


def test_the_shares_are_those_of_counting_the_answers_of_each_fold():
    cases, resamples = judged()
    found = three_way.judge_three_way(cases, "model", resamples)
    value, kept, unclear, wrong = cases.pooled("model"), [], [], []
    for f in cases.folds:
        others = cases.fold != f
        limits = conformal.fit(value[others], cases.target[others], cases.group[others]).limits
        low, high = limits[0].value, limits[1].value
        for v in value[(cases.fold == f) & cases.target]:
            kept.append(v >= low)
            unclear.append((v >= low) == (v <= high))
            wrong.append(v < low and v <= high)
    row = found["rows"][0]
    assert (row["of"], row["n"]) == ("positive", len(kept))
    assert row["coverage_of_images"].value == pytest.approx(np.mean(kept))
    assert row["inconclusive"].value == pytest.approx(np.mean(unclear))
    assert row["wrong"].value == pytest.approx(np.mean(wrong))
    assert row["answered"].value == pytest.approx(1 - np.mean(unclear))
    assert row["coverage"].low < row["coverage"].value < row["coverage"].high
    # Two images each: by patient and by image are the same.
    assert row["coverage"].value == pytest.approx(row["coverage_of_images"].value)


def test_a_patient_counts_once_however_many_images_it_has():
    cases, resamples = judged(60, images_each=3)
    few = np.flatnonzero((cases.group % 2 == 0) | (np.arange(len(cases.group)) % 3 == 0))
    part = Outcomes(
        cases.name[few],
        cases.study[few],
        cases.group[few],
        cases.fold[few],
        cases.target[few],
        {"model": cases.scores["model"][few]},
        {"model": cases.probabilities["model"][few]},
    )
    row = three_way.judge_three_way(part, "model", resamples.of(few))["rows"][1]
    sets = conformal.cross_fitted(part.pooled("model"), part.target, part.group, part.fold)
    covered = sets.covered(part.target)
    each = [covered[(part.group == g) & ~part.target].mean() for g in np.unique(part.group[~part.target])]
    assert row["coverage"].value == pytest.approx(np.mean(each))
    assert row["coverage"].value != pytest.approx(row["coverage_of_images"].value, abs=1e-6)


def test_too_few_patients_are_a_reason_and_no_rows():
    cases, resamples = judged(30)
    found = three_way.judge_three_way(cases, "model", resamples, error_rate=0.02)
    assert found["rows"] == []
    assert "an error rate of 0.02 needs 49" in found["reason"]
    one_fold = outcomes.collect(outcomes.check(some_predictions(60, folds=1)), "validation", ["model"])
    assert "one fold" in three_way.judge_three_way(one_fold, "model", resamples)["reason"]


def test_a_stratum_with_too_few_is_counted_and_named():
    cases, resamples = judged(150)
    view = np.where(cases.group < 5, "OBL", "AP").astype(object)
    (strata,) = three_way.judge_three_way(cases, "model", resamples, labels={"View": view})["strata"]
    rare = next(row for row in strata["rows"] if row["value"] == "OBL" and row["of"] == "both")
    assert rare["n"] == 0
    assert rare["not_available"] == (view == "OBL").sum()
    assert str(rare["coverage"]) == "not available (too few patients to find limits on)"
    assert any("of OBL; an error rate of 0.1 needs 9" in limit.note for limit in strata["limits"])


def test_the_report_has_the_section_and_the_page_shows_it():
    manifest = some_cases(60)
    report = evaluate(with_floors(some_predictions(), tags=0.5), manifest, seed=0, resamples=50, prevalence=0.1)
    three = report["validation"]["three_way"]
    assert three["promised"] == 0.9
    assert [row["of"] for row in three["rows"][:3]] == ["positive", "negative", "both"]
    assert {block["column"] for block in three["strata"]} == {"View"}
    shown = page(report)
    assert "<h2>Three answers</h2>" in shown
    assert "What a probability means elsewhere" in shown
    few = evaluate(some_predictions(12), seed=0, resamples=50)
    assert "Not available: " + few["validation"]["three_way"]["reason"] in page(few)
    with pytest.raises(BadTable, match="error rate of 0 "):
        evaluate(some_predictions(12), seed=0, error_rate=0)


def test_the_test_part_is_judged_by_the_limits_of_all_validation_cases():
    table = some_predictions(150)
    test = table["fold"] == 2
    table["part"], table["fold"] = table["part"].where(~test, "test"), table["fold"].where(~test, -1)
    report = evaluate(table, seed=0, resamples=50)
    first, second = (outcomes.collect(outcomes.check(table), part, ["model"]) for part in ("validation", "test"))
    sets = conformal.fit(first.pooled("model"), first.target, first.group)(second.pooled("model"))
    row = report["test"]["three_way"]["rows"][0]
    wanted = sets.covered(second.target)[second.target].mean()
    assert row["coverage_of_images"]["value"] == pytest.approx(wanted, abs=1e-6)


def test_shares_of_any_answers_are_those_of_counting():
    rng = np.random.default_rng(1)
    truth, answer = rng.choice(["positive", "inconclusive", "negative"], (2, 400))
    group = np.arange(400) // 2
    resamples = draw(group, np.zeros(400, int), truth == "positive", rng, resamples=100)
    rows = three_way.shares_of(truth, answer, group, resamples)
    assert [row["truth"] for row in rows] == ["positive", "inconclusive", "negative"]
    for row in rows:
        given = answer[truth == row["truth"]]
        for word in ("positive", "inconclusive", "negative"):
            assert row[word].value == pytest.approx((given == word).mean())
            assert row[word].low < row[word].value < row[word].high


def test_a_probability_elsewhere_is_that_of_a_cohort_thinned_to_the_local_prevalence():
    rng = np.random.default_rng(2)
    n = 60_000
    score = rng.normal(0, 2, n)
    target = rng.random(n) < 1 / (1 + np.exp(-score))
    kept = ~target | (rng.random(n) < 0.1)  # a clinic with a tenth of the fractures per normal image
    local = target[kept].mean()
    told = 1 / (1 + np.exp(-score))
    resamples = draw(np.arange(n), np.zeros(n, int), target, rng, resamples=20)
    for p, figure in zip(
        (0.2, 0.5, 0.8),
        prevalence.local_probabilities(told, target, (0.2, 0.5, 0.8), local, resamples),
        strict=True,
    ):
        near = np.abs(told[kept] - p) < 0.03
        assert figure.value == pytest.approx(target[kept][near].mean(), abs=0.03)
        assert figure.low < figure.value < figure.high


def test_the_interval_of_a_probability_elsewhere_holds_the_truth_as_often_as_it_says():
    rng, held = np.random.default_rng(3), 0
    wanted = 1 / (1 + np.exp(-(0.5 + np.log(0.05 / 0.95))))  # of a score half above even, where 5 % are positive
    for _ in range(200):
        target = rng.random(300) < 0.5
        score = rng.normal(0, 1, 300) + target - 0.5  # two normals, one apart: the log odds are the score itself
        told = 1 / (1 + np.exp(-score))
        resamples = draw(np.arange(300), np.zeros(300, int), target, rng, resamples=150)
        (figure,) = prevalence.local_probabilities(told, target, (1 / (1 + np.exp(-0.5)),), 0.05, resamples)
        held += figure.low <= wanted <= figure.high
    assert 0.90 <= held / 200 <= 0.985


def test_predictive_values_elsewhere_are_those_of_counting_a_thousand():
    cases, resamples = judged(150)
    called = cases.pooled("model") >= 0.5
    (row,) = prevalence.at_prevalences(cases, "model", [0.05], resamples, called=called)
    seen, alarmed = called[cases.target].mean(), called[~cases.target].mean()
    assert row["ppv"].value == pytest.approx(50 * seen / (50 * seen + 950 * alarmed))
    assert row["npv"].value == pytest.approx(950 * (1 - alarmed) / (950 * (1 - alarmed) + 50 * (1 - seen)))
    with pytest.raises(BadTable, match="prevalence of 1 "):
        prevalence.at_prevalences(cases, "model", [1], resamples)
