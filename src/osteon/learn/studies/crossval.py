"""An aggregator over all folds, judged as everything else is: chosen and calibrated inside each training part."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from osteon.evaluate.thresholds import choose
from osteon.learn.nested import UNUSED, as_predictions, lay_out, nested
from osteon.learn.studies.aggregator import Aggregator
from osteon.learn.studies.bags import Bags
from osteon.learn.studies.training import StudyOptions, study_scores, train_aggregator
from osteon.learn.studies.views import Views
from osteon.learn.train import part_of
from osteon.types import Calibration, Progress, silent


@dataclass(frozen=True, eq=False)
class StudyCrossValidation:
    """What the folds said of studies, and the aggregator trained on all of them.

    Attributes:
        predictions: one row per study (`osteon.tables.PREDICTIONS`; `image` is the id of the study): out of fold, and
            of sealed studies from the final aggregator.
        aggregator: the final one, in evaluation mode.
        calibration: from its scores to probabilities, fitted on the out-of-fold scores.
        thresholds: operating point → cut-off on the calibrated out-of-fold probabilities.
        epochs: that each fold chose, inside its training part.
        epoch: of the final aggregator.
    """

    predictions: pd.DataFrame
    aggregator: Aggregator
    calibration: Calibration
    thresholds: dict[str, float]
    epochs: tuple[int, ...]
    epoch: int


def cross_validate_studies(
    views: Views,
    bags: Bags,
    fresh: Callable[[], Aggregator],
    options: StudyOptions,
    *,
    seed: int,
    model: str = "aggregator",
    progress: Progress = silent,
) -> StudyCrossValidation:
    """Cross-validate an aggregator by patient on the labels of studies, and train the final one.

    Every pair of folds, every fold and none is left out once (`osteon.learn.nested`): a fold's epoch and its Platt
    scaling come from aggregators that have seen neither the fold nor what they are judged on there.

    Args:
        views: of all images of the manifest that the bags were made of.
        bags: studies, split by patient.
        fresh: makes the aggregator to start from, the same each time.
        options: how to train; `epochs` are what the folds choose from.
        seed: of the order, the flips and dropout.
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
    weights = []
    for number, rows in enumerate(layout.training):
        final = not layout.left_out[number]
        network = fresh()
        done = train_aggregator(
            network,
            views,
            bags,
            np.flatnonzero(rows),
            options,
            seed=seed,
            progress=part_of(progress, number, len(layout.training)),
        )
        for place, candidate in enumerate(done):
            scores[place, number, asked] = study_scores(candidate.aggregator, views, bags, asked)
            if final:  # the last of them all
                weights.append(copy.deepcopy(candidate.aggregator.state_dict()))
    found = nested(layout, scores, scaled=True)
    network.load_state_dict(weights[found.final])
    labelled = layout.labelled
    return StudyCrossValidation(
        predictions=as_predictions(model, bags.table, layout, found.score, found.probability),
        aggregator=network.eval(),
        calibration=found.calibration,
        thresholds=choose(found.probability[labelled], layout.target[labelled]),
        epochs=tuple(options.epochs[place] for place in found.chosen),
        epoch=options.epochs[found.final],
    )
