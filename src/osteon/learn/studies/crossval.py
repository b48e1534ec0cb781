"""An aggregator over all folds, judged as everything else is: chosen and calibrated inside each training part."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from osteon.evaluate.thresholds import choose
from osteon.learn.nested import UNUSED, as_predictions, lay_out, nested
from osteon.learn.studies.aggregator import Aggregator, Committee
from osteon.learn.studies.bags import Bags
from osteon.learn.studies.training import StudyOptions, study_scores, train_aggregator
from osteon.learn.studies.views import Views
from osteon.learn.train import part_of
from osteon.types import Calibration, Progress, silent


@dataclass(frozen=True, eq=False)
class StudyCrossValidation:
    """What the folds said of studies, and the committee trained on all of them.

    Attributes:
        predictions: one row per study (`osteon.tables.PREDICTIONS`; `image` is the id of the study): out of fold, and
            of sealed studies from the final committee.
        committee: the final one, of `options.members`, in evaluation mode.
        calibration: from its scores to probabilities, fitted on the out-of-fold scores.
        thresholds: operating point → cut-off on the calibrated out-of-fold probabilities.
        epochs: that each fold chose, inside its training part.
        epoch: of the final one.
    """

    predictions: pd.DataFrame
    committee: Committee
    calibration: Calibration
    thresholds: dict[str, float]
    epochs: tuple[int, ...]
    epoch: int


def cross_validate_studies(
    views: Views,
    bags: Bags,
    fresh: Callable[[int], Aggregator],
    options: StudyOptions,
    *,
    seed: int,
    model: str = "aggregator",
    progress: Progress = silent,
) -> StudyCrossValidation:
    """Cross-validate a committee of aggregators by patient on the labels of studies, and train the final one.

    Every pair of folds, every fold and none is left out once (`osteon.learn.nested`): a fold's epoch and its Platt
    scaling come from aggregators that have seen neither the fold nor what they are judged on there. A score is the mean
    of the members' logits after the same epoch.

    Args:
        views: of all images of the manifest that the bags were made of.
        bags: studies, split by patient.
        fresh: makes the aggregator that the member of this number, 0-based, starts from, the same each time.
        options: how to train; `epochs` are what the folds choose from.
        seed: of the order, the flips and dropout; each member's own follows from it.
        model: its name in the predictions.
        progress: called with the thousandths of all trainings done and their number.

    Raises:
        TooFewCases: for fewer than three folds, or a training part of one class.
        Leak, BadTable: if the folds are no split by group.
        Diverged: if a loss is no number any more.
    """
    layout = lay_out(bags.table)
    asked = np.flatnonzero(layout.fold != UNUSED)
    scores = np.full((len(options.epochs), len(layout.left_out), len(bags)), np.nan)
    scores[..., asked] = 0
    kept: list[list[Aggregator]] = [[] for _ in options.epochs]
    runs = list(product(enumerate(layout.training), range(options.members)))
    for run, ((number, rows), member) in enumerate(runs):
        done = train_aggregator(
            fresh(member),
            views,
            bags,
            np.flatnonzero(rows),
            options,
            seed=seed + member,
            progress=part_of(progress, run, len(runs)),
        )
        for place, candidate in enumerate(done):
            said = study_scores(candidate.aggregator, views, bags, asked)
            scores[place, number, asked] += said / options.members
            if not layout.left_out[number]:
                kept[place].append(copy.deepcopy(candidate.aggregator))
    found = nested(layout, scores, scaled=True)
    labelled = layout.labelled
    return StudyCrossValidation(
        predictions=as_predictions(model, bags.table, layout, found.score, found.probability),
        committee=Committee(kept[found.final]).eval(),
        calibration=found.calibration,
        thresholds=choose(found.probability[labelled], layout.target[labelled]),
        epochs=tuple(options.epochs[place] for place in found.chosen),
        epoch=options.epochs[found.final],
    )
