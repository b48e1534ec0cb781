"""Bundles of small detectors that were never trained: they speak nonsense, and the same nonsense everywhere."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from osteon.dataset.steps import ColourInversion, FitSquare
from osteon.learn.backbones import open_backbone
from osteon.learn.detector.bundle import DetectorBundle, Member
from osteon.learn.detector.kept import kept
from osteon.learn.detector.lesions import BoxRule
from osteon.learn.detector.network import STRIDES, DetectorNetwork, Stages, detector_on
from osteon.learn.maps import maps_of
from osteon.learn.origin import Figure, Origin
from osteon.types import Calibration, Estimate, Recipe
from tests.learn.nets import TINY, batch_of, grey_image

ORIGIN = Origin(
    data="Phantom wrists: 60 patients, 120 images, 40 % fractured. Made by nobody (2026), CC BY 4.0.",
    commit="abc1234",
    how="One detector on a frozen trunk.",
    figures=(
        Figure("AUROC, mean of 5 folds", Estimate(0.91, 0.85, 0.96, 120), Estimate(0.62, 0.5, 0.7, 120), "tags"),
        Figure("pointing game", Estimate(0.7, 0.6, 0.8, 48), Estimate(math.nan, note="no other fold has boxes")),
    ),
    limits=("Hardware is nearly always seen with a fracture.",),
)


def a_network(
    seed: int = 0, *, backbone: str = TINY, weights: str = "random", middle: int = 0, pooling: str = "attention"
) -> DetectorNetwork:
    """A network as training leaves it, with an answer and hills that depend on the image."""
    trunk = open_backbone(backbone, weights)
    detector = detector_on(trunk, STRIDES, middle=middle, seed=seed, width=8, pooling=pooling)
    generator = torch.Generator().manual_seed(seed)
    head = detector.head
    grey = batch_of(*(grey_image(96, 96, seed=100 + number) for number in range(6)))
    with torch.no_grad():
        for standard, maps in zip(head.standard, detector.tail(maps_of(trunk, grey, STRIDES)), strict=True):
            standard.running_mean.copy_(maps.mean(dim=(0, 2, 3)))  # type: ignore[union-attr, operator]
            standard.running_var.copy_(maps.var(dim=(0, 2, 3)).clamp(min=1e-4))  # type: ignore[union-attr, operator]
        head.cell.weight += 0.7 * torch.randn(head.cell.weight.shape, generator=generator)
        head.cell.bias += 3
        if isinstance(detector.tail, Stages):
            for parameter in detector.tail.parameters():
                parameter *= 1 + 0.01 * torch.randn(parameter.shape, generator=generator)
    return DetectorNetwork.of(trunk, detector.eval())


def a_member(seed: int = 0, size: int = 96, **how: Any) -> Member:
    recipe: Recipe = (ColourInversion(), FitSquare(size))
    return Member(kept(a_network(seed, **how)), recipe, (size, size))


def a_bundle(*members: Member, **changes: Any) -> DetectorBundle:
    whole = DetectorBundle(
        members=members or (a_member(),),
        task="fracture",
        calibration=Calibration(slope=1.2, intercept=-0.3, n=120, prevalence=0.4),
        rule=BoxRule(least=0.05, overlap=0.5, most=3),
        thresholds={"youden": 0.41, "sensitivity_0.90": 0.2},
        origin=ORIGIN,
    )
    return replace(whole, **changes)
