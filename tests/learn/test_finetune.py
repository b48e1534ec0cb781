"""Fine-tuning over folds: it learns what is planted, beside the floors, and what is sealed changes nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon import tables
from osteon.errors import UnreadableImage
from osteon.learn.averaging import Averaging
from osteon.learn.finetune import fine_tune
from osteon.learn.logs import LOG
from osteon.learn.optimisers import SGD
from osteon.learn.samplers import Balanced
from osteon.learn.scoring import BOTH
from osteon.learn.thawing import Thawing
from tests.learn.training import OPTIONS, a_classifier, assert_equal_to_the_bit, some_pixels
from tests.make import some_split_cases


def a_cohort(folder: Path, patients: int = 40) -> tuple[pd.DataFrame, dict[str, Path]]:
    """Three folds and a sealed part; a bright square where there is a fracture, in the sealed part too."""
    cases = some_split_cases(patients, folds=3, sealed=6, fractured=0.5)
    truth = some_split_cases(patients, folds=3, fractured=0.5)["target"].to_numpy(int)
    images = {}
    for name, pixels in zip(cases["image"], some_pixels(truth), strict=True):
        images[name] = folder / f"{name}.png"
        cv2.imwrite(str(images[name]), pixels)
    return cases, images


def test_all_folds_learn_a_bright_square_and_stand_beside_their_floors(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path)
    options = replace(OPTIONS, epochs=8)
    seen: list[tuple[int, int]] = []
    done = fine_tune(
        cases, images, a_classifier, options, tmp_path / "work", seed=1, progress=lambda *step: seen.append(step)
    )
    rows = tables.check(done.predictions, tables.PREDICTIONS, "the predictions")
    own = rows[rows["model"] == "model"]
    unseen = own[own["part"] == "validation"]
    for _, fold in unseen.groupby("fold"):
        assert roc_auc_score(fold["target"].astype(int), fold["score"]) > 0.9
    test = own[own["part"] == "test"]
    truth = some_split_cases(40, folds=3, fractured=0.5).set_index("image")["target"]
    assert len(test) == 12 and test["target"].isna().all()
    assert roc_auc_score(truth[test["image"]].astype(int), test["score"]) > 0.9
    assert {"floor:majority", "floor:tags", "floor:thumbnail"} < set(rows["model"])
    assert seen[-1] == (4000, 4000) and [s for s, _ in seen] == sorted(s for s, _ in seen)
    assert not list((tmp_path / "work").glob("pixels-*"))
    assert {path.parent.name for path in (tmp_path / "work").rglob(LOG)} == {"fold-0", "fold-1", "fold-2", "final"}
    best = [1 + int(np.argmin([epoch.held_out for epoch in run])) for run in done.epochs]
    assert done.notes["model"] == f"best of 8 epochs in the folds: {best[0]}, {best[1]}, {best[2]}; " + (
        f"for the final model: {best[3]}"
    )
    assert "fine-tuned" in done.classifier.trunk.spec.weights

    # A second call finds every checkpoint finished, and says the same.
    again = fine_tune(cases, images, a_classifier, options, tmp_path / "work", seed=1)
    pd.testing.assert_frame_equal(again.predictions, done.predictions, check_exact=True)
    assert (again.calibration, again.thresholds) == (done.calibration, done.thresholds)
    assert_equal_to_the_bit(again.classifier, done.classifier)


def test_all_options_reach_every_fold(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path, patients=30)
    options = replace(
        OPTIONS,
        epochs=9,
        optimiser=SGD(5.0, momentum=0.9),
        thawing=Thawing((("head", 0),)),
        averaging=Averaging(0.9),
        scoring=BOTH,
        sampler=Balanced(),
        patience=1,
    )
    work, cache = tmp_path / "work", tmp_path / "cache"
    done = fine_tune(cases, images, a_classifier, options, work, seed=1, cache=cache)
    assert_equal_to_the_bit(done.classifier.trunk, a_classifier().trunk)
    lengths = [len(run) for run in done.epochs]
    assert min(lengths) < 9 and re.search(rf"\d of {lengths[0]}, \d of {lengths[1]}", done.notes["model"])
    (kept,) = cache.iterdir()
    before = kept.stat().st_mtime_ns
    again = fine_tune(cases, images, a_classifier, options, work, seed=1, cache=cache)
    pd.testing.assert_frame_equal(again.predictions, done.predictions, check_exact=True)
    assert kept.stat().st_mtime_ns == before  # decoded once


def test_sealed_targets_and_a_folds_own_targets_change_nothing_in_it(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path, patients=30)
    options = replace(OPTIONS, epochs=1)
    plain = fine_tune(cases, images, a_classifier, options, tmp_path / "a", seed=1).predictions
    other = cases.copy()
    sealed, own = (cases["fold"] == -1).to_numpy(bool), (cases["fold"] == 0).to_numpy(bool)
    other.loc[sealed, "target"] = 1
    betrayed = fine_tune(other, images, a_classifier, options, tmp_path / "b", seed=1).predictions
    pd.testing.assert_frame_equal(plain, betrayed, check_exact=True)
    other.loc[own, "target"] = 1 - other.loc[own, "target"]
    flipped = fine_tune(other, images, a_classifier, options, tmp_path / "c", seed=1).predictions
    for model in ("model", "floor:thumbnail"):
        here, there = (p[(p["model"] == model) & (p["fold"] == 0)]["probability"] for p in (plain, flipped))
        np.testing.assert_allclose(here, there, atol=1e-3 if model != "model" else 0)


def test_an_unreadable_image_is_refused_before_training_starts(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path, patients=30)
    last = images[cases["image"].iloc[-1]]
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(UnreadableImage, match=last.name):
        fine_tune(cases, images, a_classifier, OPTIONS, tmp_path / "work", seed=1)
    assert not list((tmp_path / "work").iterdir())
