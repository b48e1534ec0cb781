"""`osteon explain`: a bundle's maps are checked on boxes, and what they came to is written into it, or nothing is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from osteon import files, reader, verbs
from osteon.dataset import journal, steps
from osteon.errors import BadTable, Mismatch, TooFewCases, UnknownName
from osteon.explain.checking import measured, rows_in
from osteon.explain.checks import measure
from osteon.explain.maps import EXPLAINERS
from osteon.explain.verdict import methods_shown
from osteon.learn import bundle as bundles
from osteon.learn.bundle import Bundle
from osteon.learn.detector import bundle as detector_bundle
from osteon.types import Calibration
from osteon.verbs import Checking, explain
from tests.explain.planted import finds_lines, four_squares, random_head, square_of
from tests.explain.test_checks import some_cases
from tests.learn import detectors
from tests.learn.nets import TINY

METHODS = ("grad-cam", "hires-cam")
IMAGES, BOXED = 40, 36


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files with lines across, which speak for the finding, in a box; ingested, prepared and split."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "export").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES):
        order = tuple(int(i) for i in rng.permutation(4))
        name = f"{number:02d}.png"
        cv2.imwrite(str(folder / "export" / name), four_squares(order=order, seed=number))
        rows.append([name, f"p{number}", int(number < BOXED), *square_of(order, 0)[0]])
    table = pd.DataFrame(rows, columns=["image", "patient", "fractured", "x", "y", "width", "height"])
    table[["image", "patient", "fractured"]].to_csv(folder / "labels.csv", index=False)
    table[:BOXED].drop(columns=["patient", "fractured"]).to_csv(folder / "boxes.csv", index=False)
    verbs.ingest(folder / "export", folder / "ingest", labels=folder / "labels.csv")
    verbs.prepare(folder / "ingest", folder / "prepared", size=96)
    verbs.split(folder / "prepared", folder / "split", folds=2, test=0.25, duplicates=False)
    return folder


@pytest.fixture
def model(data: Path, tmp_path: Path) -> Path:
    """The folder of a bundle for images prepared as these are."""
    recipe = steps.from_json(journal.read(data / "prepared").recipe)
    whole = Bundle(random_head(TINY), recipe, "fracture", Calibration(1.0, 0.0, 20, 0.5), {"youden": 0.5}, (96, 96))
    bundles.save(whole, tmp_path / "model" / "bundle")
    return tmp_path / "model"


@pytest.fixture
def given(data: Path) -> dict[str, Any]:
    return {"images": data / "prepared", "boxes": data / "boxes.csv"}


def record_in(model: Path) -> dict[str, Any]:
    record = bundles.load(model / "bundle").explanations
    assert record is not None
    return dict(record)


def rows_of(out: Path) -> list[Any]:
    (kept,) = out.glob("rows-*.jsonl")
    return rows_in(kept)


def test_what_the_checks_came_to_is_in_the_bundle_and_a_reading_obeys_it(
    data: Path, model: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    before = bundles.load(model / "bundle")
    done = explain(model, tmp_path / "out", **given, how=Checking(METHODS, seed=3))
    after, record = bundles.load(model / "bundle"), record_in(model)
    assert record == files.read_json(tmp_path / "out" / "checks.json") and set(record["methods"]) == set(METHODS)
    told = record["methods"]["hires-cam"]
    rows = rows_of(tmp_path / "out")
    assert told["images"] == BOXED == len({row.name for row in rows})
    wanted = np.mean([row.hit for row in rows if row.method == "hires-cam"])
    assert told["figures"]["pointing"]["value"] == pytest.approx(wanted, abs=1e-6)
    assert "36 images of 36 patients" in record["data"] and "not known" in record["data"]
    assert done.figures["earlier_bundle"] == before.digest and done.figures["bundle"] == after.digest != before.digest
    assert files.read_json(tmp_path / "out" / "run.json")["result"]["bundle"] == after.digest
    assert (after.recipe, after.thresholds, after.size) == (before.recipe, before.thresholds, before.size)
    assert tuple(done.figures["shown"]) == methods_shown(record)
    file = next((data / "export").iterdir())
    (read,) = reader.read([file], after, overlays=tmp_path / "overlays").images
    assert bool(read.overlay) == bool(methods_shown(record))
    assert cv2.imread(str(tmp_path / "out" / "sheet.png")) is not None


def test_every_method_that_applies_is_checked_unless_some_are_named(
    model: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    explain(model, tmp_path / "out", **given, how=Checking(cases=2))
    record = record_in(model)
    network = bundles.load(model / "bundle").classifier
    assert list(record["methods"]) == [name for name, one in EXPLAINERS.items() if not one.missing(network)]
    assert "occlusion" in record["methods"] and "attention-rollout" not in record["methods"]
    assert methods_shown(record) == ()
    assert "measured on 2 images" in record["methods"]["occlusion"]["reasons"][0]
    assert all(told["reasons"] for told in record["methods"].values())


def test_a_call_that_was_cut_off_goes_on_to_the_same_record(model: Path, given: dict[str, Any], tmp_path: Path) -> None:
    how = Checking(METHODS, cases=6)
    before = files.digest_of(model / "bundle")
    done = explain(model, tmp_path / "cut", **given, how=replace(how, minutes=1e-9))
    assert "6 images are still to be measured" in done.said
    assert files.digest_of(model / "bundle") == before, "half a record is none"
    explain(model, tmp_path / "cut", **given, how=how)
    cut = files.digest_of(model / "bundle")
    explain(model, tmp_path / "whole", **given, how=how)
    assert files.digest_of(model / "bundle") == cut
    assert repr(rows_of(tmp_path / "cut")) == repr(rows_of(tmp_path / "whole"))  # by repr: NaN is not equal to NaN
    assert len(rows_of(tmp_path / "cut")) == 12


def test_the_sealed_part_is_left_alone_and_what_was_learnt_from_is_counted(
    data: Path, model: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    split = pd.read_parquet(data / "split" / "manifest.parquet")
    sealed = set(split.loc[split["fold"] == -1, "image"])
    how = Checking(METHODS[:1])
    explain(model, tmp_path / "open", **{**given, "images": data / "split"}, how=how)
    named = {row.name for row in rows_of(tmp_path / "open")}
    assert sealed and named and not sealed & named
    run = json.loads((data / "split" / "run.json").read_text())
    train = {**run, "command": "train", "arguments": {"split": str(data / "split")}}
    (model / "run.json").write_text(json.dumps(train))
    explain(model, tmp_path / "all", **given, how=how)
    assert f"has learnt from {len(named)} of them" in record_in(model)["data"]


def test_what_cannot_be_checked_is_told_and_leaves_the_bundle_as_it_was(
    model: Path, given: dict[str, Any], tmp_path: Path
) -> None:
    before = files.digest_of(model / "bundle")
    with pytest.raises(UnknownName, match="no explainer named 'x'"):
        explain(model, tmp_path / "a", **given, how=Checking(("x",)))
    detector_bundle.save(detectors.a_bundle(), tmp_path / "detector")
    with pytest.raises(Mismatch, match="kind 'lesions'"):
        explain(tmp_path / "detector", tmp_path / "b", **given)
    bundles.save(replace(bundles.load(model / "bundle"), recipe=(steps.FitSquare(64),)), tmp_path / "other")
    with pytest.raises(Mismatch, match="another recipe than the bundle's"):
        explain(tmp_path / "other", tmp_path / "c", **given)
    (tmp_path / "none.csv").write_text("image,x,y,width,height\n")
    with pytest.raises((TooFewCases, BadTable)):
        explain(model, tmp_path / "d", **{**given, "boxes": tmp_path / "none.csv"})
    assert files.digest_of(model / "bundle") == before


def test_rows_that_were_kept_are_those_that_were_measured_and_a_torn_line_is_measured_again(tmp_path: Path) -> None:
    network, cases, kept = finds_lines(), some_cases(3), tmp_path / "rows.jsonl"
    pairs = [(network, case) for case in cases]
    rows = measured(pairs, METHODS, kept, total=3, seed=1)
    assert rows == [row for case in cases for row in measure(network, case, METHODS, seed=1)]
    content = kept.read_text()
    kept.write_text(content[:-30])
    told: list[tuple[int, int]] = []
    assert measured(pairs, METHODS, kept, total=3, seed=1, progress=lambda *now: told.append(now)) == rows
    assert told[-1] == (3, 3) and kept.read_text() == content
    kept.write_text("{}\n")
    with pytest.raises(BadTable, match="holds no rows of checks"):
        rows_in(kept)
