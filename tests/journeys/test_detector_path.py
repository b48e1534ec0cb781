"""From images and boxes to a detector that reads: the commands that its page names, on planted squares."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from osteon import files, verbs
from osteon.cli import app
from osteon.dataset.boxes import on_source
from osteon.evaluate.localisation import iou
from osteon.settings import Settings
from tests.journeys.test_docs import commands_of

Osteon = Callable[..., tuple[int, str, str]]

TRUE_BOX = ("x", "y", "width", "height")


def squares(folder: Path, patients: int, *, seed: int) -> pd.DataFrame:
    """Files of 100 × 160 pixels, two a patient: noise and a dim bar, and in every second patient a bright square.

    Returns:
        image, patient, fractured, and the box of the square, NaN where there is none.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    rows = []
    for number in range(2 * patients):
        grey = rng.normal(70, 12, (100, 160))
        bar = rng.integers(0, 84)
        grey[bar : bar + 16] += 50
        box = [np.nan] * 4
        if number // 2 % 2:
            x, y, side = rng.integers(0, 120), rng.integers(0, 62), rng.integers(24, 38)
            grey[y : y + side, x : x + side] += 110
            box = [float(x), float(y), float(side), float(side)]
        name = f"{number:03d}.jpg"
        cv2.imwrite(str(folder / name), np.clip(grey, 0, 255).astype(np.uint8))
        rows.append([name, f"p{number // 2}", number // 2 % 2, number % 3 == 0, *box])
    return pd.DataFrame(rows, columns=["image", "patient", "fractured", "hardware", *TRUE_BOX])


SMALL = {
    "prepare": ["--size", "128", "--workers", "1"],
    "split": ["--folds", "3", "--test", "0.2", "--no-duplicates"],
    "train": ["--detector", "brief", "--backbone", "test_resnet", "--weights", "random", "--workers", "1"],
}
"""What makes the commands of the page quick."""

CARD = ["--source", "Planted squares, by nobody.", "--limit", "It knows squares alone.", "--minutes", "0"]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `work` of the page, once its commands were typed."""
    folder = tmp_path_factory.mktemp("detector")
    table = squares(folder / "export", 60, seed=0)
    table[["image", "patient", "fractured", "hardware"]].to_csv(folder / "labels.csv", index=False)
    table.dropna()[["image", *TRUE_BOX]].to_csv(folder / "boxes.csv", index=False)
    verbs_typed = []
    with chdir(folder):
        for words in commands_of("how-to/own-detector.md"):
            verbs_typed.append(words[0])
            app([*words, *SMALL.get(words[0], []), *(CARD if words[0] == "train" else [])], standalone_mode=False)
    assert verbs_typed == ["ingest", "prepare", "split", "train", "evaluate", "read"]
    return folder / "work"


def test_the_card_says_what_was_measured_on_what(work: Path) -> None:
    card = (work / "detector" / "bundle" / "README.md").read_text()
    for said in (
        "Planted squares, by nobody.",
        "It knows squares alone.",
        "pointing game",
        "mAP50",
        "Research use only",
    ):
        assert said in card, said
    described = json.loads((work / "detector" / "bundle" / "bundle.json").read_text())
    figures = {figure["name"]: figure for figure in described["origin"]["figures"]}
    assert figures["pointing game"]["model"]["value"] > 0.8
    assert figures["pointing game"]["floor"]["value"] < figures["pointing game"]["model"]["low"]
    assert figures["AUROC, mean of 3 folds by patient"]["model"]["value"] > 0.9


def test_the_report_of_its_tables_says_the_same(work: Path) -> None:
    found = json.loads((work / "report" / "report.json").read_text())["validation"]
    told = json.loads((work / "detector" / "bundle" / "bundle.json").read_text())["origin"]["figures"]
    assert found["places"]["pointing"]["rate"]["value"] == told[2]["model"]["value"]
    assert found["places"]["boxes"]["average_precision"]["value"] == told[3]["model"]["value"]
    assert found["discrimination"]["auroc"]["low"] == told[0]["model"]["low"]


def test_the_tables_say_nothing_of_the_sealed_part(work: Path) -> None:
    split = pd.read_parquet(work / "split" / "manifest.parquet")
    sealed = set(split.loc[split["fold"] == -1, "image"])
    truth = pd.read_parquet(work / "detector" / "places" / "true_boxes.parquet")
    found = pd.read_parquet(work / "detector" / "places" / "found_boxes.parquet")
    assert sealed and len(truth) and not sealed & set(truth["image"]) and sealed & set(found["image"])


def test_a_reading_is_what_the_tables_say_of_sealed_images(work: Path) -> None:
    """The other road: maps in a bank, detectors in their files, boxes carried from prepared images to files."""
    said = pd.read_parquet(work / "detector" / "predictions.parquet")
    sealed = said[(said["model"] == "detector") & (said["part"] == "test")].set_index("image")["probability"]
    found = pd.read_parquet(work / "detector" / "places" / "found_boxes.parquet")
    manifest = pd.read_parquet(work / "prepared" / "manifest.parquet")
    on_files = dict(list(on_source(found, manifest).groupby("image")))
    readings = json.loads((work / "reading" / "readings.json").read_text())
    images = {image["image"]: image for reading in readings for image in reading["images"]}
    assert len(sealed) == 24
    for image, probability in sealed.items():
        (finding,) = images[image]["findings"]
        assert finding["probability"] == pytest.approx(probability, abs=0.01)
        assert bool(finding["boxes"]) == (image in on_files)
        if image in on_files:
            first = on_files[image].sort_values("score").iloc[-1]
            drawn = np.array([[finding["boxes"][0][side] for side in TRUE_BOX]])
            assert iou(drawn, first[list(TRUE_BOX)].to_numpy(float)[None])[0, 0] > 0.8
            assert finding["boxes"][0]["score"] == pytest.approx(first["score"], abs=0.02)


def test_unseen_squares_are_found_in_pixels_of_their_files(work: Path, tmp_path: Path, osteon: Osteon) -> None:
    table = squares(tmp_path / "unseen", 10, seed=1)
    (tmp_path / "unseen" / "notes.txt").write_text("no radiograph")
    code, out, err = osteon("read", tmp_path / "unseen", "--bundle", work / "detector", "--out", tmp_path / "out")
    assert code == 0, err
    readings = json.loads((tmp_path / "out" / "readings.json").read_text())
    by_name = {Path(r["images"][0]["path"]).name: r for r in readings if r["images"]}
    assert sorted(by_name) == sorted(table["image"])
    assert [r["refusals"][0]["code"] for r in readings if r["refusals"]] == ["not_an_image"]
    overlaps, answers = [], []
    for row in table.itertuples():
        reading = by_name[row.image]
        answers.append((reading["decision"] == "fracture") == bool(row.fractured))
        (finding,) = reading["images"][0]["findings"]
        boxes = [[box[side] for side in TRUE_BOX] for box in finding["boxes"]]
        for x, y, width, height in boxes:
            assert x >= 0 and y >= 0 and x + width <= 160 and y + height <= 100
        scores = [box["score"] for box in finding["boxes"]]
        assert scores == sorted(scores, reverse=True) and all(0 < score < 1 for score in scores)
        if row.fractured:
            overlaps.append(
                iou(np.array(boxes[:1]).reshape(-1, 4), np.array([[row.x, row.y, row.width, row.height]])).max(
                    initial=0
                )
            )
    assert np.mean(answers) > 0.8
    assert np.mean(np.array(overlaps) > 0.4) > 0.7
    assert "look at" in out and "Research use only" in out and "not a medical device" in out


def test_many_files_are_read_by_many_processes_to_the_same_answers(work: Path, tmp_path: Path) -> None:
    squares(tmp_path / "unseen", 10, seed=2)
    (tmp_path / "unseen" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    read = [
        verbs.read(
            [tmp_path / "unseen"],
            tmp_path / str(workers),
            bundle=work / "detector",
            settings=Settings(workers=workers),
        ).figures
        for workers in (1, 2)
    ]
    assert read[0] == read[1]
    assert files.digest_of(tmp_path / "1" / "overlays") == files.digest_of(tmp_path / "2" / "overlays")


def test_without_a_bundle_the_one_that_comes_with_osteon_reads(
    work: Path, tmp_path: Path, osteon: Osteon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from osteon.verbs import reading

    file = next((work.parent / "export").iterdir())
    monkeypatch.setattr(reading, "SHIPPED", tmp_path / "none")
    code, _, err = osteon("read", file, "--out", tmp_path / "out")
    assert code == 66 and "--bundle" in err
    monkeypatch.setattr(reading, "SHIPPED", work / "detector" / "bundle")
    code, out, _ = osteon("read", file, "--out", tmp_path / "out")
    assert code == 0
    assert "No bundle was named" in out and "comes with osteon" in out and "Research use only" in out


def test_training_goes_on_where_it_was_cut_off_to_the_same_bytes(
    work: Path, tmp_path: Path, osteon: Osteon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work.parent)
    words = ["train", "work/split", "--boxes", "boxes.csv", "--out", tmp_path]
    words += [*SMALL["train"], *CARD]
    code, out, err = osteon(*words, "--minutes", "0.0001")
    assert code == 0, err
    assert "7 detectors are still to be trained" in out and not (tmp_path / "bundle").exists()
    code, out, err = osteon(*words, "--workers", "2")
    assert code == 0, err
    assert "MB" in out and (tmp_path / "bundle" / "README.md").exists()
    for what in ("bundle", "places", "predictions.parquet", "runs"):
        assert files.digest_of(tmp_path / what) == files.digest_of(work / "detector" / what), what


def test_what_cannot_be_trained_is_refused(
    work: Path, tmp_path: Path, osteon: Osteon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work.parent)
    base = ["train", "work/split", "--boxes", "boxes.csv", "--out", tmp_path]
    code, _, err = osteon(*base, "--detector", "best")
    assert code == 64 and "frozen" in err
    code, _, err = osteon("train", "work/split", "--images", "work/prepared", "--minutes", "5", "--out", tmp_path)
    assert code == 65 and "a detector needs boxes" in err
    code, _, err = osteon(*base, "--features", work / "detector" / "maps")
    assert code == 65 and "leave --features out" in err
    code, _, err = osteon(*base, "--epochs", "3", "--learning-rate", "0.1")
    assert code == 65 and "--epochs and --learning-rate would have no effect" in err
    code, _, err = osteon("train", "work/split", "--features", "bank", "--backbone", "resnet18", "--out", tmp_path)
    assert code == 65 and "--backbone would have no effect" in err
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\nnobody.jpg,0,0,5,5\n")
    code, _, err = osteon("train", "work/split", "--boxes", tmp_path / "boxes.csv", "--out", tmp_path / "b")
    assert code == 65 and "nobody.jpg" in err
