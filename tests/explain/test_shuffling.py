from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity

from osteon.explain.shuffling import cascade, likeness, structure
from osteon.learn.heads import RX
from tests.explain.planted import random_head
from tests.learn.nets import TINY


def test_a_cascade_forgets_from_the_head_to_the_first_layer() -> None:
    network = random_head(TINY)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stages = list(cascade(network, seed=1))
    assert [name for name, _ in stages] == ["head", "head and 1/3 of the trunk", "head and 2/3 of the trunk", "all"]
    changed = [{n for n, v in each.state_dict().items() if not torch.equal(v, before[n])} for _, each in stages]
    assert changed[0] == {"head.weight"}  # a bias of one number has no other order
    assert changed[0] < changed[1] < changed[2] < changed[3]
    first = next(name for name, value in before.items() if value.ndim == 4)
    assert first in changed[3] and first not in changed[2]
    for name, value in stages[-1][1].state_dict().items():
        assert torch.equal(value.flatten().sort().values, before[name].flatten().sort().values)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_hidden_layers_of_a_head_are_forgotten_first_and_the_seed_decides() -> None:
    network = random_head("rx_lite", form=RX)
    (_, first), *_, (_, last) = cascade(network, seed=2)
    assert not torch.equal(first.head.dense1.weight, network.head.dense1.weight)
    again = [each for _, each in cascade(network, seed=2)][-1]
    other = [each for _, each in cascade(network, seed=3)][-1]
    assert torch.equal(last.head.dense1.weight, again.head.dense1.weight)
    assert not torch.equal(last.head.dense1.weight, other.head.dense1.weight)
    with pytest.raises(ValueError, match="two or more stages"):
        list(cascade(network, stages=1))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(7, 30), st.integers(7, 30))
def test_likeness_and_structure_are_those_of_the_libraries(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(height, width))
    y = 0.5 * x + rng.normal(size=x.shape)
    assert likeness(x, y) == pytest.approx(spearmanr(np.abs(x), np.abs(y), axis=None).statistic)
    a, b = np.abs(x) / np.abs(x).max(), np.abs(y) / np.abs(y).max()
    assert structure(x, y) == pytest.approx(structural_similarity(a, b, win_size=7, data_range=1.0), abs=1e-9)


def test_a_map_is_like_its_opposite_and_a_flat_one_like_none() -> None:
    x = np.random.default_rng(0).normal(size=(9, 9))
    assert likeness(x, -2 * x) == pytest.approx(1) and structure(x, -2 * x) == pytest.approx(1)
    assert likeness(x, np.zeros((9, 9))) == 0.0
    assert np.isfinite(structure(x, np.zeros((9, 9))))
    with pytest.raises(ValueError, match="one shape"):
        structure(x, x[:5])
