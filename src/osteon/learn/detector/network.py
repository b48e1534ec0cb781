"""A network that says where in an image a lesion lies, and whether there is one: a lesion map, boxes and one answer.

It reads the maps of a trunk at strides of 16 and 32 pixels. The trunk may be frozen, and its maps cached; or it may be
frozen up to the middle, at a stride of 8 or 16 pixels, the map there cached, and the stages behind it trained along
(`Stages`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from osteon.errors import Mismatch, unknown_name
from osteon.learn.backbones import Trunk
from osteon.learn.heads import Network, mirrored
from osteon.learn.maps import apart, channels_of, maps_of, stage_names, stages_after

STRIDES = (16, 32)
"""Pixels from one value to the next in the maps that are read; the lesion map has the finer stride."""

MIDDLES: Mapping[tuple[int, ...], tuple[int, ...]] = {STRIDES: (0, 16), (16,): (16,), (8,): (8,)}
"""Strides of cached maps → the strides behind which the stages of the trunk may be trained along; 0 is none of them."""

FEW = 8
"""Cells whose mean stands for the strongest of a lesion map: one cell alone is noise, a fracture spans several."""

_SURE = (
    0.01  # probability of a lesion that a cell starts with: nearly all cells have none (Lin et al. 2017, section 3.3)
)

_REACH = 0.05  # share of the image that a box is taken to reach at first, to every side

_MIRRORED = (0, 3, 2, 1, 4)  # maps of a mirror image: what reaches to the left there reaches to the right here

Pooling = Callable[[Tensor, Tensor], Tensor]
"""What places say (n, w, h, w') and the lesion map (n, h, w'), in log odds → what the image says (n, w)."""


class Lesions(NamedTuple):
    """What the network says of n images.

    Attributes:
        maps: (n, 5, h / 16, w / 16) of each cell the log odds of a lesion, and how far the box about it reaches from
            the cell's centre to the left, up, to the right and down: logarithms of shares of the image's sides.
        image: (n,) log odds.
    """

    maps: Tensor
    image: Tensor

    @property
    def cells(self) -> Tensor:
        """(n, h / 16, w / 16) log odds of a lesion: the lesion map."""
        return self.maps[:, 0]


def _by_attention(places: Tensor, cells: Tensor) -> Tensor:
    gaze = cells.flatten(1).softmax(dim=1)
    return torch.einsum("nk,nwk->nw", gaze, places.flatten(2))


def _by_top(places: Tensor, cells: Tensor) -> Tensor:
    best = cells.flatten(1).topk(min(FEW, cells[0].numel()), dim=1).indices
    return places.flatten(2).gather(2, best[:, None].expand(-1, places.shape[1], -1)).mean(dim=2)


def _by_maximum(places: Tensor, cells: Tensor) -> Tensor:
    return places.amax(dim=(2, 3))


POOLINGS: Mapping[str, Pooling] = {"attention": _by_attention, "top": _by_top, "maximum": _by_maximum}
"""Name → which places the image's answer is read from, besides the mean of all: those that the lesion map weighs by its
softmax, its strongest few, or for each channel the place of its largest value."""


class LesionHead(nn.Module):
    """Maps at strides of 16 and 32 → `Lesions`.

    Both maps are standardised by channel, narrowed, and added at the finer stride; two local convolutions describe
    every place; one number per place is the lesion map, and four are the edges of a box, as a detector without anchors
    has them (Tian et al. 2019, section 3.1). The image's answer is linear in the mean over places, in what `pooling`
    takes from them, and in the mean of the strongest cells.
    """

    def __init__(
        self, fine: int, coarse: int, *, width: int = 64, dropout: float = 0.2, pooling: str = "attention"
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise unknown_name("pooling", pooling, POOLINGS)
        self.pooling, self.pool = pooling, POOLINGS[pooling]
        self.dropout = nn.Dropout2d(dropout)
        self.standard = nn.ModuleList(nn.BatchNorm2d(channels, affine=False) for channels in (fine, coarse))
        self.narrow = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in (fine, coarse))
        self.local = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.cell = nn.Conv2d(width, 1, 1)
        self.reach = nn.Conv2d(width, 4, 1)
        self.answer = nn.Linear(2 * width + 1, 1)
        for part, start in ((self.cell, math.log(_SURE / (1 - _SURE))), (self.reach, math.log(_REACH))):
            nn.init.zeros_(part.weight)
            nn.init.constant_(part.bias, start)  # type: ignore[arg-type]  # it has one

    def forward(self, fine: Tensor, coarse: Tensor) -> Lesions:
        """The lesion maps and answers of maps (n, c, h, w) and (n, c', h / 2, w / 2)."""
        parts = [
            # The channels of a place side by side in memory: convolutions take two thirds of the time, and in bfloat16
            # a third, that they take otherwise.
            narrow(self.dropout(standard(maps.contiguous(memory_format=torch.channels_last))))
            for maps, standard, narrow in zip((fine, coarse), self.standard, self.narrow, strict=True)
        ]
        finer = functional.interpolate(parts[1], fine.shape[-2:], mode="bilinear", align_corners=False)
        place = torch.relu(parts[0] + finer)
        for local in self.local:
            place = place + torch.relu(local(place))
        maps = torch.cat([self.cell(place), self.reach(place)], dim=1)
        cells = maps[:, 0]
        strongest = cells.flatten(1).topk(min(FEW, cells[0].numel()), dim=1).values.mean(dim=1, keepdim=True)
        seen = torch.cat([place.mean(dim=(2, 3)), self.pool(place, cells), strongest], dim=1)
        return Lesions(maps, self.answer(seen).squeeze(1))


class Laid(nn.Module):
    """Cached maps at both strides, laid side by side by `maps_of` → the two of them. Nothing is learnt here."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)

    def forward(self, cached: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, c, h, w) and (n, c', h / 2, w / 2)."""
        fine, coarse = apart(cached, STRIDES, self.channels)
        return fine, coarse


class Stages(nn.Module):
    """A cached map from the middle of a trunk → the maps at both strides, by copies of the stages behind it.

    Batch normalisation keeps the statistics that the trunk came with, in training too: those of a batch are noisier,
    and the frozen part in front does not change. Kept too are the kernels of depthwise convolutions, and what stands
    before the first convolution that strides: hardly any of the weights, whose gradients take most of the time.
    """

    def __init__(self, trunk: Trunk, strides: Sequence[int], middle: int) -> None:
        """Of maps cached at these strides, that at the middle is read."""
        super().__init__()
        self.strides, self.channels = tuple(strides), channels_of(trunk, strides)
        self.cached = self.strides.index(middle)
        self.names = stages_after(trunk, middle, STRIDES[-1])
        self.stages = nn.ModuleList(copy.deepcopy(trunk.net.get_submodule(name)) for name in self.names)
        self.fine = stage_names(trunk, STRIDES)[0]
        for module in _kept_of(self.stages):
            module.requires_grad_(False)

    def forward(self, cached: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, c, h, w) and (n, c', h / 2, w / 2)."""
        maps = apart(cached, self.strides, self.channels)[self.cached]
        maps = fine = maps.contiguous(memory_format=torch.channels_last)
        for name, stage in zip(self.names, self.stages, strict=True):
            maps = stage(maps)
            if name == self.fine:
                fine = maps
        return fine, maps

    def train(self, mode: bool = True) -> Stages:
        """Training mode changes nothing here but what asks for a gradient."""
        super().train(False)
        return self


def _kept_of(stages: nn.Module) -> list[nn.Module]:
    """The layers that keep their weights, see `Stages`."""
    layers = [module for module in stages.modules() if list(module.parameters(recurse=False))]
    strides = (place for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d) and max(layer.stride) > 1)
    first = next(strides, 0)
    return layers[:first] + [layer for layer in layers if isinstance(layer, nn.Conv2d) and layer.groups > 1]


class Detector(nn.Module):
    """Cached maps of a trunk → `Lesions`: what is trained."""

    def __init__(self, tail: Laid | Stages, head: LesionHead) -> None:
        super().__init__()
        self.tail = tail
        self.head = head

    def forward(self, cached: Tensor) -> Lesions:
        """What is said of cached maps (n, c, h, w), at the strides of the tail."""
        lesions: Lesions = self.head(*self.tail(cached))
        return lesions


def detector_on(trunk: Trunk, strides: Sequence[int], *, middle: int = 0, seed: int, **head: Any) -> Detector:
    """A new detector for cached maps of a trunk.

    Args:
        trunk: whose maps were cached.
        strides: of the cached maps, among MIDDLES.
        middle: stride of the cached map behind which the stages of the trunk are trained along; 0 trains the head
            alone.
        seed: of the head's first weights; torch's own generator is left as it was.
        head: what `LesionHead` takes by name.

    Raises:
        Mismatch: for other strides, another middle, or a backbone without maps there.
        UnknownName: for another pooling.
    """
    strides = tuple(strides)
    if strides not in MIDDLES or middle not in MIDDLES[strides]:
        known = "; ".join(f"{' and '.join(map(str, s))}: {' or '.join(map(str, m))}" for s, m in MIDDLES.items())
        raise Mismatch(
            f"a detector reads no maps at strides of {' and '.join(map(str, strides))} pixels to train what lies "
            f"behind a stride of {middle}",
            remedy=f"cache maps at other strides, or train from another middle; strides and their middles: {known}",
        )
    channels = channels_of(trunk, STRIDES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tail = Stages(trunk, strides, middle) if middle else Laid(channels)
        return Detector(tail, LesionHead(*channels, **head))


class DetectorNetwork(Network):
    """Trunk and lesion head as one network, from grey images (n, 1, h, w), float in 0..1."""

    def __init__(self, trunk: Trunk, head: LesionHead) -> None:
        super().__init__()
        self.trunk = trunk
        self.detector = Detector(Laid(channels_of(trunk, STRIDES)), head)

    @classmethod
    def of(cls, trunk: Trunk, detector: Detector) -> DetectorNetwork:
        """The network whose maps a detector was trained on, in evaluation mode; the stages trained along are put into
        a copy of the trunk, which is marked as trained.
        """
        trunk = copy.deepcopy(trunk)
        if isinstance(detector.tail, Stages):
            for name, stage in zip(detector.tail.names, detector.tail.stages, strict=True):
                trunk.net.get_submodule(name).load_state_dict(stage.state_dict())
            trunk.mark_trained(f"stages from {detector.tail.names[0]} on trained with boxes")
        return cls(trunk, copy.deepcopy(detector.head)).eval()

    @property
    def name(self) -> str:
        """The trunk, and what stands on it."""
        return f"{self.trunk.spec}, + lesion map"

    def lesions(self, images: Tensor) -> Lesions:
        """What is said of images as they are."""
        lesions: Lesions = self.detector(maps_of(self.trunk, images, STRIDES))
        return lesions

    def forward(self, images: Tensor) -> Tensor:
        """Log odds (n,) of a lesion somewhere in images as they are."""
        return self.lesions(images).image

    def both(self, images: Tensor) -> Lesions:
        """The means over the images and their mirror images, whose lesion maps are mirrored back: what is reported."""
        return mean_of_flips(self.lesions(images), self.lesions(mirrored(images)))

    def score(self, images: Tensor) -> Tensor:
        """Log odds (n,), the mean over the images and their mirror images: the score that osteon reports."""
        return self.both(images).image


def mean_of_flips(as_it_is: Lesions, mirror: Lesions) -> Lesions:
    """The mean of what is said of images and of their mirror images."""
    back = mirror.maps[:, _MIRRORED].flip(-1)
    return Lesions((as_it_is.maps + back) / 2, (as_it_is.image + mirror.image) / 2)
