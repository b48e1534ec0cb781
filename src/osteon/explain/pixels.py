"""Evidence asked of the network as a whole, so for any network: by covering parts of the image, and by gradients."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from osteon.learn.heads import Network

STEPS = 32
"""Points of the path of integrated gradients."""

COVERED = 7
"""Patches of occlusion that lie side by side along the shorter side; neighbouring positions overlap by half."""

AT_ONCE = 16 * 224 * 224
"""Pixels of the images that go through the network together: of five times as many, each took twice as long (CPU)."""


def anything(network: Network) -> str:
    """What these methods need of a network: nothing."""
    return ""


def integrated_gradients(network: Network, grey: Tensor, *, steps: int = STEPS) -> Tensor:
    """Integrated gradients (Sundararajan et al., ICML 2017, equation 1) on the straight path from a black image.

    Black is a radiograph of nothing: no ray was stopped. A pixel that is black itself gets no evidence. Evidence adds
    up to the logit of the image less that of the black image (completeness), as far as the integral is met; its points
    are those of Gauss and Legendre.

    Args:
        network: any.
        grey: images (n, 1, h, w), float in 0..1.
        steps: points of the path; each costs a forward and a backward pass.

    Returns:
        (n, h, w) in units of the logit.
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(grey)
    for place, weight in zip((points + 1) / 2, weights / 2, strict=True):
        with torch.enable_grad():
            on_path = (float(place) * grey).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(network(on_path).sum(), on_path)
        total += float(weight) * gradient
    return (total * grey).squeeze(1)


def occlusion(network: Network, grey: Tensor, *, across: int = COVERED) -> Tensor:
    """Occlusion (Zeiler and Fergus, ECCV 2014, section 4.2): by how much the logit falls when a patch is covered.

    A patch of the image's mean grey is laid over it at places half a patch apart. Each pixel gets the mean over the
    patches that covered it. No gradient is asked for.

    Args:
        network: any.
        grey: images (n, 1, h, w), float in 0..1.
        across: patches side by side along the shorter side.

    Returns:
        (n, h, w) in units of the logit.
    """
    height, width = grey.shape[-2:]
    side = max(1, -(-min(height, width) // across))
    places = [(y, x) for y in _starts(height, side) for x in _starts(width, side)]
    return torch.stack([_covered(network, image, places, side) for image in grey])


def _covered(network: Network, image: Tensor, places: list[tuple[int, int]], side: int) -> Tensor:
    """(h, w) mean fall of the logit of one image (1, h, w)."""
    total, times = torch.zeros_like(image[0]), torch.zeros_like(image[0])
    with torch.no_grad():
        whole = network(image[None])
        together = max(1, AT_ONCE // image.numel())
        for start in range(0, len(places), together):
            some = places[start : start + together]
            covered = image.repeat(len(some), 1, 1, 1)
            for one, (y, x) in zip(covered, some, strict=True):
                one[:, y : y + side, x : x + side] = image.mean()
            for fall, (y, x) in zip(whole - network(covered), some, strict=True):
                total[y : y + side, x : x + side] += fall
                times[y : y + side, x : x + side] += 1
    return total / times


def _starts(length: int, side: int) -> list[int]:
    """Where patches begin: half a patch apart, the last one flush with the border."""
    return sorted({*range(0, length - side, max(1, side // 2)), length - side})
