"""From the images of a study to the study: the rules, and the cases as each rule sees them.

Both rules of de Cid 2021 (section 6.2.2) count votes: an instance says yes if its value is at or above a cut-off. With
the cut-off left open, each of them picks one value of the study, which is at or above the cut-off exactly when the vote
is yes: the largest for `at_least_one`, and for `majority` the one that more than half of the instances reach. Two more
rules let every instance count: `mean`, and `noisy_or`, the probability that at least one is positive if each says so by
itself. So a rule gives studies a score, which orders them and is cut like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.errors import BadTable, Leak
from osteon.evaluate.metrics import Floats
from osteon.evaluate.outcomes import Outcomes

Numbers = NDArray[np.intp]


def at_least_one(values: Floats, study: Numbers) -> Floats:
    """The largest value of each study.

    Args:
        values: (n,) scores or probabilities of instances.
        study: (n,) 0-based number of the study of each.

    Returns:
        (k,) for the studies 0..k-1, where k - 1 is the largest number that occurs; NaN for a study without instances.
    """
    return _nth_largest(values, study, lambda instances: np.zeros_like(instances))


def majority(values: Floats, study: Numbers) -> Floats:
    """The largest value that more than half of the instances of each study reach: of n, the (n // 2 + 1)-th largest.

    It is at or above a cut-off if and only if more than half of the instances are. A tie is no majority: de Cid 2021
    leaves it open, and here half of the votes make a study negative, so that of two images both must say yes.

    Args:
        values: (n,) scores or probabilities of instances.
        study: (n,) 0-based number of the study of each.

    Returns:
        (k,) for the studies 0..k-1, where k - 1 is the largest number that occurs; NaN for a study without instances.
    """
    return _nth_largest(values, study, lambda instances: instances // 2)


def mean(values: Floats, study: Numbers) -> Floats:
    """The mean over the instances of each study.

    Unlike the votes it depends on the scale: the mean of log odds weighs sure answers more than that of probabilities.

    Args:
        values: (n,) scores or probabilities of instances.
        study: (n,) 0-based number of the study of each.

    Returns:
        (k,) for the studies 0..k-1, where k - 1 is the largest number that occurs; NaN for a study without instances.
    """
    return _joined(values, study, lambda so_far, value, place: so_far + (value - so_far) / place)


def noisy_or(values: Floats, study: Numbers) -> Floats:
    """1 - Π (1 - p) over the instances of each study: one of them is positive, if each errs by itself (Pearl 1988).

    They do not err by themselves: views of one wrist share the wrist, its label and its metal. So the value orders
    studies, and is too large to be taken for a probability.

    Args:
        values: (n,) probabilities of instances, in 0..1.
        study: (n,) 0-based number of the study of each.

    Returns:
        (k,) for the studies 0..k-1, where k - 1 is the largest number that occurs; NaN for a study without instances.

    Raises:
        BadTable: for values outside 0..1.
    """
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise BadTable(
            "noisy-or takes probabilities, and some values lie outside 0..1", remedy="calibrate the scores first"
        )
    return _joined(values, study, lambda so_far, value, place: so_far + value * (1 - so_far))


@dataclass(frozen=True)
class StudyRule:
    """How the values of instances become the value of their study.

    Attributes:
        name: as in STUDY_RULES.
        title: as readers see it.
        of_instances: takes (n,) values and the (n,) 0-based numbers of their studies to (k,) values of studies.
        about: what it does, in one sentence.
        on_probabilities: whether the values must be probabilities; a model that gives none has no such rule.
    """

    name: str
    title: str
    of_instances: Callable[[Floats, Numbers], Floats]
    about: str
    on_probabilities: bool = False


STUDY_RULES: Mapping[str, StudyRule] = {
    rule.name: rule
    for rule in (
        StudyRule(
            "at_least_one",
            "At least one",
            at_least_one,
            "a study is positive if at least one of its images is: its score is the largest of theirs",
        ),
        StudyRule(
            "majority",
            "Majority",
            majority,
            "a study is positive if more than half of its images are, and a tie is negative: its score is the largest "
            "that more than half of them reach",
        ),
        StudyRule(
            "mean",
            "Mean",
            mean,
            "a study is positive if its images are on average: its score is the mean of theirs",
        ),
        StudyRule(
            "noisy_or",
            "Noisy-or",
            noisy_or,
            "a study is positive if its images together make it likely that one is: its score is 1 - Π (1 - p), as if "
            "each image erred by itself",
            on_probabilities=True,
        ),
    )
}
"""Name → rule, in the order in which reports show them."""


@dataclass(frozen=True, eq=False)
class Studies:
    """Which images make which study; studies stand in the order of their first images.

    Attributes:
        rows: (m,) row numbers of the images that name their study.
        number: (m,) 0-based number of the study of each of these.
        first: (k,) row number of the first image of each study.
        names: (k,) study ids.
        target: (k,) True for a study with any positive image.
        mixed: (k,) True where images of one study bear different labels.
    """

    rows: Numbers
    number: Numbers
    first: Numbers
    names: NDArray[np.str_]
    target: NDArray[np.bool_]
    mixed: NDArray[np.bool_]

    @property
    def images(self) -> Numbers:
        """(k,) number of images of each study."""
        return np.bincount(self.number, minlength=len(self.names))


def studies_of(cases: Outcomes) -> Studies:
    """The studies of the images; images that name none are in no study.

    Raises:
        Leak: for a study whose images lie in several folds.
        BadTable: for a study whose images belong to several patients (groups).
    """
    rows = np.flatnonzero(cases.study != "")
    number, names = pd.factorize(cases.study[rows])  # in the order of their first images, whatever they are called
    first = rows[np.unique(number, return_index=True)[1]]
    torn = _names_where(names, number, cases.fold[rows] != cases.fold[first][number])
    if torn:
        raise Leak(_counted(torn, "images in several folds"), remedy="split by patient: osteon split")
    shared = _names_where(names, number, cases.group[rows] != cases.group[first][number])
    if shared:
        raise BadTable(
            _counted(shared, "images of several patients (groups)"),
            remedy="a study is of one patient: give studies of different patients different ids",
        )
    positives = np.bincount(number, cases.target[rows], len(names))
    return Studies(
        rows=rows,
        number=number,
        first=first,
        names=np.asarray(names, str),
        target=positives > 0,
        mixed=(positives > 0) & (positives < np.bincount(number, minlength=len(names))),
    )


def by_rule(cases: Outcomes, studies: Studies, rule: StudyRule) -> Outcomes:
    """The cases per study: the rule applied to scores and probabilities of every model, floors included.

    Under a rule on probabilities both are made of these, and models that give none are left out.
    """
    if rule.on_probabilities:
        cases = replace(cases, scores=cases.probabilities)

    def of(values: Mapping[str, Floats]) -> dict[str, Floats]:
        return {model: rule.of_instances(each[studies.rows], studies.number) for model, each in values.items()}

    return Outcomes(
        name=studies.names,
        study=studies.names,
        group=pd.factorize(cases.group[studies.first])[0],
        fold=cases.fold[studies.first],
        target=studies.target,
        scores=of(cases.scores),
        probabilities=of(cases.probabilities),
    )


def ties(values: Floats, cut: Floats, studies: Studies) -> NDArray[np.bool_]:
    """(k,) studies exactly half of whose images are at or above the cut-off.

    Args:
        values: (n,) of all images.
        cut: (n,) cut-off that applies to each.
        studies: of these images.
    """
    called = (values >= cut)[studies.rows]
    return np.asarray(2 * np.bincount(studies.number, called, len(studies.names)) == studies.images)


def _nth_largest(values: Floats, study: Numbers, place: Callable[[Numbers], Numbers]) -> Floats:
    """Of the descending values of each study, the one at a 0-based place that depends on how many there are."""
    instances = np.bincount(study)
    descending = np.lexsort((-values, study))
    picked = np.full(len(instances), np.nan)
    some = instances > 0
    before = np.cumsum(instances) - instances
    picked[some] = values[descending[(before + place(instances))[some]]]
    return picked


def _joined(values: Floats, study: Numbers, join: Callable[[Floats, Floats, int], Floats]) -> Floats:
    """The values of each study joined one by one: `join(so far, the next, its place from 2 on)`.

    The largest comes first, so that the order of rows leaves no trace, not even in rounding; and a study of one
    instance keeps its value to the bit.
    """
    instances = np.bincount(study)
    descending = values[np.lexsort((-values, study))]
    before = np.cumsum(instances) - instances
    joined = np.full(len(instances), np.nan)
    for place in range(1, int(instances.max(initial=0)) + 1):
        there = instances >= place
        value = descending[before[there] + place - 1]
        joined[there] = value if place == 1 else join(joined[there], value, place)
    return joined


def _names_where(names: NDArray[np.str_], number: Numbers, wrong: NDArray[np.bool_]) -> list[str]:
    return [str(name) for name in names[np.unique(number[wrong])]]


def _counted(names: list[str], what: str) -> str:
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    return f"{len(names)} {'study has' if len(names) == 1 else 'studies have'} {what} ({shown})"
