"""Three curves from a score to a probability behind one interface, and the choice between them on held-out patients.

Platt scaling (`osteon.evaluate.calibration.fit_platt`) has two numbers, temperature scaling one, isotonic regression as
many as the cases support. The more it has, the more patients it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import StratifiedGroupKFold

from osteon.errors import BadTable, TooFewCases
from osteon.evaluate.calibration import fit_platt
from osteon.evaluate.metrics import Floats
from osteon.types import Calibration

PARTS = 5
"""Into so many parts held-out patients are dealt to choose a curve."""

_COLDEST, _HOTTEST = 0.02, 50.0


class Curve(Protocol):
    """What takes scores (n,) to probabilities (n,), never turning their order round, and can say what it rests on."""

    @property
    def n(self) -> int: ...

    @property
    def prevalence(self) -> float: ...

    @property
    def note(self) -> str: ...

    def __call__(self, score: NDArray[np.float64], /) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Steps:
    """Isotonic calibration: straight lines between knots, flat beyond the outer ones.

    Attributes:
        scores: of the knots, rising.
        probabilities: of the knots, never falling, each in 0..1 exclusive.
        n: cases it was fitted on.
        prevalence: share of positives among them.
        note: what else the reader must know.
    """

    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    n: int
    prevalence: float
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.probabilities) or not self.scores:
            raise ValueError("a knot has a score and a probability, and there is at least one")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.probabilities) < 0).any():
            raise ValueError("scores of knots rise, and their probabilities never fall")
        if not 0 < self.probabilities[0] <= self.probabilities[-1] < 1:
            raise ValueError("probabilities of knots lie between 0 and 1")

    def __call__(self, score: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.interp(np.asarray(score, float), self.scores, self.probabilities))


@dataclass(frozen=True)
class Choice:
    """The curve that was chosen, and on what.

    Attributes:
        name: a key of CALIBRATIONS.
        curve: fitted on all cases.
        losses: curve → mean log loss of a held-out patient (nats).
        patients, positives, parts: that it was chosen on.
    """

    name: str
    curve: Curve
    losses: Mapping[str, float]
    patients: int
    positives: int
    parts: int

    def describe(self) -> str:
        """What was chosen and on what, in one sentence."""
        told = ", ".join(f"{name} {loss:.4f}" for name, loss in self.losses.items())
        return (
            f"{self.name.capitalize()} was chosen by its log loss on held-out patients ({told}), "
            f"{self.patients} patients with {self.positives} positive cases dealt into {self.parts} parts."
        )


def fit_temperature(score: ArrayLike, target: ArrayLike) -> Calibration:
    """Temperature scaling: the log odds divided by one number (Guo et al. 2017, equation 9, for two classes).

    Maximum likelihood with targets drawn in from 0 and 1 as in `fit_platt`, so that classes the score separates have a
    finite temperature. It mends confidence alone: even odds stay even. A bundle can keep it, its intercept being 0.

    Args:
        score: (n,) log odds.
        target: (n,) 0 or 1.

    Raises:
        BadTable, TooFewCases: as `fit_platt`.
    """
    values, positive = _checked(score, target)
    wanted = _drawn_in(positive)

    def loss(log_temperature: float) -> float:
        z = values / np.exp(log_temperature)
        return float(-(wanted * log_expit(z) + (1 - wanted) * log_expit(-z)).mean())

    ends = np.log(_COLDEST), np.log(_HOTTEST)
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-9})
    temperature = float(np.exp(found.x))
    note = f"temperature {temperature:.3g}"
    if min(abs(found.x - end) for end in ends) < 1e-3:
        note += ", the end of what is tried: the score says nothing of the target, or is on another scale than log odds"
    return Calibration(1 / temperature, 0.0, len(values), float(positive.mean()), note)


def fit_isotonic(score: ArrayLike, target: ArrayLike) -> Steps:
    """Isotonic regression (Zadrozny & Elkan 2002) on targets drawn in from 0 and 1 as in `fit_platt`.

    Drawn-in targets keep every probability off 0 and 1, where one case that goes the other way would cost without
    limit. Equal scores are one knot. Between knots the curve is straight, beyond them flat, so it makes ties: what a
    single run of the highest scores was told says nothing of the order among them.

    Args:
        score: (n,) on any scale.
        target: (n,) 0 or 1.

    Raises:
        BadTable, TooFewCases: as `fit_platt`.
    """
    values, positive = _checked(score, target)
    fitted = IsotonicRegression(out_of_bounds="clip").fit(values, _drawn_in(positive))
    knots, heights = np.asarray(fitted.X_thresholds_, float), np.asarray(fitted.y_thresholds_, float)
    levels = len(np.unique(heights))
    note = "the score does not rise with the target: every probability is the prevalence" if levels == 1 else ""
    return Steps(tuple(knots.tolist()), tuple(heights.tolist()), len(values), float(positive.mean()), note)


CALIBRATIONS: Mapping[str, Callable[[ArrayLike, ArrayLike], Curve]] = {
    "temperature": fit_temperature,
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}
"""Name → function from scores and targets of held-out cases to a curve; the one with fewer numbers first."""


def choose_calibration(
    score: ArrayLike, target: ArrayLike, group: ArrayLike, names: Sequence[str] = tuple(CALIBRATIONS), *, seed: int = 0
) -> Choice:
    """The curve with the least log loss on patients that it was not fitted on, fitted on all of them.

    Every patient counts once, however many images it has. Of equals the first wins.

    Args:
        score: (n,) log odds of cases that the model has not seen.
        target: (n,) 0 or 1.
        group: (n,) patient of each.
        names: keys of CALIBRATIONS to choose from.
        seed: of the dealing of patients.

    Raises:
        BadTable, TooFewCases: as `fit_platt`; TooFewCases also with fewer than five patients of a class.
    """
    values, positive = _checked(score, target)
    patient = np.unique(np.asarray(group), return_inverse=True)[1]
    least = min(len(np.unique(patient[positive])), len(np.unique(patient[~positive])))
    if least < PARTS:
        raise TooFewCases(
            f"{least} patients of a class are too few to choose a calibration on",
            remedy=f"take Platt scaling as it is, or {PARTS} patients of each class or more",
        )
    each = 1 / np.bincount(patient)[patient]
    dealt = StratifiedGroupKFold(PARTS, shuffle=True, random_state=seed)
    told = {name: np.full(len(values), np.nan) for name in names}
    for others, held_out in dealt.split(values[:, None], positive, patient):
        if 0 < positive[others].sum() < len(others):
            for name in names:
                told[name][held_out] = CALIBRATIONS[name](values[others], positive[others])(values[held_out])
    losses = {name: _log_loss(probability, positive, each) for name, probability in told.items()}
    best = min(names, key=lambda name: losses[name])
    curve = CALIBRATIONS[best](values, positive)
    return Choice(best, curve, losses, int(patient.max()) + 1, int(positive.sum()), PARTS)


def _log_loss(probability: Floats, positive: NDArray[np.bool_], weight: Floats) -> float:
    judged = np.isfinite(probability)
    right = np.where(positive, probability, 1 - probability)[judged]
    return float(np.average(-np.log(np.maximum(right, np.finfo(float).tiny)), weights=weight[judged]))


def _drawn_in(positive: NDArray[np.bool_]) -> Floats:
    p, n = int(positive.sum()), int((~positive).sum())
    return np.where(positive, (p + 1) / (p + 2), 1 / (n + 2))


def _checked(score: ArrayLike, target: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    values, positive = np.asarray(score, float), np.asarray(target) == 1
    if not np.isfinite(values).all():
        raise BadTable("a score is not a finite number", remedy="look at the model that gave it")
    if positive.all() or not positive.any():
        raise TooFewCases("a calibration needs cases of both classes", remedy="use fewer folds or more patients")
    return values, positive
