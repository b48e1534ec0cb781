from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Occlusion
from torch import Tensor, nn

from osteon.explain.maps import explain
from osteon.explain.pixels import integrated_gradients, occlusion
from osteon.learn.detector.network import DetectorNetwork, LesionHead
from osteon.learn.heads import Network
from osteon.learn.maps import channels_of
from tests.explain.planted import random_head
from tests.learn.nets import TINY, batch_of, grey_image


class Linear(Network):
    """A logit that is linear in the pixels."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.weight).sum(dim=(1, 2, 3)) + 3.0


class Stairs(Network):
    """A logit without a gradient: how many pixels of the upper left quarter are brighter than one half."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        quarter = images[..., : images.shape[-2] // 2, : images.shape[-1] // 2]
        return (quarter > 0.5).float().sum(dim=(1, 2, 3)) + 0 * self.shift.detach() * images.sum()


def test_integrated_gradients_of_a_linear_model_are_its_terms() -> None:
    weight = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, 12, 9))).float()
    images = batch_of(grey_image(12, 9))
    found = integrated_gradients(Linear(weight), images, steps=3)
    assert torch.allclose(found, (weight * images)[:, 0], atol=1e-6)


def test_integrated_gradients_add_up_to_what_the_image_changes() -> None:
    classifier, images = random_head(TINY), batch_of(grey_image(64, 64, seed=5))
    with torch.no_grad():
        change = float(classifier(images) - classifier(torch.zeros_like(images)))
    for steps, within in ((32, 0.05), (256, 0.01)):
        found = float(integrated_gradients(classifier, images, steps=steps).sum())
        assert found == pytest.approx(change, rel=within)


def test_integrated_gradients_are_captums() -> None:
    classifier, images = random_head(TINY), batch_of(grey_image(64, 48, seed=5))
    theirs = IntegratedGradients(classifier).attribute(images, baselines=0.0, n_steps=32, method="gausslegendre")
    ours = integrated_gradients(classifier, images)
    assert torch.allclose(ours, theirs[:, 0].float(), atol=1e-5 * float(ours.abs().max()) + 1e-6)


def test_occlusion_is_captums() -> None:
    classifier, images = random_head(TINY), batch_of(grey_image(64, 48, seed=5))  # 8 px patches, every 4 px
    theirs = Occlusion(classifier).attribute(
        images, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4), baselines=float(images.mean())
    )
    assert torch.allclose(occlusion(classifier, images, across=6), theirs[:, 0].float(), atol=1e-4)


def test_occlusion_asks_for_no_gradient() -> None:
    image = np.full((56, 56), 50, np.uint8)
    image[:28, :28] = 200
    found = explain(Stairs(), image, "occlusion", flips=False)
    assert found.evidence[:24, :24].min() > 0 and not found.evidence[36:, :].any()
    assert explain(Stairs(), image, "integrated-gradients").missing.startswith("nothing in the image")


def test_a_detector_can_be_explained_as_a_whole() -> None:
    trunk = random_head("resnet18").trunk
    detector = DetectorNetwork(trunk, LesionHead(*channels_of(trunk, (16, 32)), width=4)).eval()
    nn.init.normal_(detector.detector.head.answer.weight)
    image = grey_image(64, 64)
    for method in ("occlusion", "integrated-gradients"):
        assert not explain(detector, image, method).missing
    assert "head on the trunk's last maps" in explain(detector, image, "grad-cam").missing
