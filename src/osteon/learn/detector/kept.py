"""How a bundle keeps the weights of its detectors: what they need of them, in half precision, each tensor once.

Convolutions and matrices are rounded to half precision; vectors (biases, and the statistics of batch normalisation,
whose variances may be smaller than half precision knows) keep single precision, and are few. What lies behind the maps
that a detector reads is left out. A tensor that several detectors share, as those on one frozen trunk do, is stored
once, under the numbers of them all: `0-2/trunk.net.conv_stem.weight`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from osteon.errors import Mismatch
from osteon.learn.detector.network import STRIDES, DetectorNetwork
from osteon.learn.maps import cut_behind
from osteon.learn.weights import State


def kept(network: DetectorNetwork) -> DetectorNetwork:
    """The network as a bundle keeps it: a copy with rounded weights that computes in single precision.

    Raises:
        Mismatch: if a weight is too large for half precision.
    """
    trunk, head = cut_behind(network.trunk, STRIDES), copy.deepcopy(network.detector.head)
    for module in (trunk.net, head):
        module.load_state_dict({name: _rounded(name, tensor) for name, tensor in module.state_dict().items()})
    trunk.mark_trained("in half precision")
    return DetectorNetwork(trunk, head).eval()


def stored(networks: Sequence[DetectorNetwork]) -> State:
    """The tensors of networks that `kept` gave, as the weights file has them.

    Raises:
        Mismatch: if a network would not come back from the file as it is.
    """
    found: dict[str, list[tuple[list[str], Tensor]]] = {}
    for number, network in enumerate(networks):
        for name, tensor in network.state_dict().items():
            if not torch.equal(_rounded(name, tensor), tensor):
                raise Mismatch(f"{name} of detector {number} is not rounded", remedy="pass what `kept` gives")
            others = found.setdefault(name, [])
            same = next((numbers for numbers, other in others if torch.equal(tensor, other)), None)
            if same is None:
                others.append(([str(number)], tensor))
            else:
                same.append(str(number))
    every = ((name, numbers, tensor) for name, others in found.items() for numbers, tensor in others)
    return {f"{'-'.join(numbers)}/{name}": _half(tensor) for name, numbers, tensor in every}


def restored(tensors: Mapping[str, Tensor], number: int) -> State:
    """The state of the detector of a number, single precision, from what `stored` gave."""
    state = {}
    for full_name, tensor in tensors.items():
        numbers, _, name = full_name.partition("/")
        if str(number) in numbers.split("-"):
            state[name] = tensor.float() if tensor.is_floating_point() else tensor
    return state


def _half(tensor: Tensor) -> Tensor:
    return tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor


def _rounded(name: str, tensor: Tensor) -> Tensor:
    half = _half(tensor)
    if not torch.isfinite(half).all():
        raise Mismatch(f"{name} holds values that half precision does not", remedy="train with smaller learning rates")
    return half.to(tensor.dtype)
