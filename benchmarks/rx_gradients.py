"""Why Model Rx Large does not learn: the gradient of each layer, at the start and later, and the loss on an easy task.

    python benchmarks/rx_gradients.py [--steps 100] [--batch 8] [--seeds 2] [--json FILE] [--figure FILE.svg]

The task: is the bar whole, or is a gap of 8 px in it? Place, width and brightness of the bar vary, so that the mean
of an image tells little. Every network gets the same images in the same order, Adam with a learning rate of 1e-3, and
Model Rx's three fully connected layers. The gradient of a layer is the Euclidean norm of that of its weights, on one
batch of its own. `spread` is the standard deviation of the logits over that batch: how much of what is in an image
arrives at the end. Large as published does not fit small images, so it has a row of its own at 768 px, with one seed
and a tenth of the steps; the others are compared at 256 px.

`learnt` is the step from which the mean loss of ten is below 0.35, half of ln 2, which is the loss of knowing
nothing; `loss` the mean of the last ten; `accuracy` that on 64 fresh images in evaluation mode. The table and the
figure show the first seed, and the JSON all. Gradients and losses do not depend on the machine's load.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import write
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from osteon.drawing import BLUE, GREEN, GREY_BLUE, ORANGE, QUIET, drawing
from osteon.learn.backbones import open_backbone
from osteon.learn.heads import RX, Classifier
from osteon.learn.networks.rx import begin_as_he

LEARNING_RATE = 1e-3
SIDE = 256
"""Pixels of the images, but for Large as published."""

GAP = 8
"""Pixels that are missing of a broken bar."""

FRESH = 64
"""Images that the accuracy is measured on."""

CUT = 1.2
"""Loss above which the figure shows none: single steps go far beyond."""

LAST = 10
"""Steps whose mean loss is told."""


@dataclass(frozen=True)
class Variant:
    """A network to be looked at: a backbone, the side of its images, and how its convolutions begin."""

    name: str
    backbone: str
    side: int
    begin: Callable[[nn.Conv2d], None] | None = None
    colour: str = QUIET
    dash: str = "-"


VARIANTS = (
    Variant("Lite", "rx_lite", SIDE, colour=GREEN),
    Variant("Large padded", "rx_large_padded", SIDE, colour=ORANGE),
    Variant("Large padded, He", "rx_large_padded", SIDE, begin_as_he, colour=GREY_BLUE, dash="--"),
    Variant("Large padded, normalised", "rx_large_normalised", SIDE, colour=BLUE),
    Variant("Large as published, 768 px", "rx_large", 768, colour=ORANGE, dash=":"),
)


@dataclass(frozen=True)
class Seen:
    """What was seen of a variant: norms per layer (layers,), spreads, the loss of every step, accuracy."""

    first: list[float]
    later: list[float]
    spread: tuple[float, float]
    losses: list[float]
    accuracy: float

    @property
    def loss(self) -> float:
        """Mean of the last steps."""
        return float(np.mean(self.losses[-LAST:]))

    @property
    def learnt(self) -> int | None:
        """The first step, 1-based, that ends a stretch of low loss; None if there is none."""
        means = np.convolve(self.losses, np.ones(LAST) / LAST, mode="valid")
        low = np.flatnonzero(means < np.log(2) / 2)
        return int(low[0]) + LAST if low.size else None


def some_images(count: int, side: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (count, 1, side, side) in 0..1, and whether the bar of each is broken, (count,); alike at every size."""
    rng = np.random.default_rng(seed)
    noise = torch.from_numpy(rng.random((count, 1, 32, 32), dtype=np.float32))
    images = 0.1 + 0.2 * interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=False)
    broken = np.arange(count) % 2
    for image, gap in zip(images, broken, strict=True):
        width, light = int(rng.integers(40, 80)), float(rng.uniform(0.3, 0.5))
        left, top = int(rng.integers(10, SIDE - 10 - width)), int(rng.integers(40, SIDE - 40 - GAP))
        image[:, :, left : left + width] += light
        if gap:
            image[:, top : top + GAP, left : left + width] -= light
    if side != SIDE:
        images = interpolate(images, (side, side), mode="bilinear", align_corners=False)
    return images.clamp(0, 1), torch.from_numpy(broken.astype(np.float32))


def gradients(network: Classifier, images: Tensor, target: Tensor) -> tuple[list[float], float]:
    """Norm of the gradient of each layer's weights, from the first on, and the spread of the logits."""
    network.zero_grad()
    logits = network(images)
    binary_cross_entropy_with_logits(logits, target).backward()
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    norms = [float(layer.weight.grad.norm()) for layer in layers if layer.weight.grad is not None]
    network.zero_grad()
    return norms, float(logits.detach().std())


