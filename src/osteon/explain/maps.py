"""Where in an image the evidence for a finding lies, as the network weighs it.

A map shows what the network used, not what is there: it can light up on a marker or on hardware, and that is worth
seeing too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray

from osteon import files
from osteon.errors import CannotWrite
from osteon.learn.heads import Classifier, mirrored

Heat = NDArray[np.float32]
"""(height, width) in 0..1, at the size of the image: 1 where the evidence is strongest, 0 where there is none."""

Explainer = Callable[[Classifier, NDArray[np.uint8]], Heat]

COLOURS = "inferno"
"""matplotlib's perceptually uniform map: equal steps of evidence look like equal steps of light."""

STRONGEST = 0.6
"""Opacity of an overlay where the evidence is strongest, so that bone stays visible below."""


def grad_cam(classifier: Classifier, image: NDArray[np.uint8], *, flips: bool = True) -> Heat:
    """Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2) of the finding on the trunk's last feature maps.

    Each channel is weighted by the mean gradient of the logit over its positions; the positive part of the weighted
    sum is scaled to a maximum of 1 and enlarged to the image. Without any evidence for the finding the map is 0.
    The classifier is left as it was: training mode, gradients and all.

    Args:
        classifier: any trunk with feature maps.
        image: (height, width) uint8, prepared as the classifier expects.
        flips: average the map with that of the mirror image, turned back, as the score averages both.

    Returns:
        (height, width) float32 in 0..1.
    """
    training = [module for module in classifier.modules() if module.training]
    classifier.eval()
    try:
        with torch.inference_mode(False):  # a caller in inference mode has no gradients to give
            small = _small_map(classifier, image, flips)
    finally:
        for module in training:
            module.training = True  # not .train(): that would also switch on what was off below
    large = cv2.resize(small, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large / large.max() if large.max() > 0 else large, np.float32)


def _small_map(classifier: Classifier, image: NDArray[np.uint8], flips: bool) -> Heat:
    """The map at the size of the trunk's maps, not yet scaled."""
    grey = torch.from_numpy(np.ascontiguousarray(image)).to(classifier.trunk.mean.device)[None, None].float() / 255.0
    evidence = _evidence(classifier, grey)
    if flips:
        evidence = (evidence + mirrored(_evidence(classifier, mirrored(grey)))) / 2
    return np.asarray(evidence[0, 0].cpu().numpy())


def _evidence(classifier: Classifier, grey: torch.Tensor) -> torch.Tensor:
    """Positive part of the weighted sum of the maps, (1, 1, h', w')."""
    with torch.no_grad():
        maps = classifier.trunk(grey)
    with torch.enable_grad():
        maps = maps.detach().requires_grad_()
        logit = classifier.answer(maps).sum()
        # grad() returns the gradient of the maps alone; backward() would also touch the head's.
        (gradient,) = torch.autograd.grad(logit, maps)
    channel_weight = gradient.mean(dim=(2, 3), keepdim=True)
    return torch.relu((channel_weight * maps.detach()).sum(dim=1, keepdim=True))


EXPLAINERS: Mapping[str, Explainer] = {"grad-cam": grad_cam}
"""Name → explainer."""


def overlay(image: NDArray[np.uint8], heat: Heat) -> NDArray[np.uint8]:
    """The image with the map over it, (height, width, 3) uint8 RGB: the weaker the evidence, the more transparent.

    Args:
        image: (height, width) uint8.
        heat: (height, width) in 0..1.
    """
    if image.shape != heat.shape:
        raise ValueError(f"the map is {heat.shape}, the image {image.shape}")
    strength = np.clip(heat, 0, 1)
    colour = colormaps[COLOURS](strength)[..., :3]
    opacity = (STRONGEST * strength)[..., None]
    mixed = (1 - opacity) * (image[..., None] / 255.0) + opacity * colour
    return np.asarray(np.rint(255 * mixed), np.uint8)


def save_overlay(path: Path, image: NDArray[np.uint8], heat: Heat) -> None:
    """Write the overlay as PNG, whole or not at all; the same map gives the same bytes.

    Raises:
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    done, encoded = cv2.imencode(".png", overlay(image, heat)[..., ::-1])
    if not done:
        raise CannotWrite(f"{path} could not be encoded as PNG", remedy="check the size of the image")
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded.tobytes())
