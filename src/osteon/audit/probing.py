"""What an answer does when something in the image is covered, or a phantom's letter, plate or frame is put there.

The model must be a linear head on frozen features, as `osteon train --features` makes it: its folds are fitted again,
which takes seconds, and each changed image is judged by the head that has not seen it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.audit.changes import CHANGES, Change
from osteon.audit.shortcuts import Judged
from osteon.dataset.preparation import write_png
from osteon.dataset.prepared import pixels_of
from osteon.errors import Mismatch
from osteon.evaluate import metrics
from osteon.evaluate.intervals import Resamples, bootstrap, difference, estimate, independent_pairs, point
from osteon.evaluate.metrics import Floats
from osteon.learn.bank import FeatureBank
from osteon.learn.features import extract
from osteon.learn.nested import REGULARISATIONS, lay_out, linear_scores, nested
from osteon.types import Progress, silent

PROBED = 200
"""Images that are changed at most, half of them of either class: each costs a run of the network for every change."""

SAME = 0.02
"""Largest median distance, in log odds, at which the folds that were fitted again count as those of the predictions."""


@dataclass(frozen=True, eq=False)
class Heads:
    """The heads of the folds.

    Attributes:
        bank: the features they were fitted on.
        weight, bias: (folds, d) and (folds,).
        fold: (n,) number of the head that has not seen an image, in the order of the manifest.
        slope, intercept: (folds,) the calibration that puts their scores on one scale.
    """

    bank: FeatureBank
    weight: Floats
    bias: Floats
    fold: NDArray[np.intp]
    slope: Floats
    intercept: Floats

    def log_odds(self, features: NDArray[np.floating], rows: NDArray[np.intp]) -> Floats:
        """(k,) calibrated, of features (k, flips, d) of the images in these (k,) rows of the manifest."""
        head = self.fold[rows]
        score = (features.mean(axis=1, dtype=float) * self.weight[head]).sum(axis=1) + self.bias[head]
        return np.asarray(self.slope[head] * score + self.intercept[head])


def heads_of(bank: FeatureBank, manifest: pd.DataFrame, probability: Floats) -> Heads:
    """The heads behind out-of-fold predictions, fitted again.

    Args:
        bank: of the manifest's images.
        manifest: as `osteon split` wrote it, without sealed or unlabelled rows.
        probability: (n,) what the model audited says of each row, calibrated, out of fold.

    Raises:
        Mismatch: if the heads say something else: then the predictions are those of another model.
        TooFewCases, Leak, BadTable, NotFound: as `osteon.learn.nested.lay_out` and the bank.
    """
    layout = lay_out(manifest)
    features = bank.array(list(manifest["image"].astype(str)))
    scores, weights, biases = linear_scores(features, layout, sorted(REGULARISATIONS))
    found = nested(layout, scores)
    ours = _logit(found.probability)
    if not np.median(np.abs(ours - _logit(probability))) < SAME:
        raise Mismatch(
            "the predictions are not those of a linear head on these features",
            remedy="pass the features that the model was trained on",
        )
    model = [layout.left_out.index((fold,)) for fold in layout.folds]
    fold = np.searchsorted(layout.folds, layout.fold)
    # The calibration of a fold is a straight line in log odds: its images tell it.
    lines = [np.polyfit(found.score[fold == k], ours[fold == k], 1) for k in range(len(layout.folds))]
    slope, intercept = np.array(lines).T
    chosen = list(found.chosen)
    return Heads(bank, weights[chosen, model], biases[chosen, model], fold.astype(np.intp), slope, intercept)


def sample(target: NDArray[np.bool_], seed: int) -> NDArray[np.intp]:
    """Row numbers of at most PROBED images, half of either class as far as there are enough, in order."""
    rng = np.random.default_rng(seed)
    kinds = [rng.permutation(np.flatnonzero(target == sick))[: PROBED // 2] for sick in (True, False)]
    return np.sort(np.concatenate(kinds))


def probe(
    heads: Heads,
    cases: Judged,
    images: Mapping[str, Path],
    folder: Path,
    resamples: Resamples,
    *,
    seed: int,
    threads: int = 0,
    progress: Progress = silent,
) -> list[dict[str, Any]]:
    """One row for each of CHANGES: the AUROC as it is, with all images changed, and with those of one class changed.

    If something planted raises the score of an image, an AUROC in which only the positives have it is too high, and one
    in which only the negatives have it is too low: the swing between the two is what a model makes of the mark alone.

    Args:
        heads: of the model.
        cases: what they said of all images, in the order of the manifest.
        images: image id → prepared PNG, in the same order.
        folder: where changed images and their features are kept, for the next audit.
        resamples: of all cases.
        seed: of the sample and of what is drawn on the images.
        threads: of the network, as for `osteon.learn.features.extract`.
        progress: told of images done, over all changes.
    """
    rows = sample(cases.target, seed)
    names = list(images)
    chosen = {names[row]: images[names[row]] for row in rows}
    trunk = heads.bank.open_trunk()
    before = heads.log_odds(heads.bank.array(list(chosen)), rows)
    told = []
    for k, (name, change) in enumerate(CHANGES.items()):
        progress(k * len(rows), len(CHANGES) * len(rows))
        changed = _written(chosen, change, folder / name / "images", seed)
        bank = extract(trunk, changed, folder / name / "features", threads=threads)
        after = heads.log_odds(bank.array(list(chosen)), rows)
        figures = _figures(before, after, cases, rows, resamples.of(rows))
        told.append({"name": name, "title": change.title, "planted": change.planted, "n": len(rows), **figures})
    progress(len(CHANGES) * len(rows), len(CHANGES) * len(rows))
    return told


def _written(images: Mapping[str, Path], change: Change, folder: Path, seed: int) -> dict[str, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for image, path in images.items():
        # By the image's own name, so that a sample of other images changes this one alike.
        changed = change.apply(pixels_of(path), np.random.default_rng([seed, *image.encode()]))
        written[image] = folder / f"{image}.png"
        write_png(written[image], changed)
    return written


def _figures(
    before: Floats, after: Floats, cases: Judged, rows: NDArray[np.intp], resamples: Resamples
) -> dict[str, Any]:
    target = cases.target[rows]
    scores = {
        "as_is": before,
        "changed": after,
        "positives_changed": np.where(target, after, before),
        "negatives_changed": np.where(target, before, after),
    }
    ranked = [metrics.rank(score, target) for score in scores.values()]

    def statistic(weights: Floats) -> Floats:
        return np.stack([metrics.auroc_of(each, weights) for each in ranked], axis=1)

    values, samples = point(statistic, len(rows)), bootstrap(statistic, resamples)
    pairs = independent_pairs(cases.group[rows], np.zeros(len(rows), int), target)
    found = {name: estimate(float(values[i]), samples[:, i], len(rows), trials=pairs) for i, name in enumerate(scores)}
    swing = samples[:, 2] - samples[:, 3]
    return {
        **found,
        "lost": difference(found["as_is"], found["changed"], samples[:, 0] - samples[:, 1]),
        "swing": difference(found["positives_changed"], found["negatives_changed"], swing),
    }


def _logit(probability: Floats) -> Floats:
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    return np.asarray(np.log(p) - np.log1p(-p))
