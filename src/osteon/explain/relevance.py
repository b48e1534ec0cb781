"""Layer-wise relevance propagation (Bach et al., PLoS ONE 2015) with zennit: what each pixel adds to the logit.

The logit is handed back layer by layer; each layer shares out what it got among its inputs by a rule, and keeps nothing
for itself. Which rule serves which layer is the composite after Montavon et al. (2019) and Kohlbrenner et al. (2020):

| layer | rule | source |
|---|---|---|
| last linear layer | weight × input; its bias keeps its own share | LRP-0 |
| linear layers before it | epsilon | Bach 2015, equation 58 |
| convolutions | z+: inputs that raised the value get shares of it | Montavon 2017, equation 10 |
| first convolution | z-box: the same for inputs between black and white | Montavon 2017, equation 11 |
| mean and maximum of a map | what each place gave; a maximum hands all to the place that it came from | epsilon |
| sums of two branches, means | by magnitude, so that branches that cancel do not blow up | Otsuki 2024 |
| ReLU, ReLU6, normalisation | passed on | |

**Biases.** Batch normalisation is folded into the convolution before it, which leaves large biases. Counted as inputs
they would swallow most of the relevance, so in all layers but the last they count for nothing when shares are made;
what a unit owes to its bias alone, it hands to its field evenly. What arrives at the pixels is the logit less the bias
of the last layer.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from osteon.learn.fuse import fused
from osteon.learn.heads import Classifier, MeanAndMaximum, Network
from osteon.learn.networks.rx import Rx
from osteon.learn.networks.torchvision_shim import timm  # before zennit, which imports torchvision

# isort: split
from timm.layers.conv_bn_act import ConvNormAct
from zennit.core import BasicHook, Composite, ParamMod
from zennit.layer import Sum
from zennit.rules import Epsilon, Norm, Pass, ZBox
from zennit.types import AvgPool, BatchNorm

TOLERANCE = 0.01
"""Share of all relevance, counted without its sign, that may be lost or won on the way to the pixels."""

EVEN = 1e-6
"""What every input counts for besides what it gave, so that a value that came from a bias alone is handed on evenly."""

_NO_BIAS = ["bias"]
_PASSED = (nn.ReLU, nn.ReLU6, nn.Identity, nn.Dropout, BatchNorm)


class NotConserved(ArithmeticError):
    """Relevance was lost or won on the way, so that the map would not add up to the logit."""


@dataclass(frozen=True)
class Family:
    """Networks that relevance can be traced through.

    Attributes:
        network: class of the trunk's network.
        laid_open: takes a network to one in which every sum and every mean is a module that a rule can be hung on.
    """

    network: type[nn.Module]
    laid_open: Callable[[nn.Module], nn.Module]


class _Maps(nn.Module):
    """The last feature maps of a network, as its `forward`."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, colour: Tensor) -> Tensor:
        net: Any = self.net  # timm's models share this method, and no type
        maps: Tensor = net.forward_features(colour)
        return maps


class _Tracer(fx.Tracer):
    """Looks into blocks, and takes every layer as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d) or not any(m.children())


def _traced(net: nn.Module) -> nn.Module:
    """The maps of a network with its sums and means as modules; weights are shared with `net`."""
    root = _Maps(net)
    graph = _Tracer().trace(root)
    for number, node in enumerate(list(graph.nodes)):
        if node.op != "call_function":
            continue
        with graph.inserting_after(node):
            if node.target in (operator.add, operator.iadd, torch.add):
                root.add_module(name := f"sum{number}", Sum(dim=-1))
                pair = graph.call_function(torch.stack, (list(node.args), -1))
                with graph.inserting_after(pair):
                    node.replace_all_uses_with(graph.call_module(name, (pair,)))
            elif node.target is functional.avg_pool2d:
                root.add_module(name := f"mean{number}", nn.AvgPool2d(*node.args[1:], **node.kwargs))
                node.replace_all_uses_with(graph.call_module(name, (node.args[0],)))
            else:
                continue
        graph.erase_node(node)
    return fx.GraphModule(root, graph)


def _inception(net: nn.Module) -> nn.Module:
    """As `_traced`. Where means leave out the border, as Keras has them, they do so in one step instead of two."""
    pooling = [block for block in net.children() if hasattr(block, "branch_pool")]
    borders = [block for block in pooling if not isinstance(block.branch_pool, ConvNormAct)]
    for block in borders:
        block.branch_pool = nn.Sequential(*block.get_submodule("branch_pool").children())
    open_net = _traced(net)
    for module in open_net.modules():
        if borders and isinstance(module, nn.AvgPool2d):
            module.count_include_pad = False
    return open_net


FAMILIES: Mapping[str, Family] = {
    "Rx": Family(Rx, _Maps),  # no branches: every step is a module already
    "ResNet": Family(timm.models.ResNet, _traced),
    "Inception": Family(timm.models.InceptionV3, _inception),
    "EfficientNet-Lite": Family(timm.models.EfficientNet, _traced),
}
"""Name → networks with rules. Others are refused: a rule that does not fit gives a map all the same."""


def family_of(network: nn.Module) -> str:
    """The family of a trunk's network; "" if it has none, or activations other than ReLU and ReLU6."""
    known = (nn.SiLU, nn.GELU, nn.Hardswish, nn.Sigmoid, nn.Tanh, nn.LeakyReLU, nn.ELU, nn.Softmax)
    if any(isinstance(module, known) for module in network.modules()):
        return ""
    return next((name for name, family in FAMILIES.items() if isinstance(network, family.network)), "")


