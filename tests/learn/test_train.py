"""Fine-tuning: it learns what is planted, a kill changes nothing, and what cannot be trained on is refused first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from osteon import tables
from osteon.errors import Diverged, Mismatch, TooFewCases, UnreadableImage
from osteon.learn.backbones import Trunk, TrunkSpec, open_backbone
from osteon.learn.batches import Augmentation, Batches
from osteon.learn.finetune import fine_tune
from osteon.learn.heads import Classifier, Network
from osteon.learn.hong import begin_as_keras
from osteon.learn.objectives import BINARY, LABELS
from osteon.learn.optimisers import Adam, AdamW
from osteon.learn.train import CHECKPOINT, HeldOut, TrainOptions, fit, scores
from osteon.learn.weights import digest_of
from osteon.types import Progress
from tests.make import some_split_cases

OPTIONS = TrainOptions(epochs=4, batch=16, optimiser=AdamW(1e-2), augmentation=Augmentation(shift=0.02))


class SmallNet(nn.Module):
    """Two convolutions with all that makes resuming hard: batch normalisation and dropout."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.BatchNorm2d(8)
        self.second, self.dropout = nn.Conv2d(8, 16, 5, stride=4, padding=2), nn.Dropout(dropout)

    def forward_features(self, colour: Tensor) -> Tensor:
        return torch.relu(self.second(self.dropout(torch.relu(self.norm(self.first(colour))))))


def a_classifier(seed: int = 0, dropout: float = 0.0) -> Classifier:
    """A small network with random weights, and a head of zeros."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SmallNet(dropout)
    digest = digest_of(net.state_dict())
    return Classifier(Trunk(net, TrunkSpec("small", "random", digest, d=16, mean=(0.3,) * 3, std=(0.2,) * 3)))


def some_pixels(target: np.ndarray, *, side: int = 48, seed: int = 0) -> np.ndarray:
    """(n, side, side) noise, with a bright square somewhere in the images of target 1."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 120, (len(target), side, side), dtype=np.uint8)
    for image in (pixels[i] for i in np.flatnonzero(target == 1)):
        y, x = rng.integers(4, side - 14, 2)
        image[y : y + 10, x : x + 10] += 120
    return pixels


def a_run(n: int = 48, seed: int = 0) -> tuple[Batches, HeldOut]:
    """Two thirds of n images to train on, one third held out."""
    target = (np.arange(n) % 2).astype(np.float32)
    pixels, rows = some_pixels(target, seed=seed), np.arange(n)
    train = rows % 3 > 0
    batches = Batches(pixels, rows[train], target[train], OPTIONS.batch, OPTIONS.augmentation)
    return batches, HeldOut(pixels, rows[~train], target[~train])


class Killed(Exception):
    """What the operating system would do."""


def kill_at(step: int) -> Progress:
    def progress(done: int, total: int) -> None:
        if done == step:
            raise Killed

    return progress


def assert_equal_to_the_bit(one: Classifier, two: Classifier) -> None:
    there = two.state_dict()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, there[name]), name


def a_timm_classifier() -> Classifier:
    return Classifier(open_backbone("test_resnet", "random"))


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


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    training, held_out = a_run()
    classifier, batches = a_classifier(), len(training)

    def poison(done: int, total: int) -> None:
        if done == 2 * batches + 1:
            with torch.no_grad():
                classifier.head.weight.fill_(float("nan"))

    with pytest.raises(Diverged, match=r"epoch 3, batch 2; the checkpoint of epoch 2 in .* is kept"):
        fit(classifier, training, held_out, OPTIONS, tmp_path, seed=1, progress=poison)
    resumed = fit(a_classifier(), training, held_out, OPTIONS, tmp_path, seed=1)
    assert len(resumed.epochs) == OPTIONS.epochs and np.isfinite([e.held_out for e in resumed.epochs]).all()


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


