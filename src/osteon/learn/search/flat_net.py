"""Hong's head as flat buffers: forward and backward pass written out, and one fused call that updates all parameters.

A hidden layer costs two or three matrix products a step, and everything else is kept small beside them. Parameters lie
in one vector, their gradients in another and Adam's moments in two more. In bfloat16 the hidden layers compute with a
copy of their parameters, which are themselves kept and updated in float32, as is the output layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from osteon.learn.optimisers import Adam
from osteon.learn.search.hong import HIDDEN

Precision = Literal["float32", "bfloat16"]

_LINE = 64
"""Each tensor begins at a multiple of so many floats, which suits vector units and caches."""


@dataclass(frozen=True)
class HeadOptions:
    """How a head is built and trained; the defaults are those of Hong 2023.

    Attributes:
        batch: rows per step, 1 or more; the last batch of an epoch holds what is left.
        dropout: share of the units of each hidden layer that training leaves out, 1 excluded.
        learning_rate, epsilon: of Adam as Keras computes it (`optimisers.Adam`).
        epochs: times that every training image is shown.
        hidden: units of the hidden layers.
        precision: of the hidden layers' matrix products.
    """

    batch: int = 128
    dropout: float = 0.0
    learning_rate: float = 1e-3
    epsilon: float = 1e-7
    epochs: int = 20
    hidden: tuple[int, ...] = HIDDEN
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.batch < 1 or self.epochs < 1 or not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"batch, epochs and every hidden layer are 1 or more, not {self}")
        if not (0 <= self.dropout < 1 and self.learning_rate > 0 and self.epsilon > 0):
            raise ValueError(f"0 ≤ dropout < 1, learning_rate > 0 and epsilon > 0, not {self}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision is 'float32' or 'bfloat16', not {self.precision!r}")


class FlatHead:
    """A head in training.

    Attributes:
        vector: all parameters, float32; `vector.grad` has their gradients.
        layers: weight (out, in) and bias (out,) of each layer in turn, views of `vector`.
    """

    def __init__(self, inputs: int, labels: int, options: HeadOptions, random: np.random.Generator) -> None:
        """A head (inputs → hidden → labels) that begins as Keras's does: Glorot's weights, biases of zero."""
        sizes = (inputs, *options.hidden, labels)
        shapes = [shape for n, m in zip(sizes[1:], sizes[:-1], strict=True) for shape in ((n, m), (n,))]
        starts = np.cumsum([0, *(-(-math.prod(shape) // _LINE) * _LINE for shape in shapes)]).tolist()
        self.vector = torch.zeros(starts[-1])
        self.vector.grad = gradient = torch.zeros(starts[-1])
        self.layers = _views(self.vector, shapes, starts)
        for weight in self.layers[::2]:
            weight.copy_(torch.from_numpy(_glorot(random, weight.shape)))
        self._options, self._steps = options, 0
        self._adam = Adam(options.learning_rate, options.epsilon)
        self._optimizer = torch.optim.Adam([self.vector], lr=options.learning_rate, fused=True)
        kind = getattr(torch, options.precision)
        self._exact = kind == torch.float32
        hidden = slice(0, starts[-3])  # all but the output layer
        # What the hidden layers compute with: in float32, the parameters and gradients themselves.
        self._hidden, self._hidden_gradient = self.vector[hidden], gradient[hidden]
        self._copy = self._hidden if self._exact else self._hidden.to(kind)
        self._copy_gradient = self._hidden_gradient if self._exact else torch.zeros_like(self._copy)
        self._weights = _views(self._copy, shapes[:-2], starts) + self.layers[-2:]
        self._gradients = _views(self._copy_gradient, shapes[:-2], starts) + _views(gradient, shapes, starts)[-2:]

    def logits(self, rows: Tensor, units: Sequence[Tensor], masks: Sequence[Tensor] = ()) -> Tensor:
        """Logits (b, labels) float32 of features (b, d).

        Args:
            rows: in the precision of the options, as all that follows.
            units: (b, hidden) for each hidden layer; overwritten with its units.
            masks: of dropout, as `dropout_masks` draws them; none outside training.
        """
        below = rows
        for layer, hidden in enumerate(units):
            weight, bias = self._weights[2 * layer : 2 * layer + 2]
            torch.addmm(bias, below, weight.t(), out=hidden).relu_()
            if masks:
                # The scale is apart from the mask, because bfloat16 would round it.
                hidden.mul_(masks[layer]).mul_(_scale(self._options.dropout))
            below = hidden
        weight, bias = self._weights[-2:]
        return torch.addmm(bias, below.float(), weight.t())

    def step(self, rows: Tensor, targets: Tensor, units: Sequence[Tensor], masks: Sequence[Tensor] = ()) -> Tensor:
        """One step of Adam down the mean cross-entropy over the cases and labels of a batch.

        Args:
            rows, units, masks: as for `logits`.
            targets: (b, labels) float32, 0 or 1.

        Returns:
            The logits (b, labels) before the step.
        """
        logits = self.logits(rows, units, masks)
        above = (torch.sigmoid(logits) - targets).div_(targets.numel())
        torch.mm(above.t(), units[-1].float(), out=self._gradients[-2])
        torch.sum(above, 0, out=self._gradients[-1])
        above = torch.mm(above, self._weights[-2]).to(rows.dtype)
        for layer in reversed(range(len(units))):
            hidden, below = units[layer], units[layer - 1] if layer else rows
            # A unit hands the derivative on if it is positive, which says that neither ReLU nor dropout cut it.
            above.mul_(torch.gt(hidden, 0, out=torch.empty_like(hidden)))
            if masks:
                above.mul_(_scale(self._options.dropout))
            torch.mm(above.t(), below, out=self._gradients[2 * layer])
            torch.sum(above, 0, out=self._gradients[2 * layer + 1])
            if layer:  # nobody asks for the derivative of the features
                above = torch.mm(above, self._weights[2 * layer])
        self._update()
        return logits

    def _update(self) -> None:
        if not self._exact:
            self._hidden_gradient.copy_(self._copy_gradient)
        self._optimizer.param_groups[0].update(self._adam.at(self._steps, 0))
        self._optimizer.step()
        self._steps += 1
        if not self._exact:
            self._copy.copy_(self._hidden)


def dropout_masks(units: Sequence[Tensor], dropout: float, random: np.random.Generator) -> list[Tensor]:
    """1 where a unit is kept and 0 where it is dropped, like the units in type and shape; an empty list for rate 0."""
    masks = []
    for unit in units if dropout else ():
        # Sixteen bits decide on a unit: four decisions from one number, a quarter of the time of any distribution.
        bits = random.bit_generator.random_raw(-(-unit.numel() // 4)).view(np.int16)[: unit.numel()]
        lowest = _dropped(dropout) - 2**15
        masks.append(torch.ge(torch.from_numpy(bits).view(unit.shape), lowest, out=torch.empty_like(unit)))
    return masks


def _dropped(dropout: float) -> int:
    """How many of 65,536 equally likely units are dropped."""
    return min(round(dropout * 2**16), 2**16 - 1)


def _scale(dropout: float) -> float:
    """What the kept units are multiplied by, so that the mean of a layer stays."""
    return 2**16 / (2**16 - _dropped(dropout))


def _glorot(random: np.random.Generator, shape: Sequence[int]) -> NDArray[np.float32]:
    """Uniform within ± sqrt(6 / (in + out)) (Glorot and Bengio 2010, equation 16)."""
    limit = math.sqrt(6 / sum(shape))
    return random.uniform(-limit, limit, tuple(shape)).astype(np.float32)


def _views(vector: Tensor, shapes: Sequence[tuple[int, ...]], starts: Sequence[int]) -> list[Tensor]:
    """The tensors that lie in a vector, each from its own start."""
    return [vector[start : start + math.prod(shape)].view(shape) for start, shape in zip(starts, shapes, strict=False)]
