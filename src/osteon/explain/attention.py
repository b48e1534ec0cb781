"""Attention of vision transformers: from which patches the tokens that the head reads have drawn.

osteon's heads read the patch tokens, not a class token. So a map is a mean over the rows of those tokens, and not the
row of the class token as in the papers.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from osteon.learn.heads import Classifier, Network
from osteon.learn.networks.torchvision_shim import VisionTransformer


def missing(network: Network) -> str:
    """Why a network has no attention to show; "" if it has."""
    if not isinstance(network, Classifier) or not isinstance(network.trunk.net, VisionTransformer):
        return "only vision transformers with one head have attention to follow"
    blocks = [module for name, module in network.trunk.net.named_modules() if name.endswith(".attn")]
    if not blocks or not all(isinstance(getattr(block, "attn_drop", None), nn.Dropout) for block in blocks):
        return f"the attention of {network.trunk.spec.name} cannot be read"
    return ""


def rollout(network: Network, grey: Tensor) -> Tensor:
    """Attention rollout (Abnar and Zuidema, ACL 2020, equation 1): attention handed through all blocks.

    Each block's attention, averaged over its heads, is mixed half and half with the identity, which stands for the
    branch that goes past it, and the blocks are multiplied. It knows of no finding: it shows where from, not what for.

    Args:
        network: a classifier on a vision transformer.
        grey: images (n, 1, h, w), float in 0..1.

    Returns:
        (n, h', w') ≥ 0, one value for each patch; without prefix tokens, the sum over the patches is 1.
    """
    watched, attention = _watched(network)
    with torch.no_grad():
        maps = watched.trunk(grey)
    flow: Tensor | None = None
    for each in attention:
        mean = each.mean(dim=1)
        mixed = (mean + _identity(mean)) / 2
        flow = mixed if flow is None else mixed @ flow
    assert flow is not None
    tokens = maps.shape[-2] * maps.shape[-1]
    return flow[:, -tokens:, -tokens:].mean(dim=1).reshape(len(grey), *maps.shape[-2:])


def weighted_by_gradient(network: Network, grey: Tensor) -> Tensor:
    """Attention weighted by its gradient (Chefer et al., ICCV 2021, equations 5 and 6): what for, too.

    In each block the positive part of attention × gradient of the logit is averaged over the heads, Ā, and added to
    what came before: R ← R + Ā R, from the identity on. Rows are weighted by the positive part of gradient × value of
    the tokens that the head reads, as it does not read all of them alike.

    Args:
        network: a classifier on a vision transformer.
        grey: images (n, 1, h, w), float in 0..1.

    Returns:
        (n, h', w') ≥ 0, one value for each patch; 0 if nothing speaks for the finding.
    """
    watched, attention = _watched(network)
    with torch.enable_grad():
        maps = watched.trunk(grey.detach().requires_grad_())
        logits = watched.answer(maps)
        slopes, *gradients = torch.autograd.grad(logits.sum(), [maps, *attention])
    flow: Tensor | None = None
    with torch.no_grad():
        for each, gradient in zip(attention, gradients, strict=True):
            mean = torch.relu(each * gradient).mean(dim=1)
            flow = _identity(mean) if flow is None else flow
            flow = flow + mean @ flow
        assert flow is not None
        reads = torch.relu((slopes * maps).sum(dim=1)).flatten(1)  # (n, patches)
        tokens = reads.shape[1]
        found = torch.einsum("nk,nkp->np", reads, flow[:, -tokens:, -tokens:])
    return found.reshape(len(grey), *maps.shape[-2:])


def _watched(network: Network) -> tuple[Classifier, list[Tensor]]:
    """A copy of the network, and a list that the attention (n, heads, tokens, tokens) of each block joins as it runs.

    timm's fused attention never holds the weights, so the copy does without; there they pass through a dropout, which
    evaluation mode makes the identity, and are caught. It is a copy since other threads may use the network.
    """
    copied, caught = copy.deepcopy(network), list[Tensor]()
    assert isinstance(copied, Classifier)
    for name, block in copied.trunk.net.named_modules():
        if name.endswith(".attn"):
            block.fused_attn = False
            block.get_submodule("attn_drop").register_forward_hook(lambda module, inputs, output: caught.append(output))
    return copied, caught


def _identity(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device).expand_as(like)
