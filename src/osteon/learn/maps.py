"""Feature maps that keep the place: which cortex is which in a picture is told by where it stands, not by its looks.

Read are the maps of a trunk at strides of 8 and 16 pixels, side by side at a stride of 16. They come from the middle of
the network, where a gap or a callus still has a side; deeper maps are coarse, and pooled ones have no place at all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from osteon.errors import Mismatch
from osteon.learn.backbones import BACKBONES, Trunk

STRIDES = (8, 16)
"""Pixels of the image from one value of a map to the next, in the maps that are read."""

AS_IT_IS, MIRRORED = 0, 1
"""The flips of a bank, by their place in it."""


def maps_of(trunk: Trunk, grey: Tensor) -> Tensor:
    """Maps (n, 4 c8 + c16, h / 16, w / 16) of grey images (n, 1, h, w), float in 0..1.

    The values at stride 8 are laid into channels, four for each place of stride 16, so that none is lost.

    Raises:
        Mismatch: for a backbone without maps at both strides.
    """
    colour = (grey - trunk.mean) / trunk.std
    net: Any = trunk.net  # timm's models share these methods, and no type
    places = taps(trunk)
    fine, coarse = net.forward_intermediates(
        colour, indices=places, intermediates_only=True, stop_early=True, output_fmt="NCHW"
    )
    height, width = coarse.shape[-2:]
    if fine.shape[-2:] != (2 * height, 2 * width):  # networks that do not pad lose a row here and there
        fine = functional.interpolate(fine, (2 * height, 2 * width), mode="bilinear", align_corners=False)
    return torch.cat([functional.pixel_unshuffle(fine, 2), coarse], dim=1)


def taps(trunk: Trunk) -> list[int]:
    """The places, among the stages that timm names, of the maps at STRIDES.

    Raises:
        Mismatch: if the backbone has none, or cannot give them.
    """
    stages = getattr(trunk.net, "feature_info", ())
    strides = [int(stage["reduction"]) for stage in getattr(stages, "info", stages)]
    if not hasattr(trunk.net, "forward_intermediates") or not set(STRIDES) <= set(strides):
        raise Mismatch(
            f"{trunk.spec.name} gives no maps at strides of {' and '.join(map(str, STRIDES))} pixels",
            remedy=f"choose another backbone, e.g. {', '.join(BACKBONES)}",
        )
    return [strides.index(stride) for stride in STRIDES]


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
