"""From the views of studies to the studies: pooling over any number of views, in any order.

Views of all studies of a batch stand in one tensor, and a second one says which study each belongs to. So no view is
padded, and a study of one image costs as much as one image.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from osteon.errors import TooFewCases


class ViewMax(nn.Module):
    """The largest value of each number over the views of a study (view pooling, Su et al. 2015, section 3.2)."""

    def forward(self, views: Tensor, study: Tensor) -> Tensor:
        """(n, …) of n views → (k, …) of the studies 0..k-1.

        Args:
            views: one tensor per view: feature maps, features, anything.
            study: (n,) int64, 0-based number of the study of each.

        Raises:
            TooFewCases: for a study without views.
        """
        counts = views_of_each(study)
        place = study.view(-1, *[1] * (views.ndim - 1)).expand_as(views)
        largest = views.new_full((len(counts), *views.shape[1:]), -torch.inf)
        return largest.scatter_reduce(0, place, views, "amax", include_self=False)


class ViewMean(nn.Module):
    """The mean over the views of a study: what every view shows counts alike."""

    def forward(self, views: Tensor, study: Tensor) -> Tensor:
        """As `ViewMax.forward`."""
        counts = views_of_each(study)
        total = views.new_zeros((len(counts), *views.shape[1:])).index_add(0, study, views)
        return total / counts.view(-1, *[1] * (views.ndim - 1))


class GatedAttention(nn.Module):
    """A weighted mean over the views of a study, with weights that are learnt (Ilse et al. 2018, equations 7 and 9).

    The weight of a view with features h is the softmax, over the views of its study, of w · (tanh(V h) ⊙ σ(U h)).
    """

    def __init__(self, features: int, units: int = 32) -> None:
        super().__init__()
        self.content = nn.Linear(features, units)
        self.gate = nn.Linear(features, units)
        self.weigh = nn.Linear(units, 1, bias=False)

    def weights(self, views: Tensor, study: Tensor) -> Tensor:
        """(n,) how much each view counts: 0..1, 1 together for the views of a study.

        Args:
            views: (n, features).
            study: (n,) as `ViewMax.forward`.

        Raises:
            TooFewCases: for a study without views.
        """
        counts = views_of_each(study)
        said: Tensor = self.weigh(torch.tanh(self.content(views)) * torch.sigmoid(self.gate(views))).squeeze(1)
        largest = said.new_full((len(counts),), -torch.inf).scatter_reduce(0, study, said.detach(), "amax")
        share = torch.exp(said - largest[study])
        together = said.new_zeros(len(counts)).index_add(0, study, share)
        return share / together[study]

    def forward(self, views: Tensor, study: Tensor) -> Tensor:
        """(n, features) of n views → (k, features), as `ViewMax.forward`."""
        weighted = self.weights(views, study)[:, None] * views
        return weighted.new_zeros((len(views_of_each(study)), views.shape[1])).index_add(0, study, weighted)


POOLINGS: Mapping[str, Callable[[int], nn.Module]] = {
    "max": lambda features: ViewMax(),
    "mean": lambda features: ViewMean(),
    "attention": GatedAttention,
}
"""Name → what makes the pooling for so many features of a view."""


def views_of_each(study: Tensor) -> Tensor:
    """(k,) number of views of each study, from the numbers (n,) of the studies of n views.

    Raises:
        TooFewCases: for a study without views, or if there are none at all.
    """
    counts = torch.bincount(study) if len(study) else study.new_zeros(1)
    if not bool(counts.all()):
        raise TooFewCases(
            f"{int((counts == 0).sum())} of {len(counts)} studies have no image",
            remedy="leave them out: nothing can be said of a study without images",
        )
    return counts
