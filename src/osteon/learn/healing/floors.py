"""Models of the healing score that see next to nothing, on the same folds as the model.

Each is fitted, and its penalty chosen, inside the training part of each fold (`osteon.learn.healing.layout`), and
writes rows of the table of grades under its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.learn import floors
from osteon.learn.floors import THUMBNAIL, Encoder
from osteon.learn.healing.layout import Cells, as_grades, months_of, out_of_fold
from osteon.learn.logistic import Array
from osteon.learn.maps import MIRRORED, flips_of
from osteon.learn.ordinal import PENALTIES, fit, frequencies
from osteon.tasks.rust import CORTICES, NOT_SCOREABLE
from osteon.types import Progress, silent


@dataclass(frozen=True, eq=False)
class HealingFloors:
    """The floors' rows of the table of grades, and one sentence for each floor that needs one: model name → note."""

    grades: pd.DataFrame
    notes: dict[str, str]


def healing_floors(
    manifest: pd.DataFrame,
    cells: Cells,
    images: Mapping[str, Path] | None = None,
    *,
    penalties: Sequence[float] = PENALTIES,
    progress: Progress = silent,
) -> HealingFloors:
    """All floors of a healing cohort.

    majority: frequencies of the grades. view: given the view and the cortex. month: a cumulative link on the month.
    tags: on every column that says nothing of the answer. thumbnail: on 32 × 32 pixels, mirrored as the model's are.

    Args:
        manifest: with the columns group and fold. cells: of it.
        images: image id → prepared PNG, for the thumbnail floor; None leaves that floor out, and a note says so.
        penalties: for the cumulative links to choose from, the strongest first.
        progress: called with the floors done and their number.

    Raises:
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
    """
    tags = floors.tags_of(manifest, cells.layout)
    notes = {tables.FLOOR + "tags": f"fitted on {', '.join(tags)}"}
    told: dict[str, Callable[[], Array]] = {
        "majority": lambda: _frequencies(cells, np.zeros(len(CORTICES), np.intp)),
        "view": lambda: _frequencies(cells, np.arange(len(CORTICES))),
        "tags": lambda: _links(cells, floors.encoder(manifest, tags), penalties),
    }
    months = months_of(manifest)
    if months is None or months[cells.layout.labelled].nunique() < 2:
        notes[tables.FLOOR + "month"] = "left out: the manifest does not tell months apart"
    else:
        dated = pd.DataFrame({"month": months})
        told["month"] = lambda: _links(cells, floors.encoder(dated, ["month"]), penalties)
    if images is None:
        notes[tables.FLOOR + "thumbnail"] = "left out: no prepared images were given"
    else:
        pictures = images
        told["thumbnail"] = lambda: _links(cells, _thumbnails(manifest, pictures, cells), penalties)
    frames = []
    for done, (name, compute) in enumerate(told.items()):
        progress(done, len(told))
        found, _ = out_of_fold(cells, compute())
        frames.append(as_grades(tables.FLOOR + name, manifest, cells, found))
    progress(len(told), len(told))
    return HealingFloors(pd.concat(frames, ignore_index=True), notes)


def _frequencies(cells: Cells, level: NDArray[np.intp]) -> Array:
    """(1, models, n, 4, g) how often each grade occurs among the training cells of a cortex's level (4,)."""
    known = cells.grades > NOT_SCOREABLE
    every = np.broadcast_to(level, known.shape)
    told = np.empty((1, len(cells.layout.training), *known.shape, cells.highest))
    for model, rows in enumerate(cells.layout.training):
        mine = (known & rows[:, None]).ravel()
        told[0, model] = frequencies(every.ravel(), cells.grades.ravel(), mine, cells.highest).reshape(told.shape[2:])
    return told


def _links(cells: Cells, encode: Encoder, penalties: Sequence[float]) -> Array:
    """(c, models, n, 4, g) of cumulative links, one for each cortex, whose columns are learnt on each training part."""
    told = np.full((len(penalties), len(cells.layout.training), *cells.grades.shape, cells.highest), np.nan)
    for model, rows in enumerate(cells.layout.training):
        design = encode(rows)
        for place in range(len(CORTICES)):
            mine, shown = cells.graded(rows, place), cells.shown[:, place]
            for setting, penalty in enumerate(penalties):
                link = fit(design[mine], cells.grades[mine, place], cells.highest, penalty=penalty)
                told[setting, model, shown, place] = link.probabilities(design[shown])
    return told


def _thumbnails(manifest: pd.DataFrame, images: Mapping[str, Path], cells: Cells) -> Encoder:
    small = floors.thumbnails(manifest, images, cells.layout).reshape(-1, THUMBNAIL, THUMBNAIL)
    right = flips_of(manifest) == MIRRORED
    small[right] = small[right][:, :, ::-1]
    flat = small.reshape(len(small), -1)
    return lambda rows: flat
