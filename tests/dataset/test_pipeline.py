from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from osteon import files, tables
from osteon.dataset import cluster, frame, journal, steps
from osteon.dataset import refusals as refusal_table
from osteon.dataset.guard import Limits
from osteon.dataset.ingest import ingest
from osteon.dataset.journal import Done, Part
from osteon.dataset.pipeline import IMAGES, Prepared, prepare
from osteon.dataset.placement import Placement
from osteon.dataset.preparation import write_png
from osteon.dataset.statistics import Moments
from osteon.dataset.steps import ColourInversion, FitSquare
from osteon.dicom.read import read
from osteon.errors import BadTable, CannotWrite, NotFound, OsteonError
from osteon.tasks import FRACTURE
from osteon.types import Radiograph, Recipe, Refusal
from tests.dataset.mischief import Misbehave
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


def by_path(refusals: Iterable[Refusal], manifest: pd.DataFrame) -> list[Refusal]:
    """The refusals of a prepared set, which names no file, by the files' paths."""
    path_of = dict(zip(manifest["image"], manifest["path"], strict=True))
    return [replace(refusal, path=path_of.get(refusal.path, refusal.path)) for refusal in refusals]


def test_the_prepared_set_names_neither_files_nor_what_was_typed_into_headers(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 3)
    (source / "1.png").unlink()
    source.rename(source.parent / "Doe^Jane")
    typed = manifest.assign(body_part="wrist of Doe", path="Doe^Jane/" + manifest["path"])
    done = run(typed, source.parent, tmp_path / "out")
    assert len(done.manifest) == 2
    stored = b"".join(bytes_of(tmp_path / "out").values())
    assert not {"path", "body_part"} & set(done.manifest)
    assert b"Doe" not in stored


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_image_is_read_placed_rendered_and_written(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in")
    done = run(manifest, source, tmp_path / "out")
    assert done.manifest["image"].tolist() == manifest["image"].tolist()
    assert (done.done, done.skipped) == (6, 0)
    for row, path in zip(done.manifest.itertuples(), manifest["path"], strict=True):
        got = cv2.imread(str(tmp_path / "out" / IMAGES / row.prepared), cv2.IMREAD_UNCHANGED)
        assert got is not None
        (expected,) = steps.apply(SMALL, read(source / path))
        assert got.dtype == np.uint8
        assert (got == frame.render(expected)).all()
        assert row.steps == "; ".join(expected.notes)
        assert row.part == 0
        placed = Placement.read(row.placement)
        assert placed.size == got.shape and (placed.matrix == frame.frame_of(expected).matrix).all()
    assert done.manifest["steps"].str.contains("inverted").tolist() == [False, False, True] * 2
    stored = tables.read(tmp_path / "out" / "manifest.parquet", tables.MANIFEST)
    assert stored["prepared"].tolist() == [f"{image}.png" for image in manifest["image"]]


def test_members_of_an_archive_are_prepared_without_unpacking_it(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 3)
    packed = Path(shutil.make_archive(str(tmp_path / "zipped" / "export"), "zip", source))
    with ThreadPoolExecutor(1) as pool:
        members = ingest(packed.parent, None, task=FRACTURE, executor=pool).manifest
    assert members["path"].tolist() == [f"export.zip!/{number}.png" for number in range(3)]
    run(manifest, source, tmp_path / "out")
    run(members, packed.parent, tmp_path / "from-zip")
    assert bytes_of(tmp_path / "from-zip" / IMAGES) == bytes_of(tmp_path / "out" / IMAGES)
    assert [path.name for path in packed.parent.iterdir()] == ["export.zip"]


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
    named = by_path(done.refusals, manifest)
    assert {refusal.path: refusal.code for refusal in named} == expected
    assert len(done.manifest) + len(done.refusals) == len(manifest) + len(earlier)
    stored = refusal_table.read(tmp_path / "out" / "refusals.parquet")
    assert {refusal.path for refusal in by_path(stored, manifest)} == set(expected)
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
    assert done.manifest["steps"].iloc[1].startswith("from 35; padded")
    assert (done.done, done.skipped) == (2, 0)
    whole = run(manifest, source, tmp_path / "out")
    assert {p.name for p in (tmp_path / "out" / IMAGES).iterdir()} == set(whole.manifest["prepared"])


LOST = {"1.png": "crashed", "2.png": "timeout", "3.png": "crashed"} | (
    {"4.png": "crashed"} if sys.platform == "linux" else {}
)
SHORT = Limits(seconds=2.0)


@contextmanager
def a_dask_executor() -> Iterator[Executor]:
    with cluster.executor_of("local", workers=2) as executor:
        assert executor is not None
        yield executor


EXECUTORS: dict[str, Callable[[], AbstractContextManager[Executor | None]]] = {
    "none": nullcontext,
    "threads": lambda: ThreadPoolExecutor(2),
    "processes": lambda: ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")),
    "dask": a_dask_executor,
}


@pytest.mark.parametrize("name", EXECUTORS)
def test_on_every_executor_a_lost_image_is_refused_and_its_study_goes_on(name: str, tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 8)
    manifest["study"] = ["one", "two", "one", "two", "one", "two", "one", "one"]
    recipe = (Misbehave(), *SMALL)
    with EXECUTORS[name]() as executor:
        done = prepare(manifest, source, recipe, tmp_path / "out", workers=2, executor=executor, limits=SHORT)
    assert {refusal.path: refusal.code for refusal in by_path(done.refusals, manifest)} == LOST
    assert all(refusal.remedy for refusal in done.refusals)
    assert len(done.manifest) + len(done.refusals) == 8
    healthy = manifest[~manifest["path"].isin(LOST)]
    run(healthy, source, tmp_path / "healthy")
    assert bytes_of(tmp_path / "out" / IMAGES) == bytes_of(tmp_path / "healthy" / IMAGES)
    again = prepare(manifest, source, recipe, tmp_path / "out", limits=SHORT)
    assert (again.done, again.skipped) == (0, 8)


def test_what_was_lost_is_tried_again_only_under_wider_limits(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 3)
    recipe = (Misbehave(), *SMALL)
    run(manifest, source, tmp_path / "out", recipe, limits=Limits(seconds=0.7))
    wider = run(manifest, source, tmp_path / "out", recipe, limits=Limits(seconds=1.0))
    assert wider.reasons == {"it was lost under narrower limits": 2}
    assert run(manifest, source, tmp_path / "out", recipe, limits=Limits(seconds=0.9)).done == 0


def test_images_of_a_study_are_one_task(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 5)
    manifest["study"] = ["b", "a", "b", "c", "a"]
    seen = list[int]()
    done = run(manifest, source, tmp_path / "out", progress=lambda done, total: seen.append(done))
    assert seen == [0, 2, 4, 5]
    assert done.manifest["image"].tolist() == manifest["image"].tolist()


def test_refusals_are_told_while_it_runs(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 4)
    (source / "1.png").unlink()
    (source / "2.png").unlink()
    told = list[int]()
    run(manifest, source, tmp_path / "out", on_refused=told.append)
    assert (told[0], told[-1]) == (0, 2)
    assert told == sorted(told)


KILLING = """
    import os, random, signal, sys, time
    from pathlib import Path

    from osteon import tables
    from osteon.dataset.pipeline import prepare
    from osteon.dataset.steps import ColourInversion, FitSquare

    manifest, source, out = map(Path, sys.argv[1:4])
    chance = random.Random(4)

    def run(told):
        prepare(
            tables.read(manifest, tables.MANIFEST), source, (ColourInversion(), FitSquare(64)), out,
            progress=lambda done, total: os.write(told, b"."),
        )

    def killed(moments, seconds):
        # Fork a run, wait until it has told of so many moments, then for a while, and kill it.
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.close(told)
            run(tell)
            os._exit(0)
        os.close(tell)
        for _ in range(moments):
            os.read(told, 1)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.close(told)
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])

    kills = 0
    while kills < 4:  # while it reads where it was
        kills += killed(0, chance.uniform(0, 0.02))
    while kills < 15:  # at work
        kills += killed(chance.randint(2, 4), chance.uniform(0, 0.01))
        print(*sorted((out / "images").glob("[0-9a-f]*.png")), sep="|", flush=True)
        input()
    run(os.open(os.devnull, os.O_WRONLY))
    while kills < 21:  # while it writes the tables
        (out / "manifest.parquet").unlink(missing_ok=True)
        kills += killed(1, chance.uniform(0, 0.02))
    print(kills)
"""


def test_killed_at_any_moment_and_run_again_the_result_is_the_same(tmp_path: Path) -> None:
    manifest, source = a_source(tmp_path / "in", 50)
    tables.write(tmp_path / "manifest.parquet", manifest, tables.MANIFEST)
    run(manifest, source, tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-c", textwrap.dedent(KILLING), *map(str, (tmp_path / "manifest.parquet", source, out))]
    made: dict[str, int] = {}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        for _ in range(11):
            process.stdout.readline()
            known = {part.file for _, done in journal.read(out) for part in done.parts}
            now = {name: (out / IMAGES / name).stat().st_mtime_ns for name in known}
            # What the journal knew before this run was not made again.
            assert {name: now[name] for name in made} == made
            assert len(now) > len(made)
            made = now
            print(file=process.stdin, flush=True)
        assert len(made) < 50
        assert int(process.stdout.readline()) == 21
    final = run(manifest, source, out)
    assert final.done == 0
    assert bytes_of(out) == bytes_of(tmp_path / "whole")


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


FLAT = Moments(4, 4, 4)
AS_FILED = "2 2 1.0 0.0 0.0 0.0 1.0 0.0"


def test_the_journal_comes_back_as_it_was_written(tmp_path: Path) -> None:
    done = [
        Done("a", (Part("a-0.png", 7, FLAT, "turned; “x”", AS_FILED), Part("a-1.png", 8, FLAT, ""))),
        Done("b", refusal=Refusal("b.dcm", "blank", "every pixel is 0", "leave it out")),
        Done("c", refusal=Refusal("c.dcm", "timeout", "slow", "wait"), limits=Limits(2.5)),
    ]
    with journal.opened(tmp_path, ["recipe"]) as stream:
        begins = [journal.append(stream, one) for one in done]
    back = journal.read(tmp_path)
    assert back.recipe == ["recipe"]
    assert list(back) == list(zip(begins, done, strict=True))
    assert list(journal.in_order(tmp_path, ["recipe"], begins[::-1])) == done[::-1]
    assert [one for _, one in journal.read(tmp_path)] == done[::-1]
    assert json.loads(journal.line_of(done[1]))["refusal"]["code"] == "blank"
    nowhere = journal.read(tmp_path / "nowhere")
    assert (nowhere.recipe, list(nowhere)) == (None, [])


def test_a_journal_goes_on_after_a_cut_and_begins_anew_for_another_recipe(tmp_path: Path) -> None:
    with journal.opened(tmp_path, "r") as stream:
        journal.append(stream, Done("a"))
        journal.append(stream, Done("b", (Part("b.png", 7, FLAT, ""),)))
    path = tmp_path / journal.JOURNAL
    path.write_bytes(path.read_bytes()[:-3])
    with journal.opened(tmp_path, "r") as stream:
        journal.append(stream, Done("c"))
    assert [done.image for _, done in journal.read(tmp_path)] == ["a", "c"]
    with journal.opened(tmp_path, "other"):
        assert list(journal.read(tmp_path)) == []
    path.write_text("")
    with journal.opened(tmp_path, "r"):
        assert journal.read(tmp_path).recipe == "r"


@pytest.mark.parametrize(
    ("done", "why"),
    [
        (Done("a", (Part("a.png", 7, FLAT, "", AS_FILED),)), None),
        (Done("a", (Part("a.png", 7, FLAT, ""),)), "its place in its file was not kept"),
        (Done("a", (Part("a.png", 6, FLAT, ""),)), "its prepared image was changed"),
        (Done("a", (Part("b.png", 7, FLAT, ""),)), "its prepared image is missing"),
        (Done("b", refusal=Refusal("b.dcm", "blank", "")), None),
        (Done("c", refusal=Refusal("c.dcm", "changed", "")), "its file was missing or changed"),
        (Done("d", refusal=Refusal("d.dcm", "timeout", ""), limits=Limits(10)), None),
        (Done("d", refusal=Refusal("d.dcm", "timeout", ""), limits=Limits(9)), "it was lost under narrower limits"),
        (Done("d", refusal=Refusal("d.dcm", "crashed", ""), limits=Limits(11, 1)), "it was lost under narrower limits"),
    ],
)
def test_why_an_image_is_stale(done: Done, why: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"7 bytes")
    assert journal.why_stale(done, tmp_path, Limits(10)) == why


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
    with pytest.raises(OsteonError, match=r"executor failed \(BrokenExecutor"):
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
    size = write_png(path, pixels)
    back = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert back is not None
    assert (back == pixels).all()
    assert path.stat().st_size == size
