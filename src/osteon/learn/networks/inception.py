"""InceptionV3 in the forms in which it is handed around: Keras's, RadImageNet's and timm's, and what tells them apart.

Google's network (Szegedy 2016) is the same in all of them but for one thing: at the border of its average poolings
Keras and TensorFlow divide by the number of pixels that are there, timm and torchvision by nine. So weights that were
trained in Keras get a network of their own, `KERAS`; in the other one they would give other features.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from osteon.learn.networks.torchvision_shim import timm

TIMM = "inception_v3"
"""timm's name of the architecture."""

KERAS = "inception_v3_keras"
"""osteon's name of the same with Keras's average pooling."""

_KERAS_LAYER = re.compile(r"(conv2d|batch_normalization)(?:_(\d+))?/(\w+)")
_KERAS_LEAVES = {
    "kernel": "conv.weight",
    "gamma": "bn.weight",
    "beta": "bn.bias",
    "moving_mean": "bn.running_mean",
    "moving_variance": "bn.running_var",
}
_NUMBERED = re.compile(r"(?:backbone\.)?(\d+)\.(.+)")  # RadImageNet's .pt: torchvision's layers by their place

State = Mapping[str, Tensor]


class _BorderMean(nn.Module):
    """A convolution behind an average pooling that divided by nine everywhere: brings its input to the true mean.

    It has the parts, and so the weights' names, of the timm module in whose place it stands.
    """

    def __init__(self, timms: nn.Module) -> None:
        super().__init__()
        self.conv, self.bn = timms.get_submodule("conv"), timms.get_submodule("bn")

    def forward(self, pooled: Tensor) -> Tensor:
        there = avg_pool2d(pooled.new_ones(1, 1, *pooled.shape[2:]), kernel_size=3, stride=1, padding=1)
        out: Tensor = self.bn(self.conv(pooled / there))
        return out


def build_keras() -> nn.Module:
    """timm's InceptionV3, without classifier, that computes as Keras's does."""
    net: nn.Module = timm.create_model(TIMM, pretrained=False, num_classes=0)
    for block in net.children():
        # The other blocks pool by the maximum, and have no convolution behind it.
        if hasattr(block, "branch_pool"):
            block.branch_pool = _BorderMean(block.get_submodule("branch_pool"))
    return net


def is_keras(state: State) -> bool:
    """Whether names are those of a Keras file, `layer/weight`."""
    return any("/" in name for name in state)


def timm_names(state: State, own: Iterable[str]) -> dict[str, Tensor]:
    """Weights of InceptionV3 under timm's names; what has no counterpart keeps its name.

    Keras numbers its convolutions and normalisations in the order in which its code makes them, beginning anywhere;
    torchvision's layers lie in RadImageNet's files by number. Both orders are timm's own, so the n-th goes to the n-th,
    and whoever loads the result checks every name and shape.

    Args:
        state: as `weights.read` gives it.
        own: the names of timm's network, in its order.
    """
    if is_keras(state):
        return _from_keras(state, list(own))
    numbered = {name: match for name in state if (match := _NUMBERED.fullmatch(name))}
    if not numbered:
        return dict(state)
    places = sorted({int(match[1]) for match in numbered.values()})
    blocks = dict(zip(places, dict.fromkeys(name.partition(".")[0] for name in own), strict=False))
    return {
        f"{blocks.get(int(numbered[name][1]), numbered[name][1])}.{numbered[name][2]}" if name in numbered else name: t
        for name, t in state.items()
    }


def _from_keras(state: State, own: list[str]) -> dict[str, Tensor]:
    layers = [name.removesuffix(".conv.weight") for name in own if name.endswith(".conv.weight")]
    found = {name: match for name in state if (match := _KERAS_LAYER.fullmatch(name))}
    places = {
        kind: dict(zip(sorted({int(m[2] or 0) for m in found.values() if m[1] == kind}), layers, strict=False))
        for kind in ("conv2d", "batch_normalization")
    }
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = found.get(name)
        layer = places[match[1]].get(int(match[2] or 0)) if match else None
        leaf = _KERAS_LEAVES.get(match[3]) if match else None
        if layer is None or leaf is None:
            renamed[name.replace("predictions/", "fc.")] = tensor  # the classifier, if the file has one
        else:  # (height, width, in, out) → (out, in, height, width)
            renamed[f"{layer}.{leaf}"] = tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor
    # Keras's InceptionV3 has no scales: the next layer could undo them.
    scales = {name.replace(".bias", ".weight"): torch.ones_like(t) for name, t in renamed.items() if ".bn.bias" in name}
    return scales | renamed