def look_at(variant: Variant, steps: int, batch: int, seed: int) -> Seen:
    """Train a variant, and look at its gradients before and after."""
    network = Classifier(open_backbone(variant.backbone, "random", seed=seed), form=RX, seed=seed).train()
    if variant.begin:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for layer in network.trunk.modules():
                if isinstance(layer, nn.Conv2d):
                    variant.begin(layer)
    probe = some_images(batch, variant.side, seed=10_000)
    first, spread_first = gradients(network, *probe)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    losses = []
    for step in range(steps):
        images, target = some_images(batch, variant.side, seed=step)
        loss = binary_cross_entropy_with_logits(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    later, spread_later = gradients(network, *probe)
    images, target = some_images(FRESH, variant.side, seed=20_000)
    network.eval()
    with torch.inference_mode():
        answers = torch.cat([network(part) for part in images.split(batch)])
    accuracy = float(((answers > 0) == (target > 0)).float().mean())
    return Seen(first, later, (spread_first, spread_later), losses, accuracy)


def table(found: dict[str, list[Seen]]) -> str:
    """One line a variant: gradients of the first and the last layer, their ratio, spread, and how it went."""
    lines = [
        f"{'network':<28}{'first layer':>12}{'last layer':>12}{'first / last':>13}{'spread':>10}"
        f"{'steps':>7}{'learnt':>8}{'loss':>8}{'accuracy':>10}"
    ]
    for name, (seen, *_) in found.items():
        lines.append(
            f"{name:<28}{seen.first[0]:>12.1e}{seen.first[-1]:>12.1e}{seen.first[0] / seen.first[-1]:>13.1e}"
            f"{seen.spread[0]:>10.1e}{len(seen.losses):>7}{seen.learnt or 'no':>8}{seen.loss:>8.3f}"
            f"{seen.accuracy:>10.2f}"
        )
    return "\n".join(lines)


def draw(found: dict[str, list[Seen]], steps: int) -> str:
    """Gradient per layer at the start and after the steps, and the loss over the steps, as SVG."""
    says = "Norm of the gradient of each layer of Model Rx at the start and after training, and the loss over the steps"
    with drawing("rx-gradients", (9.5, 3.3), says) as (figure, result):
        start, end, course = figure.subplots(1, 3)
        for variant in VARIANTS:
            seen, style = found[variant.name][0], {"color": variant.colour, "linestyle": variant.dash}
            # From the end: the last layers of Lite and Large are the same, and the gradient comes from there.
            place = np.arange(len(seen.first)) - len(seen.first) + 1
            start.semilogy(place, np.maximum(seen.first, 1e-12), marker=".", **style)
            end.semilogy(place, np.maximum(seen.later, 1e-12), marker=".", **style)
            smooth = np.convolve(seen.losses, np.ones(5) / 5, mode="valid")
            course.plot(np.arange(len(smooth)) + 5, smooth, label=variant.name, **style)
        course.axhline(np.log(2), color=QUIET, linewidth=0.8)
        end.sharey(start)
        for axes, title in ((start, "at the start"), (end, f"after {steps} steps (768 px: {steps // 10})")):
            axes.set(title=f"Gradient {title}", xlabel="layer, counted from the last", yticks=10.0 ** np.arange(-8, 2))
            axes.yaxis.set_major_formatter(lambda value, place: f"{value:.0e}")
        start.set_ylabel("norm of the gradient of the weights")
        course.set(title=f"Loss, cut at {CUT:g}", xlabel="step", ylabel="cross-entropy, mean of 5 steps", ylim=(0, CUT))
        figure.legend(*course.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return result.text


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--steps", type=int, default=100)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--seeds", type=int, default=2)
    options.add_argument("--json", type=Path)
    options.add_argument("--figure", type=Path)
    given = options.parse_args()
    found = {}
    for variant in VARIANTS:
        large = variant.side > SIDE
        steps, seeds = (given.steps // 10, 1) if large else (given.steps, given.seeds)
        found[variant.name] = [look_at(variant, steps, given.batch, seed) for seed in range(seeds)]
        print(table({variant.name: found[variant.name]}).splitlines()[1], file=sys.stderr, flush=True)
    print(table(found))
    if given.figure:
        given.figure.write_text(draw(found, given.steps) + "\n", encoding="utf-8")
    figures: dict[str, Any] = {
        "steps": given.steps,
        "batch": given.batch,
        "learning_rate": LEARNING_RATE,
        "gap_px": GAP,
    }
    for name, all_seen in found.items():
        figures[name] = [
            {
                "gradients_first": one.first,
                "gradients_later": one.later,
                "spread": one.spread,
                "losses": one.losses,
                "learnt": one.learnt,
                "accuracy": one.accuracy,
            }
            for one in all_seen
        ]
    write(given.json, "rx_gradients", figures)


if __name__ == "__main__":
    main()
