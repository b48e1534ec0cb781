"""The same network without what it learnt, and how alike two maps are: the randomisation test of Adebayo 2018.

A map that hardly changes when the weights do shows the image, not the network (Adebayo et al., NeurIPS 2018,
arXiv 1810.03292). Weights are not drawn anew but put in another order within each tensor: scale and signs stay, so that
the network still computes numbers of the same size, and only what was learnt is gone.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import nn

from osteon.learn.heads import Network

STAGES = 4
"""Steps of a cascade: the head, then the trunk in three parts of equally many layers, from the last to the first."""

WINDOW = 7
"""Cells a side of the square window of `structure`."""

_LUMINANCE, _CONTRAST = 0.01**2, 0.03**2  # Wang et al., IEEE TIP 2004: K1 and K2, for values in 0..1


def forgotten(network: Network, seed: int | Sequence[int] = 0) -> Network:
    """A copy of the network, in evaluation mode, whose weights are shuffled in all layers; `seed` decides how."""
    copied, rng = copy.deepcopy(network).eval(), np.random.default_rng(seed)
    for layers in _layers(copied):
        for layer in layers:
            _shuffle(layer, rng)
    return copied


def cascade(network: Network, seed: int | Sequence[int] = 0, stages: int = STAGES) -> Iterator[tuple[str, Network]]:
    """Copies of the network that have forgotten more and more, from the head down to the first layer.

    Args:
        network: left as it is.
        seed: of the order of the weights.
        stages: two or more; the first shuffles the head alone, the last all.

    Yields:
        What is shuffled ("head", "head and 1/3 of the trunk", …, "all"), and the network, in evaluation mode.
    """
    if stages < 2:
        raise ValueError(f"a cascade has two or more stages, not {stages}")
    rng = np.random.default_rng(seed)
    forgetting = copy.deepcopy(network).eval()
    head, trunk = _layers(forgetting)
    parts = np.array_split(np.arange(len(trunk)), stages - 1)
    for number, part in enumerate([np.arange(0), *reversed(parts)]):
        for layer in head if not number else [trunk[i] for i in reversed(part)]:
            _shuffle(layer, rng)
        name = (
            ("head" if not number else f"head and {number}/{stages - 1} of the trunk") if number < stages - 1 else "all"
        )
        yield name, copy.deepcopy(forgetting)


def _layers(network: Network) -> tuple[list[nn.Module], list[nn.Module]]:
    """Modules with weights of their own, of the head and of the trunk, in the order in which they were made."""
    own = [
        (name, module)
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False)) or any(True for _ in module.buffers(recurse=False))
    ]
    trunk = [module for name, module in own if name.startswith("trunk.")]
    return [module for name, module in own if not name.startswith("trunk") and name], trunk


def _shuffle(layer: nn.Module, rng: np.random.Generator) -> None:
    with torch.no_grad():
        for values in [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]:
            if values.is_floating_point():
                order = torch.from_numpy(rng.permutation(values.numel())).to(values.device)
                values.copy_(values.flatten()[order].reshape(values.shape))


def likeness(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Rank correlation (Spearman 1904) of the magnitudes of two maps of one shape, in -1..1; 0 if one is flat.

    Without signs, so that a map turned into its opposite still counts as the same picture.
    """
    ranks = [rankdata(np.abs(each), axis=None) for each in (first, second)]
    centred = [rank - rank.mean() for rank in ranks]
    size = float(np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum()))
    return float((centred[0] * centred[1]).sum() / size) if size > 0 else 0.0


def structure(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Structural similarity (Wang et al., IEEE TIP 2004, equation 13) of the magnitudes of two maps, each scaled to a
    maximum of 1: mean over all square windows of WINDOW cells that lie inside.

    Raises:
        ValueError: for maps of different shapes, or smaller than a window.
    """
    if first.shape != second.shape or min(first.shape) < WINDOW:
        raise ValueError(f"two maps of one shape, at least {WINDOW} cells a side, not {first.shape} and {second.shape}")
    x, y = (np.abs(each, dtype=np.float64) / max(float(np.abs(each).max()), 1e-300) for each in (first, second))
    mean_x, mean_y, xx, yy, xy = (
        cv2.blur(each, (WINDOW, WINDOW))[WINDOW // 2 : -(WINDOW // 2), WINDOW // 2 : -(WINDOW // 2)]
        for each in (x, y, x * x, y * y, x * y)
    )
    unbiased = WINDOW**2 / (WINDOW**2 - 1)
    var_x, var_y, shared = (unbiased * each for each in (xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y))
    likeness_of = (2 * mean_x * mean_y + _LUMINANCE) * (2 * shared + _CONTRAST)
    return float((likeness_of / ((mean_x**2 + mean_y**2 + _LUMINANCE) * (var_x + var_y + _CONTRAST))).mean())
