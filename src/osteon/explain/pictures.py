"""One call, one picture: an overlay by one method, all methods side by side, or the filters of a first layer."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from torch import nn

from osteon import files
from osteon.drawing import drawing
from osteon.errors import Mismatch
from osteon.explain.maps import EXPLAINERS, Explanation, explain
from osteon.explain.overlays import AGAINST, FOR, overlay
from osteon.learn.heads import Classifier, Network

PANEL = 2.3
"""Inches of the shorter side of a panel."""

DPI = 110


def overlay_of(network: Network, image: NDArray[np.uint8], method: str = "grad-cam") -> NDArray[np.uint8]:
    """The image with the evidence over it, (height, width, 3) uint8 RGB: red for the finding, blue against.

    Args:
        network: any.
        image: (height, width) uint8, prepared as the network expects.
        method: a name in `EXPLAINERS`.

    Raises:
        Mismatch: if the method has nothing to show of this network and image; the message says why.
        UnknownName: for a method that does not exist.
    """
    found = explain(network, image, method)
    if found.missing:
        raise Mismatch(f"{method} has no map to show: {found.missing}", remedy="choose another method")
    return overlay(image, found.heat)


def explain_all(
    network: Network, image: NDArray[np.uint8], methods: Sequence[str] = tuple(EXPLAINERS)
) -> tuple[Explanation, ...]:
    """What each method says of one image, in this order; where one says nothing, `missing` has the reason."""
    return tuple(explain(network, image, method) for method in methods)


def save_sheet(path: Path, image: NDArray[np.uint8], explanations: Sequence[Explanation], *, columns: int = 5) -> None:
    """Write the image and its explanations side by side as PNG; a method without a map has its reason in its place.

    Args:
        path: of the picture.
        image: (height, width) uint8.
        explanations: as `explain_all` gives them.
        columns: panels in a row.

    Raises:
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    panels = len(explanations) + 1
    columns = min(columns, panels)
    rows = math.ceil(panels / columns)
    across = PANEL * max(1.0, image.shape[1] / image.shape[0])
    down = PANEL * max(1.0, image.shape[0] / image.shape[1])
    size = (columns * across, rows * (down + 0.3) + 0.3)
    with drawing("explanations", size, "one image, explained by several methods", png_dpi=DPI) as (figure, made):
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for place in axes:
            place.set_axis_off()
        axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
        axes[0].set_title("image")
        for place, found in zip(axes[1:], explanations, strict=False):
            _panel(place, image, found)
        key = ("red: for the finding", _hex(FOR)), ("blue: against", _hex(AGAINST))
        for number, (text, colour) in enumerate(key):
            figure.text(0.02 + 0.25 * number, 0.01, text, color=colour, fontsize=8)
        figure.set_layout_engine("constrained", rect=(0, 0.3 / size[1], 1, 1 - 0.3 / size[1]))
    with files.replacing(path) as temporary:
        temporary.write_bytes(made.png)


def _panel(place: Axes, image: NDArray[np.uint8], found: Explanation) -> None:
    place.set_title(found.method)
    if found.missing:
        place.imshow(np.full((*image.shape, 3), 245, np.uint8))
        why = textwrap.fill(f"not available: {found.missing}", 26)
        place.text(0.5, 0.5, why, ha="center", va="center", fontsize=7, transform=place.transAxes)
    else:
        place.imshow(overlay(image, found.heat))


def first_filters(network: Network) -> NDArray[np.float32]:
    """The filters of the first convolution, (k, h, w) float32, as they act on a grey image.

    A network that takes colour sees the grey image in each channel, so its filters are added up over channels, each
    divided by the channel's deviation.

    Raises:
        Mismatch: for a network that does not begin with a convolution.
    """
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or not isinstance(network, Classifier) or first.in_channels != network.trunk.std.shape[1]:
        raise Mismatch("the network does not begin with a convolution", remedy="there are no first filters to draw")
    with torch.no_grad():
        grey = (first.weight / network.trunk.std).sum(dim=1)
    return np.asarray(grey.cpu().numpy(), np.float32)


def save_filters(path: Path, network: Network, *, columns: int = 8) -> None:
    """Write the filters of the first layer as PNG, one panel each: red raises the value, blue lowers it, white is 0.

    Each has its own scale, so that weak ones can be seen; the number below is its largest weight as a share of the
    largest of all.

    Raises:
        Mismatch: as `first_filters`.
        CannotWrite: if the disk is full or the folder cannot be written.
    """
    filters = first_filters(network)
    largest = np.abs(filters).max(axis=(1, 2))
    rows = math.ceil(len(filters) / columns)
    with drawing("filters", (columns * 0.8, rows * 1.0), "filters of the first layer", png_dpi=DPI) as (figure, made):
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for place in axes:
            place.set_axis_off()
        for place, weights, peak in zip(axes, filters, largest, strict=False):
            limit = peak or 1.0
            place.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
            place.set_title(f"{peak / (largest.max() or 1.0):.2f}", fontsize=6, y=-0.28)
    with files.replacing(path) as temporary:
        temporary.write_bytes(made.png)


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
