from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import BadTable, Leak, TooFewCases, UnknownName
from osteon.learn.fold_tables import BY_IMAGE, BY_PATIENT, deal, hide, visible


def some_images(patients: list[int], *, sealed: set[int] = frozenset()) -> pd.DataFrame:  # type: ignore[assignment]
    """A table with so many images of each patient; the patients of those numbers are sealed."""
    owner = np.repeat(np.arange(len(patients)), patients)
    return pd.DataFrame(
        {
            "image": [f"{k * 7919 % 10007:05d}" for k in range(len(owner))],
            "patient": [f"p{k}" for k in owner],
            "fold": np.where(np.isin(owner, list(sealed)), -1, 0),
            "view": np.where(np.arange(len(owner)) % 2, "LAT", "AP"),
        }
    )


@settings(max_examples=60)
@given(
    patients=st.lists(st.integers(1, 6), min_size=6, max_size=40),
    folds=st.integers(2, 5),
    seed=st.integers(0, 1000),
    by_view=st.booleans(),
)
def test_no_patient_is_torn_and_nothing_sealed_is_seen(
    patients: list[int], folds: int, seed: int, by_view: bool
) -> None:
    table = some_images(patients, sealed={0})
    dealt = deal(table, folds, seed=seed, strata=table["view"] if by_view else None)
    assert ((dealt["fold"] == -1) == (table["fold"] == -1)).all()
    assert (dealt.groupby("patient")["fold"].nunique() == 1).all()
    assert set(dealt["fold"]) == {-1, *range(folds)}
    rows, parts = visible(dealt)
    assert set(rows) == set(np.flatnonzero(table["patient"] != "p0"))
    for part in parts:
        both = np.concatenate([part.train, part.validation])
        assert sorted(both) == list(range(len(rows)))
        assert (dealt["fold"].to_numpy()[rows[part.validation]] == part.index).all()
    # The order of the rows is of no account.
    turned = deal(table[::-1], folds, seed=seed, strata=table["view"][::-1] if by_view else None)
    assert turned.sort_index()["fold"].tolist() == dealt["fold"].tolist()


def test_strata_are_spread_evenly() -> None:
    table = some_images([2] * 300)
    grade = pd.Series(np.repeat(np.random.default_rng(0).integers(1, 5, 300), 2))
    grade[0] = 9  # alone in its stratum
    dealt = deal(table, 6, seed=0, strata=table["view"] + grade.astype(str))
    share = pd.crosstab(dealt["fold"], grade, normalize="index")
    assert (share.max() - share.min()).max() < 0.06
    assert deal(table, 6, seed=1)["fold"].tolist() != deal(table, 6, seed=2)["fold"].tolist()


def test_groups_go_before_patients() -> None:
    table = some_images([2] * 20)
    table["group"] = [f"g{int(p[1:]) // 2}" for p in table["patient"]]
    assert (deal(table, 3, seed=0).groupby("group")["fold"].nunique() == 1).all()


def test_folds_by_image_tear_patients_and_are_taken_under_their_name_alone() -> None:
    table = some_images([3] * 40, sealed={1})
    leaky = deal(table, 6, seed=0, protocol=BY_IMAGE)
    assert (leaky.groupby("patient")["fold"].nunique() > 1).mean() > 0.8 and (leaky["fold"] == -1).sum() == 3
    sizes = leaky["fold"][leaky["fold"] >= 0].value_counts()
    assert sizes.max() - sizes.min() <= 1
    with pytest.raises(Leak, match="in both train and validation"):
        visible(leaky)
    rows, folds = visible(leaky, BY_IMAGE)
    assert len(rows) == 117 and len(folds) == 6 and sum(len(f.validation) for f in folds) == 117
    assert BY_IMAGE == "leaky-by-image" and BY_PATIENT == "by-patient"


def test_a_hidden_fold_is_sealed_and_the_rest_is_as_it_was() -> None:
    dealt = deal(some_images([2] * 12, sealed={3}), 4, seed=0)
    hidden = hide(dealt, 2)
    assert set(hidden["fold"]) == {-1, 0, 1, 3}
    same = dealt["fold"] != 2
    assert (hidden["fold"][same] == dealt["fold"][same]).all()
    again = deal(hidden, 2, seed=5)
    assert ((again["fold"] == -1) == (hidden["fold"] == -1)).all()
    for nothing in (-1, 7):
        with pytest.raises(BadTable, match="no fold"):
            hide(dealt, nothing)


def test_bad_tables_end_in_a_clear_error() -> None:
    table = some_images([2] * 5)
    with pytest.raises(UnknownName, match="leaky-by-image"):
        deal(table, 3, seed=0, protocol="by image")
    with pytest.raises(UnknownName, match="by-patient"):
        visible(table, "patient")
    with pytest.raises(BadTable, match="no column patient"):
        deal(table.drop(columns="patient"), 3, seed=0)
    with pytest.raises(BadTable, match="twice"):
        deal(pd.concat([table, table]), 3, seed=0)
    with pytest.raises(TooFewCases, match=r"5 patients \(or groups\) cannot fill 6 folds"):
        deal(table, 6, seed=0)
    with pytest.raises(TooFewCases, match="at least 2"):
        deal(table, 1, seed=0)
    with pytest.raises(TooFewCases, match="10 images"):
        deal(table, 11, seed=0, protocol=BY_IMAGE)
    torn = table.assign(fold=np.arange(10) % 2, group=table["patient"])
    with pytest.raises(Leak):
        visible(torn)
