"""Models that see next to nothing, on the same folds as the model: what it reaches beyond them is what it has learnt.

Each floor is fitted, its penalty chosen and its scores calibrated inside the training part of each fold, as the model's
are (`osteon.learn.nested`), and writes rows of the predictions table under its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset.prepared import pixels_of
from osteon.errors import NotFound
from osteon.learn.logistic import Array, fit_path
from osteon.learn.nested import (
    REGULARISATIONS,
    UNUSED,
    Layout,
    as_predictions,
    lay_out,
    linear_scores,
    log_odds,
    nested,
)
from osteon.tasks import ANSWERS
from osteon.types import Progress, silent

NOT_TAGS = (
    # Ids and paths name a case, they do not describe it.
    *("image", "path", "patient", "study", "series", "instance", "accession", "prepared"),
    # What the recipe made of the pixels.
    *("part", "steps", "placement"),
    # The split, and the answer.
    *("group", "fold", "target"),
    *sorted(ANSWERS),
)
"""Columns that the tags-only floor never sees. Every other column of the manifest is a tag."""

RAREST = 5
"""A level of a categorical tag on fewer training cases than this is pooled with the other rare ones."""

MANY_LEVELS = 0.2
"""A text column with more distinct values than this share of its cases is a name, not a category, and is left out."""

THUMBNAIL = 32
"""Side of the thumbnail in pixels."""

Encoder = Callable[[NDArray[np.bool_]], Array]
"""Training rows (n,) → design (n, d) of all rows, its vocabulary learnt on the training rows alone."""


@dataclass(frozen=True, eq=False)
class Floors:
    """The floors' rows of the predictions table, and one sentence for each floor that needs one: model name → note."""

    predictions: pd.DataFrame
    notes: dict[str, str]


def floors(
    manifest: pd.DataFrame,
    images: Mapping[str, Path] | None = None,
    *,
    regularisations: Sequence[float] = REGULARISATIONS,
    progress: Progress = silent,
) -> Floors:
    """All floors on the folds of a split manifest.

    Args:
        manifest: with the columns group and fold.
        images: image id → prepared PNG, for the thumbnail floor; None leaves that floor out, and a note says so.
        regularisations: C to choose from.
        progress: called with the floors done and their number.

    Raises:
        TooFewCases: see `nested.lay_out`.
        NotFound, UnreadableImage: for a prepared image that is not there or does not decode.
    """
    layout = lay_out(manifest)
    strengths = sorted(regularisations)
    tags, sizes = tags_of(manifest, layout), _sizes(manifest)
    notes = {tables.FLOOR + "tags": f"fitted on {', '.join(tags)}"}
    scores: dict[str, Callable[[], Array]] = {
        "majority": lambda: _frequencies(pd.Series("", index=manifest.index), layout),
        "view": lambda: _frequencies(manifest["view"].fillna(""), layout),
        "tags": lambda: _encoded(encoder(manifest, tags), layout, strengths),
        "size": lambda: _encoded(encoder(sizes, list(sizes)), layout, strengths),
    }
    if images is None:
        notes[tables.FLOOR + "thumbnail"] = "left out: no prepared images were given"
    else:
        pictures = images
        scores["thumbnail"] = lambda: linear_scores(thumbnails(manifest, pictures, layout), layout, strengths)[0]
    frames = []
    for done, (name, compute) in enumerate(scores.items()):
        progress(done, len(scores))
        found = nested(layout, compute(), platt=name not in ("majority", "view"))
        frames.append(as_predictions(tables.FLOOR + name, manifest, layout, found.score, found.probability))
        if name != "majority" and _same_for_all(found.score, layout):
            notes[tables.FLOOR + name] = "says the same of every case that it has not seen, as the majority floor does"
    progress(len(scores), len(scores))
    return Floors(pd.concat(frames, ignore_index=True), notes)


def _same_for_all(score: Array, layout: Layout) -> bool:
    return all(np.ptp(score[layout.fold == fold]) < 1e-9 for fold in layout.folds)


