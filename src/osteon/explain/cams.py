"""Class activation maps by gradients: the trunk's last feature maps, weighted by what they mean for the logit.

All four start from the maps A (n, d, h', w') and the gradient G of the logit with respect to them, and differ in how
channels and places are weighted. A ReLU at the end keeps what speaks for the finding, as their authors have it;
HiResCAM is left signed, since its sum has a meaning.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from osteon.learn.heads import Classifier, Network

Weighting = Callable[[Tensor, Tensor], Tensor]
"""Maps and gradients (n, d, h', w') → evidence (n, h', w')."""


def missing(network: Network) -> str:
    """Why a network has no class activation maps; "" if it has."""
    return "" if isinstance(network, Classifier) else "class activation maps need a head on the trunk's last maps"


def maps_and_gradient(network: Network, grey: Tensor) -> tuple[Tensor, Tensor]:
    """The last maps of images (n, 1, h, w), and the gradient of their logits: both (n, d, h', w')."""
    assert isinstance(network, Classifier)
    with torch.no_grad():
        maps = network.trunk(grey)
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        logit = network.answer(maps).sum()
        # grad() returns the gradient of the maps alone; backward() would also touch the head's.
        (gradient,) = torch.autograd.grad(logit, maps)
    return maps.detach(), gradient


def by_mean_gradient(maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2): a channel counts by its mean gradient."""
    channel_weight = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((channel_weight * maps).sum(dim=1))


def by_positive_pixels(maps: Tensor, gradient: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay et al., WACV 2018, equations 10, 19 and 20): a mean that several lesions do not share.

    Positive gradients are averaged with weights α, by which a channel that is active in many places counts no less for
    each. The derivatives are those of exp(logit), as the paper has it, so that powers of the first one stand for all.
    """
    squared, cubed = gradient**2, gradient**3
    below = 2 * squared + (maps * cubed).sum(dim=(2, 3), keepdim=True)
    alpha = torch.where(below != 0, squared / torch.where(below != 0, below, 1.0), 0.0)
    channel_weight = (alpha * torch.relu(gradient)).sum(dim=(2, 3), keepdim=True)
    return torch.relu((channel_weight * maps).sum(dim=1))


def by_place(maps: Tensor, gradient: Tensor) -> Tensor:
    """HiResCAM (Draelos and Carin 2020, equation 3), signed: gradient × map at each place.

    For one linear layer on pooled maps it adds up to the logit less its bias.
    """
    return (gradient * maps).sum(dim=1)


def by_positive_place(maps: Tensor, gradient: Tensor) -> Tensor:
    """LayerCAM (Jiang et al., TIP 2021, equations 4 to 6): as HiResCAM, with positive gradients alone."""
    return torch.relu((torch.relu(gradient) * maps).sum(dim=1))


def weighted(weighting: Weighting) -> Callable[[Network, Tensor], Tensor]:
    """The map of a weighting, from network and images (n, 1, h, w) to evidence (n, h', w')."""

    def evidence(network: Network, grey: Tensor) -> Tensor:
        return weighting(*maps_and_gradient(network, grey))

    return evidence
