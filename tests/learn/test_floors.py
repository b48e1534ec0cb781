"""Floors see what their name says, learn inside the training part alone, and say so where there is nothing to see."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon import tables
from osteon.errors import NotFound, TooFewCases, UnreadableImage
from osteon.learn.floors import floors
from tests.make import SHARED, some_split_cases


def auroc(predictions: pd.DataFrame, model: str) -> float:
    """Mean over the folds, from the out-of-fold scores."""
    own = predictions[(predictions["model"] == model) & (predictions["part"] == "validation")]
    folds = [roc_auc_score(fold["target"].astype(int), fold["score"]) for _, fold in own.groupby("fold")]
    return float(np.mean(folds))


def scores(predictions: pd.DataFrame, model: str) -> np.ndarray:
    return predictions.loc[predictions["model"] == model, "score"].to_numpy(float)


def test_every_floor_predicts_every_labelled_and_sealed_image_once() -> None:
    cases = some_split_cases(sealed=4)
    cases.loc[5, "target"] = pd.NA  # unlabelled, not sealed
    rows = tables.check(floors(cases).predictions, tables.PREDICTIONS, "floors")
    assert list(rows["model"].unique()) == ["floor:majority", "floor:view", "floor:tags", "floor:size"]
    for _, own in rows.groupby("model"):
        assert sorted(own["image"]) == sorted(cases["image"].drop(5))
        test = own["part"] == "test"
        assert set(own.loc[test, "image"]) == set(cases.loc[cases["fold"] == -1, "image"])
        assert own.loc[test, "target"].isna().all() and own.loc[~test, "target"].notna().all()
        assert own["probability"].between(0, 1).all()


def test_the_majority_floor_is_the_prevalence_of_the_training_part() -> None:
    cases = some_split_cases(patients=33, fractured=0.3)
    rows = floors(cases).predictions
    own = rows[rows["model"] == "floor:majority"]
    for fold, said in own.groupby("fold"):
        training = cases.loc[cases["fold"] != fold, "target"].astype(float)
        # The prior case is worth the prevalence itself and so changes nothing.
        np.testing.assert_allclose(said["probability"], training.mean())
    assert auroc(rows, "floor:majority") == 0.5


def test_the_view_floor_is_the_share_of_fractures_among_training_images_of_that_view() -> None:
    cases = some_split_cases(patients=40)
    sick = cases["target"] == 1
    cases["view"] = np.where(sick & (np.arange(len(cases)) % 3 > 0), "LAT", cases["view"])
    rows = floors(cases).predictions
    own = rows[rows["model"] == "floor:view"].merge(cases[["image", "view"]], on="image")
    for (fold, view), said in own.groupby(["fold", "view"]):
        training = cases[cases["fold"] != fold]
        same = training.loc[training["view"] == view, "target"].astype(float)
        expected = (same.sum() + training["target"].astype(float).mean()) / (len(same) + 1)
        np.testing.assert_allclose(said["probability"], expected)
    assert auroc(rows, "floor:view") > 0.6


def test_a_view_never_seen_in_training_gets_the_prevalence() -> None:
    cases = some_split_cases()
    cases.loc[cases["fold"] == 2, "view"] = "OBL"
    rows = floors(cases).predictions
    odd = rows[(rows["model"] == "floor:view") & (rows["fold"] == 2)]
    training = cases.loc[cases["fold"] != 2, "target"].astype(float)
    np.testing.assert_allclose(odd["probability"], training.mean())


def test_a_telling_tag_lifts_the_tags_floor_alone() -> None:
    cases = some_split_cases(patients=60)
    rng = np.random.default_rng(0)
    wrong = rng.random(len(cases)) < 0.1
    cases["hardware"] = np.where((cases["target"] == 1) ^ wrong, "plate", "none")
    cases["age_years"] = 30.0
    rows = floors(cases).predictions
    assert auroc(rows, "floor:tags") > 0.8
    assert auroc(rows, "floor:view") < 0.6


def test_names_paths_and_the_answer_itself_are_no_tags() -> None:
    plain = some_split_cases(patients=40)
    telling = plain["target"].astype(int)
    cases = plain.assign(
        fractured=telling.astype(str),
        steps=telling.astype(str),
        prepared=telling.astype(str),
        path=telling.astype(str),
        accession=telling.astype(str),
        remark=[f"{t} {i}" for i, t in enumerate(telling)],  # a different text for every image
    )
    with_names, without = floors(cases), floors(plain)
    assert with_names.notes == without.notes
    np.testing.assert_array_equal(
        scores(with_names.predictions, "floor:tags"), scores(without.predictions, "floor:tags")
    )


def test_without_a_varying_tag_the_floor_equals_majority_and_says_so() -> None:
    cases = some_split_cases().assign(view="AP", laterality="L", sex="F", age_years=50.0)
    done = floors(cases)
    assert auroc(done.predictions, "floor:tags") == 0.5
    assert "as the majority floor" in done.notes["floor:tags"]
    assert "as the majority floor" in done.notes["floor:size"]
    tags = done.predictions[done.predictions["model"] == "floor:tags"].set_index("image")["probability"]
    majority = done.predictions[done.predictions["model"] == "floor:majority"].set_index("image")["probability"]
    np.testing.assert_allclose(tags, majority[tags.index], atol=2e-3)


def test_gaps_in_the_tags_are_a_tag_and_no_error() -> None:
    cases = some_split_cases(patients=60)
    cases["age_years"] = cases["age_years"].where(cases["target"] == 0)
    cases["site"] = pd.array(np.where(cases["target"] == 1, None, "A"), dtype="string")
    assert auroc(floors(cases).predictions, "floor:tags") == 1.0


def test_the_size_floor_sees_the_size() -> None:
    cases = some_split_cases(patients=60)
    cases["rows"] = pd.array(np.where(cases["target"] == 1, 600, 512), dtype="Int32")
    assert auroc(floors(cases).predictions, "floor:size") == 1.0


def test_no_floor_profits_from_knowing_the_patient() -> None:
    cases = some_split_cases(patients=60, images_each=6, seed=3)
    cases["surname"] = cases["patient"]  # 60 levels on 360 images: a category, not a name
    cases = cases.assign(view="AP", laterality="", sex="", age_years=50.0)
    done = floors(cases)
    assert auroc(done.predictions, "floor:tags") == 0.5  # no fold knows a surname of another
    everyone = floors(cases.assign(fold=np.arange(len(cases)) % 5, group=cases["image"], patient=cases["image"]))
    assert auroc(everyone.predictions, "floor:tags") > 0.9  # it would have helped in a split by image


def some_pictures(cases: pd.DataFrame, folder: Path) -> dict[str, Path]:
    """Noise with a bright corner where there is a fracture."""
    rng, images = np.random.default_rng(0), {}
    for image, target in zip(cases["image"], cases["target"].fillna(0), strict=True):
        pixels = rng.integers(0, 200, (96, 80), dtype=np.uint8)
        pixels[:12, :12] += np.uint8(40 * target)
        images[image] = folder / f"{image}.png"
        cv2.imwrite(str(images[image]), pixels)
    return images


def test_the_thumbnail_floor_sees_a_bright_corner(tmp_path: Path) -> None:
    cases = some_split_cases(patients=40)
    done = floors(cases, some_pictures(cases, tmp_path))
    assert auroc(done.predictions, "floor:thumbnail") > 0.95
    assert "floor:thumbnail" in floors(cases).notes  # without pictures the note says that it is left out


def test_a_missing_or_broken_picture_is_named(tmp_path: Path) -> None:
    cases = some_split_cases(patients=15)
    images = some_pictures(cases, tmp_path)
    broken = images[cases["image"][3]]
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(UnreadableImage, match=broken.name):
        floors(cases, images)
    broken.unlink()
    with pytest.raises(NotFound, match=str(cases["image"][3])):
        floors(cases, images)


def test_too_few_folds_and_one_class_are_refused() -> None:
    with pytest.raises(TooFewCases, match="inner folds"):
        floors(some_split_cases(folds=2))
    cases = some_split_cases(patients=12, fractured=0.17, folds=3)  # two fractured patients
    with pytest.raises(TooFewCases, match="one class"):
        floors(cases)


@pytest.mark.shared
def test_on_real_radiographs_tags_alone_reach_three_quarters() -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    labels = pd.read_csv(SHARED / "fracatlas" / "labels.csv", dtype=str)
    target, group = labels["fractured"].astype(int), labels["group"]
    cases = some_split_cases(patients=len(labels), images_each=1).assign(
        image=labels["image"],
        target=target,
        group=group,
        patient=group,
        age_years=np.nan,
        sex="",
        view="",
        laterality="",
    )
    cases = cases.assign(**{name: labels[name] for name in labels.columns[3:]})
    for k, (_, held_out) in enumerate(
        StratifiedGroupKFold(5, shuffle=True, random_state=0).split(labels, target, group)
    ):
        cases.loc[held_out, "fold"] = k
    cases = tables.check(cases, tables.MANIFEST, "FracAtlas")
    assert auroc(floors(cases).predictions, "floor:tags") == pytest.approx(0.75, abs=0.02)
