"""How large the experiment is, beside what the study did: the difference is a table of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from osteon.errors import BadTable, unknown_name
from osteon.experiments.decid2021.arms import Arm, Epochs, Form, Sizes, arms_of
from osteon.experiments.trunks import TrunkChoice
from osteon.learn.backbones import DEFAULT

PUBLISHED: Mapping[str, Any] = {
    "studies": 13_538,
    "radiographs": 21_372,
    "broken": 4_214,
    # Tables 6.2 and 6.3, at 341 × 512, 512 × 768 and 768 × 1152: validation, in per cent.
    "sizes": [
        {"size": "341 × 512", "instance": 69.83, "at_least_one": 77.67, "majority": 76.00, "time": "8:40"},
        {"size": "512 × 768", "instance": 63.41, "at_least_one": 70.67, "majority": 66.33, "time": "9:00"},
        {"size": "768 × 1152", "instance": 62.15, "at_least_one": 71.00, "majority": 67.67, "time": "10:10"},
    ],
    # Table 6.4.
    "resize": {"instance": 69.83, "at_least_one": 77.66},
    "pad": {"instance": 69.83, "at_least_one": 78.33},
    # Table 6.5.
    "inverted": {"instance": 61.73, "at_least_one": 69.67},
    # Tables 6.6 and 6.8; the confusion in per cent of the studies: true labels in rows, not broken first.
    "baseline": {"instance": 78.35, "at_least_one": 85.00, "confusion": [[42.0, 8.0], [7.0, 43.0]]},
    # Tables 6.7 and 6.8.
    "rx_lite": {"instance": 72.77, "at_least_one": 77.66, "confusion": [[42.33, 7.67], [14.67, 35.33]]},
    # Section 6.3, text: 120 studies without osteosynthesis hardware.
    "without_hardware": {
        "baseline": {"instance": 69.26, "at_least_one": 75.41},
        "rx_lite": {"instance": 54.42, "at_least_one": 57.38},
    },
    "wrong_labels": 10,
}
"""What the study reports, of its own radiographs: accuracies in per cent, on its validation set."""

THE_STUDYS = Epochs()
OFFLINE = TrunkChoice(DEFAULT)
"""What needs no network: beside the study's networks, one of ours with its ImageNet weights."""


@dataclass(frozen=True)
class Probe:
    """Phantom wrists that are judged with and without a hairline: the same bodies, and gaps of stated widths.

    Attributes:
        patients: how many.
        gaps_mm: widths of the gap.
    """

    patients: int = 200
    gaps_mm: tuple[float, ...] = (0.2, 0.3, 0.5, 0.8, 1.3, 2.0, 4.0)

    def __post_init__(self) -> None:
        if self.patients < 2 or not self.gaps_mm or list(self.gaps_mm) != sorted(set(self.gaps_mm)):
            raise BadTable("hairlines need two patients and ascending widths", remedy="give widths such as 0.2, 0.5, 1")


@dataclass(frozen=True)
class Plan:
    """The size of the experiment; the defaults are those of de Cid 2021, where the study states them.

    Attributes:
        scale: its name.
        patients: of the phantom cohort that is made where no data are given. rows, columns: of its images.
        field_mm: height of these in the patient.
        size: side of the square images for thumbnails and duplicates.
        sealed: share of the images that is set aside as sealed test set.
        sizes, epochs, batches: of the arms; see `arms_of`.
        ours: backbones beside the study's.
        probe: the hairlines.
        bf16: whether networks are trained in bfloat16.
        resamples: bootstrap samples.
    """

    scale: str = "full"
    patients: int = 13_538
    rows: int = 1536
    columns: int = 1096
    field_mm: float = 96.0
    size: int = 224
    sealed: float = 0.2
    sizes: Sizes = field(default_factory=Sizes)
    epochs: Epochs = THE_STUDYS
    batches: tuple[int, ...] = (16, 32, 64, 128)
    ours: tuple[TrunkChoice, ...] = (OFFLINE,)
    probe: Probe = field(default_factory=Probe)
    bf16: bool = False
    resamples: int = 2000

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise BadTable("the plan has no bootstrap samples", remedy="ask for 1 or more, 2,000 for figures to report")
        if len(self.batches) < 2:
            raise BadTable("the plan compares fewer than two batches", remedy="give two or more, such as 16 and 32")

    @property
    def arms(self) -> tuple[Arm, ...]:
        """All trainings."""
        return arms_of(self.sizes, self.epochs, self.batches, self.ours)

    @property
    def forms(self) -> dict[str, Form]:
        """Every form of the images that an arm takes, by name."""
        return {arm.form.name: arm.form for arm in self.arms}

    @property
    def about(self) -> str:
        """The plan in one line."""
        return (
            f"{self.patients:,} phantom studies of {self.rows} × {self.columns} pixels where no data are given, "
            f"{len(self.arms)} trainings of up to {self.epochs.baseline} epochs, images of "
            f"{' to '.join(Form('pad', *size).size for size in (self.sizes.small, self.sizes.large))} pixels"
        )


