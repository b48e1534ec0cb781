"""The training loop: a kill changes nothing, the best is kept, and what cannot be trained on is refused first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.metrics import roc_auc_score

from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.learn.augmentation import Augmentation
from osteon.learn.averaging import Averaging
from osteon.learn.heads import Classifier
from osteon.learn.logs import LOG
from osteon.learn.objectives import BINARY, LABELS
from osteon.learn.optimisers import SGD, Adam, AdamW, OneCycle, Optimiser, TorchAdam
from osteon.learn.samplers import Balanced
from osteon.learn.scoring import BOTH, scores
from osteon.learn.thawing import Thawing
from osteon.learn.train import CHECKPOINT, HeldOut, TrainOptions, fit
from tests.learn.training import (
    OPTIONS,
    Killed,
    ManyLabels,
    a_classifier,
    a_run,
    a_timm_classifier,
    assert_equal_to_the_bit,
    kill_at,
)


@pytest.mark.parametrize("fresh", [a_timm_classifier, a_classifier, partial(a_classifier, dropout=0.3)])
def test_a_run_that_was_killed_ends_with_the_same_weights_to_the_bit(
    tmp_path: Path, fresh: Callable[[], Classifier]
) -> None:
    training, held_out = a_run()
    straight = fit(fresh(), training, held_out, OPTIONS, tmp_path / "straight", seed=1)
    with pytest.raises(Killed):  # in the middle of the third of four epochs
        fit(fresh(), training, held_out, OPTIONS, tmp_path / "cut", seed=1, progress=kill_at(2 * len(training) + 1))
    seen: list[int] = []
    torch.manual_seed(99)  # the state of the global generator must not matter
    again = fit(
        fresh(), training, held_out, OPTIONS, tmp_path / "cut", seed=1, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] == 2 * len(training)  # it went on from the third epoch
    assert_equal_to_the_bit(straight.network, again.network)
    assert (straight.epochs, straight.best) == (again.epochs, again.best)
    checkpoints = [(tmp_path / name / CHECKPOINT).read_bytes() for name in ("straight", "cut")]
    assert checkpoints[0] == checkpoints[1]


HEAD_FIRST = Thawing((("head", 0), ("trunk.net.second", 1), ("", 3)))


@pytest.mark.parametrize(
    "options",
    [
        replace(OPTIONS, thawing=HEAD_FIRST, optimiser=TorchAdam(1e-2, amsgrad=True)),
        replace(OPTIONS, thawing=HEAD_FIRST, optimiser=SGD(0.1, momentum=0.9, every=3), averaging=Averaging(0.9)),
        replace(OPTIONS, optimiser=SGD(0.1), averaging=Averaging(0.99), scoring=BOTH, epochs=5, patience=2),
        replace(OPTIONS, optimiser=OneCycle(0.03), averaging=Averaging(0.5), sampler=Balanced(), bf16=True),
        replace(OPTIONS, optimiser=AdamW(0.3), epochs=8, patience=2),
    ],
    ids=lambda options: type(options.optimiser).__name__,
)
def test_a_run_killed_between_any_two_epochs_ends_as_if_nothing_had_happened(
    tmp_path: Path, options: TrainOptions
) -> None:
    training, held_out = a_run()
    training = replace(training, sampler=options.sampler)
    straight = fit(a_classifier(dropout=0.3), training, held_out, options, tmp_path / "straight", seed=1)
    for epoch in range(1, len(straight.epochs)):
        with pytest.raises(Killed):
            fit(
                a_classifier(dropout=0.3),
                *(training, held_out, options, tmp_path / "cut"),
                seed=1,
                progress=kill_at(epoch * len(training)),
            )
    again = fit(a_classifier(dropout=0.3), training, held_out, options, tmp_path / "cut", seed=1)
    assert_equal_to_the_bit(straight.network, again.network)
    assert (straight.epochs, straight.best) == (again.epochs, again.best)
    for name in (CHECKPOINT, LOG):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.parametrize("patience", [1, 2, 3])
def test_training_ends_once_nothing_has_become_better_for_so_many_epochs(tmp_path: Path, patience: int) -> None:
    options = replace(OPTIONS, epochs=12, optimiser=AdamW(0.3))
    whole = fit(a_classifier(), *a_run(), options, tmp_path / "whole", seed=1)
    losses = [epoch.held_out for epoch in whole.epochs]
    ends = next(n for n in range(1, 13) if n == 12 or n - 1 - int(np.argmin(losses[:n])) == patience)
    assert ends < 12  # or this test looks at nothing
    early = fit(a_classifier(), *a_run(), replace(options, patience=patience), tmp_path / "early", seed=1)
    assert early.epochs == whole.epochs[:ends]  # the learning rate follows the number of epochs that might have been
    assert early.best == int(np.argmin(losses[:ends]))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    training, held_out = a_run()
    first = fit(a_classifier(), training, held_out, OPTIONS, tmp_path, seed=1)
    seen: list[int] = []
    second = fit(a_classifier(), training, held_out, OPTIONS, tmp_path, seed=1, progress=lambda d, _: seen.append(d))
    assert seen == [OPTIONS.epochs * len(training)]
    assert_equal_to_the_bit(first.network, second.network)


def test_training_leaves_the_global_random_numbers_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    fit(a_classifier(), *a_run(), replace(OPTIONS, epochs=1), tmp_path, seed=1)
    assert torch.equal(before, torch.get_rng_state())


def test_the_epoch_that_was_best_on_the_held_out_images_is_kept(tmp_path: Path) -> None:
    training, held_out = a_run()
    done = fit(a_classifier(), training, held_out, replace(OPTIONS, optimiser=AdamW(0.05)), tmp_path, seed=1)
    losses = [epoch.held_out for epoch in done.epochs]
    assert done.best == int(np.argmin(losses))
    score = scores(done.network, held_out.pixels, held_out.rows)
    assert np.mean(np.logaddexp(0, score) - held_out.target * score) == pytest.approx(min(losses))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda run: {"options": replace(OPTIONS, optimiser=AdamW(1e-2, weight_decay=0.1))}, "options"),
        (lambda run: {"seed": 2}, "seed"),
        (lambda run: {"network": a_classifier(seed=5)}, "network"),
        (lambda run: {"training": replace(run[0], target=1 - run[0].target)}, "training"),
        (lambda run: {"held_out": replace(run[1], rows=run[1].rows[2:], target=run[1].target[2:])}, "held_out"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path: Path, change, named: str) -> None:
    run = a_run()
    arguments = {"network": a_classifier(), "training": run[0], "held_out": run[1], "options": OPTIONS, "seed": 1}
    with pytest.raises(Killed):
        fit(**arguments, folder=tmp_path, progress=kill_at(len(run[0])))
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(Mismatch, match=rf"differs in {named}\)"):
        fit(**(arguments | {"network": a_classifier()} | change(run)), folder=tmp_path)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_broken_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"no tensors")
    with pytest.raises(Mismatch, match="is no checkpoint"):
        fit(a_classifier(), *a_run(), OPTIONS, tmp_path, seed=1)


@pytest.mark.parametrize("optimiser", [OPTIONS.optimiser, SGD(0.02)])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path, optimiser: Optimiser) -> None:
    training, held_out = a_run()
    options = replace(OPTIONS, optimiser=optimiser)
    classifier, batches = a_classifier(), len(training)

    def poison(done: int, total: int) -> None:
        if done == 2 * batches + 1:
            with torch.no_grad():
                classifier.head.weight.fill_(float("nan"))

    with pytest.raises(Diverged, match=r"epoch 3, batch 2; the checkpoint of epoch 2 in .* is kept"):
        fit(classifier, training, held_out, options, tmp_path, seed=1, progress=poison)
    resumed = fit(a_classifier(), training, held_out, options, tmp_path, seed=1)
    assert len(resumed.epochs) == OPTIONS.epochs and np.isfinite([e.held_out for e in resumed.epochs]).all()


def test_gradient_descent_that_runs_away_is_stopped_at_its_batch(tmp_path: Path) -> None:
    options = replace(OPTIONS, optimiser=SGD(1e38))
    with pytest.raises(Diverged, match=r"no number any more in epoch 1, batch 3; train with a smaller learning rate"):
        fit(a_classifier(), *a_run(96), options, tmp_path / "long", seed=1)
    with pytest.raises(Diverged, match=r"no number any more on the held-out images after epoch 1; train"):
        fit(a_classifier(), *a_run(48), options, tmp_path / "short", seed=1)
    assert not list(tmp_path.iterdir())


def test_small_batches_leave_the_statistics_of_batch_normalisation_alone(tmp_path: Path) -> None:
    training, held_out = a_run()
    for size, kept in ((8, True), (16, False)):
        classifier = a_classifier()
        before = {n: b.clone() for n, b in classifier.named_buffers() if "running" in n}
        options = replace(OPTIONS, epochs=1, batch=size)
        fit(classifier, replace(training, size=size), held_out, options, tmp_path / str(size), seed=1)
        after = dict(classifier.named_buffers())
        assert before and all(torch.equal(before[n], after[n]) for n in before) == kept


def test_bfloat16_trains_too(tmp_path: Path) -> None:
    done = fit(a_classifier(), *a_run(), replace(OPTIONS, bf16=True), tmp_path, seed=1)
    assert np.isfinite([epoch.training for epoch in done.epochs]).all()
    assert all(p.dtype == torch.float32 for p in done.network.parameters())


def test_one_class_and_nothing_held_out_are_refused(tmp_path: Path) -> None:
    training, held_out = a_run()
    with pytest.raises(TooFewCases, match="one class"):
        fit(a_classifier(), replace(training, target=0 * training.target), held_out, OPTIONS, tmp_path, seed=1)
    nothing = HeldOut(held_out.pixels, held_out.rows[:0], held_out.target[:0])
    with pytest.raises(TooFewCases, match="held out"):
        fit(a_classifier(), training, nothing, OPTIONS, tmp_path, seed=1)


def test_several_labels_go_through_the_same_loop_and_survive_a_kill(tmp_path: Path) -> None:
    training, held_out = a_run()

    def several(target: np.ndarray) -> np.ndarray:
        return np.stack([target, 1 - target, 0 * target], axis=1)  # the third is of one class

    run = replace(training, target=several(training.target)), replace(held_out, target=several(held_out.target))
    options = replace(OPTIONS, epochs=6, optimiser=Adam(1e-2), objective=LABELS)
    straight = fit(ManyLabels(3), *run, options, tmp_path / "straight", seed=1)
    with pytest.raises(Killed):
        fit(ManyLabels(3), *run, options, tmp_path / "cut", seed=1, progress=kill_at(3 * len(training)))
    again = fit(ManyLabels(3), *run, options, tmp_path / "cut", seed=1)
    assert_equal_to_the_bit(straight.network, again.network)
    assert straight.epochs == again.epochs  # with the figures of both parts, read from the checkpoint
    checkpoints = [(tmp_path / name / CHECKPOINT).read_bytes() for name in ("straight", "cut")]
    assert checkpoints[0] == checkpoints[1]

    aurocs = [epoch.figures["auroc"][1] for epoch in straight.epochs]
    assert straight.best == int(np.argmax(aurocs)) and max(aurocs) > 0.9
    assert straight.epochs[-1].figures["auroc"][0] > 0.9  # on the training batches as they came
    score = scores(straight.network, held_out.pixels, held_out.rows)
    assert score.shape == (16, 3)
    assert roc_auc_score(held_out.target, score[:, 0]) / 2 + roc_auc_score(
        1 - held_out.target, score[:, 1]
    ) / 2 == pytest.approx(max(aurocs))
    with pytest.raises(Mismatch, match=r"differs in options\)"):
        fit(ManyLabels(3), *run, replace(options, objective=BINARY), tmp_path / "cut", seed=1)
    with pytest.raises(TooFewCases, match="one class"):
        fit(ManyLabels(3), replace(run[0], target=0 * run[0].target + [1, 0, 0]), run[1], options, tmp_path, seed=1)


@pytest.mark.parametrize("other", [{"batch": 8}, {"sampler": Balanced()}, {"augmentation": Augmentation(flip=0.1)}])
def test_batches_that_other_options_made_are_refused(tmp_path: Path, other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"make them with options\.batches"):
        fit(a_classifier(), *a_run(), replace(OPTIONS, **other), tmp_path, seed=1)


def test_a_finished_run_keeps_its_best_weights_alone(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        fit(a_classifier(), *a_run(), OPTIONS, tmp_path / "cut", seed=1, progress=kill_at(len(a_run()[0])))
    done = fit(a_classifier(), *a_run(), OPTIONS, tmp_path / "done", seed=1)
    kinds = {}
    for name in ("cut", "done"):
        with safe_open(tmp_path / name / CHECKPOINT, framework="pt") as stored:
            kinds[name] = {key.split("/")[0] for key in stored.keys()}  # noqa: SIM118 (no mapping)
            if name == "done":
                assert torch.equal(stored.get_tensor("best/head.weight"), done.network.head.weight)
    assert kinds == {"cut": {"weights", "optimizer"}, "done": {"best"}}  # after one epoch the best is the last


def test_impossible_options_are_refused_at_birth() -> None:
    for wrong in ({"epochs": 0}, {"batch": 0}, {"patience": 0}, {"patience": float("nan")}):
        with pytest.raises(ValueError, match="not"):
            TrainOptions(**wrong)
