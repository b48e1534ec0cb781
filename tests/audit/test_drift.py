"""Drift: seldom an alarm where there is none, found and named where it was planted, else a reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.audit import drift as module
from osteon.audit.drift import AUROC_SIZES, SIZES, Sample, drift
from osteon.audit.drift_words import name_of
from osteon.audit.tags import coded
from osteon.errors import BadTable, TooFewCases
from tests.audit.drifting import a_sample, by_image

QUICK = {"permutations": 200, "resamples": 100}


def rows_of(found: dict) -> dict[str, dict]:
    return {row["name"]: row for row in found["rows"]}


def test_without_drift_an_alarm_is_as_rare_as_stated():
    alarms = uncorrected = 0
    for seed in range(100):
        told = drift(
            a_sample(40, seed=seed, images=False), a_sample(20, first=100, seed=seed, images=False), seed=seed, **QUICK
        )
        alarms += bool(told["found"])
        uncorrected += any(row["p"] <= 0.05 for row in told["rows"])
    assert alarms / 100 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    assert uncorrected / 100 > 0.2  # seven comparisons, each at 5 %


def test_without_drift_the_embeddings_raise_an_alarm_as_rarely():
    alarms = 0
    for seed in range(40):
        reference, new = a_sample(30, seed=seed), a_sample(20, first=100, seed=seed)
        bare = {"tags": pd.DataFrame(index=range(1)), "statistics": None, "scores": None}
        told = drift(*(replace(s, **{**bare, "tags": s.tags[[]]}) for s in (reference, new)), seed=seed, **QUICK)
        assert [row["kind"] for row in told["rows"]].count("classifier") == 1
        alarms += bool(told["found"])
    assert alarms / 40 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_exchanging_images_instead_of_patients_would_cry_wolf():
    alarms = 0
    for seed in range(12):
        pair = (a_sample(40, seed=seed, images=False), a_sample(20, first=100, seed=seed, images=False))
        # All images of a patient four times: what a folder of near-identical repeats looks like.
        pair = tuple(
            Sample(
                np.concatenate([np.char.add(s.image, f"/{i}") for i in range(4)]),
                np.tile(s.group, 4),
                pd.concat([s.tags] * 4, ignore_index=True),
                pd.concat([s.statistics] * 4, ignore_index=True),
                scores=np.tile(s.scores, 4),
            )
            for s in pair
        )
        alarms += bool(drift(*map(by_image, pair), seed=seed, **QUICK)["found"])
    assert alarms / 12 > 0.5


@pytest.mark.parametrize(
    ("planted", "name", "family"),
    [
        ({"devices": {"A": 0.1, "B": 0.2, "D": 0.7}}, "device", "tags"),
        ({"brightness": 1.5}, "brightness", "statistics"),
        ({"embedding": 2.5}, "classifier", "embeddings"),
        ({"spread": 3.0}, "discrepancy", "embeddings"),
        ({"score": 1.5}, "score", "scores"),
    ],
)
def test_planted_drift_is_found_named_and_nothing_else_is(planted, name, family):
    told = drift(a_sample(80), a_sample(50, first=100, **planted), seed=1, permutations=500, resamples=200)
    row = rows_of(told)[name]
    assert name in told["found"]
    assert {rows_of(told)[other]["family"] for other in told["found"]} == {family}
    assert row["p_corrected"] <= 0.05 < min(r["p_corrected"] for r in told["rows"] if not r["found"])
    assert row["effect"].low > 0
    assert row["observed"] > row["chance"]
    assert "Drift in " in told["sentence"]
    assert f"{name_of(row)} (" in told["sentence"] or name == "discrepancy"


def test_what_is_told_of_a_row_is_what_the_samples_hold():
    reference, new = a_sample(80), a_sample(50, first=100, devices={"A": 0.1, "B": 0.2, "D": 0.7}, brightness=1.5)
    told = rows_of(drift(reference, new, seed=1, **QUICK))
    by_patient = new.tags.groupby(new.group)["device"].first().value_counts(normalize=True)
    (bin_,) = [each for each in told["device"]["bins"] if each["label"] == "D"]
    assert (bin_["reference"], bin_["new"]) == (0, pytest.approx(by_patient["D"]))
    assert told["device"]["told"].startswith("“D”: ")
    before, after = told["brightness"]["middle"]
    assert after - before == pytest.approx(1.5, abs=0.5)
    assert sum(each["new"] for each in told["brightness"]["bins"]) == pytest.approx(1)
    assert set(told) >= {"device", "view", "age_years"}
    assert not set(told) & {"image", "target"}  # no tags


def test_the_interval_holds_the_index_of_the_populations():
    shares = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.3, 0.4])
    truth, held, rng = (
        float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum()),
        0,
        np.random.default_rng(0),
    )
    for seed in range(100):
        sample = []
        for side, number in ((0, 200), (1, 100)):
            codes = rng.choice(list("abc"), number, p=shares[side])
            names = np.array([f"{side}-{i}" for i in range(number)])
            sample.append(Sample(names, names, pd.DataFrame({"tag": codes})))
        (row,) = drift(*sample, seed=seed, permutations=19, resamples=200)["rows"]
        held += row["effect"].low <= truth <= row["effect"].high
    assert 0.88 <= held / 100 <= 0.995


def test_a_quantity_that_is_nearly_always_at_its_end_has_two_bins_and_each_image_one():
    numbers = np.where(np.arange(400) < 380, 100.0, np.arange(400) / 10)
    for values in (numbers, -numbers):
        found = coded(pd.Series(values[::2]), pd.Series(values[1::2]), np.arange(400))
        assert len(set(found.code)) == len(found.labels) == 2
        assert sorted(np.bincount(found.code)) == [20, 380]
    ten = coded(pd.Series(np.arange(100.0)), pd.Series(np.arange(100.0)), np.arange(200))
    np.testing.assert_array_equal(np.bincount(ten.code), np.full(10, 20))


def test_the_sizes_of_an_auroc_are_those_of_the_index_for_two_normals():
    from scipy.stats import norm

    for word, index in SIZES.items():  # of normals δ apart the index is δ², and the AUROC Φ(δ / √2)
        assert AUROC_SIZES[word] == pytest.approx(norm.cdf(np.sqrt(index / 2)), abs=5e-4)


def test_a_reference_that_holds_the_new_patients_is_compared_without_them():
    reference, new = a_sample(60), a_sample(40, first=50)  # patients 50 to 59 are in both
    told = drift(reference, new, seed=0, **QUICK)
    assert told["reference"]["patients"] == 50
    assert "left out of it: 10" in told["notes"][0]
    same_image = replace(new, image=np.where(np.arange(len(new)) == 0, reference.image[0], new.image))
    assert drift(reference, same_image, seed=0, **QUICK)["reference"]["patients"] == 49
    with pytest.raises(TooFewCases, match="every patient of the reference"):
        drift(reference, reference, seed=0)


def test_large_samples_are_thinned_to_whole_patients(monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 60)
    reference = a_sample(60)
    told = drift(reference, a_sample(20, first=100), seed=0, **QUICK)
    assert told["reference"]["images"] <= 60
    assert f"{told['reference']['patients']} at random" in told["notes"][0]


def reasons(told: dict) -> dict[str, str]:
    return {each["name"]: each["reason"] for each in told["missing"]}


def test_what_cannot_be_compared_says_why():
    reference, new = a_sample(40), a_sample(20, first=100)
    told = drift(reference, a_sample(20, first=100, images=False), seed=0, **QUICK)
    assert reasons(told)["embeddings"] == "new studies: no feature bank was given"
    told = drift(reference, replace(new, embedded_by="other", scored_by="another"), seed=0, **QUICK)
    assert reasons(told)["embeddings"] == "those of the reference are by trunk, the new ones by other"
    assert reasons(told)["scores"] == "those of the reference are by model, the new ones by another"
    tags = new.tags.drop(columns="view").assign(note=[f"note {i}" for i in range(len(new))], site="one")
    theirs = reference.tags.assign(note=[f"remark {i}" for i in range(len(reference))], site="one", empty="")
    told = drift(replace(reference, tags=theirs), replace(new, tags=tags.assign(empty="")), seed=0, **QUICK)
    assert reasons(told) == {
        "view": "the new studies have no such column",
        "note": "it names single cases",
        "site": "one value everywhere",
        "empty": "no image states it",
    }
    blank = replace(new, embeddings=np.full_like(new.embeddings, np.nan))
    assert reasons(drift(reference, blank, seed=0, **QUICK))["embeddings"] == "some are not finite numbers"


def test_too_few_new_studies_are_a_reason_and_no_rows():
    told = drift(a_sample(15), a_sample(1, first=100), seed=0)
    assert told["rows"] == []
    assert "1 new patient: 7 comparisons at 0.05 need 140 ways" in reasons(told)["device"]
    assert "and there are 16" in told["sentence"]
    four = drift(a_sample(30), a_sample(4, first=100), seed=0, **QUICK)
    assert "too few patients for a classifier in 5 folds: 4" in reasons(four)["embeddings"]
    assert {row["family"] for row in four["rows"]} == {"tags", "statistics", "scores"}


def test_bad_input_ends_in_a_sentence():
    reference, new = a_sample(20), a_sample(10, first=100)
    with pytest.raises(TooFewCases, match="the new sample holds no image"):
        drift(reference, new.only(np.zeros(len(new), bool)), seed=0)
    with pytest.raises(BadTable, match=r"19 permutations cannot show a level of 0\.01"):
        drift(reference, new, seed=0, level=0.01, permutations=19)
    with pytest.raises(ValueError, match="one row per image"):
        replace(new, scores=new.scores[1:])
    with pytest.raises(ValueError, match="each image once"):
        replace(new, image=np.full(len(new), "same"))


def test_same_seed_same_figures_and_the_order_of_images_does_not_matter():
    reference, new = a_sample(30, images=False), a_sample(20, first=100, images=False)
    told = drift(reference, new, seed=3, **QUICK)
    assert drift(reference, new, seed=3, **QUICK) == told
    order = np.random.default_rng(0).permutation(len(new))
    turned = drift(reference, _reordered(new, order), seed=3, **QUICK)
    assert {n: (r["p"], r["p_corrected"]) for n, r in rows_of(turned).items()} == {
        n: (r["p"], r["p_corrected"]) for n, r in rows_of(told).items()
    }


def _reordered(sample: Sample, order: np.ndarray) -> Sample:
    return replace(
        sample,
        image=sample.image[order],
        group=sample.group[order],
        tags=sample.tags.iloc[order].reset_index(drop=True),
        statistics=sample.statistics.iloc[order].reset_index(drop=True),
        scores=sample.scores[order],
    )


def test_a_quantity_may_be_told_in_any_unit():
    reference, new = a_sample(30, images=False), a_sample(20, first=100, images=False)
    stretched = [replace(s, scores=np.exp(s.scores)) for s in (reference, new)]
    plain, other = (rows_of(drift(*pair, seed=0, **QUICK))["score"] for pair in ((reference, new), stretched))
    assert plain["observed"] == other["observed"]
    assert plain["p"] == other["p"]


cells = st.one_of(st.none(), st.sampled_from(["a", "b", "", "1", "nan", "<b>", "10.5"]), st.floats(-1e6, 1e6).map(str))


@given(
    st.lists(
        st.tuples(cells, st.floats(allow_nan=True, allow_infinity=False), st.integers(0, 9)), min_size=2, max_size=40
    ),
    st.integers(1, 39),
)
@settings(max_examples=60)
def test_any_two_tables_give_probabilities_or_reasons(rows, cut):
    cut = min(cut, len(rows) - 1)
    table = pd.DataFrame({"text": pd.array([r[0] for r in rows], "string"), "number": [r[1] for r in rows]})
    name = np.array([str(i) for i in range(len(rows))])
    group = np.array([f"{i < cut}-{r[2]}" for i, r in enumerate(rows)])
    reference, new = (
        Sample(name[part], group[part], table[part])
        for part in (np.arange(len(rows)) < cut, np.arange(len(rows)) >= cut)
    )
    told = drift(reference, new, seed=0, level=0.3, permutations=30, resamples=20)
    assert {*rows_of(told), *reasons(told)} == {"text", "number", "statistics", "embeddings", "scores"}
    for row in told["rows"]:
        assert 0 < row["p"] <= row["p_corrected"] <= 1
        assert row["effect"].value >= 0
        assert sum(each["reference"] for each in row["bins"]) == pytest.approx(1)
