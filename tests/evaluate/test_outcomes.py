"""What breaks the contract of the predictions table is refused, and the refusal names it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from osteon.errors import BadTable, Leak, TooFewCases
from osteon.evaluate import outcomes
from tests.make import some_predictions, with_floors


def changed(row: int, column: str, value: object) -> pd.DataFrame:
    table = some_predictions()
    table.loc[row, column] = value
    return table


def with_test_part(sealed: bool) -> pd.DataFrame:
    """Fold 2 becomes the test part."""
    table = some_predictions()
    test = table["fold"] == 2
    table["part"] = table["part"].where(~test, "test")
    table["fold"] = table["fold"].where(~test, -1)
    return table.assign(target=table["target"].where(~test)) if sealed else table


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (some_predictions().drop(columns="score"), "lacks the column score"),
        (changed(3, "score", np.inf), "score is not a number"),
        (changed(3, "probability", 1.2), "probability is outside 0..1"),
        (changed(3, "probability", pd.NA), "missing where the model gives it elsewhere"),
        (changed(3, "part", "holdout"), "neither validation nor test"),
        (changed(3, "group", pd.NA), "column group is empty"),
        (changed(3, "target", 2), "neither 0 nor 1"),
        (changed(3, "image", some_predictions()["image"][4]), "for a second time"),
    ],
)
def test_a_broken_table_is_refused_by_what_is_wrong(table, says):
    with pytest.raises(BadTable, match=says):
        outcomes.check(table)


def test_a_patient_in_two_folds_is_a_leak_and_is_named():
    table = some_predictions()
    table.loc[table["group"] == "p007", "fold"] = [0, 1]
    with pytest.raises(Leak, match=r"1 group is in several folds \(p007\)"):
        outcomes.check(table)


def test_a_patient_in_validation_and_test_is_a_leak():
    table = with_test_part(sealed=False)
    first = table.index[table["part"] == "test"][0]
    table.loc[first, ["part", "fold"]] = ["validation", 0]
    with pytest.raises(Leak, match="both the validation and the test part"):
        outcomes.check(table)


def test_a_table_of_test_rows_alone_is_no_evaluation():
    with pytest.raises(TooFewCases, match=r"no row .* is part 'validation'"):
        outcomes.check(some_predictions().assign(part="test", fold=-1))


def test_one_class_is_no_evaluation():
    table = some_predictions().assign(target=1)
    with pytest.raises(TooFewCases, match="all 120 cases of the validation part are positive"):
        outcomes.collect(table, "validation", ["model"])


def test_models_are_compared_on_the_same_cases_only():
    table = with_floors(some_predictions(), tags=0.5)
    models = ["model", "floor:tags"]
    with pytest.raises(BadTable, match="differ in 1 images"):
        outcomes.collect(table.drop(index=table.index[-1]), "validation", models)
    for column, value in (("fold", 7), ("group", "p999"), ("target", 1 - int(table["target"].iloc[-1]))):
        other = table.copy()
        other.loc[other.index[-1], column] = value
        with pytest.raises(BadTable, match=f"disagree about the {column} of 1 images"):
            outcomes.collect(other, "validation", models)


def test_the_order_of_the_table_is_no_matter():
    table = with_floors(some_predictions(), tags=0.5)
    first, second = (
        outcomes.collect(t, "validation", ["model", "floor:tags"])
        for t in (table, table.sample(frac=1, random_state=0))
    )
    np.testing.assert_array_equal(first.name, second.name)
    np.testing.assert_array_equal(first.group, second.group)
    for model in ("model", "floor:tags"):
        np.testing.assert_array_equal(first.scores[model], second.scores[model])


def test_without_probabilities_the_score_is_pooled():
    table = some_predictions()
    assert outcomes.collect(table, "validation", ["model"]).pooled("model").max() <= 1
    bare = outcomes.collect(table.drop(columns="probability"), "validation", ["model"])
    np.testing.assert_array_equal(bare.pooled("model"), bare.scores["model"])


def test_sealed_targets_come_back_from_the_sealed_table():
    table, opened = with_test_part(sealed=True), with_test_part(sealed=False)
    assert outcomes.is_sealed(table)
    truth = opened.loc[opened["part"] == "test", ["image", "target"]]
    found = outcomes.unseal(table, truth)
    assert not outcomes.is_sealed(found)
    pd.testing.assert_series_equal(found["target"], opened["target"])
    with pytest.raises(BadTable, match="2 rows of the test part have no sealed target"):
        outcomes.unseal(table, truth.iloc[2:])