def missing(network: Network) -> str:
    """Why relevance cannot be traced through a network; "" if it can."""
    if not isinstance(network, Classifier):
        return "relevance is traced through a trunk with one head"
    if not family_of(network.trunk.net):
        return f"there are no rules for {network.trunk.spec.name}; there are for {', '.join(FAMILIES)}"
    return ""


def relevance(network: Network, grey: Tensor) -> Tensor:
    """Relevance of each pixel (n, h, w), in units of the logit: it adds up to the logit less the last layer's bias.

    Args:
        network: a classifier for which `missing` is "".
        grey: images (n, 1, h, w), float in 0..1.

    Raises:
        NotConserved: if it does not add up, within TOLERANCE of all relevance counted without its sign.
    """
    assert isinstance(network, Classifier)
    trunk = fused(network.trunk)  # a copy, as is all that rules are hung on: other threads may use the network
    whole = nn.Sequential(
        FAMILIES[family_of(trunk.net)].laid_open(trunk.net), *copy.deepcopy((network.pool, network.head))
    )
    with torch.no_grad():
        colour = (grey - trunk.mean) / trunk.std
        bounds = tuple((limit - trunk.mean) / trunk.std for limit in (0.0, 1.0))
    with torch.enable_grad():
        colour.requires_grad_()
        with _composite(whole, *bounds).context(whole):
            logits = whole(colour).squeeze(1)
            (found,) = torch.autograd.grad(logits, colour, torch.ones_like(logits))
    last = _last(network.head)
    bias = 0.0 if last.bias is None else last.bias.detach()
    _must_add_up(found, logits.detach() - bias)
    by_pixel: Tensor = found.sum(dim=1)
    return by_pixel


def _must_add_up(found: Tensor, wanted: Tensor) -> None:
    arrived = found.sum(dim=(1, 2, 3))
    allowed = TOLERANCE * torch.maximum(wanted.abs(), found.abs().sum(dim=(1, 2, 3)))
    if not bool(((arrived - wanted).abs() <= allowed).all()):  # NaN compares as false
        raise NotConserved(
            f"relevance is not conserved: {float(arrived[0]):.3g} reached the pixels of {float(wanted[0]):.3g}"
        )


def _composite(whole: nn.Module, low: Tensor, high: Tensor) -> Composite:
    first = next(module for module in whole.modules() if isinstance(module, nn.Conv2d))
    last = _last(whole)
    rules: tuple[tuple[Any, BasicHook], ...] = (
        (nn.Conv2d, _raised()),
        (nn.Linear, Epsilon(zero_params=_NO_BIAS)),
        (_PASSED, Pass()),
        ((Sum, AvgPool), _by_magnitude()),
        (MeanAndMaximum, Norm()),
    )

    def rule_of(context: dict[str, Any], name: str, module: nn.Module) -> BasicHook | None:
        if module is first:
            return ZBox(low=low, high=high, zero_params=_NO_BIAS)
        if module is last:
            return _weight_times_input()
        return next((rule for kinds, rule in rules if isinstance(module, kinds)), None)

    return Composite(module_map=rule_of)


def _last(whole: nn.Module) -> nn.Linear:
    return [module for module in whole.modules() if isinstance(module, nn.Linear)][-1]


def _weight_times_input() -> BasicHook:
    """LRP-0 of the logit itself: nothing is divided, so a logit of 0 whose parts cancel still has them."""
    return BasicHook(
        param_modifiers=[ParamMod(lambda weight, name: weight)],
        gradient_mapper=lambda relevance, outputs: [relevance],
        reducer=lambda inputs, gradients: inputs[0] * gradients[0],
    )


def _by_magnitude() -> BasicHook:
    """Two branches share what their sum got as |a| : |b| (Otsuki et al., ECCV 2024)."""
    return BasicHook(
        input_modifiers=[lambda values: values.abs() + EVEN],
        param_modifiers=[ParamMod(lambda weight, name: weight, param_keys=[])],
        gradient_mapper=lambda relevance, outputs: [relevance / outputs[0]],
        reducer=lambda inputs, gradients: inputs[0] * gradients[0],
    )


def _raised() -> BasicHook:
    """z+ for inputs of both signs, in which every input of a field counts for EVEN besides what it gave."""
    return BasicHook(
        input_modifiers=[lambda x: x.clamp(min=0), lambda x: x.clamp(max=0), torch.ones_like],
        param_modifiers=[
            ParamMod(lambda weight, name: weight.clamp(min=0), zero_params=_NO_BIAS),
            ParamMod(lambda weight, name: weight.clamp(max=0), zero_params=_NO_BIAS),
            ParamMod(lambda weight, name: torch.full_like(weight, EVEN), zero_params=_NO_BIAS),
        ],
        gradient_mapper=lambda relevance, outputs: [relevance / sum(outputs)] * 3,
        reducer=lambda inputs, gradients: sum(x * gradient for x, gradient in zip(inputs, gradients, strict=True)),
    )
