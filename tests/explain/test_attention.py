from __future__ import annotations

import numpy as np
import pytest
import torch

from osteon.explain.attention import rollout, weighted_by_gradient
from osteon.explain.maps import explain
from osteon.learn.backbones import open_backbone
from osteon.learn.heads import Classifier, HeadForm
from tests.explain.planted import random_head
from tests.learn.nets import TINY, batch_of, grey_image


def a_transformer() -> Classifier:
    return random_head("test_vit", form=HeadForm(grid=1))


def attention_by_hand(classifier: Classifier, images: torch.Tensor) -> list[torch.Tensor]:
    """Softmax of queries and keys of each block, from what goes into it."""
    net = classifier.trunk.net
    tokens = net._pos_embed(net.patch_embed((images - classifier.trunk.mean) / classifier.trunk.std))
    tokens = net.norm_pre(net.patch_drop(tokens))
    found = []
    for block in net.blocks:
        layer, inner = block.attn, block.norm1(tokens)
        n, t, _ = inner.shape
        q, k, _ = layer.qkv(inner).reshape(n, t, 3, layer.num_heads, layer.head_dim).permute(2, 0, 3, 1, 4)
        found.append(torch.softmax(layer.q_norm(q) @ layer.k_norm(k).mT / layer.head_dim**0.5, dim=-1))
        tokens = block(tokens)
    return found


def test_rollout_multiplies_the_attention_of_all_blocks() -> None:
    classifier, images = a_transformer(), batch_of(grey_image(96, 64, seed=2))
    with torch.no_grad():
        prefix = classifier.trunk.net.num_prefix_tokens
        product = np.eye(24 + prefix)
        for block in attention_by_hand(classifier, images):
            product = (0.5 * block[0].mean(dim=0).numpy() + 0.5 * np.eye(24 + prefix)) @ product
    wanted = product[prefix:, prefix:].mean(axis=0).reshape(6, 4)
    assert np.allclose(rollout(classifier, images)[0], wanted, atol=1e-6)
    assert product.sum(axis=1) == pytest.approx(1)  # each token's sources are shares


def test_gradient_weighted_attention_is_empty_where_nothing_speaks_for_the_finding() -> None:
    image = grey_image(64, 64)
    found = explain(Classifier(open_backbone("test_vit", "random")), image, "attention-gradient")  # answers 0 to all
    assert found.missing == "nothing in the image speaks for or against the finding"
    assert not np.isnan(found.evidence).any()


def test_gradient_weighted_attention_by_finite_differences() -> None:
    # Of one block alone, its gradient found by moving single weights of attention.
    classifier, images = a_transformer().double(), batch_of(grey_image(32, 32, seed=2)).double()
    net = classifier.trunk.net
    net.blocks = net.blocks[-1:]
    net.blocks[0].attn.fused_attn = False
    with torch.no_grad():
        (attention,) = attention_by_hand(classifier, images)
        before = classifier(images).item()
        slope = np.zeros(attention.shape[1:])
        for place in np.ndindex(*slope.shape):
            moved = attention.clone()
            moved[(0, *place)] += 1e-6
            hook = net.blocks[0].attn.attn_drop.register_forward_hook(lambda m, i, o, moved=moved: moved)
            slope[place] = (classifier(images).item() - before) / 1e-6
            hook.remove()
        maps = classifier.trunk(images)[0].flatten(1).numpy()  # (d, patches)
    prefix = net.num_prefix_tokens
    flow = np.eye(slope.shape[-1]) + np.maximum(attention[0].numpy() * slope, 0).mean(axis=0)
    reads = np.maximum(
        (classifier.head.weight.detach().numpy() / maps.shape[1] @ maps)[0], 0
    )  # a mean head: w / patches
    wanted = (reads @ flow[prefix:, prefix:]).reshape(2, 2)
    assert np.allclose(weighted_by_gradient(classifier, images)[0], wanted, rtol=1e-3)


def test_attention_is_read_and_the_network_left_as_it_was() -> None:
    classifier = a_transformer()
    blocks = [block.attn for block in classifier.trunk.net.blocks]
    before = [block.fused_attn for block in blocks]
    for method in ("attention-rollout", "attention-gradient"):
        found = explain(classifier, grey_image(96, 64), method)
        assert found.evidence.shape == (96, 64) and found.evidence.min() >= 0 and found.heat.max() == 1
    assert [block.fused_attn for block in blocks] == before
    assert not any(m._forward_hooks for m in classifier.modules())


def test_a_network_without_attention_has_none_to_show() -> None:
    found = explain(Classifier(open_backbone(TINY, "random")), grey_image(), "attention-rollout")
    assert "only vision transformers" in found.missing and not found.evidence.any()
