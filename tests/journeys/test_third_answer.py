"""The learnt third answer from label table to report, on phantoms whose narrowest gaps are called inconclusive."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from osteon import runs, tables

Osteon = Callable[..., tuple[int, str, str]]
UNSURE = 5  # of the 15 fractured patients


def unsure_labels(cohort: Path) -> pd.DataFrame:
    """The label table of a cohort, but the fractures of the narrowest gaps are called undecided."""
    labels = pd.read_csv(cohort / "labels.csv", dtype="string")
    gaps = pd.read_parquet(cohort / "truth.parquet").groupby("study")["gap_mm"].max()
    narrowest = gaps[gaps > 0].nsmallest(UNSURE).index
    return labels.assign(fractured=labels["fractured"].where(~labels["study"].isin(narrowest), "undecided"))


@pytest.fixture(scope="module")
def work(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ingested, prepared and divided with such labels; the features are those of the same images without them."""
    from osteon import verbs
    from osteon.dataset.labels import Columns

    out = tmp_path_factory.mktemp("unsure")
    unsure_labels(path / "cohort").to_csv(out / "labels.csv", index=False)
    verbs.ingest(path / "cohort", out / "ingest", labels=out / "labels.csv", columns=Columns(inconclusive="Undecided"))
    verbs.prepare(out / "ingest", out / "prepared")
    shutil.copytree(path / "features", out / "features")
    verbs.features(out / "prepared", out / "features")
    return out


@pytest.fixture(scope="module")
def trained(work: Path) -> Path:
    from osteon import verbs

    verbs.split(work / "prepared", work / "split", folds=3)
    verbs.train(work / "split", work / "model", bank=work / "features")
    return work


def test_ingest_takes_them_where_the_user_says_so_and_counts_them(work: Path) -> None:
    manifest = tables.read(work / "ingest" / "manifest.parquet", tables.MANIFEST)
    unsure = manifest["inconclusive"] == "1"
    assert manifest.loc[unsure, "patient"].nunique() == UNSURE
    assert manifest.loc[unsure, "target"].isna().all()
    assert manifest.loc[~unsure, "target"].notna().all()
    assert runs.read(work / "ingest").result["inconclusive"] == unsure.sum()


def test_train_learns_a_third_answer_out_of_fold(trained: Path) -> None:
    told = tables.read(trained / "model" / "three_answers.parquet", tables.THREE_ANSWERS)
    manifest = tables.read(trained / "split" / "manifest.parquet", tables.MANIFEST).set_index("image")
    assert sorted(told["image"]) == sorted(manifest.index)
    unsure = manifest.loc[told["image"], "inconclusive"].to_numpy() == "1"
    assert (told["truth"].to_numpy() == "inconclusive").tolist() == unsure.tolist()
    assert told["probability"].notna().all()
    predictions = tables.read(trained / "model" / "predictions.parquet", tables.PREDICTIONS)
    assert set(predictions["image"]) == set(told.loc[~unsure, "image"])  # two answers are learnt from the sure ones


def test_evaluate_judges_it_beside_the_conformal_answer(trained: Path, osteon: Osteon) -> None:
    words = ("evaluate", trained / "model", "--manifest", trained / "split", "--error-rate", 0.25)
    assert osteon(*words, "--out", trained / "report")[0] == 0
    learned = json.loads((trained / "report" / "report.json").read_text())["validation"]["three_way"]["learned"]
    assert learned["inconclusive"] == 2 * UNSURE
    assert {row["by"] for row in learned["rows"]} == {"learnt", "conformal"}
    for row in learned["rows"]:
        assert sum(
            row[word]["value"] for word in ("positive", "inconclusive", "negative", "not available")
        ) == pytest.approx(1, abs=1e-5)
    assert "images that people called inconclusive" in (trained / "report" / "report.html").read_text()


def test_an_alpha_for_which_there_are_too_few_is_not_available_with_the_reason(trained: Path, osteon: Osteon) -> None:
    words = ("evaluate", trained / "model", "--manifest", trained / "split", "--error-rate", 0.02)
    assert osteon(*words, "--out", trained / "strict")[0] == 0
    three = json.loads((trained / "strict" / "report.json").read_text())["validation"]["three_way"]
    assert "an error rate of 0.02 needs 49" in three["reason"]
    assert "an error rate of 0.02 needs 49" in three["learned"]["conformal_reason"]
    assert {row["by"] for row in three["learned"]["rows"]} == {"learnt"}


def test_too_few_to_learn_from_is_a_reason_and_the_report_has_it(trained: Path, tmp_path: Path, osteon: Osteon) -> None:
    from osteon.learn.bank import FeatureBank
    from osteon.learn.crossval import CrossValidation
    from osteon.verbs.doubting import three_answers

    manifest = tables.read(trained / "split" / "manifest.parquet", tables.MANIFEST)
    one = manifest.loc[manifest["inconclusive"] == "1", "patient"].iloc[0]
    few = manifest.assign(inconclusive=(manifest["patient"] == one).map({True: "1", False: "0"}).astype("string"))
    features = FeatureBank.open(trained / "features").array(list(few["image"]))
    unused = CrossValidation(manifest[:0], None, None, {}, (), 0.0, {}, manifest[:0])
    assert three_answers(features, few, unused, "model") == (None, "a training part has no inconclusive image")
    # What `train` then writes: the reason in its record, and no table.
    shutil.copytree(trained / "model", tmp_path / "model")
    (tmp_path / "model" / "three_answers.parquet").unlink()
    record = json.loads((tmp_path / "model" / runs.RECORD).read_text())
    assert record["result"]["three_answers"] == ""
    record["result"]["three_answers"] = "a training part has no inconclusive image"
    (tmp_path / "model" / runs.RECORD).write_text(json.dumps(record))
    assert osteon("evaluate", tmp_path / "model", "--out", tmp_path / "report")[0] == 0
    three = json.loads((tmp_path / "report" / "report.json").read_text())["validation"]["three_way"]
    assert three["learned"]["reason"] == "a training part has no inconclusive image"


def test_sealing_takes_their_answer_away_too(work: Path, osteon: Osteon) -> None:
    assert osteon("split", work / "prepared", "--out", work / "sealed", "--folds", 2, "--test", 0.3)[0] == 0
    manifest = tables.read(work / "sealed" / "manifest.parquet", tables.MANIFEST)
    assert manifest.loc[manifest["fold"] == -1, "inconclusive"].isna().all()
    assert pd.read_parquet(work / "sealed" / "sealed.parquet")["inconclusive"].notna().all()


def test_without_the_word_they_are_refused_and_nothing_is_learnt(
    path: Path, work: Path, tmp_path: Path, osteon: Osteon
) -> None:
    code, said, _ = osteon("ingest", path / "cohort", "--labels", work / "labels.csv", "--out", tmp_path)
    assert code == 0
    assert f"{2 * UNSURE} bad_label" in said
    assert "inconclusive" not in pd.read_parquet(tmp_path / "manifest.parquet")
    assert not (path / "model" / "three_answers.parquet").exists()
    code, _, err = osteon("ingest", path / "cohort", "--inconclusive", "undecided", "--out", tmp_path / "none")
    assert code == 65
    assert "no label table can say inconclusive" in err
