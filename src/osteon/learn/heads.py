"""The head: an answer on pooled feature maps, one linear layer unless said otherwise, for frozen and trained trunks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from osteon.learn.backbones import Trunk

_FINEST, _MOST = 64, 2**16  # larger ones are slips, or a damaged bundle

FLIPS = 2
"""Views of each image: as it is, and mirrored left to right."""


def pooled(maps: Tensor) -> Tensor:
    """Mean and maximum over positions, side by side: (n, d, h, w) → (n, 2d)."""
    return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class MeanAndMaximum(nn.Module):
    """`pooled` as a module."""

    def forward(self, maps: Tensor) -> Tensor:
        """(n, d, h, w) → (n, 2d)."""
        return pooled(maps)


@dataclass(frozen=True)
class HeadForm:
    """What stands behind the maps of a trunk.

    Attributes:
        grid: the maps are averaged over so many fields of equal size in height and in width; 1 is the mean over all
            positions, 0 the mean and the maximum side by side. Maps smaller than the grid are repeated in it.
        hidden: units of the hidden layers, with a ReLU behind each.
        dropout: share of the inputs of every linear layer that training leaves out.
    """

    grid: int = 0
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def __post_init__(self) -> None:
        units = all(1 <= units <= _MOST for units in self.hidden)
        if not (0 <= self.grid <= _FINEST and units and 0 <= self.dropout < 1):
            raise ValueError(
                f"a head has a grid of 0 to {_FINEST}, hidden layers of 1 to {_MOST} units and 0 ≤ dropout < 1, "
                f"not {self!r}"
            )

    def __str__(self) -> str:
        """The head in words, as cards have it."""
        fields = f"means of {self.grid} × {self.grid} fields" if self.grid > 1 else "mean over positions"
        parts = [fields if self.grid else "mean and maximum over positions"]
        if self.hidden:
            units = " and ".join(map(str, self.hidden))
            parts.append(f"hidden layer{'s' * (len(self.hidden) > 1)} of {units} units")
        parts += ["one linear layer"] + [f"dropout of {self.dropout:g}"] * (self.dropout > 0)
        return ", ".join(parts)

    def inputs(self, d: int) -> int:
        """Pooled features of a trunk with d channels."""
        return d * self.grid**2 if self.grid else 2 * d

    def shapes(self, d: int) -> list[tuple[int, int]]:
        """Inputs and outputs of each linear layer on a trunk with d channels."""
        return list(pairwise((self.inputs(d), *self.hidden, 1)))

    def pool(self) -> nn.Module:
        """Takes maps (n, d, h, w) to features (n, inputs(d))."""
        return nn.Sequential(nn.AdaptiveAvgPool2d(self.grid), nn.Flatten()) if self.grid else MeanAndMaximum()

    def layers(self, d: int) -> nn.Module:
        """Takes features (n, inputs(d)) to logits (n, 1); random numbers come from torch's generator."""
        if not (self.hidden or self.dropout):
            return nn.Linear(self.inputs(d), 1)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (inputs, units) in enumerate(self.shapes(d), start=1):
            if self.dropout:
                layers[f"dropout{number}"] = nn.Dropout(self.dropout)
            layers[f"dense{number}"] = nn.Linear(inputs, units)
            if number <= len(self.hidden):
                layers[f"relu{number}"] = nn.ReLU()
        return nn.Sequential(layers)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> HeadForm:
        """The form that `to_json` told.

        Raises:
            KeyError, TypeError, ValueError: if `content` is no such thing.
        """
        hidden = content["hidden"]
        if not isinstance(hidden, list | tuple):
            raise TypeError(f"hidden layers are a list, not {hidden!r}")
        return cls(int(content["grid"]), tuple(map(int, hidden)), float(content["dropout"]))


LINEAR = HeadForm()
"""osteon's own: one linear layer on mean and maximum, as a logistic regression on a feature bank has it."""

TOP = HeadForm(grid=1)
"""One linear layer on the mean: what Kim 2018 retrained of Inception v3, and the end of every ResNet."""

RX = HeadForm(grid=4, hidden=(256, 64))
"""The end of Model Rx (de Cid 2021, section 5.2): three fully connected layers, ever narrower. The numbers are ours."""


def mirrored(images: Tensor) -> Tensor:
    """Images (n, 1, h, w) with left and right exchanged."""
    return images.flip(-1)