SCALES: dict[str, Plan] = {
    "small": Plan(
        scale="small",
        patients=60,
        rows=350,
        columns=250,
        size=64,
        sealed=0.25,
        sizes=Sizes((48, 72), (64, 96), (96, 144), ("rx_large_padded", (256, 384)), (256, 384)),
        epochs=Epochs(tables=1, batches=1, baseline=2, rx_lite=2, rx_large=1, ours=2),
        batches=(8, 16),
        probe=Probe(patients=8, gaps_mm=(0.5, 2.0)),
        resamples=200,
    ),
    "medium": Plan(
        scale="medium",
        patients=640,
        rows=1260,
        columns=900,
        sealed=0.25,
        sizes=Sizes((171, 256), (256, 384), (341, 512), ("rx_large", (768, 1152)), (256, 384)),
        epochs=Epochs(tables=6, batches=6, baseline=15, rx_lite=10, rx_large=3, ours=6),
        probe=Probe(patients=60),
        bf16=True,
    ),
    "full": Plan(),
}
"""Scale → plan. `small` shows in two minutes that everything runs; its figures mean nothing."""


def plan_of(scale: str, backbones: Sequence[str] = ()) -> Plan:
    """The plan of a scale, changed as the command line asks.

    Args:
        scale: of SCALES.
        backbones: NAME or NAME=WEIGHTS of the networks beside the study's; none takes the plan's.

    Raises:
        UnknownName: for a scale that there is not.
        BadTable: for a backbone that is named twice.
    """
    if scale not in SCALES:
        raise unknown_name("scale of decid2021", scale, SCALES)
    if not backbones:
        return SCALES[scale]
    ours = tuple(TrunkChoice.parse(text) for text in backbones)
    if len({choice.backbone for choice in ours}) < len(ours):
        raise BadTable("a backbone is named twice", remedy="name each once")
    return replace(SCALES[scale], ours=ours)


def compared(plan: Plan, data: Mapping[str, Any], weights: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each thing that the reader should compare: `what`, `study`, `here`, `same`.

    Args:
        plan: of this run.
        data: as `report.json` tells them.
        weights: of the networks, as they really are.
    """
    p, epochs, theirs = PUBLISHED, plan.epochs, THE_STUDYS
    rows = [
        ("studies", f"{p['studies']:,}", f"{data['studies']:,}"),
        ("radiographs", f"{p['radiographs']:,}", f"{data['radiographs']:,}"),
        ("studies labelled fractured", f"{100 * p['broken'] / p['studies']:.1f} %", f"{100 * data['fractured']:.1f} %"),
        ("sizes compared, pixels", _sizes(Sizes()), _sizes(plan.sizes)),
        ("size of Model Rx Large, pixels", "768 × 1152", Form("pad", *plan.sizes.rx_large[1]).size),
        ("epochs: sizes, padding, inversion", str(theirs.tables), str(epochs.tables)),
        ("epochs: batches, optimisers", str(theirs.batches), str(epochs.batches)),
        ("epochs: baseline, at most", str(theirs.baseline), str(epochs.baseline)),
        ("epochs: Model Rx Lite", str(theirs.rx_lite), str(epochs.rx_lite)),
        ("epochs: Model Rx Large", "not stated", str(epochs.rx_large)),
        ("batches compared", "16, 32, 64, 128", ", ".join(map(str, plan.batches))),
        ("learning rates", "not stated", "Adam, AMSGrad 0.001; SGD 0.01, momentum 0.9"),
        ("weights at the start", "not stated; trained from nothing", "; ".join(weights)),
        ("arithmetic", "not stated", "bfloat16" if plan.bf16 else "float32"),
        ("validation set", "class-balanced, chooses everything", "the same; beside it a sealed test set"),
        (
            "preparation",
            "wrist filter, inversion, parts split, upright",
            "inversion, upright; neither filtered nor split",
        ),
    ]
    return [{"what": what, "study": s, "here": h, "same": s == h} for what, s, h in rows]


def _sizes(sizes: Sizes) -> str:
    return ", ".join(Form("pad", *size).size for size in sizes.compared)
