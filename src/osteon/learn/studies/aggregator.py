"""A network that answers for a study: what it sees in each view, pooled over the views, then a classifier.

This is the multi-view network of Su et al. 2015 (MVCNN) in the general form of Ilse et al. 2018 (section 2): `each` is
applied to every view with shared weights, `over` pools the views, whatever their number and order, `whole` answers.
`published` puts together what de Cid 2021 (section 5.3) describes, `aggregator` what learns.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Self

import torch
from torch import Tensor, nn

from osteon.errors import unknown_name
from osteon.learn.backbones import Trunk
from osteon.learn.heads import RX, HeadForm, MeanAndMaximum
from osteon.learn.studies.pooling import POOLINGS, GatedAttention, ViewMax


class Aggregator(nn.Module):
    """Views of studies → one logit per study.

    Attributes:
        trunk: what images are led through; an identity if the views come as its maps or features already.
        each: from what the trunk gives of a view to what is pooled.
        over: one of `pooling.POOLINGS`.
        whole: from the pooled views of k studies to logits (k, 1).
        frozen: whether the trunk stays as it is: it gets no gradient, and keeps its statistics.
    """

    def __init__(
        self,
        each: nn.Module,
        over: nn.Module,
        whole: nn.Module,
        *,
        trunk: nn.Module | None = None,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.trunk = nn.Identity() if trunk is None else trunk
        self.each = each
        self.over = over
        self.whole = whole
        self.frozen = frozen
        if frozen:
            self.trunk.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As torch has it; a frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def described(self, views: Tensor) -> Tensor:
        """(n, …) what is pooled of n views."""
        described: Tensor = self.each(self.trunk(views))
        return described

    def forward(self, views: Tensor, study: Tensor) -> Tensor:
        """Logits (k,) of the studies 0..k-1.

        Args:
            views: (n, 1, h, w) grey images, float in 0..1; or, without a trunk, its maps or features of n views.
            study: (n,) int64, 0-based number of the study of each view.

        Raises:
            TooFewCases: for a study without views.
        """
        logits: Tensor = self.whole(self.over(self.described(views), study)).squeeze(1)
        return logits

    def attention(self, views: Tensor, study: Tensor) -> Tensor | None:
        """(n,) how much each view counts in its study, 1 together; None where the pooling does not weigh."""
        return self.over.weights(self.described(views), study) if isinstance(self.over, GatedAttention) else None


class Standard(nn.Module):
    """Features less their mean, divided by their deviation; both are set from training views (`set_from`)."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("deviation", torch.ones(features))

    def set_from(self, features: Tensor) -> None:
        """Take mean and deviation of features (n, f); a feature that is constant is left undivided."""
        deviation = features.std(dim=0, correction=0)
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, features: Tensor) -> Tensor:
        """(n, f) → (n, f)."""
        return (features - self.mean) / self.deviation


def aggregator(
    features: int,
    pooling: str = "attention",
    *,
    width: int = 32,
    dropout: float = 0.5,
    trunk: Trunk | None = None,
    frozen: bool = True,
    seed: int = 0,
) -> Aggregator:
    """An aggregator that learns: views are pooled over places first, standardised, and briefly described.

    Args:
        features: pooled features of a view, `2 * trunk.spec.d`.
        pooling: a name of `pooling.POOLINGS`.
        width: numbers by which a view is described.
        dropout: share of the features, and of the description of a study, that each training step lacks.
        trunk: for images; None takes pooled features, as a feature bank holds them.
        frozen: leave the trunk as it is.
        seed: of the weights; torch's own generator is left as it was.

    Raises:
        UnknownName: for a pooling that there is not.
    """
    if pooling not in POOLINGS:
        raise unknown_name("pooling of views", pooling, POOLINGS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        each: OrderedDict[str, nn.Module] = OrderedDict(pool=MeanAndMaximum()) if trunk is not None else OrderedDict()
        each |= {
            "standard": Standard(features),
            "dropout": nn.Dropout(dropout),
            "describe": nn.Linear(features, width),
            "relu": nn.ReLU(),
        }
        over = POOLINGS[pooling](width)
        whole = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, 1))
    return Aggregator(nn.Sequential(each), over, whole, trunk=trunk, frozen=frozen and trunk is not None)


def published(
    d: int, head: HeadForm = RX, *, trunk: Trunk | None = None, frozen: bool = False, seed: int = 0
) -> Aggregator:
    """The aggregator as de Cid 2021 describes it (section 5.3): the maximum of the maps over the views comes first.

    Behind it stand the average over a grid of places and the fully connected layers of Model Rx, which begin as torch
    has it. Nothing is normalised. The widths are ours (`heads.RX`), since the study shows them in a figure alone.

    Args:
        d: channels of the maps.
        head: grid and layers.
        trunk: for images; None takes its maps (n, d, h, w).
        frozen: train the classifier alone.
        seed: of the layers.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = nn.Sequential(head.pool(), head.layers(d))
    return Aggregator(nn.Identity(), ViewMax(), whole, trunk=trunk, frozen=frozen)
