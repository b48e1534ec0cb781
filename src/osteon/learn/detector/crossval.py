"""From what detectors said, fold by fold, to one predictions table with its floors, points and boxes, and a choice.

Inner folds choose: how long to train, which of several detectors or ensembles of them, how to calibrate, and which
boxes of a lesion map are kept. The fold that was left out of all of them reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset.boxes import COLUMNS, by_image
from osteon.dataset.splits import SEALED
from osteon.errors import Mismatch, TooFewCases
from osteon.evaluate import localisation
from osteon.evaluate.intervals import point
from osteon.evaluate.places import Boxes, PlaceTables
from osteon.evaluate.thresholds import choose
from osteon.learn.detector.box_targets import Cells, Floats, grid_of
from osteon.learn.detector.lesions import BoxRule, boxes_of, on_grid, peak_of
from osteon.learn.detector.network import STRIDES
from osteon.learn.detector.runs import Told
from osteon.learn.floors import floors
from osteon.learn.logistic import Array
from osteon.learn.nested import REGULARISATIONS, UNUSED, Layout, Nested, as_predictions, nested
from osteon.types import Calibration, Progress, silent

RULES = tuple(BoxRule(least, overlap) for least, overlap in product((0.03, 0.1), (0.1, 0.3, 0.5)))
"""Which boxes to keep: what to choose from."""


@dataclass(frozen=True)
class Setting:
    """What the inner folds may choose: a candidate and how long it is trained.

    Attributes:
        candidate: its name.
        place: of the epoch among those of its detectors.
    """

    candidate: str
    place: int


@dataclass(frozen=True, eq=False)
class DetectorCrossValidation:
    """What the folds said, and what they chose for the model that learns from all of them.

    Attributes:
        predictions: rows of the model and of the floors (`osteon.tables.PREDICTIONS`): one per labelled image, out of
            fold, and one per sealed image, from the final model.
        points, boxes: where the model says that the finding lies (`osteon.tables.POINTS`, `FOUND_BOXES`), in pixels of
            the prepared images.
        chosen: what each fold chose inside its training part.
        final: what all folds together chose.
        rules, rule: likewise, which boxes are kept.
        calibration: of the final model's scores, fitted on out-of-fold scores.
        thresholds: operating point → cut-off on the final model's probability, chosen on out-of-fold scores.
        notes: model name → what its reader should know.
    """

    predictions: pd.DataFrame
    points: pd.DataFrame
    boxes: pd.DataFrame
    chosen: tuple[Setting, ...]
    final: Setting
    rules: tuple[BoxRule, ...]
    rule: BoxRule
    calibration: Calibration
    thresholds: dict[str, float]
    notes: dict[str, str]


def cross_validate_detector(
    candidates: Mapping[str, Sequence[Told]],
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    *,
    model: str = "model",
    images: Mapping[str, Path] | None = None,
    regularisations: Sequence[float] = REGULARISATIONS,
    progress: Progress = silent,
) -> DetectorCrossValidation:
    """Choose, calibrate and report, from what detectors have told.

    Args:
        candidates: name → the detectors whose mean it is: of their scores, and of their maps, which are brought
            to the grid of the first. All are of the layout of the manifest.
        manifest: n rows with the columns group and fold, as `osteon split` wrote it.
        boxes: on the prepared images of the first detector (`dataset.boxes.COLUMNS`).
        model: its name in the predictions table.
        images: image id → prepared PNG, for the thumbnail floor.
        regularisations: C to choose from, for the floors.
        progress: called with the steps done and their number.

    Raises:
        Mismatch: if a candidate's detectors kept different numbers of epochs, or are of another layout.
        TooFewCases: if no box is left to choose a rule by.
    """
    layout, settings = _layout_of(candidates, len(manifest)), _settings(candidates)
    scores = np.stack([_mean_score(candidates[s.candidate], s.place) for s in settings])
    found = nested(layout, scores, scaled=True)
    first = next(iter(candidates.values()))[0]
    truth = by_image(boxes, list(manifest["image"]))
    steps, grid = len(layout.folds) + 2, grid_of(first.size, STRIDES[0])
    rules, told = list[BoxRule](), np.full((len(manifest), 5, *grid), np.nan, np.float32)
    for done, (fold, number) in enumerate(zip([*layout.folds, None], [*found.chosen, found.final], strict=True)):
        progress(done, steps)
        maps = _Maps(candidates[settings[number].candidate], settings[number].place, grid)
        rules.append(_best_rule(maps.inner(fold), truth, first.size, layout))
        own = layout.fold == (SEALED if fold is None else fold)
        told[own] = maps.outer(fold)[own]
    beside = floors(manifest, images, regularisations=regularisations)
    progress(steps, steps)
    own_rows = as_predictions(model, manifest, layout, found.score, found.probability)
    points, drawn = _places(manifest, layout, told, found, rules, first.size)
    return DetectorCrossValidation(
        predictions=pd.concat([own_rows, beside.predictions], ignore_index=True),
        points=points,
        boxes=drawn,
        chosen=tuple(settings[number] for number in found.chosen),
        final=settings[found.final],
        rules=tuple(rules[:-1]),
        rule=rules[-1],
        calibration=found.calibration,
        thresholds=_thresholds(layout, scores[found.final], found.calibration),
        notes=beside.notes | {model: _said(candidates, settings, found, rules)},
    )


def place_tables(
    manifest: pd.DataFrame, boxes: pd.DataFrame, done: DetectorCrossValidation, size: tuple[int, int]
) -> PlaceTables:
    """What `osteon.evaluate.judge_places` takes, for the images that the predictions speak of.

    Args:
        manifest: that was cross-validated.
        boxes: the true ones, on the prepared images.
        done: what came of it.
        size: (height, width) of the prepared images.
    """
    said = set(done.predictions["image"])
    prepared = manifest.loc[manifest["image"].isin(said), ["image", "group", "fold", "target"]]
    prepared = prepared.assign(height=size[0], width=size[1]).reset_index(drop=True)
    truth = boxes.loc[boxes["image"].isin(said), list(COLUMNS)].reset_index(drop=True)
    return PlaceTables(tables.check(prepared, tables.PREPARED, "the prepared images"), truth, done.boxes, done.points)


def _layout_of(candidates: Mapping[str, Sequence[Told]], rows: int) -> Layout:
    every = [told for detectors in candidates.values() for told in detectors]
    layout = every[0].layout
    if any(len(told.layout.fold) != rows or not (told.layout.training == layout.training).all() for told in every):
        raise Mismatch(
            "the detectors are of other folds than the manifest",
            remedy="cross-validate them on the manifest that they were trained on",
        )
    return layout


def _settings(candidates: Mapping[str, Sequence[Told]]) -> list[Setting]:
    """Short trainings first: of equally good settings the first is taken."""
    for name, detectors in candidates.items():
        if len({len(told.epochs) for told in detectors}) != 1:
            raise Mismatch(
                f"the detectors of {name} kept different numbers of epochs",
                remedy="train the members of an ensemble alike",
            )
    lengths = {name: len(detectors[0].epochs) for name, detectors in candidates.items()}
    return [Setting(name, k) for k in range(max(lengths.values())) for name in candidates if k < lengths[name]]


def _thresholds(layout: Layout, scores: Array, calibration: Calibration) -> dict[str, float]:
    """Cut-offs on the final model's scale: its calibration of the out-of-fold scores (models, n) that it was fitted to.

    Each fold has a calibration of its own, and probabilities on several scales have no common cut-off.
    """
    rows = np.flatnonzero(layout.labelled)
    model = [layout.left_out.index((fold,)) for fold in layout.fold[rows].tolist()]
    return choose(calibration(scores[model, rows]), layout.target[rows])


def _mean_score(detectors: Sequence[Told], place: int) -> Array:
    """(models, n)"""
    return np.asarray(np.mean([told.scores[place] for told in detectors], axis=0))


@dataclass(frozen=True, eq=False)
class _Maps:
    """The maps of a candidate after an epoch, means over its detectors on one grid.

    Both functions give (n, 5, h, w), NaN for the rows that are not spoken of.
    """

    detectors: Sequence[Told]
    place: int
    grid: tuple[int, int]

    def inner(self, fold: int | None) -> Cells:
        """What the detectors say of each row that have seen neither this fold (None: the sealed part) nor its own."""
        layout = self.detectors[0].layout
        without = () if fold is None else (fold,)
        every = self._empty()
        for other in layout.folds:
            if other != fold:
                rows, maps = self._said(tuple(sorted({*without, other})))
                mine = layout.fold[rows] == other
                every[rows[mine]] = maps[mine]
        return every

    def outer(self, fold: int | None) -> Cells:
        """What the detector that has not seen this fold says of it, or the final one of the sealed part."""
        every = self._empty()
        rows, maps = self._said(() if fold is None else (fold,))
        every[rows] = maps
        return every

    def _said(self, left_out: tuple[int, ...]) -> tuple[NDArray[np.intp], Cells]:
        number = self.detectors[0].layout.left_out.index(left_out)
        asked = [told.maps(self.place, number) for told in self.detectors]
        return asked[0][0], np.mean([on_grid(maps, self.grid) for _, maps in asked], axis=0)

    def _empty(self) -> Cells:
        return np.full((len(self.detectors[0].layout.fold), 5, *self.grid), np.nan, np.float32)


def _best_rule(maps: Cells, truth: Sequence[Floats], size: tuple[int, int], layout: Layout) -> BoxRule:
    """The rule of largest average precision on the images with boxes whose maps are there."""
    told = np.flatnonzero(layout.labelled & ~np.isnan(maps[:, 0, 0, 0]))
    rows = [row for row in told.tolist() if len(truth[row])]
    if not rows:
        raise TooFewCases(
            "no image of the inner folds has a box to choose a rule by",
            remedy="draw boxes on more images, or use fewer folds",
        )
    wanted = _as_boxes([truth[row] for row in rows], [np.zeros(len(truth[row])) for row in rows])
    reached = []
    for rule in RULES:
        drawn = [boxes_of(maps[row], STRIDES[0], size, rule) for row in rows]
        statistic, _ = localisation.average_precision(_as_boxes(*zip(*drawn, strict=True)), wanted)
        reached.append(float(point(statistic, sum(len(b) for b, _ in drawn) + len(wanted.image))))
    return RULES[int(np.argmax(reached))]


def _as_boxes(corners: Sequence[Floats], scores: Sequence[Floats]) -> Boxes:
    image = np.repeat(np.arange(len(corners)), [len(one) for one in corners])
    return Boxes(image, np.concatenate(corners), np.concatenate(scores))


def _places(
    manifest: pd.DataFrame,
    layout: Layout,
    maps: Cells,
    found: Nested,
    rules: Sequence[BoxRule],
    size: tuple[int, int],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and boxes of all rows that the predictions speak of.

    A box counts as its cell's probability times the image's: a hill in an image that looks sound is worth less.
    """
    points, boxes = [], []
    names = manifest["image"].tolist()
    for row in np.flatnonzero(layout.fold != UNUSED):
        fold = int(layout.fold[row])
        rule = rules[-1] if fold == SEALED else rules[layout.folds.index(fold)]
        points.append((names[row], *peak_of(maps[row, 0], STRIDES[0], size)))
        corners, heights = boxes_of(maps[row], STRIDES[0], size, rule)
        scores = heights * found.probability[row]
        boxes += [(names[row], *corner, score) for corner, score in zip(corners.tolist(), scores.tolist(), strict=True)]
    return (
        tables.check(pd.DataFrame(points, columns=list(tables.POINTS)), tables.POINTS, "the points"),
        tables.check(pd.DataFrame(boxes, columns=list(tables.FOUND_BOXES)), tables.FOUND_BOXES, "the found boxes"),
    )


def _said(
    candidates: Mapping[str, Sequence[Told]], settings: Sequence[Setting], found: Nested, rules: Sequence[BoxRule]
) -> str:
    """What the folds chose, in one sentence."""

    def name(number: int) -> str:
        setting = settings[number]
        return f"{setting.candidate} after epoch {candidates[setting.candidate][0].epochs[setting.place]}"

    chosen = _by_fold([name(number) for number in found.chosen])
    least = _by_fold([f"{rule.least:g}" for rule in rules[:-1]])
    return (
        f"chosen inside the folds: {chosen}; for the final model: {name(found.final)}; "
        f"boxes from a probability of {least} on, for the final model of {rules[-1].least:g}"
    )


def _by_fold(chosen: Sequence[str]) -> str:
    """What each fold chose; once, if all chose the same."""
    return f"{chosen[0]} in each" if len(set(chosen)) == 1 else ", ".join(chosen)
