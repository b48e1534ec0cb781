"""Feature maps that keep the place: which cortex is which in a picture is told by where it stands, not by its looks.

Read are the maps of a trunk at one stride or several, side by side at the coarsest. For cortices they are those at
strides of 8 and 16 pixels, from the middle of the network, where a gap or a callus still has a side; deeper maps are
coarse, and pooled ones have no place at all.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from osteon.errors import Mismatch
from osteon.learn.backbones import BACKBONES, Trunk

STRIDES = (8, 16)
"""Pixels of the image from one value of a map to the next, in the maps that cortices are read from."""

AS_IT_IS, MIRRORED = 0, 1
"""The flips of a bank, by their place in it."""

_PROBE_SIDE = 96  # pixels of the blank image that shows which modules are called


def maps_of(trunk: Trunk, grey: Tensor, strides: Sequence[int] = STRIDES) -> Tensor:
    """Maps (n, c, h / s, w / s) of grey images (n, 1, h, w), float in 0..1, s being the coarsest stride.

    The values at a finer stride are laid into channels, four for each place of twice the stride, so that none is lost:
    for strides of 8 and 16, c = 4 c8 + c16. `apart` takes them apart again.

    Args:
        trunk: whose maps.
        grey: images.
        strides: which, the finest first; each a power of two times the one before.

    Raises:
        Mismatch: for a backbone without maps at these strides.
    """
    colour = (grey - trunk.mean) / trunk.std
    net: Any = trunk.net  # timm's models share these methods, and no type
    places = taps(trunk, strides)
    *fine, coarse = net.forward_intermediates(
        colour, indices=places, intermediates_only=True, stop_early=True, output_fmt="NCHW"
    )
    height, width = coarse.shape[-2:]
    folded = []
    for maps, stride in zip(fine, strides, strict=False):
        times = strides[-1] // stride
        size = (times * height, times * width)
        if maps.shape[-2:] != size:  # networks that do not pad lose a row here and there
            maps = functional.interpolate(maps, size, mode="bilinear", align_corners=False)
        folded.append(functional.pixel_unshuffle(maps, times))
    return torch.cat([*folded, coarse], dim=1)


def apart(maps: Tensor, strides: Sequence[int], channels: Sequence[int]) -> list[Tensor]:
    """The maps of each stride, from what `maps_of` laid side by side; `channels` as `channels_of` has them."""
    times = [strides[-1] // stride for stride in strides]
    parts = torch.split(maps, [c * t**2 for c, t in zip(channels, times, strict=True)], dim=1)
    return [functional.pixel_shuffle(part, t) for part, t in zip(parts, times, strict=True)]


def channels_of(trunk: Trunk, strides: Sequence[int] = STRIDES) -> list[int]:
    """Channels of the maps at each stride.

    Raises:
        Mismatch: as `maps_of`.
    """
    stages = _stages(trunk)
    return [int(stages[place]["num_chs"]) for place in taps(trunk, strides)]


def taps(trunk: Trunk, strides: Sequence[int] = STRIDES) -> list[int]:
    """The places, among the stages that timm names, of the maps at these strides.

    Raises:
        Mismatch: if the backbone has none, or cannot give them.
    """
    there = [int(stage["reduction"]) for stage in _stages(trunk)]
    if not hasattr(trunk.net, "forward_intermediates") or not set(strides) <= set(there):
        raise Mismatch(
            f"{trunk.spec.name} gives no maps at strides of {' and '.join(map(str, strides))} pixels",
            remedy=f"choose another backbone, e.g. {', '.join(BACKBONES)}",
        )
    return [there.index(stride) for stride in strides]


def stage_names(trunk: Trunk, strides: Sequence[int]) -> list[str]:
    """Names of the modules that give the maps at these strides.

    Raises:
        Mismatch: as `maps_of`.
    """
    stages = _stages(trunk)
    return [str(stages[place]["module"]) for place in taps(trunk, strides)]


def stages_after(trunk: Trunk, first: int, last: int) -> list[str]:
    """Names of the modules, in order, that lead from the map at one stride to that at another, each into the next.

    Raises:
        Mismatch: as `maps_of`, or if the network does not keep them in a row.
    """
    begin, end = stage_names(trunk, (first, last))
    parent, _, _ = begin.rpartition(".")
    row = [f"{parent}.{name}".lstrip(".") for name, _ in trunk.net.get_submodule(parent).named_children()]
    if not {begin, end} <= set(row):
        raise Mismatch(
            f"the stages of {trunk.spec.name} from {begin} to {end} do not stand in a row",
            remedy=f"choose another backbone, e.g. {', '.join(BACKBONES)}",
        )
    return row[row.index(begin) + 1 : row.index(end) + 1]


def cut_behind(trunk: Trunk, strides: Sequence[int]) -> Trunk:
    """A copy, in evaluation mode, without the modules that no map at these strides needs: identities in their place.

    Raises:
        Mismatch: as `maps_of`.
    """
    net = copy.deepcopy(trunk.net).eval()
    short = Trunk(net, replace(trunk.spec, d=channels_of(trunk, strides)[-1])).eval()
    called = set[str]()
    watched = [(name, module) for name, module in net.named_modules() if name and _holds_weights(module)]
    handles = [
        module.register_forward_hook(lambda module, given, result, name=name: called.add(name))
        for name, module in watched
    ]
    side = max(_PROBE_SIDE, getattr(net, "smallest_side", 0))
    try:
        with torch.inference_mode():
            maps_of(short, torch.zeros(1, 1, side, side, device=trunk.mean.device), strides)
    finally:
        for handle in handles:
            handle.remove()
    for name, _ in watched:
        if name not in called:
            net.set_submodule(name, nn.Identity())
    return short


def _holds_weights(module: nn.Module) -> bool:
    return bool([*module.parameters(recurse=False), *module.buffers(recurse=False)])


def _stages(trunk: Trunk) -> list[dict[str, Any]]:
    """What timm says of the stages of a network: `reduction`, `num_chs`, `module`."""
    stages = getattr(trunk.net, "feature_info", ())
    return list(getattr(stages, "info", stages))


def flips_of(manifest: pd.DataFrame) -> NDArray[np.intp]:
    """(n,) which flip of each image shows a left leg: right ones are mirrored, so that a cortex has one side for all.

    The side is `laterality`, or where the file has none what its texts mean. An image without a side is taken as it is.
    """
    return np.where((_side(manifest) == "R").to_numpy(bool), MIRRORED, AS_IT_IS)


def sided(manifest: pd.DataFrame) -> NDArray[np.bool_]:
    """(n,) which images have a side, left or right."""
    return np.asarray(_side(manifest).isin(["L", "R"]).to_numpy(bool))


def _side(manifest: pd.DataFrame) -> pd.Series:
    side = manifest["laterality"].astype("string").fillna("")
    if "resolved_side" in manifest:
        side = side.where(side != "", manifest["resolved_side"].astype("string").fillna(""))
    return side
