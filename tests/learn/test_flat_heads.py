from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from osteon.errors import Diverged, Mismatch, TooFewCases
from osteon.learn.search.flat_heads import MEASURES, Examples, HeadOptions, fit_head, fit_heads, global_max
from osteon.learn.search.flat_net import FlatHead, dropout_masks
from osteon.learn.search.hong import HIDDEN
from osteon.types import Fold
from tests.learn.keras_reference import keras
from tests.learn.searching import SMALL, some_examples, three_folds


def plain(head: FlatHead, sizes: tuple[int, ...]) -> list[nn.Linear]:
    """The same layers as torch's own modules."""
    layers = [nn.Linear(into, out) for into, out in itertools.pairwise(sizes)]
    with torch.no_grad():
        for layer, weight, bias in zip(layers, head.layers[::2], head.layers[1::2], strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    return layers


def plain_logits(layers: list[nn.Linear], rows: Tensor, masks: list[Tensor], dropout: float) -> Tensor:
    for number, layer in enumerate(layers[:-1]):
        rows = torch.relu(layer(rows))
        if masks:
            rows = rows * masks[number] / (1 - dropout)
    logits: Tensor = layers[-1](rows)
    return logits


class KerasAdam:
    """Adam as the Keras documentation and source state it: parameters -= rate · m / (sqrt(v) + ε), with
    rate = learning rate · sqrt(1 - 0.999^t) / (1 - 0.9^t)."""

    def __init__(self, parameters: list[Tensor], learning_rate: float, epsilon: float) -> None:
        self.parameters, self.learning_rate, self.epsilon, self.t = parameters, learning_rate, epsilon, 0
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        self.t += 1
        rate = self.learning_rate * math.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        for p, m, v in zip(self.parameters, self.m, self.v, strict=True):
            assert p.grad is not None
            m.add_((p.grad - m) * 0.1)
            v.add_((p.grad**2 - v) * 0.001)
            p.sub_(rate * m / (v.sqrt() + self.epsilon))
            p.grad = None


@pytest.mark.parametrize("epsilon", [1e-1, 1e-7])
@pytest.mark.parametrize("dropout", [0.0, 0.25])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_steps_are_those_of_a_plain_network_with_autograd(epsilon: float, dropout: float, precision: str) -> None:
    options = HeadOptions(dropout=dropout, epsilon=epsilon, hidden=(24, 16, 8), precision=precision)  # type: ignore[arg-type]
    random = np.random.Generator(np.random.SFC64(5))
    head = FlatHead(40, 18, options, random)
    layers = plain(head, (40, 24, 16, 8, 18))
    adam = KerasAdam([p for layer in layers for p in layer.parameters()], 1e-3, epsilon)
    kind = getattr(torch, precision)
    for _ in range(8):
        rows = torch.from_numpy(random.normal(size=(32, 40))).to(kind)
        target = torch.from_numpy((random.random((32, 18)) < 0.3).astype(np.float32))
        units = [rows.new_empty(32, size) for size in options.hidden]
        masks = dropout_masks(units, dropout, random)
        found = head.step(rows, target, units, masks)
        wanted = plain_logits(layers, rows.float(), [mask.float() for mask in masks], dropout)
        cross_entropy(wanted, target).backward()
        adam.step()
        assert torch.allclose(found, wanted, atol=2e-5 if precision == "float32" else 5e-2)
    apart = torch.cat([(p - q).detach().abs().flatten() for p, q in zip(head.layers, adam.parameters, strict=True)])
    # Adam moves a weight by the sign of its gradient, and bfloat16 may turn the sign of a gradient that is nearly zero.
    assert float(apart.max()) < 2e-6 if precision == "float32" else float(apart.mean()) < 2e-4


@pytest.mark.parametrize("epsilon", [1e-1, 1e-7])
def test_steps_are_those_of_keras(epsilon: float) -> None:
    options, rng = HeadOptions(epsilon=epsilon, hidden=(24, 16, 8)), np.random.default_rng(3)
    head = FlatHead(40, 18, options, rng)
    k = keras.layers
    hidden = [k.Dense(size, activation="relu") for size in options.hidden]
    model = keras.Sequential([keras.Input((40,)), *hidden, k.Dense(18, activation="sigmoid")])
    for variable, layer in zip(model.weights, head.layers, strict=True):
        variable.assign(layer.numpy().T.copy())
    model.compile(keras.optimizers.Adam(learning_rate=1e-3, epsilon=epsilon), keras.losses.BinaryCrossentropy())
    for size in (32, 32, 32, 7):  # the last batch of an epoch is smaller
        rows = rng.normal(size=(size, 40)).astype(np.float32)
        target = (rng.random((size, 18)) < 0.3).astype(np.float32)
        model.train_on_batch(rows, target)
        units = [torch.empty(size, width) for width in options.hidden]
        head.step(torch.from_numpy(rows), torch.from_numpy(target), units)
    for variable, layer in zip(model.trainable_weights, head.layers, strict=True):
        assert torch.allclose(layer.t() if layer.ndim > 1 else layer, variable.value.detach(), atol=2e-6)


def test_the_first_step_with_a_large_epsilon_is_not_that_of_torch() -> None:
    # Kingma and Ba 2015 have epsilon beside the corrected moment, Keras beside the one before its correction, which is
    # sqrt(1 - 0.999) as large at the first step.
    options = HeadOptions(epsilon=1e-1, hidden=(4,))
    head = FlatHead(3, 2, options, np.random.default_rng(0))
    before = head.vector.clone()
    head.step(torch.ones(5, 3), torch.ones(5, 2), [torch.empty(5, 4)])
    gradient = head.vector.grad
    assert gradient is not None
    root = math.sqrt(0.001)
    wanted = {"Keras": gradient * root / (gradient.abs() * root + 0.1), "torch": gradient / (gradient.abs() + 0.1)}
    assert torch.allclose(before - head.vector, 1e-3 * wanted["Keras"], atol=1e-7)
    assert wanted["torch"].abs().max() > 4 * wanted["Keras"].abs().max()


def test_weights_begin_within_the_bounds_of_glorot_and_biases_at_zero() -> None:
    head = FlatHead(300, 18, HeadOptions(), np.random.default_rng(1))
    for weight, bias in zip(head.layers[::2], head.layers[1::2], strict=True):
        limit = math.sqrt(6 / sum(weight.shape))
        assert float(weight.abs().max()) <= limit and float(weight.abs().max()) > 0.99 * limit
        assert abs(float(weight.std()) / (limit / math.sqrt(3)) - 1) < 0.02 and not bias.any()


@pytest.mark.parametrize("rate", [0.068, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    units = [torch.ones(400, 500), torch.ones(400, 37)]
    masks = dropout_masks(units, rate, np.random.Generator(np.random.SFC64(2)))
    for unit, mask in zip(units, masks, strict=True):
        assert mask.shape == unit.shape and set(mask.unique().tolist()) == {0.0, 1.0}
        deviation = 4 * math.sqrt(rate * (1 - rate) / mask.numel())
        assert abs(1 - float(mask.mean()) - rate) < deviation
    assert dropout_masks(units, 0.0, np.random.default_rng(0)) == []


def by_hand(examples: Examples, fold: Fold, options: HeadOptions, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """The curves (epochs, 4) by autograd, scikit-learn and a plain loop over the batches; without dropout."""
    random = np.random.Generator(np.random.SFC64(np.random.SeedSequence(seed)))
    features, targets = examples.features, examples.targets
    sizes = (features.shape[2], *options.hidden, targets.shape[1])
    layers = plain(FlatHead(sizes[0], sizes[-1], options, random), sizes)
    adam = KerasAdam([p for layer in layers for p in layer.parameters()], options.learning_rate, options.epsilon)
    curves = []
    for _ in range(options.epochs):
        order = random.permutation(fold.train)
        flip = random.integers(0, features.shape[1], len(order))
        seen = []
        for start in range(0, len(order), options.batch):
            rows, shown = order[start : start + options.batch], flip[start : start + options.batch]
            logits = plain_logits(layers, features[rows, shown], [], 0.0)
            cross_entropy(logits, targets[rows]).backward()
            adam.step()
            seen.append(logits.detach().numpy())
        with torch.no_grad():
            unseen = plain_logits(layers, features[fold.validation, 0], [], 0.0).numpy()
        row = []
        for logit, rows in ((np.concatenate(seen), order), (unseen, fold.validation)):
            truth, said = targets.numpy()[rows], 1 / (1 + np.exp(-logit.astype(float)))
            row += [np.mean([log_loss(truth[:, k], said[:, k], labels=[0, 1]) for k in range(truth.shape[1])])]
            row += [roc_auc_score(truth, logit, average="macro")]
        curves.append(row)
    return np.array(curves)


@pytest.mark.parametrize("batch", [7, 40, 500])
def test_a_fold_is_trained_as_a_plain_loop_would(batch: int) -> None:
    examples, folds = some_examples(120), three_folds(120)
    options = HeadOptions(batch=batch, epochs=3, hidden=(12, 10, 8))
    fitted = fit_head(examples, folds[1], options, seed=(3, 1))
    assert np.allclose(fitted.curves, by_hand(examples, folds[1], options, (3, 1)), atol=1e-4)
    assert fitted.best == int(fitted.curves[:, MEASURES.index("validation_auroc")].argmax())


def test_the_same_seed_gives_the_same_bytes_whatever_else_is_done() -> None:
    examples, folds = some_examples(120), three_folds(120)
    before = torch.get_num_threads()
    together = fit_heads(examples, folds, SMALL, seed=(1, 2))
    torch.manual_seed(99)
    alone = fit_heads(examples, folds[2:], SMALL, seed=(1, 2))[0]
    assert np.array_equal(together[2].curves, alone.curves)
    assert all(np.array_equal(a, b) for a, b in zip(together[2].layers, alone.layers, strict=True))
    other = fit_head(examples, folds[2], SMALL, seed=(1, 3, 2))
    assert not np.array_equal(other.curves, alone.curves)
    assert torch.get_num_threads() == before


def test_a_head_learns_what_is_there_and_nothing_else() -> None:
    options = HeadOptions(batch=32, epochs=12, dropout=0.1, learning_rate=3e-3, hidden=(64, 32, 16))
    for strength, low, high in ((4.0, 0.7, 1.0), (0.0, 0.44, 0.56)):
        examples, folds = some_examples(300, strength=strength), three_folds(300)
        areas = [fit.curves[-1, 3] for fit in fit_heads(examples, folds, options, seed=(0,))]
        assert low < np.mean(areas) < high


def test_the_validation_rows_change_nothing_of_the_training() -> None:
    examples, (fold, *_) = some_examples(120), three_folds(120)
    features, targets = examples.features.numpy().copy(), examples.targets.numpy().copy()
    features[fold.validation], targets[fold.validation] = 7.0, 1 - targets[fold.validation]
    options = HeadOptions(batch=32, epochs=1, hidden=(12, 8))
    one = fit_head(examples, fold, options, seed=(4,))
    two = fit_head(Examples.of(features, targets), fold, options, seed=(4,))
    assert all(np.array_equal(a, b) for a, b in zip(one.layers, two.layers, strict=True))


def test_training_shows_every_flip_and_validation_the_image_as_it_is() -> None:
    examples, folds = some_examples(300, strength=4.0), three_folds(300)
    noise = np.random.default_rng(0).normal(size=examples.features.shape)
    options = HeadOptions(batch=32, epochs=20, learning_rate=3e-3, hidden=(64, 32, 16))
    for flip in range(4):
        # One flip in four carries the signal: training learns from it, validation sees it only if it is the first.
        features = noise.copy()
        features[:, flip] = examples.features[:, flip]
        heads = fit_heads(Examples.of(features, examples.targets.numpy()), folds, options, seed=(0,))
        mean = np.mean([head.curves[-1] for head in heads], axis=0)
        assert mean[MEASURES.index("auroc")] > 0.6
        validation = mean[MEASURES.index("validation_auroc")]
        assert validation > 0.65 if flip == 0 else validation < 0.56


def test_a_fitted_head_is_the_one_of_its_best_epoch_as_arrays_and_as_a_module() -> None:
    examples, (fold, *_) = some_examples(120), three_folds(120)
    fitted = fit_head(examples, fold, HeadOptions(batch=32, epochs=4), seed=(0,))
    unseen = examples.features.numpy()[fold.validation, 0]
    assert np.allclose(fitted(unseen), fitted.logits, atol=1e-5)
    with torch.inference_mode():
        assert np.allclose(fitted.module()(torch.from_numpy(unseen)).numpy(), fitted.logits, atol=1e-5)
    area = roc_auc_score(examples.targets.numpy()[fold.validation], fitted.logits)
    assert area == pytest.approx(fitted.curves[fitted.best, 3], abs=1e-9) == pytest.approx(fitted.curves[:, 3].max())
    assert tuple(len(bias) for bias in fitted.layers[1::2]) == (*HIDDEN, 18)
    with pytest.raises(Mismatch, match="hidden units"):
        fit_head(examples, fold, SMALL, seed=(0,)).module()


def test_the_half_of_the_pooled_features_is_the_maximum() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 6, 5))
    pooled = np.concatenate([maps.mean(axis=-1), maps.max(axis=-1)], axis=-1)  # as `heads.pooled` lays them out
    assert np.array_equal(global_max(pooled), maps.max(axis=-1))


def test_a_loss_that_is_no_number_ends_a_fold_and_leaves_the_epochs_before() -> None:
    examples, (fold, *_) = some_examples(120), three_folds(120)
    fitted = fit_head(examples, fold, HeadOptions(batch=500, epochs=6, learning_rate=1e9, hidden=(8, 8)), seed=(0,))
    done = np.isfinite(fitted.curves).all(axis=1)
    assert done[: done.sum()].all() and np.isnan(fitted.curves[done.sum() :]).all()
    with pytest.raises(Diverged, match="first epoch of fold 0"):
        fit_head(examples, fold, HeadOptions(batch=8, learning_rate=1e38, hidden=(8, 8)), seed=(0,))


def test_bad_input_ends_in_a_clear_error() -> None:
    features, targets = np.zeros((6, 4, 3)), np.zeros((6, 18))
    with pytest.raises(Mismatch, match="do not belong together"):
        Examples.of(features, targets[:5])
    with pytest.raises(Diverged, match="no numbers"):
        Examples.of(np.full((6, 4, 3), np.nan), targets)
    with pytest.raises(ValueError, match="0 or 1"):
        Examples.of(features, targets + 0.5)
    nobody = Fold(0, np.arange(6), np.arange(0))
    with pytest.raises(TooFewCases, match="empty part"):
        fit_head(Examples.of(features, targets), nobody, SMALL, seed=(0,))
    wrong = [{"batch": 0}, {"dropout": 1.0}, {"epsilon": 0.0}, {"epochs": 0}, {"hidden": ()}, {"precision": "half"}]
    for setting in wrong:
        with pytest.raises(ValueError):
            HeadOptions(**setting)  # type: ignore[arg-type]