def fresh_head(form: HeadForm, d: int, seed: int = 0) -> nn.Module:
    """The layers of a head on d channels, made without touching torch's own generator.

    One linear layer begins with zeros, so that every first answer is 0; with hidden layers all begin as torch has it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = form.layers(d)
    if not form.hidden:
        for weight in head.parameters():
            nn.init.zeros_(weight)
    return head


class Network(nn.Module):
    """What the training loop trains: grey images (n, 1, h, w), float in 0..1, to logits (n,) or (n, k)."""

    @property
    def name(self) -> str:
        """What it is, for checkpoints and tables."""
        raise NotImplementedError

    def score(self, images: Tensor) -> Tensor:
        """The logits that are reported: unless said otherwise, those of the images as they are."""
        logits: Tensor = self(images)
        return logits


class Classifier(Network):
    """Trunk → pooled features → head → logit.

    A logistic regression on a feature bank, a fine-tuned network and a network trained from nothing are all this
    module, so one bundle format, one reader and one explanation serve them all.
    """

    def __init__(self, trunk: Trunk, head: nn.Module | None = None, form: HeadForm = LINEAR, *, seed: int = 0) -> None:
        """A trunk with a head.

        Args:
            trunk: becomes part of the network.
            head: layers of this form; None makes fresh ones. A fresh linear one answers everything with the logit 0.
            form: how the maps are pooled, and what layers follow.
            seed: of fresh hidden layers.
        """
        super().__init__()
        head = fresh_head(form, trunk.spec.d, seed) if head is None else head
        _check_layers(head, form, trunk)
        self.trunk = trunk
        self.pool = form.pool()
        self.head = head
        self.form = form

    @classmethod
    def from_linear(
        cls, trunk: Trunk, weight: ArrayLike, bias: float, mean: ArrayLike = 0.0, scale: ArrayLike = 1.0
    ) -> Classifier:
        """The classifier whose logit is weight · (features - mean) / scale + bias.

        Args:
            trunk: whose features the linear model was fitted on.
            weight: (2d,). bias: a number.
            mean, scale: (2d,) or a number; the standardisation that the linear model was fitted after.
        """
        divided = np.asarray(weight, np.float64).reshape(-1) / np.asarray(scale, np.float64)
        shifted = float(bias) - float(np.sum(divided * np.asarray(mean, np.float64)))
        if divided.shape != (2 * trunk.spec.d,):
            raise ValueError(f"{trunk.spec.name} has {2 * trunk.spec.d} pooled features, not {divided.size}")
        classifier = cls(trunk)
        slopes, intercept = classifier.head.parameters()
        with torch.no_grad():
            slopes.copy_(torch.from_numpy(divided)[None])
            intercept.fill_(shifted)
        return classifier

    @property
    def name(self) -> str:
        """The architecture of the trunk, and the form of a head that is not osteon's own."""
        return self.trunk.spec.name if self.form == LINEAR else f"{self.trunk.spec.name}, {self.form}"

    def with_trunk(self, trunk: Trunk) -> Classifier:
        """The same head behind another form of the trunk, in evaluation mode."""
        return Classifier(trunk, self.head, self.form).eval()

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (n, inputs) of grey images (n, 1, h, w), float in 0..1."""
        features: Tensor = self.pool(self.trunk(images))
        return features

    def answer(self, maps: Tensor) -> Tensor:
        """Logits (n,) of feature maps (n, d, h', w')."""
        logits: Tensor = self.head(self.pool(maps)).squeeze(1)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n,) of grey images (n, 1, h, w), float in 0..1, as they are."""
        return self.answer(self.trunk(images))

    def score(self, images: Tensor) -> Tensor:
        """Logits (n,) averaged over the image and its mirror image: the score that osteon reports.

        For a linear head this equals the head applied to the mean of the two feature vectors.
        """
        both: Tensor = self(images) + self(mirrored(images))
        return both / 2


def _check_layers(head: nn.Module, form: HeadForm, trunk: Trunk) -> None:
    found = [(m.in_features, m.out_features) for m in head.modules() if isinstance(m, nn.Linear)]
    wanted = form.shapes(trunk.spec.d)
    if found != wanted:
        raise ValueError(f"a head of this form on {trunk.spec.name} has linear layers {wanted}, not {found}")
