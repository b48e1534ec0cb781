"""Whole networks on the 18 labels: they learn what is planted, per fold, and a leak needs its own name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon.errors import BadTable, Leak
from osteon.learn.backbones import open_backbone
from osteon.learn.end_to_end import CURVES, MEAN, EndToEnd, best_epoch_of, curves_of, train_end_to_end
from osteon.learn.heads import Network
from osteon.learn.objectives import LABELS, Epoch
from osteon.learn.optimisers import Adam
from osteon.learn.search.hong import TRAINING, hong_network
from osteon.learn.search.lenet import lenet
from osteon.tasks import rust

SIDE = 24
QUICK = replace(TRAINING, epochs=3, batch=32, optimiser=Adam(2e-3))


def a_cohort(folder: Path, *, patients: int = 24, side: int = SIDE) -> tuple[pd.DataFrame, dict[str, Path]]:
    """Three folds and a sealed one of patients with an AP and a lateral image; brightness tells the view."""
    rng = np.random.default_rng(0)
    rows, images = [], {}
    for patient in range(patients):
        grade = int(rng.integers(1, 5))
        for view in ("AP", "LAT"):
            name = f"p{patient:02d}-{view}"
            pixels = rng.integers(0, 100, (side, side), dtype=np.uint8) + (100 if view == "AP" else 0)
            images[name] = folder / f"{name}.png"
            cv2.imwrite(str(images[name]), pixels.astype(np.uint8))
            shown = {cortex: grade if cortex in rust.SHOWN[view] else None for cortex in rust.CORTICES}
            fold = patient % 4 - 1
            rows.append(
                {"image": name, "patient": f"p{patient}", "group": f"p{patient}", "view": view, "fold": fold, **shown}
            )
    return pd.DataFrame(rows).astype(dict.fromkeys(rust.CORTICES, "Int8")), images


def small_lenet(fold: int) -> Network:
    return lenet((SIDE, SIDE), seed=fold)


def run(
    cohort: pd.DataFrame,
    images: dict[str, Path],
    folder: Path,
    fresh: Callable[[int], Network] = small_lenet,
    **options,
) -> EndToEnd:
    return train_end_to_end(cohort, images, fresh, options.pop("how", QUICK), folder, seed=1, **options)


def test_lenet_learns_the_view_out_of_fold_and_in_the_sealed_part(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path)
    seen: list[tuple[int, int]] = []
    done = run(cohort, images, tmp_path / "work", progress=lambda *step: seen.append(step))
    assert done.probabilities.shape == (48, 18) and ((done.probabilities > 0) & (done.probabilities < 1)).all()
    sealed, ap = cohort["fold"] == -1, cohort["view"] == "AP"
    for part in (sealed, *(cohort["fold"] == fold for fold in (0, 1, 2))):
        assert roc_auc_score(ap[part], done.probabilities[part, rust.LABELS.index("AP")]) > 0.95
    assert list(done.kept) == [0, 1, 2] and seen[-1] == (3000, 3000) and "24×24" in done.network
    assert not list((tmp_path / "work").glob("*.npy"))

    curves = done.curves
    assert tuple(curves) == CURVES and len(curves) == (3 + 1) * 3 * 2
    wide = curves.pivot_table(index=["part", "epoch"], columns="fold", values="auroc")
    np.testing.assert_allclose(wide[MEAN], wide[[0, 1, 2]].mean(axis=1))
    best = wide.loc["validation", [0, 1, 2]]
    assert done.kept == {fold: int(best[fold].to_numpy().argmax()) + 1 for fold in (0, 1, 2)}
    assert done.best_fold == int(best.max().idxmax())
    assert done.best_epoch == int(wide.loc["validation", MEAN].idxmax())
    # The validation figure of a fold at its kept epoch is that of the probabilities that are handed on.
    target = rust.one_hot(cohort[list(rust.CORTICES)].fillna(-1).to_numpy(int), cohort["view"].tolist())
    for fold in (0, 1, 2):
        rows = (cohort["fold"] == fold).to_numpy()
        both = [k for k in range(18) if 0 < target[rows, k].sum() < rows.sum()]
        mean = np.mean([roc_auc_score(target[rows, k], done.probabilities[rows, k]) for k in both])
        assert mean == pytest.approx(best.loc[done.kept[fold], fold])

    again = run(cohort, images, tmp_path / "work")  # finds every checkpoint finished
    np.testing.assert_array_equal(again.probabilities, done.probabilities)
    pd.testing.assert_frame_equal(again.curves, done.curves, check_exact=True)


def test_sealed_grades_change_nothing(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)
    how = replace(QUICK, epochs=1)
    known = run(cohort, images, tmp_path / "known", how=how)
    sealed = cohort["fold"] == -1
    hidden = cohort.assign(**{cortex: cohort[cortex].mask(sealed) for cortex in rust.CORTICES})
    np.testing.assert_array_equal(run(hidden, images, tmp_path / "hidden", how=how).probabilities, known.probabilities)


def test_runs_on_the_same_images_share_what_was_decoded(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)
    how, cache = replace(QUICK, epochs=1), tmp_path / "cache"
    own, written = run(cohort, images, tmp_path / "own", how=how), set[int]()
    for number in range(2):
        shared = run(cohort, images, tmp_path / f"run-{number}", how=how, cache=cache)
        np.testing.assert_array_equal(shared.probabilities, own.probabilities)
        assert not list((tmp_path / f"run-{number}").glob("*.npy"))
        (held,) = cache.iterdir()
        written.add(held.stat().st_mtime_ns)
    assert len(written) == 1


def test_copies_are_no_cases_of_their_own(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)
    copies = cohort.assign(copy_of=["p00-AP", *[pd.NA] * (len(cohort) - 1)])
    with pytest.raises(BadTable, match="1 rows of the manifest are copies"):
        run(copies, images, tmp_path / "work")


def test_the_last_epoch_can_be_taken_in_place_of_the_best(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)
    how = replace(QUICK, epochs=2, objective=replace(LABELS, chooses="last"))
    assert set(run(cohort, images, tmp_path / "work", how=how).kept.values()) == {2}


def test_inception_trains_end_to_end_at_75_pixels(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=8, side=75)
    cohort["fold"] = cohort["fold"].clip(lower=0) % 2

    def fresh(fold: int) -> Network:
        return hong_network(open_backbone("inception_v3", "random", seed=fold), frozen=False, dropout=0.1, seed=fold)

    done = run(cohort, images, tmp_path / "work", fresh, how=replace(TRAINING, epochs=2, batch=16))
    assert np.isfinite(done.probabilities).all() and np.isfinite(done.curves[["loss", "auroc"]].to_numpy()).all()
    assert "inception_v3 (random, seed 0), end to end" in done.network


@pytest.mark.parametrize("frozen", [True, False])
def test_bfloat16_and_a_frozen_trunk_go_through_the_same_loop(tmp_path: Path, frozen: bool) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)

    def fresh(fold: int) -> Network:
        return hong_network(open_backbone("test_resnet", "random"), frozen=frozen, seed=fold)

    done = run(cohort, images, tmp_path / "work", fresh, how=replace(QUICK, epochs=1, bf16=True))
    assert np.isfinite(done.probabilities).all()


def test_a_patient_in_two_folds_is_refused_unless_it_is_called_what_it_is(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)
    by_image = cohort.assign(fold=np.arange(len(cohort)) % 3)
    with pytest.raises(Leak):
        run(by_image, images, tmp_path / "work")
    done = run(by_image, images, tmp_path / "work", how=replace(QUICK, epochs=1), leaky_by_image=True)
    assert np.isfinite(done.probabilities).all()


def test_what_cannot_be_trained_on_is_refused_first(tmp_path: Path) -> None:
    cohort, images = a_cohort(tmp_path, patients=12)
    with pytest.raises(BadTable, match="no column medial"):
        run(cohort.drop(columns="medial"), images, tmp_path / "work")
    with pytest.raises(BadTable, match="is one of"):
        run(cohort.assign(medial=5), images, tmp_path / "work")
    with pytest.raises(ValueError, match="auroc"):
        run(
            cohort, images, tmp_path / "work", how=replace(QUICK, objective=replace(LABELS, figures={}, chooses="loss"))
        )
    assert not (tmp_path / "work").exists()


def test_the_best_epoch_is_that_of_the_mean_curve() -> None:
    def epoch(auroc: float) -> Epoch:
        return Epoch(0.0, 0.0, {"auroc": (0.5, auroc)})

    curves = curves_of({0: tuple(map(epoch, (0.9, 0.6, 0.7))), 1: tuple(map(epoch, (0.1, 0.6, 0.55)))})
    assert best_epoch_of(curves) == 3  # means 0.5, 0.6, 0.625; no fold is at its best there
