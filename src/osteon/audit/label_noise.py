"""Labels that may be wrong, by confident learning (Northcutt, Jiang and Chuang, JAIR 70, 2021) on out-of-fold scores.

The model that scores an image has not seen it, so a wrong label has not taught it to agree. An image counts towards the
class whose probability reaches the mean probability of that class among the images that are labelled so (their equation
1): the thresholds make up for a class of which the model is less sure. The counts of labels against these classes are
the confident joint; scaled so that the labels are as frequent as they are, it estimates how many labels of each class
are wrong (their section 3.1). Which ones is a matter of order: images are ranked by the probability of their own label,
lowest first (their self-confidence), so that a person can read them again from the top.

The code is our own; the reference implementation is under the AGPL, which osteon's licence does not allow it to use.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from osteon.evaluate import metrics
from osteon.evaluate.intervals import Resamples, bootstrap, estimate, point
from osteon.evaluate.metrics import Floats, Statistic
from osteon.types import Estimate


@dataclass(frozen=True, eq=False)
class Suspects:
    """What the scores say of the labels.

    Attributes:
        wrong: share of all labels that is estimated to be wrong.
        wrong_positive, wrong_negative: share of the positive labels, and of the negative ones.
        order: (n,) row numbers, the most suspect label first.
        confidence: (n,) probability of the label that the image has, by a model that has not seen it.
        read_again: how many from the top to read: as many as are estimated to be wrong.
    """

    wrong: Estimate
    wrong_positive: Estimate
    wrong_negative: Estimate
    order: NDArray[np.intp]
    confidence: Floats
    read_again: int


def suspects(probability: Floats, target: NDArray[np.bool_], resamples: Resamples) -> Suspects:
    """Estimate how many labels are wrong, and rank all of them.

    Args:
        probability: (n,) calibrated, of a positive, out of fold.
        target: (n,) True for positives; both classes.
        resamples: of the same cases.
    """
    n, statistic = len(target), shares_wrong(probability, target)
    values, samples = point(statistic, n), bootstrap(statistic, resamples)
    wrong, positive, negative = (
        estimate(float(values[i]), samples[:, i], cases)
        for i, cases in enumerate((n, int(target.sum()), int((~target).sum())))
    )
    confidence = np.where(target, probability, 1 - probability)
    order = np.argsort(confidence, kind="stable")
    return Suspects(wrong, positive, negative, order, confidence, round(wrong.value * n))


def shares_wrong(probability: Floats, target: NDArray[np.bool_]) -> Statistic:
    """The statistic (b, 3) of weights (b, n): shares wrong of all labels, of the positive and of the negative ones."""
    other = 1 - probability

    def statistic(weights: Floats) -> Floats:
        sick, well = weights * target, weights * ~target
        # Mean probability of each class among the images labelled so, a threshold for each resample.
        yes = metrics.ratio(sick @ probability, sick.sum(axis=1))[:, None]
        no = metrics.ratio(well @ other, well.sum(axis=1))[:, None]
        seems_sick, seems_well = probability >= yes, other >= no
        # Where both are reached, the more probable class counts.
        both = seems_sick & seems_well
        seems_sick, seems_well = (
            seems_sick & ~(both & (other > probability)),
            seems_well & ~(both & (other <= probability)),
        )
        wrong_sick = _share(sick, seems_well, seems_sick)
        wrong_well = _share(well, seems_sick, seems_well)
        share = metrics.ratio(sick.sum(axis=1), weights.sum(axis=1))
        return np.stack([share * wrong_sick + (1 - share) * wrong_well, wrong_sick, wrong_well], axis=1)

    return statistic


def _share(labelled: Floats, against: NDArray[np.bool_], for_it: NDArray[np.bool_]) -> Floats:
    """Of the images of one label that count at all, the share that counts towards the other class; 0 if none counts."""
    off, on = (labelled * against).sum(axis=1), (labelled * for_it).sum(axis=1)
    return metrics.ratio(off, off + on, otherwise=0.0)


def if_wrong(score: Floats, target: NDArray[np.bool_], found: Suspects) -> dict[str, float]:
    """The AUROC as it is, without the labels that are to be read again, and with all of them turned.

    Both flatter the model, which chose the labels: they are what the figure would be at most.
    """
    top = found.order[: found.read_again]
    kept = np.ones(len(target), bool)
    kept[top] = False
    turned = target ^ ~kept
    return {
        "as labelled": _auroc(score, target),
        "left out": _auroc(score[kept], target[kept]),
        "turned": _auroc(score, turned),
    }


def _auroc(score: Floats, target: NDArray[np.bool_]) -> float:
    return metrics.auroc(score, target) if target.any() and not target.all() else float("nan")
