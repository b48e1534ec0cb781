"""Optimisers: their settings step by step beside torch's schedulers, and their steps beside the papers' equations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, StepLR

from osteon.learn.optimisers import SGD, Adam, AdamW, OneCycle, Optimiser, TorchAdam


def follow(optimiser: Optimiser, gradients: np.ndarray, start: np.ndarray, *, at_rest: bool = False) -> np.ndarray:
    """(steps, n) where the weights come to along these gradients (steps, n), set as the loop sets them."""
    layer = nn.Linear(start.size, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start)[None])
    torchs = optimiser.start(layer)
    path = []
    for step, gradient in enumerate(gradients):
        for group in torchs.param_groups:
            group.update(optimiser.at(step, len(gradients)))
        layer.weight.grad = torch.from_numpy(gradient)[None].clone()
        torchs.step()
        path.append(layer.weight.detach().numpy()[0].copy())
    return np.array(path)


def some_gradients(steps: int = 50, n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    gradients = rng.normal(size=(steps, n))
    gradients[3] *= 20  # AMSGrad remembers it
    return gradients, rng.normal(size=n)


def test_the_learning_rate_rises_then_falls() -> None:
    optimiser = AdamW(learning_rate=1.0, warm_up=0.1)
    rates = [optimiser.at(step, 200)["lr"] for step in range(200)]
    top = int(np.argmax(rates))
    assert top in (19, 20) and rates[top] == pytest.approx(1.0, abs=0.05)
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) <= 0).all()
    assert 0 < rates[0] <= 0.1 and 0 < rates[-1] < 1e-3


@settings(max_examples=40)
@given(steps=st.integers(2, 300), rise=st.floats(0, 1), first=st.floats(1e-3, 1), last=st.floats(1e-6, 1))
def test_one_cycle_has_the_settings_of_torchs_scheduler_at_every_step(
    steps: int, rise: float, first: float, last: float
) -> None:
    ours = OneCycle(0.3, rise=rise, first=first, last=last, momentum=(0.8, 0.9))
    torchs = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = OneCycleLR(
        torchs,
        *(0.3, steps),
        pct_start=rise,
        div_factor=1 / first,
        final_div_factor=1 / last,
        base_momentum=0.8,
        max_momentum=0.9,
    )
    for step in range(steps):
        wanted, at = torchs.param_groups[0], ours.at(step, steps)
        assert at["lr"] == pytest.approx(wanted["lr"], rel=1e-9, abs=1e-15)
        assert at["betas"] == pytest.approx(wanted["betas"], rel=1e-12)
        torchs.step()
        if step < steps - 1:
            scheduler.step()


def test_one_cycle_of_one_step_is_a_step() -> None:
    for rise in (0.0, 0.3, 1.0):
        assert 0 < OneCycle(0.3, rise=rise).at(0, 1)["lr"] <= 0.3


def test_stairs_are_those_of_torchs_scheduler_and_of_the_study() -> None:
    ours = SGD(0.02, decay=0.67, every=1800)
    torchs = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.02)
    scheduler = StepLR(torchs, step_size=1800, gamma=0.67)
    for step in range(20_000):
        assert ours.at(step, 20_000)["lr"] == pytest.approx(torchs.param_groups[0]["lr"], rel=1e-12), step
        torchs.step()
        scheduler.step()
    assert ours.at(19_999, 20_000)["lr"] == pytest.approx(0.02 * 0.67**11)  # 11 × 1,800 = 19,800


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_with_momentum(momentum: float) -> None:
    gradients, weights = some_gradients()
    path, velocity, at = [], np.zeros_like(weights), weights.copy()
    for step, gradient in enumerate(gradients):
        velocity = momentum * velocity + gradient
        at = at - 0.1 * 0.5 ** (step // 7) * velocity
        path.append(at)
    ours = follow(SGD(0.1, momentum=momentum, decay=0.5, every=7), gradients, weights)
    np.testing.assert_allclose(ours, path, rtol=1e-12)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_and_amsgrad_as_torch_has_them(amsgrad: bool) -> None:
    gradients, weights = some_gradients()
    mean, square, largest, at, path = 0.0, 0.0, 0.0, weights.copy(), []
    for step, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        largest = np.maximum(largest, square)
        corrected = (largest if amsgrad else square) / (1 - 0.999**step)
        at = at - 0.01 * mean / (1 - 0.9**step) / (np.sqrt(corrected) + 1e-8)
        path.append(at)
    np.testing.assert_allclose(follow(TorchAdam(0.01, amsgrad), gradients, weights), path, rtol=1e-9)


def test_keras_and_torch_part_where_epsilon_is_large() -> None:
    gradients, weights = some_gradients()
    keras, torchs = follow(Adam(0.01, epsilon=1e-8), gradients, weights), follow(TorchAdam(0.01), gradients, weights)
    np.testing.assert_allclose(keras, torchs, atol=1e-6)  # steps are 0.01 long
    wide = follow(Adam(0.01, epsilon=0.1), gradients, weights)
    assert np.abs(wide[0] - weights).max() < 0.5 * np.abs(torchs[0] - weights).max()


def test_only_matrices_and_kernels_decay() -> None:
    for make in (AdamW, OneCycle):
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        decaying, spared = make(weight_decay=0.1).start(network).param_groups
        assert [p.shape for p in decaying["params"]] == [(2, 1, 3, 3)] and decaying["weight_decay"] == 0.1
        assert [p.ndim for p in spared["params"]] == [1, 1, 1] and spared["weight_decay"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        *(lambda k=k: AdamW(**k) for k in ({"learning_rate": 0.0}, {"warm_up": 1.0}, {"weight_decay": -1.0})),
        *(lambda k=k: OneCycle(**k) for k in ({"rise": 1.1}, {"first": 0.0}, {"last": 2.0}, {"momentum": (0.9, 1.0)})),
        *(lambda k=k: SGD(**k) for k in ({"learning_rate": -1.0}, {"momentum": 1.0}, {"decay": 0.0}, {"every": 0})),
        lambda: TorchAdam(0.0),
        lambda: Adam(epsilon=0.0),
    ],
)
def test_impossible_settings_are_refused_at_birth(wrong: Callable[[], Optimiser]) -> None:
    with pytest.raises(ValueError, match="not"):
        wrong()
