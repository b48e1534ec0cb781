"""From maps of a frozen trunk to one table of grades, with the floors on the same folds, and the model to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.dataset.splits import SEALED
from osteon.errors import Mismatch
from osteon.learn.healing.cortex_reader import CortexReader, Maps, ReaderOptions, fit_reader, read
from osteon.learn.healing.floors import healing_floors
from osteon.learn.healing.layout import Cells, as_grades, lay_out, months_of
from osteon.learn.logistic import Array
from osteon.learn.maps import sided
from osteon.learn.multiview import CortexScores, Fusion, conformal_level, fit_fusion, visits_of
from osteon.learn.nested import UNUSED
from osteon.learn.train import part_of
from osteon.tasks import rust
from osteon.tasks.rust import MODIFIED_RUST, Grades, Score
from osteon.types import Progress, silent


@dataclass(frozen=True, eq=False)
class HealingCrossValidation:
    """What the folds said, and the model trained on all of them.

    Attributes:
        grades: rows of the model and of the floors (`osteon.tables.GRADES`): one per shown cortex of each image, out of
            fold, and those of the sealed images, from the final model.
        visits: one row per visit: `patient`, `study`, `part`, `fold`, `month` if known, `total` (the expected one),
            `low`, `high` (missing where a view is, or a cortex probably cannot be graded), `rated` (the rater's;
            missing unless all four cortices have one grade), and `t4`, … the probability of each total.
        reader: the final reader.
        fusion: from its readings to probabilities, fitted on out-of-fold scores.
        level: nominal level of the intervals of totals, so that they hold what they should.
        notes: model name → what its reader should know.
    """

    grades: pd.DataFrame
    visits: pd.DataFrame
    reader: CortexReader
    fusion: Fusion
    level: float
    notes: dict[str, str]


def cross_validate_healing(
    maps: Maps,
    manifest: pd.DataFrame,
    *,
    score: Score = MODIFIED_RUST,
    model: str = "model",
    images: Mapping[str, Path] | None = None,
    options: ReaderOptions | None = None,
    seed: int,
    progress: Progress = silent,
) -> HealingCrossValidation:
    """Cross-validate a reader of cortices beside the floors, and train the final one.

    Within each fold everything is learnt from its training part alone: readers leave out one more fold each, and what
    they say of that fold fits the calibration and the width of the intervals for the reader of the whole part. k folds
    need k (k − 1) / 2 readers for that, k that report, and the final one.

    Args:
        maps: (n, c, h, w), row by row those of the manifest, each of the flip that shows a left leg:
            `bank.maps_of(images, flips_of(manifest))`.
        manifest: n rows with the columns group, fold and the four grades, as `osteon split` wrote it.
        score: which grades there are.
        model: its name in the table of grades.
        images: image id → prepared PNG, for the thumbnail floor.
        options: how to train.
        seed: of the readers.
        progress: called with the thousandths of all readers done and their number.

    Raises:
        Mismatch: if maps and manifest differ in length.
        TooFewCases, Leak, BadTable: as `healing_layout.lay_out`.
        Diverged: if the maps hold values that are no numbers.
    """
    if maps.ndim != 4 or len(maps) != len(manifest):
        raise Mismatch(
            f"maps of shape {maps.shape} do not fit a manifest of {len(manifest)} rows",
            remedy="compute the maps of this manifest's images",
        )
    cells, options = lay_out(manifest, score), options or ReaderOptions()
    shape = (len(cells.layout.training), *cells.grades.shape)
    told = CortexScores(np.full(shape, np.nan), np.full(shape, np.nan))
    for number, training in enumerate(cells.layout.training):
        part = part_of(progress, number, shape[0])
        reader = fit_reader(
            maps, cells.grades, np.flatnonzero(training), options, score=score, seed=seed, progress=part
        )
        # The images that it has learnt from are not asked for: nothing may use such an answer.
        asked = np.flatnonzero((cells.layout.fold != UNUSED) & ~training)
        said = read(reader, maps, asked)
        told.healed[number, asked], told.scoreable[number, asked] = said.healed, said.scoreable
    fused = _fused(cells, told)
    beside = healing_floors(manifest, cells, images)
    own = as_grades(model, manifest, cells, fused.grades, fused.scoreable)
    return HealingCrossValidation(
        grades=pd.concat([own, beside.grades], ignore_index=True),
        visits=_visits(manifest, cells, fused),
        reader=reader,  # the last to be trained leaves no fold out
        fusion=fused.final,
        level=fused.level,
        notes=beside.notes | {model: _said(manifest, cells, fused.level)},
    )


@dataclass(frozen=True, eq=False)
class _Fused:
    """What every image is told: `grades` (n, 4, g), `scoreable` (n, 4), `levels` (n,) of its visit's interval."""

    grades: Array
    scoreable: Array
    levels: Array
    final: Fusion
    level: float


