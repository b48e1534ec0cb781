"""Three learnt answers judged: restated by counting, beside the conformal ones, and a reason where there are none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from osteon.errors import BadTable
from osteon.evaluate import conformal
from osteon.evaluate.learned_answers import judge_learned
from osteon.evaluate.page import page
from osteon.evaluate.report import evaluate
from tests.make import some_predictions

WORDS = ("positive", "inconclusive", "negative")


def some_answers(patients: int = 90, *, seed: int = 0, doubt: float = 1.5) -> pd.DataFrame:
    """Two images of each patient, a third of them each inconclusive, positive and negative; folds by patient."""
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(patients), 2)
    truth = np.array(WORDS)[number % 3]
    unsure, side = truth == "inconclusive", np.select([truth == "positive", truth == "negative"], [1.0, -1.0], 0.0)
    odds = 2 * side + rng.normal(size=len(number))
    raw = np.stack([-odds, doubt * (unsure - 0.5) + rng.normal(0, 0.5, len(number)), odds], axis=1)
    p = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "image": [f"{i:04d}" for i in range(len(number))],
            "group": number.astype(str),
            "fold": (number // 3) % 3,
            "truth": truth,
            "answer": np.array(["negative", "inconclusive", "positive"])[p.argmax(axis=1)],
            **{f"p_{word}": p[:, i] for i, word in enumerate(("negative", "inconclusive", "positive"))},
            "probability": 1 / (1 + np.exp(-odds)),
        }
    )


def judged(told: pd.DataFrame, error_rate: float = 0.1) -> dict:
    return judge_learned(told, np.random.default_rng(0), resamples=200, error_rate=error_rate)


def test_shares_are_those_of_counting_for_either_way():
    told = some_answers()
    found = judged(told)
    rows = {(row["by"], row["truth"]): row for row in found["rows"]}
    for word in WORDS:
        mine = told[told["truth"] == word]
        assert rows["learnt", word]["inconclusive"].value == pytest.approx((mine["answer"] == "inconclusive").mean())
    sure, odds = told["truth"] != "inconclusive", np.log(told["probability"] / (1 - told["probability"]))
    right = []
    for f in range(3):
        others, here = sure & (told["fold"] != f), told["fold"] == f
        limits = conformal.fit(odds[others], told["truth"][others] == "positive", told["group"][others])
        mine = here & ~sure
        right += list(limits(odds[mine]).answers() == "inconclusive")
    assert rows["conformal", "inconclusive"]["inconclusive"].value == pytest.approx(np.mean(right))
    assert (found["inconclusive"], found["patients"]) == (60, 90)


def test_the_areas_are_shares_of_ordered_pairs_and_their_difference_is_theirs():
    told = some_answers()
    ranked = judged(told)["ranked"]
    unsure = told["truth"] == "inconclusive"
    pairs = told["p_inconclusive"][unsure].to_numpy()[:, None] - told["p_inconclusive"][~unsure].to_numpy()
    assert ranked["learnt"].value == pytest.approx((pairs > 0).mean())
    assert ranked["learnt"].low < ranked["learnt"].value < ranked["learnt"].high
    assert ranked["gain"].value == pytest.approx(ranked["learnt"].value - ranked["conformal"].value)
    assert ranked["conformal"].value > 0.6  # who is unsure lies between the classes


def test_neither_the_order_of_rows_nor_the_names_of_patients_change_a_figure():
    told = some_answers()
    other = told.sample(frac=1, random_state=1).assign(group=lambda table: "p" + table["group"])
    one, two = judged(told), judged(other)
    assert one["ranked"] == two["ranked"]
    assert one["rows"] == two["rows"]


def test_what_cannot_be_judged_says_why():
    told = some_answers(30)
    assert judged(told, 0.01)["conformal_reason"].count("an error rate of 0.01 needs 99") == 2
    assert {row["by"] for row in judged(told, 0.01)["rows"]} == {"learnt"}
    nobody = told[told["truth"] != "inconclusive"]
    assert judged(nobody)["reason"] == "none of the 40 images are inconclusive"
    assert judged(told.assign(truth="inconclusive"))["reason"] == "all of the 60 images are inconclusive"
    silent = judged(told.assign(probability=np.nan))
    assert silent["conformal_reason"] == "there are no cases to find limits on"
    with pytest.raises(BadTable, match="the column truth of the table of three answers says 'maybe'"):
        judged(told.assign(truth="maybe"))


def test_a_calibration_part_of_one_class_answers_nothing_and_says_so():
    told = some_answers()
    # All positive patients in one fold: the others find no limit for them, and only they could answer it.
    told.loc[told["truth"] == "positive", "fold"] = 0
    rows = {(row["by"], row["truth"]): row for row in judged(told)["rows"]}
    assert rows["conformal", "positive"]["not available"].value == 1
    alone = judged(told[told["truth"] != "positive"])
    assert "0 patients with positive cases; an error rate of 0.1 needs 9" in alone["conformal_reason"]
    assert "conformal" not in alone["ranked"]


def test_the_report_has_it_only_where_it_was_given_and_is_otherwise_the_same():
    predictions = some_predictions(60)
    plain = evaluate(predictions, seed=0, resamples=50)
    assert "learned" not in plain["validation"]["three_way"]
    told = evaluate(predictions, seed=0, resamples=50, learned=some_answers())
    shown = page(told)
    assert "Of 60 images that people called inconclusive, the learnt answer calls " in shown
    assert "Learnt from images" not in page(plain)
    told["validation"]["three_way"].pop("learned")
    assert told == plain
    why = evaluate(predictions, seed=0, resamples=50, learned="a training part has no inconclusive image")
    assert "Not available: a training part has no inconclusive image." in page(why)
