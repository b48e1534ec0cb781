"""The log of steps: what it says is what happened, whatever was killed, and its curves are those numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from osteon.errors import BadTable, CannotWrite, NotFound
from osteon.learn.log_figures import moving_average, run_curves
from osteon.learn.logs import COLUMNS, LOG, StepLog, read_log
from osteon.learn.optimisers import SGD, AdamW
from osteon.learn.train import fit
from tests.learn.nets import largest_file
from tests.learn.training import OPTIONS, Killed, a_classifier, a_run, kill_at


def test_every_step_is_noted_with_what_it_was(tmp_path: Path) -> None:
    training, held_out = a_run()
    done = fit(a_classifier(), training, held_out, OPTIONS, tmp_path, seed=1)
    log = read_log(tmp_path / LOG)
    steps = OPTIONS.epochs * len(training)
    assert log["step"].tolist() == list(range(1, steps + 1))
    assert log["epoch"].tolist() == [1 + step // len(training) for step in range(steps)]
    rates = [OPTIONS.optimiser.at(step, steps)["lr"] for step in range(steps)]
    np.testing.assert_allclose(log["learning_rate"], rates, rtol=1e-8)
    by_epoch = log.groupby("epoch")["loss"].mean()
    np.testing.assert_allclose(by_epoch, [epoch.training for epoch in done.epochs], rtol=1e-7)


def test_the_length_of_a_gradient_is_noted_before_it_is_shortened(tmp_path: Path) -> None:
    training, held_out = a_run()
    lengths = {}
    for longest in (1e-3, 1.0, np.inf):
        options = replace(OPTIONS, epochs=1, optimiser=AdamW(1e-2, longest_gradient=longest))
        fit(a_classifier(), training, held_out, options, tmp_path / str(longest), seed=1)
        lengths[longest] = read_log(tmp_path / str(longest) / LOG)["gradient_norm"].iloc[0]
    network = a_classifier()
    network.train()
    images, target = next(iter(training.epoch(0, seed=1)))
    binary_cross_entropy_with_logits(network(images), target).backward()
    wanted = np.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in network.parameters()))
    assert list(lengths.values()) == pytest.approx([wanted] * 3, rel=1e-5) and wanted > 1e-3


def test_lines_that_no_checkpoint_knows_are_dropped(tmp_path: Path) -> None:
    training, held_out = a_run()
    fit(a_classifier(), training, held_out, OPTIONS, tmp_path / "straight", seed=1)
    with pytest.raises(Killed):
        fit(a_classifier(), training, held_out, OPTIONS, tmp_path / "cut", seed=1, progress=kill_at(2 * len(training)))
    log = tmp_path / "cut" / LOG
    log.write_text(log.read_text() + "3,5,0.1,0.2,0.3\n3,6,0.1")  # killed between log and checkpoint
    fit(a_classifier(), training, held_out, OPTIONS, tmp_path / "cut", seed=1)
    assert log.read_bytes() == (tmp_path / "straight" / LOG).read_bytes()


def test_a_log_that_was_removed_begins_where_the_run_goes_on(tmp_path: Path) -> None:
    training, held_out = a_run()
    with pytest.raises(Killed):
        fit(a_classifier(), training, held_out, OPTIONS, tmp_path, seed=1, progress=kill_at(2 * len(training)))
    (tmp_path / LOG).unlink()
    fit(a_classifier(), training, held_out, OPTIONS, tmp_path, seed=1)
    assert read_log(tmp_path / LOG)["step"].min() == 2 * len(training) + 1


def test_a_finished_run_needs_its_log_no_more(tmp_path: Path) -> None:
    first = fit(a_classifier(), *a_run(), OPTIONS, tmp_path, seed=1)
    (tmp_path / LOG).unlink()
    second = fit(a_classifier(), *a_run(), OPTIONS, tmp_path, seed=1)
    assert first.epochs == second.epochs and not (tmp_path / LOG).exists()


def test_a_log_of_another_run_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / LOG).write_text("something else\n1\n2\n3\n")
    fit(a_classifier(), *a_run(), replace(OPTIONS, epochs=1, optimiser=SGD(0.1)), tmp_path, seed=1)
    log = read_log(tmp_path / LOG)
    assert len(log) == len(a_run()[0]) and set(log["learning_rate"]) == {0.1}


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = StepLog(tmp_path / LOG, 0)
    log.add([(1, 1, 0.1, 0.7, torch.tensor(1.0))])
    before = (tmp_path / LOG).read_bytes()
    with largest_file(100), pytest.raises(CannotWrite, match=LOG):
        log.add([(2, step, 0.1, 0.6, 1.0) for step in range(2, 20)])
    assert (tmp_path / LOG).read_bytes() == before


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_log(tmp_path / LOG)
    for content in ("", "epoch,loss\n1,2\n", "\x00\xff"):
        (tmp_path / LOG).write_bytes(content.encode("latin-1"))
        with pytest.raises(BadTable, match=LOG):
            read_log(tmp_path / LOG)


def test_the_moving_average_is_the_mean_of_the_last_forty() -> None:
    values = np.random.default_rng(0).normal(size=130)
    wanted = [values[max(0, i - 39) : i + 1].mean() for i in range(130)]
    np.testing.assert_allclose(moving_average(values), wanted, rtol=1e-9, atol=1e-12)


def test_the_curves_of_a_run_are_the_same_bytes_and_say_what_they_are(tmp_path: Path) -> None:
    done = fit(a_classifier(), *a_run(), OPTIONS, tmp_path, seed=1)
    log = read_log(tmp_path / LOG)
    svg = run_curves("run", log, done.epochs)
    assert svg == run_curves("run", read_log(tmp_path / LOG), done.epochs)
    assert svg != run_curves("run", log[log["epoch"] > 2], done.epochs)  # of a log that was begun anew
    for word in ("training, mean of 40 steps", "held out", "gradient length", "learning rate"):
        assert f">{word}</text>" in svg, word
    assert svg.startswith("<svg") and "mathdefault" not in svg


def test_the_columns_are_those_of_the_page() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "train.md"
    assert all(f"`{column}`" in page.read_text(encoding="utf-8") for column in COLUMNS)
