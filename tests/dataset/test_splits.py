from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.dataset import splits
from osteon.errors import BadTable, Leak, TooFewCases
from tests.make import some_cases


@st.composite
def manifests(draw: st.DrawFn) -> pd.DataFrame:
    """Patients of 1 to 4 images with any mixture of labels, unlabelled images among them."""
    patients = draw(st.lists(st.lists(st.sampled_from([0, 1, None]), min_size=1, max_size=4), min_size=1, max_size=25))
    rows = [(f"p{number:02d}", target) for number, targets in enumerate(patients) for target in targets]
    return pd.DataFrame(
        {
            "image": pd.array([f"i{n}" for n in range(len(rows))], "string"),
            "patient": pd.array([patient for patient, _ in rows], "string"),
            "target": pd.array([target for _, target in rows], "Int8"),
        }
    )


def groups_with(cases: pd.DataFrame, target: int) -> int:
    return int(cases.loc[cases["target"].eq(target).fillna(False), "patient"].nunique())


@settings(max_examples=150)
@given(cases=manifests(), folds=st.integers(2, 5), test=st.sampled_from([0.0, 0.2, 0.5]), seed=st.integers(0, 99))
def test_folds_are_disjoint_by_patient_complete_and_have_both_classes_whenever_that_is_possible(
    cases: pd.DataFrame, folds: int, test: float, seed: int
) -> None:
    bins = folds + (test > 0)
    possible = min(groups_with(cases, 0), groups_with(cases, 1)) >= bins
    if not possible:
        with pytest.raises(TooFewCases):
            splits.split(cases, folds=folds, test=test, seed=seed)
        return
    done = splits.split(cases, folds=folds, test=test, seed=seed)
    assert done.groupby("patient")["fold"].nunique().eq(1).all()
    assert set(done["fold"]) == set(range(folds)) | ({splits.SEALED} if test else set())
    assert done.groupby("fold")["target"].nunique().eq(2).all()
    open_rows = np.flatnonzero(done["fold"] != splits.SEALED)
    for fold in splits.folds_of(done):
        assert sorted([*fold.train, *fold.validation]) == list(open_rows)
        assert not set(done["patient"].iloc[fold.train]) & set(done["patient"].iloc[fold.validation])


@settings(max_examples=30)
@given(seed=st.integers(0, 999))
def test_the_split_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    cases = some_cases(40, images_each=2, fractured=0.3)
    shuffled = cases.sample(frac=1, random_state=seed)
    straight = splits.split(cases, folds=4, test=0.2, seed=seed).set_index("image")
    turned = splits.split(shuffled, folds=4, test=0.2, seed=seed).set_index("image")
    pd.testing.assert_frame_equal(straight, turned.loc[straight.index])


@settings(max_examples=20)
@given(seed=st.integers(0, 999))
def test_the_split_does_not_depend_on_what_patients_are_called(seed: int) -> None:
    cases = some_cases(40, images_each=2, fractured=0.3)
    names = cases["patient"].unique()
    called = dict(zip(names, np.random.default_rng(seed).permutation(names), strict=True))
    straight = splits.split(cases, folds=4, test=0.2, seed=seed)
    renamed = splits.split(cases.assign(patient=cases["patient"].map(called)), folds=4, test=0.2, seed=seed)
    assert (straight["fold"] == renamed["fold"]).all()


def test_another_seed_deals_otherwise_and_the_same_seed_the_same() -> None:
    cases = some_cases(40)
    first, again, other = (splits.split(cases, folds=5, seed=seed)["fold"].to_numpy(int) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_shares_of_images_and_classes_come_close_to_what_was_asked() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 6, 300)
    patient = np.repeat([f"p{i:03d}" for i in range(300)], sizes)
    target = (rng.random(len(patient)) < np.repeat(rng.choice([0.05, 0.6], 300), sizes)).astype(int)
    cases = pd.DataFrame({"image": [f"i{n}" for n in range(len(patient))], "patient": patient, "target": target})
    done = splits.split(cases, folds=5, test=0.15, seed=0)
    share = done["fold"].value_counts(normalize=True)
    assert abs(share[splits.SEALED] - 0.15) < 0.01
    assert (share.drop(splits.SEALED) - 0.17).abs().max() < 0.01
    assert (done.groupby("fold")["target"].mean().astype(float) - target.mean()).abs().max() < 0.01


def test_patients_who_share_a_duplicate_image_stay_together() -> None:
    cases = some_cases(12, images_each=1, fractured=0.5)
    same_image = np.arange(12)
    same_image[[0, 5]] = 99  # p000 and p005 show one image, p005 and p009 another
    chained = pd.concat([cases, cases.iloc[[5]].assign(image="f" * 32)], ignore_index=True)
    numbers = np.array([*same_image, 77])
    numbers[9] = 77
    done = splits.split(chained, folds=3, seed=3, duplicates=numbers)
    joined = done.loc[done["patient"].isin(["p000", "p005", "p009"])]
    assert joined["group"].unique().tolist() == ["p000"]
    assert joined["fold"].nunique() == 1
    assert done["group"].nunique() == 10


