"""The trainings of the experiment as values: which network, on which form of the images, for how long and by what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from osteon.dataset.steps import ColourInversion, PadToAspect, RotationAlignment, Stretch
from osteon.errors import BadTable
from osteon.experiments.trunks import TrunkChoice, slug
from osteon.learn.augmentation import SEED_DECID
from osteon.learn.heads import LINEAR, RX, TOP, HeadForm
from osteon.learn.objectives import BINARY, LAST, Objective, Scores, Targets
from osteon.learn.optimisers import SGD, AdamW, Optimiser, TorchAdam
from osteon.learn.samplers import OppositeClass
from osteon.learn.scoring import ALONE
from osteon.learn.train import TrainOptions
from osteon.types import Recipe

RESNET = "resnet18"

PAD, RESIZE = "pad", "resize"
FITS: Mapping[str, type[PadToAspect] | type[Stretch]] = {PAD: PadToAspect, RESIZE: Stretch}
"""How an image comes to a size → the step that does it."""

ACCURACY = "accuracy"

PADDED, INVERTED, BASELINE = "resnet18-padded", "resnet18-inverted", "baseline"
BY_SIZE = ("resnet18-small", "resnet18-middle", "resnet18-large")
OTHER_OPTIMISERS: Mapping[str, str] = {"SGD": "resnet18-sgd", "AMSGrad": "resnet18-amsgrad"}
RX_LITE, RX_LARGE, RX_MENDED = "rx-lite", "rx-large", "rx-large-mended"
"""Names of arms."""

OPTIMISERS: Mapping[str, Optimiser] = {
    "Adam": TorchAdam(1e-3),
    "AMSGrad": TorchAdam(1e-3, amsgrad=True),
    "SGD": SGD(0.01, momentum=0.9, decay=1.0),
    "AdamW": AdamW(),
}
"""Name → optimiser. The study states none of the rates: Adam's is the one that Kingma and Ba propose."""


@dataclass(frozen=True)
class Form:
    """A form in which the images are prepared: padded, or stretched, to a size in pixels."""

    fit: str
    width: int
    height: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.fit}-{self.width}x{self.height}"

    @property
    def size(self) -> str:
        """As the study writes it."""
        return f"{self.width} × {self.height}"

    @property
    def told(self) -> str:
        """How an image comes to the size, in a word."""
        return "padded" if self.fit == PAD else "stretched"

    @property
    def recipe(self) -> Recipe:
        """The study's steps (4.2) for one limb on a plate: bone bright, upright, then this size."""
        return (ColourInversion(), RotationAlignment(), FITS[self.fit](height=self.height, width=self.width))

    def mm_per_pixel(self, height_mm: float, width_mm: float) -> float:
        """Upright, for an image that shows so much of the patient and lies upright in its form."""
        if self.fit == PAD:
            return max(height_mm, width_mm * self.height / self.width) / self.height
        return height_mm / self.height


@dataclass(frozen=True)
class Arm:
    """One training.

    Attributes:
        name: of its folder. title: for readers.
        trunk: where it begins. head: what stands behind its maps.
        form: of the images.
        epochs, batch: see `TrainOptions`.
        optimiser: of OPTIMISERS.
        inverted: whether every other image is shown inverted (section 6.2.2.2).
        best: whether the epoch with the best accuracy on the validation set is kept; else the last one.
        normalised: whether the images are normalised by their own mean and deviation, as in the study; else as the
            weights expect.
        probed: whether it is asked about hairlines. layers: whether the gradient of each layer is looked at.
    """

    name: str
    title: str
    trunk: TrunkChoice
    head: HeadForm
    form: Form
    epochs: int
    batch: int = 16
    optimiser: str = "Adam"
    inverted: bool = False
    best: bool = False
    normalised: bool = True
    probed: bool = False
    layers: bool = False

    @property
    def label(self) -> str:
        """Of the model in tables: no two arms have the same."""
        inversion = ", with inversion" if self.inverted else ""
        return f"{self.title}, {self.form.size} {self.form.told}, batch {self.batch}, {self.optimiser}{inversion}"

    def options(self, bf16: bool) -> TrainOptions:
        """How it is trained: the study's sampler and augmentation, its batch and its optimiser."""
        return TrainOptions(
            epochs=self.epochs,
            batch=self.batch,
            optimiser=OPTIMISERS[self.optimiser],
            objective=WATCHED if self.best else replace(WATCHED, chooses=LAST),
            bf16=bf16,
            augmentation=replace(SEED_DECID, invert=0.5) if self.inverted else SEED_DECID,
            sampler=OppositeClass(),
            scoring=ALONE,
        )


def accuracy(score: Scores, target: Targets) -> float:
    """Share of images called rightly from a logit of 0 on."""
    return float(np.mean((score >= 0) == (target == 1)))