def _frequencies(level: pd.Series, layout: Layout) -> Array:
    """Log odds (1, models, n) of the share of positives at a row's level among the training rows.

    A level with k positives among m cases counts as (k + p) / (m + 1), with p the share of positives in the whole
    training part: one case of prior knowledge, so that a level never seen gets p and no share is 0 or 1.
    """
    codes = pd.factorize(level)[0]
    scores = np.empty((1, *layout.training.shape))
    for model, rows in enumerate(layout.training):
        prevalence = layout.target[rows].mean()
        cases = np.bincount(codes[rows], minlength=codes.max() + 1)
        positives = np.bincount(codes[rows], weights=layout.target[rows], minlength=codes.max() + 1)
        scores[0, model] = log_odds((positives + prevalence) / (cases + 1))[codes]
    return scores


def _encoded(encode: Encoder, layout: Layout, strengths: Sequence[float]) -> Array:
    """Scores (c, models, n) of logistic regressions whose columns are learnt on each training part by itself."""
    scores = np.empty((len(strengths), *layout.training.shape))
    for model, rows in enumerate(layout.training):
        design = encode(rows)
        weights, biases = fit_path(design[rows], layout.target[rows], np.ones((1, int(rows.sum()))), strengths)
        scores[:, model] = weights[:, 0] @ design.T + biases
    return scores


def tags_of(manifest: pd.DataFrame, layout: Layout) -> list[str]:
    """The columns that the tags-only floor may use: not excluded by name, not constant, not a name of the case."""
    known = manifest[layout.labelled]
    usable = []
    for column in map(str, manifest.columns):
        if column.lower() in NOT_TAGS:
            continue
        values = known[column].dropna()
        distinct = values.nunique()
        constant = distinct + int(len(values) < len(known)) < 2
        naming = _numbers(known[column]) is None and distinct > MANY_LEVELS * len(values)
        if not constant and not naming:
            usable.append(column)
    return usable


def _numbers(values: pd.Series) -> Array | None:
    """The column as numbers (n,), NaN where missing; None for a category.

    Text that spells more than ten different numbers is a quantity; ten or fewer are codes, where order says little.
    """
    if pd.api.types.is_bool_dtype(values.dtype):
        return None
    if pd.api.types.is_numeric_dtype(values.dtype):
        return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
    text = values.astype("string").fillna("")
    numbers = pd.to_numeric(text.where(text != ""), errors="coerce")
    if numbers.nunique() <= 10 or (numbers.isna() & (text != "")).any():
        return None
    return np.asarray(numbers.to_numpy(dtype=float, na_value=np.nan))


def encoder(table: pd.DataFrame, columns: Sequence[str]) -> Encoder:
    """Columns as numbers: the training mean where one is missing, and an indicator of it; categories one-hot.

    Levels of fewer than RAREST training cases are pooled.
    """
    numeric = {column: values for column in columns if (values := _numbers(table[column])) is not None}
    levels = {column: table[column].astype("string").fillna("") for column in columns if column not in numeric}

    def encode(rows: NDArray[np.bool_]) -> Array:
        design = [np.empty((len(table), 0))]
        for values in numeric.values():
            missing = np.isnan(values)
            seen = values[rows & ~missing]
            design += [np.where(missing, seen.mean() if seen.size else 0.0, values), missing.astype(float)]
        for text in levels.values():
            counts = text[rows].value_counts()
            kept = sorted(counts.index[counts >= RAREST])
            design += [(text == level).to_numpy(float) for level in kept]
            design.append((~text.isin(kept)).to_numpy(float))
        return np.column_stack(design)

    return encode


def _sizes(manifest: pd.DataFrame) -> pd.DataFrame:
    """What a file's size tells of its origin: height, width, their ratio, bits."""
    size = manifest[["rows", "columns", "bits"]].astype("Float64")
    return size.assign(aspect=size["rows"] / size["columns"])


def thumbnails(manifest: pd.DataFrame, images: Mapping[str, Path], layout: Layout) -> NDArray[np.float64]:
    """(n, 1, 32 · 32) grey values in 0..1; zeros for the rows that no model uses."""
    design = np.zeros((len(manifest), 1, THUMBNAIL**2))
    for row in np.flatnonzero(layout.fold != UNUSED):
        design[row, 0] = _thumbnail(str(manifest["image"].iloc[row]), images)
    return design


def _thumbnail(image: str, images: Mapping[str, Path]) -> Array:
    if image not in images:
        raise NotFound(f"there is no prepared image of {image}", remedy="run osteon prepare again")
    small = cv2.resize(pixels_of(images[image]), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel() / 255.0)
