"""From images and boxes to predictions, points and boxes: nested, resumable, and blind to what is held out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset.boxes import by_image
from osteon.errors import Mismatch, NotFound
from osteon.evaluate.judge_places import judge_places
from osteon.learn.averaging import Averaging
from osteon.learn.backbones import open_backbone
from osteon.learn.detector.crossval import DetectorCrossValidation, cross_validate_detector, place_tables
from osteon.learn.detector.network import STRIDES, Detector, Laid, LesionHead, detector_on
from osteon.learn.detector.runs import Told, asked, final_network, path_of, told, train_all
from osteon.learn.detector.training import DetectorOptions, Examples, examples_of
from osteon.learn.features import extract
from osteon.learn.nested import Layout, lay_out
from osteon.learn.optimisers import AdamW
from tests.learn.lesions import CHANNELS, some_examples
from tests.learn.nets import TINY
from tests.make import some_split_cases

QUICK = (1.0,)
"""Of the floors' penalties one is enough here."""

OPTIONS = DetectorOptions(width=8, epochs=(1, 2), batch=8, average=Averaging(0.5))


def fresh() -> Detector:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Detector(Laid(CHANNELS), LesionHead(*CHANNELS, width=8))


def a_study(sealed: int = 4) -> tuple[Examples, Layout]:
    """40 images of 20 patients in three folds, `sealed` of the patients put away."""
    cases = some_split_cases(20, folds=3, sealed=sealed, fractured=0.5, seed=1)
    examples, _ = some_examples(40)
    layout = lay_out(cases)
    boxes = [np.array([[10.0, 10, 40, 40]]) if t else np.empty((0, 4)) for t in layout.target]
    return replace(examples, target=layout.target, boxes=boxes), layout


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_row_is_told_by_those_that_have_not_learnt_from_it(tmp_path: Path) -> None:
    examples, layout = a_study()
    train_all(fresh, examples, layout, OPTIONS, tmp_path, seed=0)
    found = told(fresh, examples, layout, OPTIONS, tmp_path, seed=0)
    assert found.scores.shape == (2, 7, 40) and found.epochs == (1, 2)
    for model, out in enumerate(layout.left_out):
        there = ~np.isnan(found.scores[:, model])
        wanted = np.isin(layout.fold, out) if out else layout.fold == -1
        assert (there == wanted).all() and not (wanted & layout.training[model]).any()
        rows, maps = found.maps(1, model)
        assert (rows == np.flatnonzero(wanted)).all() and (rows == asked(layout, model)).all()
        assert maps.shape == (len(rows), 5, 8, 10)
    assert set(found.weights(0)) == set(fresh().state_dict())


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(tmp_path: Path) -> None:
    examples, layout = a_study()
    train_all(fresh, examples, layout, OPTIONS, tmp_path / "whole", seed=0)
    calls = 0

    def killed(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if done > 0.45 * total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_all(fresh, examples, layout, OPTIONS, tmp_path / "cut", seed=0, progress=killed)
    there = contents(tmp_path / "cut")
    assert 0 < len(there) < 7
    with pytest.raises(NotFound, match="that goes on where it was cut off"):
        told(fresh, examples, layout, OPTIONS, tmp_path / "cut", seed=0)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "cut").iterdir()}
    for models in (range(1, 7, 2), range(0, 7, 2)):  # two processes, one after the other
        train_all(fresh, examples, layout, OPTIONS, tmp_path / "cut", seed=0, models=models)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")
    assert all((tmp_path / "cut" / name).stat().st_mtime_ns == time for name, time in times.items())


def test_targets_and_boxes_of_what_is_held_out_change_nothing(tmp_path: Path) -> None:
    examples, layout = a_study()
    train_all(fresh, examples, layout, OPTIONS, tmp_path / "a", seed=0)
    hidden = (layout.fold == 0) | (layout.fold == -1)
    other = replace(
        examples,
        target=np.where(hidden, 1 - examples.target, examples.target),
        boxes=[np.array([[0.0, 0, 9, 9]]) if h else b for h, b in zip(hidden, examples.boxes, strict=True)],
    )
    train_all(fresh, other, layout, OPTIONS, tmp_path / "b", seed=0)
    same = [
        (path_of(tmp_path / "a", out).read_bytes() == path_of(tmp_path / "b", out).read_bytes())
        for out in layout.left_out
    ]
    assert same == [0 in out for out in layout.left_out]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("options", lambda e: (e, replace(OPTIONS, cells=0.5), 0)),
        ("seed", lambda e: (e, OPTIONS, 1)),
        ("taught", lambda e: (replace(e, boxes=[b + 1 for b in e.boxes]), OPTIONS, 0)),
        ("asked, taught", lambda e: (replace(e, key=[f"new {k}" for k in e.key]), OPTIONS, 0)),
    ],
)
def test_the_detectors_of_another_run_are_refused(what: str, change: Any, tmp_path: Path) -> None:
    examples, layout = a_study()
    train_all(fresh, examples, layout, replace(OPTIONS, epochs=(1,)), tmp_path, seed=0, models=[6])
    examples, options, seed = change(examples)
    with pytest.raises(Mismatch, match=rf"of another run \(it differs in .*{what}"):
        train_all(fresh, examples, layout, replace(options, epochs=(1,)), tmp_path, seed=seed, models=[6])
    path_of(tmp_path, ()).write_bytes(b"no detector")
    with pytest.raises(Mismatch, match="no detector of a cross-validation"):
        train_all(fresh, examples, layout, OPTIONS, tmp_path, seed=0, models=[6])


