from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from osteon import files, tables
from osteon.dataset import frame, journal, pipeline, steps
from osteon.dataset import refusals as refusal_table
from osteon.dataset.ingest import ingest
from osteon.dataset.journal import Done, Journal, Part
from osteon.dataset.pipeline import IMAGES, Prepared, prepare
from osteon.dataset.steps import ColourInversion, FitSquare
from osteon.dicom.read import read
from osteon.errors import BadTable, CannotWrite, NotFound, OsteonError
from osteon.tasks import FRACTURE
from osteon.types import Radiograph, Recipe, Refusal
from tests.make import a_radiograph

SMALL: Recipe = (ColourInversion(), FitSquare(64))


def a_source(folder: Path, images: int = 6) -> tuple[pd.DataFrame, Path]:
    """A folder of PNG files, every third shown with dark bone, and its manifest."""
    folder.mkdir()
    for seed in range(images):
        pixels = a_radiograph(90 + seed, 70, seed=seed, inverted=seed % 3 == 2).pixels
        assert cv2.imwrite(str(folder / f"{seed}.png"), pixels)
    with ThreadPoolExecutor(1) as pool:
        return ingest(folder, None, task=FRACTURE, executor=pool).manifest, folder


def run(manifest: pd.DataFrame, source: Path, out: Path, recipe: Recipe = SMALL, **named: Any) -> Prepared:
    with ThreadPoolExecutor(1) as pool:
        return prepare(manifest, source, recipe, out, executor=pool, **named)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_image_is_read_placed_rendered_and_written(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    done = run(manifest, source, tmp_path / "out")
    assert done.manifest["image"].tolist() == manifest["image"].tolist()
    assert (done.done, done.skipped) == (6, 0)
    for row in done.manifest.itertuples():
        got = cv2.imread(str(tmp_path / "out" / IMAGES / row.prepared), cv2.IMREAD_UNCHANGED)
        assert got is not None
        (expected,) = steps.apply(SMALL, read(source / row.path))
        assert got.dtype == np.uint8
        assert (got == frame.render(expected)).all()
        assert row.steps == "; ".join(expected.notes)
        assert row.part == 0
    assert done.manifest["steps"].str.contains("inverted").tolist() == [False, False, True] * 2
    stored = tables.read(tmp_path / "out" / "manifest.parquet", tables.MANIFEST)
    assert stored["prepared"].tolist() == [f"{image}.png" for image in manifest["image"]]


def test_run_again_there_is_nothing_to_do(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    run(manifest, source, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / IMAGES).iterdir()}
    again = run(manifest, source, tmp_path / "out")
    assert (again.done, again.skipped, again.reasons) == (0, 6, {})
    assert bytes_of(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / IMAGES).iterdir()} == times


def test_only_what_is_stale_is_made_again_and_the_reason_is_given(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    first = run(manifest, source, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    missing, cut = (tmp_path / "out" / IMAGES / name for name in first.manifest["prepared"][:2])
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:-5])
    again = run(manifest, source, tmp_path / "out")
    assert again.reasons == {"its prepared image is missing": 1, "its prepared image was changed": 1}
    assert (again.done, again.skipped) == (2, 4)
    assert bytes_of(tmp_path / "out") == before


