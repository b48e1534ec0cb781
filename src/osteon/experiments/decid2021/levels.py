"""What scores are worth on one part of the images: per image and per study, on bootstrap samples of whole patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.evaluate import metrics, thresholds
from osteon.evaluate.intervals import Resamples, bootstrap, draw, estimate, independent_pairs, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.evaluate.study_rules import STUDY_RULES
from osteon.types import Estimate

Mask = NDArray[np.bool_]

INSTANCE, BY_ONE, MAJORITY = "instance", "at_least_one", "majority"
LEVELS: Mapping[str, str] = {INSTANCE: "images", BY_ONE: "studies, at least one", MAJORITY: "studies, majority"}

EVEN_ODDS = 0.0
"""The logit from which the study calls an image broken: a probability of one half."""

Sampled = tuple[Estimate, Floats]
"""A figure, and the same in every bootstrap sample."""


@dataclass(frozen=True, eq=False)
class Level:
    """Cases of one level, images or studies.

    Attributes:
        score: (k,) of each. target: (k,) whether the study is fractured.
        group: (k,) 0-based number of the patient.
        sample: bootstrap samples as they weigh these cases.
    """

    score: Floats
    target: Mask
    group: NDArray[np.intp]
    sample: Resamples

    def auroc(self) -> Sampled:
        """How well the score orders the cases."""
        ranked = metrics.rank(self.score, self.target)
        fold = np.zeros(len(self.target), np.intp)
        pairs = independent_pairs(self.group, fold, self.target)
        return self._figure(lambda weights: metrics.auroc_of(ranked, weights), pairs)

    def accuracy(self, cut: float = EVEN_ODDS) -> Sampled:
        """The share that is called rightly at a cut-off."""
        return self._rate("accuracy", cut)

    def balanced_accuracy(self, cut: float = EVEN_ODDS) -> Sampled:
        """The mean of sensitivity and specificity: the accuracy if either class were half of the cases."""
        called = self.score >= cut

        def statistic(weights: Floats) -> Floats:
            rates = metrics.rates_of(called, self.target, weights)
            return np.asarray((rates["sensitivity"] + rates["specificity"]) / 2)

        return self._figure(statistic, len(np.unique(self.group)))

    def rates(self, cut: float) -> dict[str, Estimate]:
        """Sensitivity and specificity at a cut-off."""
        return {rate: self._rate(rate, cut)[0] for rate in ("sensitivity", "specificity")}

    def confusion(self, cut: float = EVEN_ODDS) -> list[list[Estimate]]:
        """Shares of all cases as the study has them: true labels in rows, calls in columns, not broken first."""
        called = self.score >= cut
        return [[self._share((self.target == true) & (called == told)) for told in (0, 1)] for true in (0, 1)]

    def youden(self) -> float:
        """The cut-off of the largest sum of sensitivity and specificity."""
        return thresholds.choose(self.score, self.target)["youden"]

    def _rate(self, name: str, cut: float) -> Sampled:
        called = self.score >= cut
        base = {"sensitivity": self.target, "specificity": ~self.target}.get(name, np.ones(len(called), bool))
        trials = len(np.unique(self.group[base]))
        return self._figure(lambda weights: metrics.rates_of(called, self.target, weights)[name], trials)

    def _share(self, chosen: Mask) -> Estimate:
        def statistic(weights: Floats) -> Floats:
            return metrics.ratio(weights @ chosen.astype(float), weights.sum(axis=1))

        return self._figure(statistic, len(np.unique(self.group)))[0]

    def _figure(self, statistic: Statistic, trials: int) -> Sampled:
        n = len(self.target)
        samples = bootstrap(statistic, self.sample)
        return estimate(float(point(statistic, n)), samples, n, trials=trials), samples


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one part, with their truth.

    Attributes:
        rows: (m,) row numbers of the images among all.
        target: (m,) whether the study of each is fractured.
        study, group: (m,) 0-based numbers of its study and of its patient.
        sample: bootstrap samples of the patients, as they weigh the images.
    """

    rows: NDArray[np.intp]
    target: Mask
    study: NDArray[np.intp]
    group: NDArray[np.intp]
    sample: Resamples

    @classmethod
    def of(
        cls, table: pd.DataFrame, chosen: Mask, target: NDArray[np.intp], rng: np.random.Generator, *, resamples: int
    ) -> Part:
        """The chosen rows (n,) of a table with the columns study and group, and (n,) targets."""
        rows = np.flatnonzero(chosen)
        study, group = (np.asarray(pd.factorize(table[name].iloc[rows])[0], np.intp) for name in ("study", "group"))
        sick = target[rows] == 1
        sample = draw(group, np.zeros(len(rows), np.intp), sick, rng, resamples=resamples)
        return cls(rows, sick, study, group, sample)

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """(k,) place of the first image of each study."""
        return np.asarray(np.unique(self.study, return_index=True)[1], np.intp)

    def only(self, chosen: Mask) -> Part:
        """Some of the images (m,), on the same bootstrap samples."""
        places = np.flatnonzero(chosen)
        study = np.asarray(pd.factorize(self.study[places])[0], np.intp)
        return Part(self.rows[places], self.target[places], study, self.group[places], self.sample.of(places))

    def level(self, score: Floats, name: str) -> Level:
        """The cases of a level.

        Args:
            score: (n,) of all images.
            name: of LEVELS.
        """
        mine = score[self.rows]
        if name == INSTANCE:
            return Level(mine, self.target, self.group, self.sample)
        of_studies = STUDY_RULES[name].of_instances(mine, self.study)
        return Level(of_studies, self.target[self.first], self.group[self.first], self.sample.of(self.first))

    def levels(self, score: Floats) -> dict[str, Level]:
        """All LEVELS."""
        return {name: self.level(score, name) for name in LEVELS}
