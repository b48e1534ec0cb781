"""Hong's networks and Adam are those of the study: the same numbers as Keras gives for the same layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from osteon.learn.backbones import open_backbone
from osteon.learn.optimisers import Adam
from osteon.learn.search.hong import FLIPS, TRAINING, HongHead, begin_as_keras, hong_network
from osteon.learn.search.lenet import lenet
from tests.learn.keras_reference import keras, output_of
from tests.learn.nets import TINY, brightness_trunk


def give(model: keras.Model, ours: Sequence[nn.Module]) -> None:
    """Our layers' weights to Keras's layers, in order; what is not flattened has its channels last there."""
    theirs = [layer for layer in model.layers if layer.weights]
    for layer, own in zip(theirs, ours, strict=True):
        weight, bias = own.weight.detach().numpy(), own.bias.detach().numpy()
        layer.kernel.assign(weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T)
        layer.bias.assign(bias)


def test_lenet_is_the_studys_layer_by_layer() -> None:
    height, width = 43, 38  # odd on the way down, so that both drop a row
    network = lenet((height, width), seed=4)
    k = keras.layers
    model = keras.Sequential(
        [
            keras.Input((height, width, 3)),
            k.Conv2D(6, 5, padding="same", activation="tanh"),
            k.AveragePooling2D(2),
            k.Conv2D(16, 5, padding="valid", activation="tanh"),
            k.AveragePooling2D(2),
            k.Permute((3, 1, 2)),  # our flattening takes channels first
            k.Flatten(),
            k.Dense(1024, activation="relu"),
            k.Dense(18, activation="sigmoid"),
        ]
    )
    give(model, [network.first, network.second, network.dense, network.labels])
    images = np.random.default_rng(0).random((3, height, width), np.float32)
    with torch.inference_mode():
        ours = torch.sigmoid(network(torch.from_numpy(images)[:, None])).numpy()
    assert ours.std() > 0.01
    np.testing.assert_allclose(ours, output_of(model, np.repeat(images[..., None], 3, -1)), rtol=1e-4, atol=1e-6)


def test_lenet_has_the_weights_that_its_layers_have_at_the_studys_size() -> None:
    convolutions = 6 * (25 * 3 + 1) + 16 * (25 * 6 + 1)
    flat = 16 * 72 * 72  # 299 → 149 → 145 → 72
    network = lenet((299, 299), seed=0)
    assert sum(p.numel() for p in network.parameters()) == convolutions + (flat + 1) * 1024 + 1025 * 18
    with pytest.raises(ValueError, match="12 px or more"):
        lenet((11, 300), seed=0)


def test_the_head_is_the_studys() -> None:
    head = HongHead(20).eval()
    begin_as_keras(head, 3)
    k = keras.layers
    hidden = [k.Dense(units, activation="relu") for units in (1024, 512, 256)]
    model = keras.Sequential([keras.Input((20,)), *hidden, k.Dense(18, activation="sigmoid")])
    give(model, [layer for layer in head if isinstance(layer, nn.Linear)])
    features = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
    with torch.inference_mode():
        ours = torch.sigmoid(head(torch.from_numpy(features))).numpy()
    np.testing.assert_allclose(ours, output_of(model, features), rtol=1e-4, atol=1e-6)
    assert [m.p for m in HongHead(20, dropout=0.2) if isinstance(m, nn.Dropout)] == [0.2] * 3
    with pytest.raises(ValueError, match="dropout"):
        HongHead(20, dropout=1.0)


def test_the_network_takes_the_maximum_over_positions() -> None:
    network = hong_network(brightness_trunk(), frozen=True, seed=0).eval()
    image = torch.full((1, 1, 32, 32), 0.25)
    image[..., 8:16, 16:24] = 0.75  # one bright cell
    with torch.inference_mode():
        wanted = network.head(torch.tensor([[0.25, 0.25]]))
        assert torch.allclose(network(image), wanted, atol=1e-6)


def test_a_frozen_trunk_stays_as_it_is_while_the_head_learns() -> None:
    network = hong_network(open_backbone(TINY, "random"), dropout=0.3, frozen=True, seed=0)
    before = {name: t.clone() for name, t in network.trunk.state_dict().items()}
    optimizer = TRAINING.optimiser.start(network)
    trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert trained == sum(p.numel() for p in network.head.parameters())
    network.train()
    network(torch.rand(4, 1, 64, 64)).sum().backward()
    optimizer.step()
    assert all(torch.equal(before[name], t) for name, t in network.trunk.state_dict().items())
    assert network.head.training and not network.trunk.training and "frozen" in network.name
    whole = hong_network(open_backbone(TINY, "random"), frozen=False, seed=0)
    assert whole.train().trunk.training and all(p.requires_grad for p in whole.parameters())


def test_layers_begin_within_glorots_bounds_and_by_the_seed() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (lenet((75, 75), seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one.dense.weight, same.dense.weight) and not torch.equal(one.dense.weight, other.dense.weight)
    for layer, inputs, outputs in ((one.dense, 16 * 16 * 16, 1024), (one.second, 6 * 25, 16 * 25)):
        bound = math.sqrt(6 / (inputs + outputs))
        assert 0.95 * bound < layer.weight.abs().max() <= bound and not layer.bias.any()
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize(("learning_rate", "epsilon"), [(1e-3, 1e-7), (1e-1, 1e-1), (1e-2, 1e-4)])
def test_adam_takes_the_steps_that_keras_takes(learning_rate: float, epsilon: float) -> None:
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=40).astype(np.float32), rng.normal(0, 0.3, (25, 40)).astype(np.float32)
    ours = nn.Linear(1, 40, bias=False)
    with torch.no_grad():
        ours.weight.copy_(torch.from_numpy(start)[:, None])
    optimiser = Adam(learning_rate, epsilon)
    optimizer = optimiser.start(ours)
    theirs = keras.Variable(start)
    reference = keras.optimizers.Adam(learning_rate=learning_rate, epsilon=epsilon)
    for step, gradient in enumerate(gradients):
        for group in optimizer.param_groups:
            group.update(optimiser.at(step, len(gradients)))
        ours.weight.grad = torch.from_numpy(gradient)[:, None]
        optimizer.step()
        reference.apply([torch.from_numpy(gradient)], [theirs])
        np.testing.assert_allclose(
            ours.weight.detach().numpy()[:, 0], theirs.value.detach().numpy(), rtol=1e-4, atol=1e-5 * learning_rate
        )
    with pytest.raises(ValueError, match="epsilon > 0"):
        replace(optimiser, epsilon=0.0)


def test_the_training_is_the_studys() -> None:
    assert (TRAINING.epochs, TRAINING.batch, TRAINING.optimiser) == (50, 128, Adam(1e-3, 1e-7))
    assert (FLIPS.flip, FLIPS.upend, FLIPS.shift, FLIPS.rotation_deg) == (0.5, 0.5, 0, 0)
    # Binary cross-entropy over all 18 labels, unmasked, as Keras means it.
    rng = np.random.default_rng(0)
    logits, target = rng.normal(size=(6, 18)).astype(np.float32), rng.integers(0, 2, (6, 18)).astype(np.float32)
    theirs = keras.losses.BinaryCrossentropy(from_logits=True)(torch.from_numpy(target), torch.from_numpy(logits))
    ours = TRAINING.objective.loss(torch.from_numpy(logits), torch.from_numpy(target))
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)
    assert TRAINING.objective.unseen(logits, target) == pytest.approx(float(theirs), rel=1e-5)