def test_another_recipe_makes_everything_stale_and_leaves_nothing_behind(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    run(manifest, source, tmp_path / "out")
    other = run(manifest, source, tmp_path / "out", (FitSquare(32),))
    assert other.reasons == {"the recipe is another": 6}
    run(manifest, source, tmp_path / "fresh", (FitSquare(32),))
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")


def test_images_that_left_the_manifest_are_removed_and_foreign_files_stay(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    run(manifest, source, tmp_path / "out")
    (tmp_path / "out" / IMAGES / "mine.png").write_bytes(b"mine")
    fewer = run(manifest.iloc[:2], source, tmp_path / "out")
    left = {path.name for path in (tmp_path / "out" / IMAGES).iterdir()}
    assert left == {*fewer.manifest["prepared"], "mine.png"}
    assert len(left) == 3


def test_files_that_cannot_be_used_are_refused_and_the_counts_add_up(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    (source / "1.png").unlink()
    (source / "2.png").write_bytes(b"another file now")
    cut = (source / "3.png").read_bytes()[:-900]
    (source / "3.png").write_bytes(cut)
    manifest.loc[manifest["path"] == "3.png", "image"] = files.digest_of(source / "3.png")[:32]
    earlier = [Refusal("letter.txt", "not_an_image", "is neither", "leave it out")]
    done = run(manifest, source, tmp_path / "out", refusals=earlier)
    expected = {"letter.txt": "not_an_image", "1.png": "changed", "2.png": "changed", "3.png": "undecodable"}
    assert {refusal.path: refusal.code for refusal in done.refusals} == expected
    assert len(done.manifest) + len(done.refusals) == len(manifest) + len(earlier)
    stored = refusal_table.read(tmp_path / "out" / "refusals.parquet")
    assert [refusal.path for refusal in stored] == sorted(expected)
    assert all(refusal.remedy for refusal in stored)


def test_a_file_that_comes_back_is_taken_up_again(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    data = (source / "1.png").read_bytes()
    (source / "1.png").unlink()
    run(manifest, source, tmp_path / "out")
    (source / "1.png").write_bytes(data)
    back = run(manifest, source, tmp_path / "out")
    assert back.reasons == {"its file was missing or changed": 1}
    assert back.refusals == []
    run(manifest, source, tmp_path / "fresh")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh")


@dataclass(frozen=True)
class Halve:
    """Left and right half of a plate."""

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        height, width = frame.frame_of(radiograph).size
        return [
            frame.noted(frame.window(radiograph, top=0, left=left, height=height, width=width // 2), f"from {left}")
            for left in (0, width // 2)
        ]


def test_a_split_image_becomes_several_rows_with_ids_of_their_own(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 2)
    done = run(manifest, source, tmp_path / "out", (Halve(), FitSquare(32)))
    ids = list(manifest["image"])
    assert done.manifest["image"].tolist() == [f"{ids[0]}-0", f"{ids[0]}-1", f"{ids[1]}-0", f"{ids[1]}-1"]
    assert done.manifest["part"].tolist() == [0, 1, 0, 1]
    assert done.manifest["path"].tolist() == ["0.png", "0.png", "1.png", "1.png"]
    assert done.manifest["steps"].iloc[1].startswith("from 35; padded")
    assert (done.done, done.skipped) == (2, 0)
    whole = run(manifest, source, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out" / IMAGES).iterdir()} == set(whole.manifest["prepared"])


@dataclass(frozen=True)
class DieOn:
    """Ends its process without a word on images of one height, as a broken decoder would."""

    height: int

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        if radiograph.pixels.shape[0] == self.height:
            os._exit(11)
        return [radiograph]


def test_an_image_that_kills_its_worker_is_refused_and_the_run_goes_on(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    done = prepare(manifest, source, (DieOn(92), *SMALL), tmp_path / "out", workers=2)
    assert [(refusal.path, refusal.code) for refusal in done.refusals] == [("2.png", "crashed")]
    assert done.manifest["path"].tolist() == ["0.png", "1.png", "3.png", "4.png", "5.png"]
    again = run(manifest, source, tmp_path / "out", (DieOn(92), *SMALL))
    assert (again.done, again.skipped) == (0, 6)
    assert [refusal.code for refusal in again.refusals] == ["crashed"]


SCRIPT = """
    import sys, time
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path
    from osteon import tables
    from osteon.dataset.pipeline import prepare
    from osteon.dataset.steps import ColourInversion, FitSquare

    manifest = tables.read(Path(sys.argv[1]), tables.MANIFEST)
    with ThreadPoolExecutor(1) as pool:
        prepare(
            manifest, Path(sys.argv[2]), (ColourInversion(), FitSquare(64)), Path(sys.argv[3]), executor=pool,
            progress=lambda done, total: print(done, flush=True),
        )
"""


def test_killed_at_any_moment_and_run_again_the_result_is_the_same(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 30)
    tables.write(tmp_path / "manifest.parquet", manifest, tables.MANIFEST)
    run(manifest, source, tmp_path / "whole")
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "manifest.parquet")]
    chance = random.Random(0)
    reached = 0
    for _ in range(3):
        with subprocess.Popen([*command, str(source), str(tmp_path / "out")], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            start = int(process.stdout.readline())
            # What was finished before the kill is not made again; a kill costs at most the image under way.
            assert start >= reached - 1
            for _ in range(chance.randint(2, 6)):
                reached = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
    final = run(manifest, source, tmp_path / "out")
    assert final.skipped >= reached - 1 > 3
    assert final.done == 30 - final.skipped > 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")


def test_what_a_kill_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    run(manifest, source, tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    (tmp_path / "out" / IMAGES / ".x.png.tmp-123").write_bytes(b"half")
    (tmp_path / "out" / ".manifest.parquet.tmp-123").write_bytes(b"half")
    path = tmp_path / "out" / journal.JOURNAL
    path.write_bytes(path.read_bytes()[:-30])
    again = run(manifest, source, tmp_path / "out")
    assert again.reasons == {"not prepared yet": 1}
    assert bytes_of(tmp_path / "out") == before


def test_the_journal_comes_back_as_it_was_written(tmp_path: Path) -> None:
    done = [
        Done("a", (Part("a-0.png", 7, "turned; “x”"), Part("a-1.png", 8, ""))),
        Done("b", refusal=Refusal("b.dcm", "blank", "every pixel is 0", "leave it out")),
    ]
    journal.write(tmp_path, [{"step": "Fit"}], done)
    back = journal.read(tmp_path)
    assert back.recipe == [{"step": "Fit"}]
    assert [back.of("a"), back.of("b"), back.of("c")] == [*done, None]
    assert journal.read(tmp_path / "nowhere") == Journal()
    (tmp_path / journal.JOURNAL).write_text("")
    assert journal.read(tmp_path).of("a") is None
    assert json.loads(journal.line_of(done[1]))["refusal"]["code"] == "blank"


@pytest.mark.parametrize(
    ("image", "recipe", "sizes", "why"),
    [
        ("a", "r", {"a.png": 7}, None),
        ("b", "r", {}, None),
        ("new", "r", {"a.png": 7}, "not prepared yet"),
        ("a", "other", {"a.png": 7}, "the recipe is another"),
        ("a", "r", {}, "its prepared image is missing"),
        ("a", "r", {"a.png": 6}, "its prepared image was changed"),
        ("c", "r", {}, "its file was missing or changed"),
    ],
)
def test_why_an_image_is_stale(image: str, recipe: str, sizes: dict[str, int], why: str | None) -> None:
    known = {
        "a": Done("a", (Part("a.png", 7, ""),)),
        "b": Done("b", refusal=Refusal("b.dcm", "blank", "")),
        "c": Done("c", refusal=Refusal("c.dcm", "changed", "")),
    }
    assert journal.why_stale(image, Journal("r", known), recipe, sizes) == why


class Broken(Executor):
    """An executor whose workers are gone."""

    def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
        future: Future[Any] = Future()
        future.set_exception(BrokenExecutor("gone"))
        return future


def test_bad_input_is_one_clear_error(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 2)
    with pytest.raises(NotFound, match="moved"):
        run(manifest, tmp_path / "moved", tmp_path / "out")
    with pytest.raises(BadTable, match="names an image twice"):
        run(pd.concat([manifest, manifest]), source, tmp_path / "out")
    with pytest.raises(OsteonError, match="executor lost its workers"):
        prepare(manifest, source, SMALL, tmp_path / "out", executor=Broken())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite, match="file"):
        run(manifest, source, tmp_path / "file")


def test_a_manifest_without_images_gives_empty_tables(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 1)
    done = run(manifest.iloc[:0], source, tmp_path / "out")
    assert len(done.manifest) == done.done == done.skipped == 0
    assert len(tables.read(tmp_path / "out" / "manifest.parquet", tables.MANIFEST)) == 0


def test_a_very_long_image_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    strip = np.tile(np.linspace(0, 255, 40, dtype=np.uint8)[:, None], (1, 30_000))
    image = Radiograph(strip, 255)
    (placed,) = steps.apply((FitSquare(64),), image)
    shown = frame.render(placed)
    assert shown.shape == (64, 64)
    assert not shown[:31].any()
    assert not shown[34:].any()


def test_the_settings_of_the_png_are_those_of_the_room(tmp_path: Path) -> None:
    pixels = a_radiograph(64, 64).pixels.astype(np.uint8)
    path = tmp_path / "x.png"
    size = pipeline._write_png(path, pixels)
    back = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert back is not None
    assert (back == pixels).all()
    assert path.stat().st_size == size
