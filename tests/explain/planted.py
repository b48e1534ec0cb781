"""Networks whose evidence is known, for the tests of this room."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from osteon.learn import weights
from osteon.learn.backbones import Trunk, TrunkSpec, open_backbone
from osteon.learn.heads import LINEAR, Classifier, HeadForm
from osteon.learn.networks.rx import Form, Rx

SIDE = 96

DIRECTIONS = (
    np.array(
        [
            [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]],
            [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],
            [[2, -1, -1], [-1, 2, -1], [-1, -1, 2]],
            [[-1, -1, 2], [-1, 2, -1], [2, -1, -1]],
        ]
    )
    / 6.0
)
"""(4, 3, 3) what answers to lines that run across, down, falling and rising."""


def rx_of(filters: NDArray[np.floating], bias: NDArray[np.floating]) -> Trunk:
    """A block of Model Rx with these filters (k, 3, 3) and biases (k,), on grey values as they are."""
    net = Rx(Form((len(filters),)))
    with torch.no_grad():
        net.blocks.block1.conv.weight.copy_(torch.from_numpy(filters[:, None]))
        net.blocks.block1.conv.bias.copy_(torch.from_numpy(bias))
    spec = TrunkSpec("rx", "set by hand", weights.digest_of(net.state_dict()), d=len(filters), mean=(0.0,), std=(1.0,))
    return Trunk(net, spec).eval()


def finds_lines(direction: int = 0) -> Classifier:
    """Lines of one direction speak for the finding, those of the next one against; all others do not matter."""
    weight = np.zeros(8)
    weight[direction], weight[(direction + 1) % 4] = 1.0, -1.0
    return Classifier.from_linear(rx_of(DIRECTIONS, np.full(4, -0.3)), weight, 0.25)


def lines(direction: int, side: int) -> NDArray[np.uint8]:
    """A square with lines, every third pixel, of one of four directions."""
    y, x = np.mgrid[:side, :side]
    phase = (y, x, y - x, y + x)[direction]
    return np.where(phase % 3 == 0, 255, 20).astype(np.uint8)


def four_squares(*, order: tuple[int, ...] = (0, 1, 2, 3), side: int = 24, seed: int = 0) -> NDArray[np.uint8]:
    """(96, 96) grey, and on it a square of lines in each quarter, of the directions in `order`; with a little noise."""
    image = np.full((SIDE, SIDE), 60, np.int64)
    for place, direction in enumerate(order):
        top, left = 12 + 48 * (place // 2), 12 + 48 * (place % 2)
        image[top : top + side, left : left + side] = lines(direction, side)
    image += np.random.default_rng(seed).integers(-12, 13, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def square_of(order: tuple[int, ...], direction: int, side: int = 24) -> NDArray[np.float64]:
    """(1, 4) the box of the square with lines of one direction."""
    place = order.index(direction)
    return np.array([[12.0 + 48 * (place % 2), 12.0 + 48 * (place // 2), side, side]])


def random_head(name: str, *, form: HeadForm = LINEAR, seed: int = 0, weights_of: str | None = "random") -> Classifier:
    """A backbone with a head of normal weights and a bias of 0.7."""
    classifier = Classifier(open_backbone(name, weights_of), form=form, seed=seed).eval()
    rng = np.random.default_rng(seed)
    if not form.hidden:
        weight, bias = classifier.head.parameters()
        with torch.no_grad():
            weight.copy_(torch.from_numpy(rng.normal(size=tuple(weight.shape))))
            bias.fill_(0.7)
    return classifier