class ManyLabels(Network):
    """The small network with one linear answer per label."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.trunk = a_classifier(dropout=0.3).trunk
        self.head = nn.Linear(16, labels)
        begin_as_keras(self.head, seed=0)

    @property
    def name(self) -> str:
        return "many labels"

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images).amax(dim=(2, 3)))


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


def test_the_learning_rate_rises_then_falls() -> None:
    optimiser = AdamW(learning_rate=1.0, warm_up=0.1)
    rates = [optimiser.at(step, 200)["lr"] for step in range(200)]
    top = int(np.argmax(rates))
    assert top in (19, 20) and rates[top] == pytest.approx(1.0, abs=0.05)
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) <= 0).all()
    assert 0 < rates[0] <= 0.1 and 0 < rates[-1] < 1e-3


def test_impossible_options_are_refused_at_birth() -> None:
    for wrong in ({"epochs": 0}, {"batch": 0}):
        with pytest.raises(ValueError, match="not"):
            TrainOptions(**wrong)
    for wrong in ({"learning_rate": 0.0}, {"warm_up": 1.0}, {"weight_decay": -1.0}):
        with pytest.raises(ValueError, match="not"):
            AdamW(**wrong)


def a_cohort(folder: Path, patients: int = 40) -> tuple[pd.DataFrame, dict[str, Path]]:
    """Three folds and a sealed part; a bright square where there is a fracture, in the sealed part too."""
    cases = some_split_cases(patients, folds=3, sealed=6, fractured=0.5)
    truth = some_split_cases(patients, folds=3, fractured=0.5)["target"].to_numpy(int)
    images = {}
    for name, pixels in zip(cases["image"], some_pixels(truth), strict=True):
        images[name] = folder / f"{name}.png"
        cv2.imwrite(str(images[name]), pixels)
    return cases, images


def test_all_folds_learn_a_bright_square_and_stand_beside_their_floors(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path)
    options = replace(OPTIONS, epochs=8)
    seen: list[tuple[int, int]] = []
    done = fine_tune(
        cases, images, a_classifier, options, tmp_path / "work", seed=1, progress=lambda *step: seen.append(step)
    )
    rows = tables.check(done.predictions, tables.PREDICTIONS, "the predictions")
    own = rows[rows["model"] == "model"]
    unseen = own[own["part"] == "validation"]
    for _, fold in unseen.groupby("fold"):
        assert roc_auc_score(fold["target"].astype(int), fold["score"]) > 0.9
    test = own[own["part"] == "test"]
    truth = some_split_cases(40, folds=3, fractured=0.5).set_index("image")["target"]
    assert len(test) == 12 and test["target"].isna().all()
    assert roc_auc_score(truth[test["image"]].astype(int), test["score"]) > 0.9
    assert {"floor:majority", "floor:tags", "floor:thumbnail"} < set(rows["model"])
    assert seen[-1] == (4000, 4000) and [s for s, _ in seen] == sorted(s for s, _ in seen)
    assert not (tmp_path / "work" / "pixels.npy").exists()
    assert "fine-tuned" in done.classifier.trunk.spec.weights

    # A second call finds every checkpoint finished, and says the same.
    again = fine_tune(cases, images, a_classifier, options, tmp_path / "work", seed=1)
    pd.testing.assert_frame_equal(again.predictions, done.predictions, check_exact=True)
    assert (again.calibration, again.thresholds) == (done.calibration, done.thresholds)
    assert_equal_to_the_bit(again.classifier, done.classifier)


def test_sealed_targets_and_a_folds_own_targets_change_nothing_in_it(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path, patients=30)
    options = replace(OPTIONS, epochs=1)
    plain = fine_tune(cases, images, a_classifier, options, tmp_path / "a", seed=1).predictions
    other = cases.copy()
    sealed, own = (cases["fold"] == -1).to_numpy(bool), (cases["fold"] == 0).to_numpy(bool)
    other.loc[sealed, "target"] = 1
    betrayed = fine_tune(other, images, a_classifier, options, tmp_path / "b", seed=1).predictions
    pd.testing.assert_frame_equal(plain, betrayed, check_exact=True)
    other.loc[own, "target"] = 1 - other.loc[own, "target"]
    flipped = fine_tune(other, images, a_classifier, options, tmp_path / "c", seed=1).predictions
    for model in ("model", "floor:thumbnail"):
        here, there = (p[(p["model"] == model) & (p["fold"] == 0)]["probability"] for p in (plain, flipped))
        np.testing.assert_allclose(here, there, atol=1e-3 if model != "model" else 0)


def test_an_unreadable_image_is_refused_before_training_starts(tmp_path: Path) -> None:
    cases, images = a_cohort(tmp_path, patients=30)
    last = images[cases["image"].iloc[-1]]
    last.write_bytes(last.read_bytes()[:500])
    with pytest.raises(UnreadableImage, match=last.name):
        fine_tune(cases, images, a_classifier, OPTIONS, tmp_path / "work", seed=1)
    assert not list((tmp_path / "work").iterdir())