def squares(folder: Path, cases: pd.DataFrame, seed: int = 0) -> tuple[dict[str, Path], pd.DataFrame]:
    """Images of 128 × 160 pixels, grey noise and a dim bar in each; those with a finding show a bright square as well.

    Returns:
        image id → file, and the boxes of the squares.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir()
    images, boxes = {}, []
    for image, target, sealed in zip(cases["image"], cases["target"], cases["fold"] == -1, strict=True):
        grey = rng.normal(70, 12, (128, 160))
        bar = rng.integers(0, 112)
        grey[bar : bar + 16] += 50
        fractured = rng.random() < 0.5 if sealed else target == 1
        if fractured:
            x, y, width, height = rng.integers(0, 120), rng.integers(0, 88), rng.integers(26, 40), rng.integers(26, 40)
            grey[y : y + height, x : x + width] += 110
            boxes.append((image, x, y, width, height))
        images[image] = folder / f"{image}.png"
        cv2.imwrite(str(images[image]), np.clip(grey, 0, 255).astype(np.uint8))
    return images, pd.DataFrame(boxes, columns=["image", "x", "y", "width", "height"]).astype(
        {"image": "string", **dict.fromkeys(("x", "y", "width", "height"), float)}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, dict[str, Path], pd.DataFrame, Told, Any]:
    """Detectors on the maps of a small random trunk, in three folds and with a sealed part."""
    folder = tmp_path_factory.mktemp("detector")
    cases = some_split_cases(48, folds=3, sealed=6, fractured=0.5, seed=2)
    images, boxes = squares(folder / "images", cases)
    trunk = open_backbone(TINY, "random")
    bank = extract(trunk, images, folder / "bank", maps=True, strides=STRIDES, threads=1)
    layout = lay_out(cases)
    examples = examples_of(bank, list(images), layout.target, by_image(boxes, list(images)), (128, 160))
    options = DetectorOptions(
        width=16, epochs=(6, 18), batch=16, optimiser=AdamW(learning_rate=1e-2), average=Averaging(0.9)
    )
    run = {"fresh": lambda: options.detector(trunk, bank.strides, seed=0), "examples": examples}
    run |= {"layout": layout, "options": options, "folder": folder / "runs", "seed": 0}
    train_all(**run)  # type: ignore[arg-type]
    return cases, images, boxes, told(**run), trunk  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def done(trained: Any) -> DetectorCrossValidation:
    cases, images, boxes, said, _ = trained
    return cross_validate_detector({"small": [said]}, cases, boxes, images=images, regularisations=QUICK)


def test_planted_squares_are_found_pointed_at_and_boxed_out_of_fold(trained: Any, done: Any) -> None:
    cases, _, boxes, _, _ = trained
    rows = done.predictions
    mine = rows[(rows["model"] == "model") & (rows["part"] == "validation")]
    assert len(mine) == 84 and (rows["model"] == "model").sum() == 96
    assert rows.loc[rows["part"] == "test", "target"].isna().all()
    assert area(mine) > 0.95 > area(rows[(rows["model"] == "floor:tags") & (rows["part"] == "validation")])
    given = place_tables(cases, boxes, done, (128, 160))
    judged = judge_places(given, rng=np.random.default_rng(0), resamples=50)
    assert judged["pointing"]["rate"].value > 0.9
    assert judged["pointing"]["gain"].low > 0.3
    assert judged["boxes"]["average_precision"].value > 0.5
    assert judged["boxes"]["gain"].value > 0.3
    assert set(done.points["image"]) == set(cases["image"])
    assert {setting.candidate for setting in (*done.chosen, done.final)} == {"small"}
    assert len(done.chosen) == len(done.rules) == 3
    assert "chosen inside the folds: small after epoch" in done.notes["model"]
    assert 0 < done.thresholds["youden"] < 1


def area(rows: pd.DataFrame) -> float:
    """The share of pairs of a positive and a negative that the scores put in order, fold by fold."""
    shares = []
    for _, fold in rows.groupby("fold"):
        score, target = fold["score"].to_numpy(float), fold["target"].to_numpy(int)
        gaps = score[target == 1][:, None] - score[target == 0][None]
        shares.append(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    return float(np.mean(shares))


def test_the_final_network_says_of_sealed_images_what_the_table_says(trained: Any, done: Any) -> None:
    _, images, boxes, said, trunk = trained
    network = final_network(trunk, lambda: detector_on(trunk, STRIDES, seed=0, width=16), said, done.final.place)
    sealed = done.predictions.query("model == 'model' and part == 'test'").set_index("image")["score"]
    assert len(sealed) == 12
    grey = np.stack([cv2.imread(str(images[image]), cv2.IMREAD_GRAYSCALE) for image in sealed.index])
    with torch.inference_mode():
        scores = network.score(torch.from_numpy(grey)[:, None].float() / 255).numpy()
    assert np.allclose(scores, sealed.to_numpy(float), atol=0.05)  # the bank holds half precision
    squares_there = boxes["image"].isin(sealed.index).sum()
    assert ((scores > 0).sum() == squares_there) or abs(int((scores > 0).sum()) - squares_there) <= 2


def test_what_folds_choose_does_not_depend_on_the_fold_that_reports(trained: Any, done: Any) -> None:
    cases, _, boxes, said, _ = trained
    own = cases["fold"] == 1
    # What is reported of fold 1 may not move what fold 1 has chosen; its targets are turned round, its boxes shrunk.
    turned = boxes.assign(width=boxes["width"].where(~boxes["image"].isin(cases.loc[own, "image"]), 3.0))
    layout = said.layout
    other = replace(said, layout=replace(layout, target=np.where(layout.fold == 1, 1 - layout.target, layout.target)))
    again = cross_validate_detector({"small": [other]}, cases, turned, regularisations=QUICK)
    assert (done.chosen[1], done.rules[1]) == (again.chosen[1], again.rules[1])
    first, second = (
        d.predictions.query("model == 'model' and fold == 1")["probability"].to_numpy(float) for d in (done, again)
    )
    assert np.array_equal(first, second)
    with_places = [d.boxes[d.boxes["image"].isin(cases.loc[own, "image"])].to_numpy() for d in (done, again)]
    assert (with_places[0] == with_places[1]).all()


def test_an_ensemble_is_the_mean_of_its_members_and_the_better_candidate_is_chosen(trained: Any) -> None:
    cases, _, boxes, said, _ = trained
    rng = np.random.default_rng(0)
    noisy = replace(said, scores=rng.normal(size=said.scores.shape) * np.where(np.isnan(said.scores), np.nan, 1))
    candidates = {"noise": [noisy], "small": [said], "both": [said, said]}
    best = cross_validate_detector(candidates, cases, boxes, regularisations=QUICK)
    assert {setting.candidate for setting in (*best.chosen, best.final)} == {"small"}
    both = cross_validate_detector({"both": [said, said]}, cases, boxes, regularisations=QUICK)
    assert np.array_equal(*(d.predictions.query("model == 'model'")["score"].to_numpy(float) for d in (best, both)))
    mean = cross_validate_detector({"one": [said, noisy]}, cases, boxes, regularisations=QUICK)
    row = int(np.flatnonzero(cases["fold"] == 0)[0])
    model, place = said.layout.left_out.index((0,)), mean.chosen[0].place
    wanted = (said.scores[place, model, row] + noisy.scores[place, model, row]) / 2
    assert mean.predictions["score"].iloc[row] == pytest.approx(wanted)


def test_candidates_that_do_not_belong_together_are_refused(trained: Any) -> None:
    cases, _, boxes, said, _ = trained
    shorter = replace(said, epochs=(6,), scores=said.scores[:1])
    with pytest.raises(Mismatch, match="kept different numbers of epochs"):
        cross_validate_detector({"pair": [said, shorter]}, cases, boxes)
    with pytest.raises(Mismatch, match="other folds than the manifest"):
        cross_validate_detector({"small": [said]}, cases[1:], boxes)


def test_points_and_boxes_keep_the_contract_of_their_tables(done: Any) -> None:
    assert list(done.points) == list(tables.POINTS) and list(done.boxes) == list(tables.FOUND_BOXES)
    corners: NDArray[np.float64] = done.boxes[["x", "y", "width", "height"]].to_numpy(float)
    assert (corners[:, :2] >= 0).all() and (corners[:, :2] + corners[:, 2:] <= [160, 128]).all()
    assert done.boxes["score"].between(0, 1).all()


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "detector.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    said: dict[str, Any] = {}
    exec(compile(code, "detector.md", "exec"), said)
    assert said["judged"]["pointing"]["rate"].value > 0.8
    assert "pointing game" in capsys.readouterr().out
