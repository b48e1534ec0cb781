from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from osteon import files
from osteon.dataset import frame, steps
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import prepare
from osteon.dataset.steps import ColourInversion, FitSquare
from osteon.dataset.trace import SIDE, TRACE, choose, drawn, stages, trace
from osteon.errors import UnknownName, UnreadableImage
from osteon.tasks import FRACTURE
from osteon.types import Radiograph, Recipe
from tests.make import a_radiograph, some_cases

RECIPE: Recipe = (ColourInversion(), FitSquare(64))


@dataclass(frozen=True)
class Halve:
    """Left and right half of a plate."""

    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        height, width = frame.frame_of(radiograph).size
        return [
            frame.noted(frame.window(radiograph, top=0, left=left, height=height, width=width // 2), f"from {left}")
            for left in (0, width // 2)
        ]


@dataclass(frozen=True)
class Refuse:
    def __call__(self, radiograph: Radiograph, /) -> list[Radiograph]:
        raise UnreadableImage("step_refused", "it is no wrist")


def test_there_is_a_picture_after_every_step_with_what_the_step_said_of_it() -> None:
    dark = a_radiograph(120, 80, inverted=True)
    first, inverted, fitted = stages(RECIPE, dark)
    assert [stage.title for stage in (inverted, fitted)] == [str(step) for step in RECIPE]
    ((before, _),), ((after, said),) = first.pictures, inverted.pictures
    assert (after == 255 - before).all()
    assert said.startswith("inverted")
    (end,) = steps.apply(RECIPE, dark)
    ((last, said),) = fitted.pictures
    assert (last == frame.seen(end)).all()
    assert said == end.notes[-1]


def test_parts_stand_below_each_other_and_a_refusal_ends_the_strip() -> None:
    strip = stages((Halve(), Halve(), Refuse(), FitSquare(64)), a_radiograph(100, 80))
    assert [len(stage.pictures) for stage in strip] == [1, 2, 4, 0]
    assert [said for _, said in strip[2].pictures] == ["from 0", "from 20", "from 0", "from 20"]
    assert strip[-1].title.endswith("refused, it is no wrist")


def test_the_strip_shows_the_pictures_themselves() -> None:
    radiograph = a_radiograph(SIDE, SIDE)
    page = drawn(stages((Halve(),), radiograph))
    shown = frame.seen(radiograph)
    places = [
        (top, left)
        for top in range(page.shape[0] - SIDE + 1)
        for left in (8,)
        if (page[top : top + SIDE, left : left + SIDE] == shown).all()
    ]
    assert len(places) == 1
    # Captions are ink on paper outside the pictures.
    assert (page[: places[0][0]] < 128).any()
    assert page.shape[1] >= 2 * SIDE


def test_studies_are_chosen_by_name_or_evenly_by_number() -> None:
    cases = some_cases(10, images_each=2)
    assert choose(cases, ["s003", "s001", "s003"]) == ["s003", "s001"]
    assert choose(cases, ["3"]) == ["s000", "s003", "s006"]
    assert choose(cases, ["100"]) == [f"s{n:03d}" for n in range(10)]
    assert choose(cases, []) == []
    assert choose(cases.assign(study="3"), ["3"]) == ["3"]
    for wrong in ("s999", "0", "-1", ""):
        with pytest.raises(UnknownName, match="there is no study"):
            choose(cases, [wrong])


def test_strips_take_the_place_of_earlier_ones_and_go_with_another_recipe(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for seed in range(4):
        assert cv2.imwrite(str(source / f"{seed}.png"), a_radiograph(90 + seed, 70, seed=seed).pixels)
    with ThreadPoolExecutor(1) as pool:
        manifest = ingest(source, None, task=FRACTURE, executor=pool).manifest
        prepare(manifest, source, RECIPE, out, executor=pool)
        (source / "3.png").unlink()
        told = list[tuple[int, int]]()
        assert trace(manifest[:2], source, RECIPE, out, progress=lambda *counts: told.append(counts)) == 2
        assert told == [(1, 2), (2, 2)]
        assert trace(manifest[1:], source, RECIPE, out) == 2
        strips = sorted(path.name for path in (out / TRACE).iterdir())
        assert strips == sorted(f"{image}.png" for image in manifest["image"][1:3])
        picture = cv2.imread(str(out / TRACE / strips[0]), cv2.IMREAD_UNCHANGED)
        assert picture is not None and picture.dtype == np.uint8 and picture.shape[1] > 3 * SIDE
        before = files.digest_of(out / TRACE)
        trace(manifest[1:], source, RECIPE, out)
        assert files.digest_of(out / TRACE) == before
        prepare(manifest, source, (FitSquare(32),), out, executor=pool)
    assert not (out / TRACE).exists()
