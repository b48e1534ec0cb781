"""How large the experiment is, beside what the study did: the difference is a table of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from osteon.errors import BadTable, unknown_name
from osteon.experiments.kim2018.toplayer import Training
from osteon.experiments.trunks import TrunkChoice
from osteon.learn.backbones import DEFAULT
from osteon.learn.copies import EIGHT

PUBLISHED: Mapping[str, Any] = {
    "auroc": 0.954,
    "sensitivity": 0.90,
    "specificity": 0.88,
    "fracture": 695,
    "no_fracture": 694,
    "images": 11_112,
    "final_fracture": 50,
    "final_no_fracture": 50,
}
"""What the study reports, of its own radiographs."""

THE_STUDYS = Training()
"""How the study trained the top layer."""

OFFLINE = TrunkChoice(DEFAULT)
"""What needs no network: its ImageNet weights stand in for those of Inception v3."""


@dataclass(frozen=True)
class Plan:
    """The size of the experiment; the defaults are those of Kim & MacKinnon 2018, where the study states them.

    Attributes:
        scale: its name.
        patients: of the phantom cohort that is made where no data are given. rows, columns: of its images.
        size: side of the prepared images in pixels.
        sealed: share of the images that is set aside as final set.
        each: images made of a radiograph, itself included; even.
        training: of the top layer.
        rates: learning rates whose accuracy on the test part is shown, as the study looked at it.
        trunk: the frozen backbone.
        resamples: bootstrap samples.
    """

    scale: str = "full"
    patients: int = 1489
    rows: int = 1280
    columns: int = 1024
    size: int = 299
    sealed: float = 100 / 1489
    each: int = EIGHT
    training: Training = THE_STUDYS
    rates: tuple[float, ...] = (0.005, 0.02, 0.08)
    trunk: TrunkChoice = OFFLINE
    resamples: int = 2000

    def __post_init__(self) -> None:
        if self.each < 2 or self.each % 2:
            raise BadTable(f"{self.each} images of each radiograph", remedy="choose an even number, 8 is the study's")
        if self.resamples < 1:
            raise BadTable("the plan has no bootstrap samples", remedy="ask for 1 or more, 2,000 for figures to report")

    @property
    def about(self) -> str:
        """The plan in one line."""
        return (
            f"{self.patients:,} phantom patients of {self.rows} × {self.columns} pixels where no data are given, "
            f"{self.each} images of each, {self.training.iterations:,} iterations"
        )


SCALES: dict[str, Plan] = {
    "small": Plan(
        scale="small",
        patients=76,
        rows=320,
        columns=256,
        size=96,
        sealed=16 / 76,
        each=4,
        training=Training(iterations=400, batch=20, every=36, points=2),
        rates=(0.005, 0.02),
        resamples=200,
    ),
    "medium": Plan(scale="medium", patients=600, sealed=100 / 600),
    "full": Plan(),
}
"""Scale → plan. `small` shows in a minute that everything runs; its figures mean nothing."""


def plan_of(scale: str, backbones: Sequence[str] = ()) -> Plan:
    """The plan of a scale, changed as the command line asks.

    Args:
        scale: of SCALES.
        backbones: NAME or NAME=WEIGHTS of the frozen backbone; none takes the plan's.

    Raises:
        UnknownName: for a scale that there is not.
        BadTable: for several backbones.
    """
    if scale not in SCALES:
        raise unknown_name("scale of kim2018", scale, SCALES)
    if len(backbones) > 1:
        raise BadTable("kim2018 retrains the top layer of one backbone", remedy="name one: --backbone NAME=WEIGHTS")
    plan = SCALES[scale]
    return replace(plan, trunk=TrunkChoice.parse(backbones[0])) if backbones else plan


def compared(plan: Plan, data: Mapping[str, Any], backbone: str) -> list[dict[str, Any]]:
    """One row for each thing that the reader should compare: `what`, `study`, `here`, `same`.

    Args:
        plan: of this run.
        data: as `report.json` tells them.
        backbone: as it really is, with its weights.
    """
    p, training, study = PUBLISHED, plan.training, THE_STUDYS
    rows = [
        ("radiographs, with + without a fracture", _two(p["fracture"], p["no_fracture"]), _two(*data["classes"])),
        ("final set, with + without", _two(p["final_fracture"], p["final_no_fracture"]), _two(*data["final_classes"])),
        ("images made of each radiograph", str(EIGHT), str(plan.each)),
        ("images after that", f"{p['images']:,}", f"{data['augmented']:,}"),
        ("split 80:10:10", "of the copies", "of the copies, and beside it of the patients"),
        ("backbone, frozen", "Inception v3 (ImageNet)", backbone),
        ("side of the images, pixels", "299, as Inception v3 takes them", str(plan.size)),
        ("iterations", f"{study.iterations:,}", f"{training.iterations:,}"),
        ("images of an iteration", "not stated", str(training.batch)),
        ("learning rate", _schedule(study), _schedule(training)),
        (
            "settings chosen",
            "by the accuracy on the test part, in several rounds",
            "not at all: the study's are taken; what it looked at is shown",
        ),
        ("cut-off chosen", "on the final set", "on the final set, and beside it on the parts held out"),
        (
            "radiographs are windowed, marks removed",
            "by a radiologist, by hand",
            "by osteon's recipe ANY, none removed",
        ),
    ]
    return [{"what": what, "study": s, "here": h, "same": s == h} for what, s, h in rows]


def _two(positive: int, negative: int) -> str:
    return f"{positive:,} + {negative:,}"


def _schedule(training: Training) -> str:
    return f"{training.learning_rate:g}, × {training.decay:g} every {training.every:,} iterations"
