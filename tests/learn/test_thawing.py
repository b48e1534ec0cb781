"""Freezing: what is frozen stays as it was to the bit, and trains from its epoch on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from osteon.errors import UnknownName
from osteon.learn.averaging import Averaging
from osteon.learn.backbones import open_backbone
from osteon.learn.heads import Classifier
from osteon.learn.search.hong import hong_network
from osteon.learn.thawing import Thawing
from osteon.learn.train import fit
from tests.learn.nets import TINY
from tests.learn.training import OPTIONS, a_classifier, a_run, assert_equal_to_the_bit

STAGES = Thawing((("head", 0), ("trunk.net.second", 2), ("", 3)))


def state_at_each_epoch(folder: Path, thawing: Thawing, network: Classifier) -> list[dict[str, Tensor]]:
    """Weights and statistics before every epoch, and after the last one."""
    training, held_out = a_run()
    states: list[dict[str, Tensor]] = []

    def look(done: int, total: int) -> None:
        if done % len(training) == 0:
            states.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    fit(network, training, held_out, replace(OPTIONS, thawing=thawing), folder, seed=1, progress=look)
    return states


def test_each_part_changes_from_its_epoch_on_and_with_its_statistics(tmp_path: Path) -> None:
    states = state_at_each_epoch(tmp_path, STAGES, a_classifier())
    assert len(states) == OPTIONS.epochs + 1
    since = {"head.weight": 0, "head.bias": 0, "trunk.net.second.weight": 2, "trunk.net.first.weight": 3}
    since |= {"trunk.net.norm.weight": 3, "trunk.net.norm.running_mean": 3, "trunk.net.norm.num_batches_tracked": 3}
    for name, first in since.items():
        changed = [not torch.equal(states[e][name], states[e + 1][name]) for e in range(OPTIONS.epochs)]
        assert changed == [epoch >= first for epoch in range(OPTIONS.epochs)], name


class Still(Classifier):
    """A classifier whose trunk asks for no gradient, and never leaves evaluation mode."""

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        self.trunk.requires_grad_(False).eval()
        return self


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_trunk_that_never_thaws_trains_as_one_that_is_frozen(tmp_path: Path, dropout: float) -> None:
    options = replace(OPTIONS, thawing=Thawing((("head", 0),)))
    by_schedule = fit(a_classifier(dropout=dropout), *a_run(), options, tmp_path / "schedule", seed=1)
    by_hand = fit(Still(a_classifier(dropout=dropout).trunk).train(), *a_run(), OPTIONS, tmp_path / "by hand", seed=1)
    assert_equal_to_the_bit(by_schedule.network, by_hand.network)


def test_a_trunk_that_its_network_keeps_frozen_does_not_thaw() -> None:
    network = hong_network(open_backbone(TINY, "random"), frozen=True, seed=0)
    with Thawing().training(network, 0, 32):
        assert network.head.training and not network.trunk.training
        assert not any(p.requires_grad for p in network.trunk.parameters())
    with pytest.raises(UnknownName, match="no part with weights to train named 'trunk'"):
        Thawing((("trunk", 0),)).check(network)


def test_modes_and_gradients_of_every_module() -> None:
    network = a_classifier(dropout=0.3)
    with STAGES.training(network, 2, 32):
        training = {name for name, module in network.named_modules() if module.training}
        assert {"head", "trunk.net.second"} <= training
        assert not training & {"trunk.net.first", "trunk.net.norm", "trunk.net.dropout"}
        asking = {name for name, p in network.named_parameters() if p.requires_grad}
        assert asking == {f"{part}.{kind}" for part in ("head", "trunk.net.second") for kind in ("weight", "bias")}
    assert all(p.requires_grad for p in network.parameters())
    with STAGES.training(network, 3, 32):
        assert all(module.training for module in network.modules())
    with STAGES.training(network, 3, 8):  # small batches
        assert {m for m in network.modules() if not m.training} == {network.trunk.net.norm}


def test_a_network_is_as_it_was_after_a_failure() -> None:
    network = a_classifier()
    with pytest.raises(RuntimeError), STAGES.training(network, 0, 32):
        raise RuntimeError("the loop failed")
    assert all(p.requires_grad for p in network.parameters())


def test_a_part_is_a_whole_name() -> None:
    """`first` is no part of `first_norm`."""
    network = nn.Module()
    network.first, network.first_norm = nn.Linear(2, 2), nn.Linear(2, 2)
    with Thawing((("first", 0),)).training(network, 0, 32):
        assert [name for name, p in network.named_parameters() if p.requires_grad] == ["first.weight", "first.bias"]


def test_parts_that_are_not_there_and_schedules_that_begin_with_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"choose one of: head, trunk.net.first, trunk.net.norm, trunk.net.second"):
        fit(a_classifier(), *a_run(), replace(OPTIONS, thawing=Thawing((("heads", 0),))), tmp_path, seed=1)
    for wrong in ((), (("head", 1),), (("head", -1),)):
        with pytest.raises(ValueError, match="epoch 0"):
            Thawing(wrong)
    assert Thawing().freezes is False and STAGES.freezes is True


def test_averages_of_frozen_parts_are_the_frozen_parts(tmp_path: Path) -> None:
    options = replace(OPTIONS, thawing=Thawing((("head", 0),)), averaging=Averaging(0.9))
    network, untouched = a_classifier(), a_classifier()
    fit(network, *a_run(), options, tmp_path, seed=1)
    assert_equal_to_the_bit(network.trunk, untouched.trunk)
    assert not torch.equal(network.head.weight, untouched.head.weight)
