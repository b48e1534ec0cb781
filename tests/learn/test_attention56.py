from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from osteon.learn.networks.architectures import build
from osteon.learn.networks.attention56 import Attention56, AttentionModule, Unit


def a_module(channels: int = 16, poolings: int = 2) -> AttentionModule:
    torch.manual_seed(0)
    return AttentionModule(channels, poolings).eval()


class Constant(nn.Module):
    """A mask that is the same everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, maps: Tensor) -> Tensor:
        return torch.full_like(maps, self.value)


def test_depth_and_parameters_are_those_of_the_papers_table() -> None:
    with torch.device("meta"):
        net, classes = Attention56(channels=3), nn.Linear(2048, 1000)
    units = [name for name, module in net.named_modules() if isinstance(module, Unit) and ".mask." not in name]
    assert 1 + 3 * len(units) + 1 == 56  # the first convolution, three in a unit, the classifier
    learnt = sum(p.numel() for module in (net, classes) for p in module.parameters())
    running = sum(b.numel() for name, b in net.named_buffers() if "running" in name)
    # Table 2 states 31.9 million. The running statistics of normalisation are parameters in Caffe, and not in torch.
    assert learnt == 31_810_728 and round((learnt + running) / 1e6, 1) == 31.9


def test_masks_are_pooled_three_two_and_one_times_down_to_seven_by_seven() -> None:
    net, seen = build("attention56").eval(), []
    modules = [stage for stage in net.stages if isinstance(stage, AttentionModule)]
    poolings = [[m for m in module.mask.modules() if isinstance(m, nn.MaxPool2d)] for module in modules]
    assert [len(pools) for pools in poolings] == [3, 2, 1]
    for pools in poolings:
        pools[-1].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[2:]))
    with torch.inference_mode():
        maps = net.forward_features(torch.rand(1, 1, 224, 224))
    assert maps.shape == (1, 2048, 7, 7) and seen == [(7, 7)] * 3


def test_an_image_of_the_study_and_a_tiny_one_pass() -> None:
    net = build("attention56").eval()
    with torch.inference_mode():
        assert net.forward_features(torch.rand(1, 1, 341, 512)).shape == (1, 2048, 11, 16)
        assert net.forward_features(torch.rand(2, 1, 20, 33)).shape == (2, 2048, 1, 2)


@settings(max_examples=25)
@given(height=st.integers(1, 40), width=st.integers(1, 40), poolings=st.integers(1, 3))
def test_a_module_keeps_every_size(height: int, width: int, poolings: int) -> None:
    with torch.inference_mode():
        assert a_module(8, poolings)(torch.rand(1, 8, height, width)).shape == (1, 8, height, width)


def test_with_a_mask_of_zero_a_module_is_its_trunk() -> None:
    module, maps = a_module(), torch.randn(2, 16, 13, 9, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        trunk = module.trunk(module.before(maps))
        module.mask = Constant(0.0)
        assert torch.equal(module(maps), module.after(trunk))
        module.mask = Constant(1.0)
        assert torch.allclose(module(maps), module.after(2 * trunk), atol=1e-5)


def test_a_mask_weights_what_the_trunk_found_and_lies_between_0_and_1() -> None:
    module, maps, kept = a_module(), torch.randn(2, 16, 13, 9, generator=torch.Generator().manual_seed(1)), {}
    for name in ("trunk", "mask"):
        getattr(module, name).register_forward_hook(lambda m, inputs, output, name=name: kept.update({name: output}))
    module.after.register_forward_pre_hook(lambda m, inputs: kept.update(attended=inputs[0]))
    with torch.inference_mode():
        module(maps)
    assert torch.allclose(kept["attended"], kept["trunk"] + kept["mask"] * kept["trunk"], atol=1e-6)  # equation 3
    assert 0 < kept["mask"].min() < kept["mask"].max() < 1


def test_gradients_reach_every_layer_of_trunk_and_masks() -> None:
    net = build("attention56").train()
    net.forward_features(torch.rand(4, 1, 64, 96)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    assert net.conv.weight.shape[1] == 1


def test_relus_are_modules_of_their_own() -> None:
    net, calls = build("attention56").eval(), []
    relus = [module for module in net.modules() if isinstance(module, nn.ReLU)]
    for relu in relus:
        relu.register_forward_hook(lambda module, inputs, output: calls.append(id(module)))
    with torch.inference_mode():
        net.forward_features(torch.rand(1, 1, 32, 32))
    assert sorted(calls) == sorted(map(id, relus))  # each is passed once: a rule hung on one stands for one place
