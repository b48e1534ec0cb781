"""Architectures by name: osteon's own, and every other of timm's that gives feature maps."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from osteon.errors import Mismatch, UnknownName
from osteon.learn.networks import inception, rx
from osteon.learn.networks.attention56 import Attention56
from osteon.learn.networks.torchvision_shim import VisionTransformer, timm

COLOUR = 3


@dataclass(frozen=True)
class Own:
    """A network that timm does not have, or computes otherwise.

    Attributes:
        build: makes it, without classifier; random numbers come from torch's generator. It has `forward_features`, from
            images (n, channels, h, w) to maps (n, d, h', w').
        channels: of its images: 1 takes grey as it is, 3 takes it repeated.
        timms: timm's architecture whose weights fit it; "" if none does.
    """

    build: Callable[[], nn.Module]
    channels: int = 1
    timms: str = ""


OWN: Mapping[str, Own] = {
    inception.KERAS: Own(inception.build_keras, channels=COLOUR, timms=inception.TIMM),
    **{name: Own(partial(rx.Rx, form)) for name, form in rx.FORMS.items()},
    "attention56": Own(Attention56),
}
"""Name → network. A name that is not here is timm's."""

_WITH_TOKENS = ("vision_transformer", "deit")  # timm's modules whose networks are VisionTransformers
_LIKELY = ("tf_efficientnet_lite0", "resnet18", "inception_v3")  # named when nothing is like what was typed


def build(architecture: str, *, seed: int = 0) -> nn.Module:
    """A network without classifier and with random weights; torch's own generator is left as it was.

    A vision transformer takes images of any size: its positions are interpolated, and a side that is no multiple of its
    patches is padded with the mean, right and below.

    Raises:
        UnknownName: if there is no such architecture; the remedy lists names that are like it.
    """
    check_known(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture in OWN:
            return OWN[architecture].build()
        any_size: dict[str, Any] = {}
        if timm.models.is_model_in_modules(architecture, _WITH_TOKENS):
            any_size = {"dynamic_img_size": True, "dynamic_img_pad": True}
        net: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0, **any_size)
    return net


def check_known(architecture: str) -> None:
    """Raises UnknownName unless there is such an architecture; the remedy lists names that are like it."""
    if architecture not in OWN and not timm.is_model(architecture):
        names = [*OWN, *timm.list_models()]
        close = difflib.get_close_matches(architecture, names, n=6, cutoff=0.5) or [*_LIKELY, *OWN]
        raise UnknownName(
            f"there is no backbone named {architecture!r}", remedy=f"did you mean one of: {', '.join(close)}"
        )


def channels_of(architecture: str) -> int:
    """Channels of the images that an architecture takes: 1 or 3."""
    return OWN[architecture].channels if architecture in OWN else COLOUR


def timms_name(architecture: str) -> str:
    """timm's name of the architecture whose weights fit; "" if timm has none."""
    return OWN[architecture].timms if architecture in OWN else architecture


def published(architecture: str, tag: str) -> timm.models.PretrainedCfg:
    """What timm says of the weights of an architecture under a tag; "" is timm's first choice.

    Raises:
        UnknownName: if it has no such weights.
    """
    timms = timms_name(architecture)
    if not timms:
        raise UnknownName(
            f"nobody has published weights of {architecture}", remedy="take --weights random, or a file of your own"
        )
    tags = [model.partition(".")[2] for model in timm.list_pretrained(f"{timms}.*")]
    if tag and tag not in tags:
        raise UnknownName(
            f"timm has no weights {tag!r} for {timms}", remedy=f"choose one of: {', '.join(tags) or 'none'}"
        )
    config = timm.get_pretrained_cfg(f"{timms}.{tag}" if tag else timms)
    if config is None:
        raise UnknownName(f"timm does not say what input {timms} expects", remedy="choose another backbone")
    return config


def last_maps(net: nn.Module, images: Tensor) -> Tensor:
    """The last feature maps (n, d, h', w') of images (n, channels, h, w), normalised as the network expects.

    The tokens of a vision transformer are laid out as the patches that they stand for; those that stand for none, such
    as the class token, are left out.
    """
    if isinstance(net, VisionTransformer):
        tokens: Tensor = net.forward_features(images)  # (n, prefix + h'·w', d)
        height, width = net.patch_embed.dynamic_feat_size((images.shape[-2], images.shape[-1]))
        patches = tokens[:, net.num_prefix_tokens :]
        return patches.transpose(1, 2).reshape(len(images), -1, height, width)
    maps: Tensor = net.forward_features(images)  # type: ignore[operator]  # every network here has it
    return maps


def width_of(net: nn.Module, architecture: str, side: int) -> int:
    """Channels of the last maps, from a blank image of `side` px.

    Raises:
        Mismatch: for a network that gives no maps, or puts channels last.
    """
    with torch.inference_mode():
        maps = last_maps(net.eval(), torch.zeros(1, channels_of(architecture), side, side))
    if not isinstance(maps, Tensor) or maps.ndim != 4 or getattr(net, "output_fmt", "NCHW") != "NCHW":
        raise Mismatch(
            f"{architecture} gives no feature maps",
            remedy=f"choose a convolutional one or a vision transformer, e.g. {', '.join(_LIKELY)}",
        )
    return int(maps.shape[1])
