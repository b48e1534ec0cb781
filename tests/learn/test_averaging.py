"""The moving average of weights, beside the sum that defines it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from osteon.learn.averaging import Averaging
from osteon.learn.objectives import BINARY
from osteon.learn.scoring import scores
from osteon.learn.train import CHECKPOINT, fit
from tests.learn.training import OPTIONS, Killed, a_classifier, a_run, assert_equal_to_the_bit, kill_at

LAST = replace(OPTIONS, epochs=6, objective=replace(BINARY, chooses="last"))


def weights_at_each_step(folder: Path) -> list[dict[str, np.ndarray]]:
    """Before the first step and after each: the average leads no weights, so they are those of a run without one."""
    network, steps = a_classifier(), []

    def look(done: int, total: int) -> None:
        steps.append({name: tensor.double().numpy().copy() for name, tensor in network.state_dict().items()})

    fit(network, *a_run(), LAST, folder, seed=1, progress=look)
    return steps


@pytest.mark.parametrize("decay", [0.3, 0.9])
def test_what_is_kept_is_the_weighted_sum_of_all_steps(tmp_path: Path, decay: float) -> None:
    steps = weights_at_each_step(tmp_path / "plain")
    # Each step's weights count 1 - keep of their own step, and keep of every later one.
    keeps = [min(decay, (1 + step) / (10 + step)) for step in range(len(steps) - 1)]
    counts = [float(np.prod(keeps))]
    counts += [(1 - keep) * float(np.prod(keeps[step + 1 :])) for step, keep in enumerate(keeps)]
    assert sum(counts) == pytest.approx(1)
    kept = fit(a_classifier(), *a_run(), replace(LAST, averaging=Averaging(decay)), tmp_path / "average", seed=1)
    for name, tensor in kept.network.state_dict().items():
        if tensor.is_floating_point():
            wanted = sum(count * step[name] for count, step in zip(counts, steps, strict=True))
            np.testing.assert_allclose(tensor.numpy(), wanted, rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            assert tensor.numpy() == steps[-1][name]


def test_the_averaged_weights_are_those_that_are_judged(tmp_path: Path) -> None:
    training, held_out = a_run()
    done = fit(a_classifier(), training, held_out, replace(LAST, averaging=Averaging(0.9)), tmp_path, seed=1)
    score = scores(done.network, held_out.pixels, held_out.rows)
    assert np.mean(np.logaddexp(0, score) - held_out.target * score) == pytest.approx(done.epochs[-1].held_out)
    plain = fit(a_classifier(), training, held_out, LAST, tmp_path / "plain", seed=1)
    assert [e.training for e in plain.epochs] == [e.training for e in done.epochs]  # training goes its own way
    assert plain.epochs[-1].held_out != done.epochs[-1].held_out


def test_no_averaging_is_the_network_itself(tmp_path: Path) -> None:
    network = a_classifier()
    assert Averaging().start(network) is network
    before = a_classifier()
    Averaging().follow(network, network, 0)
    assert_equal_to_the_bit(network, before)


def test_a_checkpoint_holds_the_average_only_while_it_moves(tmp_path: Path) -> None:
    options = replace(LAST, averaging=Averaging(0.9))
    with pytest.raises(Killed):
        fit(a_classifier(), *a_run(), options, tmp_path, seed=1, progress=kill_at(len(a_run()[0])))
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as stored:
        held = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    assert {name.split("/")[0] for name in held} == {"weights", "average", "optimizer"}
    assert not torch.equal(held["weights/head.weight"], held["average/head.weight"])
    done = fit(a_classifier(), *a_run(), options, tmp_path, seed=1)
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as stored:
        assert {name.split("/")[0] for name in stored.keys()} == {"best"}  # noqa: SIM118 (no mapping)
        assert torch.equal(stored.get_tensor("best/head.weight"), done.network.head.weight)


def test_impossible_decays_are_refused() -> None:
    for wrong in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="decay"):
            Averaging(wrong)