def test_a_larger_unit_than_the_patient_may_be_kept_together() -> None:
    cases = some_cases(24, hospital=np.repeat(list("ABCDEF"), 8), fractured=0.5)
    done = splits.split(cases, folds=2, seed=0, group_by="hospital")
    assert done.groupby("hospital")["fold"].nunique().eq(1).all()
    assert set(done["group"]) <= set("ABCDEF")


def test_a_leak_is_an_error_that_names_the_patients() -> None:
    done = splits.split(some_cases(20), folds=4, seed=0)
    torn = done["patient"].isin(["p003", "p007", "p011", "p015"]) & (done["view"] == "LAT")
    leaking = done.assign(fold=done["fold"].where(~torn, (done["fold"] + 1) % 4))
    with pytest.raises(Leak, match=r"4 patients are in both train and validation \(p003, p007, p011, …\)"):
        splits.folds_of(leaking)


def test_a_patient_in_the_sealed_share_and_in_training_is_a_leak_too() -> None:
    done = splits.split(some_cases(20), folds=3, test=0.2, seed=0)
    sealed = done.index[done["fold"] == splits.SEALED][0]
    fold = done["fold"].copy()
    fold[sealed] = 0
    with pytest.raises(Leak, match="1 patient is in both the sealed test set and training"):
        splits.folds_of(done.assign(fold=fold))


def test_patients_joined_by_a_duplicate_may_not_be_torn_either() -> None:
    done = splits.split(some_cases(20), folds=4, seed=0).assign(group="one group for all")
    with pytest.raises(Leak, match="1 group is in both train and validation"):
        splits.folds_of(done)


def test_sealing_takes_the_answers_away_and_keeps_them_apart() -> None:
    done = splits.split(some_cases(30), folds=3, test=0.2, seed=5)
    opened, answers = splits.seal(done)
    hidden = done["fold"] == splits.SEALED
    assert opened.loc[hidden, "target"].isna().all()
    assert opened.loc[~hidden, "target"].equals(done.loc[~hidden, "target"])
    assert answers.columns.tolist() == ["image", "target"]
    assert answers.set_index("image")["target"].to_dict() == done[hidden].set_index("image")["target"].to_dict()
    assert len(splits.folds_of(opened)) == 3


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        (some_cases(3, fractured=0.5), "3 patients"),
        (some_cases(20, fractured=0.0), "no image is labelled with the finding"),
        (some_cases(20, fractured=1.0), "no image is labelled without the finding"),
        (some_cases(20, fractured=0.15), "only 3 patients .* with the finding for 5 folds"),
        (some_cases(20).iloc[:0], "0 patients"),
    ],
)
def test_too_few_cases_say_what_is_missing(cases: pd.DataFrame, message: str) -> None:
    with pytest.raises(TooFewCases, match=message) as error:
        splits.split(cases, folds=5, seed=0)
    assert error.value.remedy


def test_a_missing_or_empty_column_is_named() -> None:
    cases = some_cases(10)
    with pytest.raises(BadTable, match="no column 'hospital'"):
        splits.split(cases, folds=2, seed=0, group_by="hospital")
    with pytest.raises(BadTable, match="column patient is empty in 2 of 20 rows"):
        splits.split(cases.assign(patient=cases["patient"].mask(cases["patient"] == "p004", "")), folds=2, seed=0)
    with pytest.raises(BadTable, match="no column 'fold'"):
        splits.folds_of(cases)


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(BadTable, match="1 folds"):
        splits.split(some_cases(10), folds=1, seed=0)
    with pytest.raises(BadTable, match=r"sealed share of 1\.0"):
        splits.split(some_cases(10), folds=2, test=1.0, seed=0)
    whole = splits.split(some_cases(10), folds=2, seed=0)
    with pytest.raises(TooFewCases, match="fewer than two folds"):
        splits.folds_of(whole.assign(fold=0))


def test_a_split_says_what_it_is() -> None:
    done = splits.split(some_cases(20), folds=4, seed=0)
    assert splits.describe(done) == "40 images of 20 groups: 4 folds of 40 images, none sealed."
    sealing = splits.split(some_cases(20), folds=4, test=0.2, seed=0)
    sealed = int((sealing["fold"] == splits.SEALED).sum())
    assert splits.describe(sealing) == f"40 images of 20 groups: 4 folds of {40 - sealed} images, {sealed} sealed."