def _fused(cells: Cells, told: CortexScores) -> _Fused:
    """Calibrate, fuse and widen for each fold, and last for the sealed part, by what inner models said."""
    grades = np.full((*cells.grades.shape, cells.highest), np.nan)
    scoreable, levels = np.full(cells.grades.shape, np.nan), np.full(len(grades), np.nan)
    for fold, model, own in cells.outer():
        rows, inner = cells.inner(fold)
        unseen = CortexScores(told.healed[inner, rows], told.scoreable[inner, rows])
        fusion = fit_fusion(unseen, cells.shown[rows], cells.study[rows], cells.grades[rows], cells.score)
        level = _level(cells, unseen, rows)
        mine = CortexScores(told.healed[model, own], told.scoreable[model, own])
        grades[own], scoreable[own] = fusion(mine, cells.shown[own], cells.study[own])
        levels[own] = level
    return _Fused(grades, scoreable, levels, fusion, level)


def _level(cells: Cells, unseen: CortexScores, rows: NDArray[np.intp]) -> float:
    """The level that intervals need, by visits that neither a reader nor its calibration has seen.

    Each fold among the rows is calibrated by the others: a calibration that has seen a visit's total is too sure of it.
    """
    grades = np.full((len(rows), *cells.grades.shape[1:], cells.highest), np.nan)
    scoreable = np.full(grades.shape[:2], np.nan)
    fold, shown = cells.layout.fold[rows], cells.shown[rows]
    study, given = cells.study[rows], cells.grades[rows]
    for k in np.unique(fold):
        others, own = fold != k, fold == k
        fusion = fit_fusion(_some(unseen, others), shown[others], study[others], given[others], cells.score)
        grades[own], scoreable[own] = fusion(_some(unseen, own), shown[own], study[own])
    visits = visits_of(grades, scoreable, study, cells.score)
    return conformal_level(visits.totals, _given_totals(given, study), cells.score)


def _some(scores: CortexScores, rows: NDArray[np.bool_]) -> CortexScores:
    return CortexScores(scores.healed[rows], scores.scoreable[rows])


def _given_totals(grades: Grades, study: NDArray[np.intp]) -> Array:
    """(v,) the rater's total of each visit, NaN unless its four cortices have one grade each."""
    return rust.totals(rust.joined(grades, study)[0])


def _visits(manifest: pd.DataFrame, cells: Cells, fused: _Fused) -> pd.DataFrame:
    """The table of visits of `HealingCrossValidation`."""
    used = cells.layout.fold != UNUSED
    first = np.unique(cells.study, return_index=True)[1]
    level = np.zeros(len(first))
    np.maximum.at(level, cells.study[used], fused.levels[used])
    visits = visits_of(fused.grades, fused.scoreable, cells.study, cells.score, level=level)
    asked = np.flatnonzero(np.bincount(cells.study[used], minlength=len(first)))
    fold = np.full(len(first), UNUSED)
    fold[cells.study[used]] = cells.layout.fold[used]
    content = {
        **{name: manifest[name].to_numpy()[first] for name in ("patient", "study")},
        "part": np.where(fold == SEALED, "test", "validation"),
        "fold": fold,
        "total": visits.expected(cells.score),
        "low": visits.low,
        "high": visits.high,
        "rated": _given_totals(cells.grades, cells.study),
        **{f"t{cells.score.lowest + k}": visits.totals[:, k] for k in range(visits.totals.shape[1])},
    }
    if (months := months_of(manifest)) is not None:
        content["month"] = months.to_numpy()[first]
    return pd.DataFrame(content).iloc[asked].reset_index(drop=True)


def _said(manifest: pd.DataFrame, cells: Cells, level: float) -> str:
    """What readers of the figures should know."""
    used = cells.layout.fold != UNUSED
    sideless = int((used & ~sided(manifest)).sum())
    said = f"intervals of totals are central ones of nominal level {level:.3f}, which out-of-fold visits asked for"
    return f"{said}; {sideless} images have no side, and were taken as left" if sideless else said
