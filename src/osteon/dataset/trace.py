"""What a recipe does to an image, step by step, as a strip of pictures: for eyes, not for training."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from osteon import files
from osteon.dataset.frame import proxy_of, seen
from osteon.dataset.guard import LIMITS, Limits, Lost
from osteon.dataset.preparation import Job, radiograph_of, write_png
from osteon.dataset.workers import each
from osteon.errors import UnknownName, UnreadableImage
from osteon.types import Progress, Radiograph, Recipe, silent

TRACE = "trace"
"""Folder of the strips, beside the prepared images: <image>.png, as in the manifest that was prepared."""

SIDE = 320
"""Side in pixels of the square that one picture is fitted into."""

_PAPER, _INK = 255, 0
_GAP, _LETTER, _LINE = 8, 11, 15  # pixels: between pictures, height of letters, height of a line of text


@dataclass(frozen=True, eq=False)
class Stage:
    """What there is after one step: pictures (h, w) uint8, one for each part of the image, each with its caption."""

    title: str
    pictures: tuple[tuple[NDArray[np.uint8], str], ...]


def choose(manifest: pd.DataFrame, asked: Sequence[str]) -> list[str]:
    """The studies to trace: each text is a study of the manifest, or how many to take, evenly spread over it.

    Raises:
        UnknownName: for a text that is neither.
    """
    studies = list(dict.fromkeys(manifest["study"]))
    known, chosen = set(studies), dict[str, None]()
    for text in asked:
        if text in known:
            chosen[text] = None
        elif text.isdecimal() and int(text) > 0:
            chosen |= dict.fromkeys(studies[:: max(1, len(studies) // int(text))][: int(text)])
        else:
            raise UnknownName(f"there is no study {text!r}", remedy="give a study of the manifest, or a number of them")
    return list(chosen)


def trace(
    manifest: pd.DataFrame,
    source: Path,
    recipe: Recipe,
    out: Path,
    *,
    workers: int = 1,
    limits: Limits = LIMITS,
    progress: Progress = silent,
) -> int:
    """Write a strip for every image of a manifest into `out/trace/`, whole or not at all, in place of earlier ones.

    Args:
        manifest: the rows to trace, as `osteon.dataset.ingest` made them.
        source: what was ingested.
        recipe: what is done to the images.
        out: the folder of the prepared images.
        workers: processes.
        limits: what one image may take.
        progress: told of images.

    Returns:
        How many strips were written; images that cannot be read have none.
    """
    written = 0
    with files.replacing_folder(out / TRACE) as folder:
        rows = zip(manifest["image"], manifest["path"], strict=True)
        jobs = [Job(image, source, path, recipe, folder, limits) for image, path in rows]
        with closing(each(trace_one, jobs, workers=workers, lost=_no_strip, limits=limits)) as traced:
            for done, (_, fine) in enumerate(traced, 1):
                written += fine
                progress(done, len(jobs))
    return written


def trace_one(job: Job) -> bool:
    """Write the strip of one image; False if the image cannot be read."""
    try:
        radiograph = radiograph_of(job)
    except UnreadableImage:
        return False
    write_png(job.images / f"{job.image}.png", drawn(stages(job.recipe, radiograph)))
    return True


def stages(recipe: Recipe, radiograph: Radiograph) -> list[Stage]:
    """The image as its file shows it, and after each step; a refusal ends the list."""
    parts = [proxy_of(radiograph)]
    found = [Stage("as its file shows it", ((seen(parts[0]), "; ".join(radiograph.header.notes)),))]
    for step in recipe:
        try:
            made = [(part, result) for part in parts for result in step(part)]
        except UnreadableImage as error:
            return [*found, Stage(f"{step}: refused, {error.message}", ())]
        new = [(seen(result), "; ".join(result.notes[len(part.notes) :])) for part, result in made]
        found.append(Stage(str(step), tuple(new)))
        parts = [result for _, result in made]
    return found


def drawn(strip: Sequence[Stage]) -> NDArray[np.uint8]:
    """The strip, (height, width) uint8: a column for each stage, a row for each part."""
    # Pillow's own font lacks signs that notes use, such as ×.
    font = ImageFont.truetype(Path(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _LETTER)
    titles = [_wrapped(f"{number} · {stage.title}", font) for number, stage in enumerate(strip)]
    captions = [[_wrapped(text, font) for _, text in stage.pictures] for stage in strip]
    top = _GAP + _LINE * max(map(len, titles))
    deep = SIDE + _GAP + _LINE * max((len(lines) for column in captions for lines in column), default=0)
    rows = max(len(stage.pictures) for stage in strip)
    page = Image.new("L", (_GAP + (SIDE + _GAP) * len(strip), top + (deep + _GAP) * rows), _PAPER)
    pen = ImageDraw.Draw(page)
    for column, stage in enumerate(strip):
        left = _GAP + (SIDE + _GAP) * column
        pen.multiline_text((left, _GAP / 2), "\n".join(titles[column]), _INK, font, spacing=_LINE - _LETTER)
        for row, (pixels, _) in enumerate(stage.pictures):
            picture = Image.fromarray(pixels)
            picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
            page.paste(picture, (left, top + (deep + _GAP) * row))
            below = top + (deep + _GAP) * row + picture.height + _GAP / 2
            pen.multiline_text((left, below), "\n".join(captions[column][row]), _INK, font, spacing=_LINE - _LETTER)
    return np.asarray(page, np.uint8)


def _wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """The text in lines that fit under a picture."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > SIDE:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines if text else []


def _no_strip(job: Job, why: Lost) -> bool:
    return False
