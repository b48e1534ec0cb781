from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from osteon.errors import Mismatch
from osteon.learn.backbones import open_backbone
from osteon.learn.heads import RX, Classifier
from osteon.learn.networks.architectures import build
from osteon.learn.networks.rx import FORMS, Form, Rx

SMALL = Form((2, 3), padding=0)


def left_of(side: int, form: Form) -> int:
    """What is left of a side: a convolution takes two pixels, but for its padding, and the pooling halves."""
    for _ in form.widths:
        side = (side - 2 + 2 * form.padding) // 2
    return side


def test_lite_and_large_shrink_an_image_as_the_study_tells() -> None:
    sides = [341]
    for _ in range(7):
        sides.append((sides[-1] - 2) // 2)
    assert sides == [341, 169, 83, 40, 19, 8, 3, 0]  # why eight blocks do not fit 341 × 512
    with torch.inference_mode():
        assert build("rx_lite").forward_features(torch.rand(1, 1, 341, 512)).shape == (1, 128, 19, 30)
        assert build("rx_large").forward_features(torch.rand(1, 1, 768, 1152)).shape == (1, 256, 1, 2)
        assert build("rx_large_padded").forward_features(torch.rand(1, 1, 341, 512)).shape == (1, 256, 1, 2)


@pytest.mark.parametrize("name", FORMS)
def test_the_smallest_side_is_the_least_of_which_something_is_left(name: str) -> None:
    form = FORMS[name]
    assert form.smallest_side == next(side for side in range(1, 2000) if left_of(side, form) >= 1)
    net, side = build(name), form.smallest_side
    with torch.inference_mode():
        assert net.forward_features(torch.rand(2, 1, side, side)).shape[2:] == (1, 1)
    for height, width in ((side - 1, 2 * side), (2 * side, side - 1)):
        with pytest.raises(Mismatch, match=f"{side} px or more, not {width} × {height}"):
            net.forward_features(torch.rand(1, 1, height, width))


def test_a_block_is_a_convolution_a_maximum_and_a_relu_in_this_order() -> None:
    torch.manual_seed(0)
    net, image = Rx(SMALL), torch.rand(1, 1, 14, 18)
    wanted = image[0]
    for block in net.blocks:
        conv = block.conv
        planes = wanted.unfold(1, 3, 1).unfold(2, 3, 1)  # (c, h - 2, w - 2, 3, 3)
        wanted = torch.einsum("chwij,ocij->ohw", planes, conv.weight) + conv.bias[:, None, None]
        height, width = (side // 2 * 2 for side in wanted.shape[1:])
        quarters = torch.stack([wanted[:, i:height:2, j:width:2] for i in (0, 1) for j in (0, 1)])
        wanted = quarters.amax(dim=0).clamp(min=0)
    assert torch.allclose(net.forward_features(image)[0], wanted, atol=1e-6)


@pytest.mark.parametrize("name", FORMS)
def test_no_connection_passes_a_block_and_every_step_is_a_module(name: str) -> None:
    net = build(name)
    assert all(isinstance(block, nn.Sequential) for block in net.blocks)  # a plain chain of plain chains
    kinds = [nn.Conv2d, *[nn.BatchNorm2d] * FORMS[name].mended, nn.MaxPool2d, nn.ReLU]
    for block in net.blocks:
        assert [type(step) for step in block] == kinds
        assert (block.conv.kernel_size, block.conv.stride, block.pool.kernel_size) == ((3, 3), (1, 1), 2)
    widths = [block.conv.out_channels for block in net.blocks]
    assert widths == list(FORMS[name].widths) and all(a <= b for a, b in pairwise(widths))


def test_mended_layers_begin_as_he_2015_says() -> None:
    convolutions = [block.conv for block in build("rx_large_normalised", seed=1).blocks]
    assert all(not conv.bias.any() for conv in convolutions)
    for conv in convolutions[2:]:  # 18,432 weights and more
        assert conv.weight.std().item() == pytest.approx((2 / (9 * conv.in_channels)) ** 0.5, rel=0.03)
    published = build("rx_large", seed=1).blocks[-1].conv
    assert published.weight.std().item() == pytest.approx((1 / (3 * 9 * 256)) ** 0.5, rel=0.03)  # torch's own


def a_task() -> tuple[Tensor, Tensor]:
    """Dark and bright images, with a little noise."""
    target = torch.arange(16) % 2
    noise = torch.rand(16, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    return 0.3 * noise + 0.4 * target[:, None, None, None], target.float()


def test_in_large_what_an_image_shows_is_lost_on_the_way_and_mended_it_arrives() -> None:
    images, target = a_task()
    spread, gradient = {}, {}
    for name in ("rx_large_padded", "rx_large_normalised"):
        network = Classifier(open_backbone(name), form=RX).train()
        logits = network(images)
        nn.functional.binary_cross_entropy_with_logits(logits, target).backward()
        spread[name] = logits.std().item()
        gradient[name] = network.trunk.net.blocks[0].conv.weight.grad.norm().item()
    assert spread["rx_large_normalised"] > 30 * spread["rx_large_padded"]
    assert gradient["rx_large_normalised"] > 30 * gradient["rx_large_padded"]


def test_the_whole_of_model_rx_is_a_trunk_and_three_fully_connected_layers() -> None:
    network = Classifier(open_backbone("rx_lite"), form=RX)
    dense = [layer for layer in network.head if isinstance(layer, nn.Linear)]
    units = [dense[0].in_features, *(layer.out_features for layer in dense)]
    assert len(dense) == 3 and units[-1] == 1 and all(a > b for a, b in pairwise(units))
    assert sum(isinstance(module, nn.ReLU) for module in network.modules()) == 4 + 2
    assert network(torch.rand(3, 1, 60, 80)).shape == (3,)