WATCHED = Objective(BINARY.name, BINARY.loss, BINARY.unseen, {ACCURACY: accuracy}, chooses=ACCURACY)
"""Cross-entropy, with the accuracy noted after every epoch, which also chooses it unless the last one is taken."""


@dataclass(frozen=True)
class Sizes:
    """The forms of the images at a scale.

    Attributes:
        small, middle, large: width and height of the three sizes that are compared; the first serves all else.
        rx_large: of Model Rx Large, and which of them: as published it needs 766 px.
        rx_mended: of its mended variant, which needs 256 px.
    """

    small: tuple[int, int] = (341, 512)
    middle: tuple[int, int] = (512, 768)
    large: tuple[int, int] = (768, 1152)
    rx_large: tuple[str, tuple[int, int]] = ("rx_large", (768, 1152))
    rx_mended: tuple[int, int] = (341, 512)

    @property
    def compared(self) -> tuple[tuple[int, int], ...]:
        """The three, the smallest first."""
        return self.small, self.middle, self.large


@dataclass(frozen=True)
class Epochs:
    """How long the arms are trained; the defaults are the study's, and for what it did not train the baseline's."""

    tables: int = 10
    batches: int = 13
    baseline: int = 24
    rx_lite: int = 12
    rx_large: int = 12
    ours: int = 10

    def __post_init__(self) -> None:
        if min(self.tables, self.batches, self.baseline, self.rx_lite, self.rx_large, self.ours) < 1:
            raise BadTable("an arm has no epochs", remedy="ask for 1 or more")


def arms_of(sizes: Sizes, epochs: Epochs, batches: tuple[int, ...], ours: tuple[TrunkChoice, ...]) -> tuple[Arm, ...]:
    """All trainings, in the order in which the report tells of them.

    Args:
        sizes: of the images. epochs: of the arms.
        batches: sizes of the batches that are compared; the baseline's is the second.
        ours: backbones beside the study's, each trained at the three sizes.
    """
    scratch = TrunkChoice(RESNET, "random")
    small = Form(PAD, *sizes.small)
    padded = Arm(PADDED, "ResNet18", scratch, TOP, small, epochs.tables, batch=batches[0])
    resized = [
        replace(padded, name=name, form=Form(RESIZE, *size), probed=True)
        for name, size in zip(BY_SIZE, sizes.compared, strict=True)
    ]
    longer = replace(padded, epochs=epochs.batches)
    by_batch = [replace(longer, name=by_batch_name(size), batch=size) for size in batches[1:]]
    usual = replace(longer, batch=batches[1])
    others = [replace(usual, name=name, optimiser=optimiser) for optimiser, name in OTHER_OPTIMISERS.items()]
    kept = replace(padded, batch=batches[1], best=True, probed=True)
    baseline = replace(kept, name=BASELINE, title="ResNet18, the baseline", epochs=epochs.baseline)
    rx = replace(kept, head=RX, layers=True)
    published, size = sizes.rx_large
    return (
        *resized,
        padded,
        replace(padded, name=INVERTED, inverted=True),
        *by_batch,
        *others,
        baseline,
        replace(rx, name=RX_LITE, title="Model Rx Lite", trunk=TrunkChoice("rx_lite", "random"), epochs=epochs.rx_lite),
        replace(
            rx,
            name=RX_LARGE,
            title="Model Rx Large" if published == "rx_large" else "Model Rx Large, padded",
            trunk=TrunkChoice(published, "random"),
            form=Form(PAD, *size),
            epochs=epochs.rx_large,
            probed=False,
        ),
        replace(
            rx,
            name=RX_MENDED,
            title="Model Rx Large, mended",
            trunk=TrunkChoice("rx_large_normalised", "random"),
            form=Form(PAD, *sizes.rx_mended),
            epochs=epochs.rx_large,
            probed=False,
        ),
        *(
            replace(_ours(choice, Form(PAD, *size), kept, epochs, batches[0]), name=ours_name(choice, place))
            for choice in ours
            for place, size in enumerate(sizes.compared)
        ),
    )


def by_batch_name(size: int) -> str:
    """The arm of a batch, all but the first of those that are compared; that one is PADDED, for fewer epochs."""
    return f"resnet18-batch-{size}"


def ours_name(choice: TrunkChoice, place: int) -> str:
    """The arm of a backbone of ours at one of the three sizes, 0 the smallest."""
    return f"ours-{slug(choice.backbone)}-{BY_SIZE[place].rpartition('-')[2]}"


def _ours(choice: TrunkChoice, form: Form, kept: Arm, epochs: Epochs, batch: int) -> Arm:
    """A network of ours: from its own weights, normalised as they expect, by AdamW."""
    return replace(
        kept,
        title=choice.backbone,
        trunk=choice,
        head=LINEAR,
        form=form,
        epochs=epochs.ours,
        batch=batch,
        optimiser="AdamW",
        normalised=choice.weights == "random",
    )
