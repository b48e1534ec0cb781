"""How large the experiment is, beside what the study did: the difference is a table of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from osteon.errors import BadTable, unknown_name
from osteon.experiments.trunks import TrunkChoice
from osteon.learn.search.regimes import EPSILONS, LEARNING_RATES

OFFLINE = (TrunkChoice("tf_efficientnet_lite0"), TrunkChoice("tf_efficientnet_lite0", "random"))
"""What needs no network: ImageNet weights stand in for InceptionV3's, and random ones show what they are worth."""


@dataclass(frozen=True)
class Plan:
    """The size of the experiment; the defaults are those of Hong 2023, where the study states them.

    Attributes:
        scale: its name.
        patients: of the phantom cohort that is made where no data are given.
        size: side of the prepared images in pixels.
        sealed: share of the images that is set aside as test set.
        folds: of the comparisons and of the final model. search_folds: of the searches.
        epochs: of frozen backbones, in the comparisons and in the final model.
        network_epochs: of whole networks. search_epochs: of each trial of a search.
        trials: of Regime I. learning_rates, epsilons: the grid of Regime II.
        outer, inner: folds of the nested protocol. inner_trials: random trials inside each outer fold.
        inception: whether InceptionV3 is trained end to end.
        trunks: frozen backbones to compare; the searches go on with the best of them.
        resamples: bootstrap samples.
    """

    scale: str = "full"
    patients: int = 1207
    size: int = 299
    sealed: float = 0.15
    folds: int = 10
    search_folds: int = 6
    epochs: int = 50
    network_epochs: int = 50
    search_epochs: int = 20
    trials: int = 100
    learning_rates: tuple[float, ...] = LEARNING_RATES
    epsilons: tuple[float, ...] = EPSILONS
    outer: int = 6
    inner: int = 3
    inner_trials: int = 12
    inception: bool = False
    trunks: tuple[TrunkChoice, ...] = OFFLINE
    resamples: int = 2000

    def __post_init__(self) -> None:
        if not self.trunks or len(set(self.trunks)) < len(self.trunks):
            raise BadTable("a frozen backbone is missing or named twice", remedy="name each once: --backbone NAME")
        counts = (self.epochs, self.network_epochs, self.search_epochs, self.trials, self.inner_trials, self.resamples)
        if min(counts) < 1 or min(self.folds, self.search_folds, self.outer, self.inner) < 2:
            raise BadTable("the plan has no epochs, trials or folds", remedy="epochs and trials ≥ 1, folds ≥ 2")

    @property
    def about(self) -> str:
        """The plan in one line."""
        return (
            f"{self.patients:,} phantom patients where no data are given, {self.size} pixels, {self.folds} folds, "
            f"{self.trials} random trials"
        )


STUDY = Plan(scale="study", inception=True)
"""What Hong 2023 did, as far as it can be written so."""

SCALES: dict[str, Plan] = {
    "small": Plan(
        scale="small",
        patients=60,
        size=75,
        folds=3,
        search_folds=3,
        epochs=4,
        network_epochs=2,
        search_epochs=3,
        trials=4,
        learning_rates=(1e-3, 1e-4),
        epsilons=(1e-1, 1e-7),
        outer=3,
        inner=2,
        inner_trials=2,
        resamples=200,
    ),
    "full": Plan(),
}
"""Scale → plan. `small` shows in two minutes that everything runs; its figures mean nothing."""


def plan_of(
    scale: str, backbones: Sequence[str] = (), *, inception: bool = False, network_epochs: int | None = None
) -> Plan:
    """The plan of a scale, changed as the command line asks.

    Args:
        scale: of SCALES.
        backbones: NAME or NAME=WEIGHTS of the frozen backbones to compare; none takes the plan's.
        inception: also train InceptionV3 end to end.
        network_epochs: of whole networks, instead of the plan's.

    Raises:
        UnknownName: for a scale that there is not.
        BadTable: if a backbone is named twice.
    """
    if scale not in SCALES:
        raise unknown_name("scale of hong2023", scale, SCALES)
    changed: dict[str, Any] = {"inception": inception}
    if backbones:
        changed["trunks"] = tuple(TrunkChoice.parse(text) for text in backbones)
    if network_epochs is not None:
        changed["network_epochs"] = network_epochs
    return replace(SCALES[scale], **changed)


_SETTINGS: Sequence[tuple[str, str]] = (
    ("size", "side of the images, pixels"),
    ("folds", "folds of the comparisons and of the final model"),
    ("epochs", "epochs of frozen backbones"),
    ("network_epochs", "epochs of whole networks"),
    ("trials", "random trials of Regime I"),
    ("search_folds", "folds of the searches"),
    ("search_epochs", "epochs of a trial"),
)


def compared(plan: Plan, *, images: int, patients: int, sealed: int, frozen: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each thing that the reader should compare: `what`, `study`, `here`, `same`.

    Args:
        plan: of this run.
        images, patients: of the data. sealed: images of the test set.
        frozen: the backbones that were compared, and their weights as they really are.
    """
    grid = f"{len(LEARNING_RATES)} × {len(EPSILONS)}"
    ours = f"{len(plan.learning_rates)} × {len(plan.epsilons)}"
    rows: list[tuple[str, Any, Any]] = [
        ("images, of patients", "2,936, of 1,207", f"{images:,}, of {patients:,}"),
        ("test set", "441 images, drawn by image", f"{sealed:,} images, whole patients"),
        *((what, getattr(STUDY, name), getattr(plan, name)) for name, what in _SETTINGS),
        ("grid of Regime II, learning rates × ε", grid, ours),
        ("InceptionV3 end to end", "trained", "trained" if plan.inception else "not run: it needs a GPU"),
        ("frozen backbones", "InceptionV3 (ImageNet) · InceptionV3 (RadImageNet)", " · ".join(frozen)),
        (
            "search inside outer folds by patient",
            "none",
            f"{plan.outer} outer folds, in each {plan.inner_trials} trials on {plan.inner} folds",
        ),
        ("seeds", "not fixed in the searches", "every trial has its own"),
    ]
    return [{"what": w, "study": str(s), "here": str(h), "same": str(s) == str(h)} for w, s, h in rows]
