from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.batches import Batches
from osteon.learn.features import features_of
from osteon.learn.fuse import fused
from osteon.learn.heads import LINEAR, RX, TOP, Classifier, HeadForm, pooled
from osteon.learn.thawing import Thawing
from osteon.learn.train import HeldOut, TrainOptions, fit
from tests.learn.nets import TINY, batch_of, grey_image


@pytest.fixture(scope="module")
def trunk() -> Trunk:
    return open_backbone(TINY, "random")


def test_pooling_is_mean_and_maximum_over_positions() -> None:
    maps = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    positions = maps.numpy().reshape(3, 4, 30)
    wanted = np.concatenate([positions.mean(axis=2), positions.max(axis=2)], axis=1)
    assert np.allclose(pooled(maps).numpy(), wanted, atol=1e-6)


def test_a_logistic_regression_on_the_features_is_the_same_model_as_the_classifier(trunk: Trunk) -> None:
    images = np.stack([grey_image(seed=i) for i in range(24)])
    target = np.arange(24) % 2
    features = features_of(trunk, images)  # (24, 2, 2d)
    scaler = StandardScaler().fit(features.reshape(48, -1).astype(float))
    rows = scaler.transform(features.reshape(48, -1).astype(float))
    fitted = LogisticRegression(C=0.1).fit(rows, np.repeat(target, 2))
    wanted = fitted.decision_function(rows).reshape(24, 2)
    classifier = Classifier.from_linear(trunk, fitted.coef_, float(fitted.intercept_[0]), scaler.mean_, scaler.scale_)
    with torch.inference_mode():
        as_it_is = classifier(batch_of(*images)).numpy()
        mirrored = classifier(batch_of(*images[:, :, ::-1])).numpy()
        score = classifier.score(batch_of(*images)).numpy()
    assert np.allclose(np.stack([as_it_is, mirrored], axis=1), wanted, atol=2e-4)
    assert np.allclose(score, wanted.mean(axis=1), atol=2e-4)
    # The mean of the logits is the logit of the mean features, because the head is linear.
    assert np.allclose(score, fitted.decision_function(scaler.transform(features.mean(axis=1))), atol=2e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), n=st.integers(1, 4))
def test_the_score_does_not_know_left_from_right(trunk: Trunk, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    classifier = Classifier.from_linear(trunk, rng.normal(size=2 * trunk.spec.d), 0.0)
    images = batch_of(*(grey_image(seed=seed + i) for i in range(n)))
    with torch.inference_mode():
        score, turned = classifier.score(images), classifier.score(images.flip(-1))
    assert score.shape == (n,)
    assert torch.equal(score, turned)


def test_a_classifier_without_head_knows_nothing(trunk: Trunk) -> None:
    before = torch.get_rng_state()
    classifier = Classifier(trunk)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(classifier(batch_of(grey_image())), torch.zeros(1))


def test_a_head_of_another_size_is_refused(trunk: Trunk) -> None:
    for head in (nn.Linear(trunk.spec.d, 1), nn.Linear(2 * trunk.spec.d, 2)):
        with pytest.raises(ValueError, match=f"{2 * trunk.spec.d}, 1"):
            Classifier(trunk, head)
    with pytest.raises(ValueError, match=f"{2 * trunk.spec.d} pooled features, not 3"):
        Classifier.from_linear(trunk, np.ones(3), 0.0)


def test_the_whole_classifier_can_learn() -> None:
    classifier = Classifier(open_backbone(TINY, "random", seed=3)).train()
    images, target = batch_of(*(grey_image(seed=i) for i in range(8))), torch.arange(8) % 2
    before = {name: value.clone() for name, value in classifier.named_parameters()}
    optimiser = torch.optim.AdamW(classifier.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(6):
        loss = nn.functional.binary_cross_entropy_with_logits(classifier(images), target.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(not torch.equal(before[name], value) for name, value in classifier.named_parameters())


FORMS = st.builds(
    HeadForm,
    grid=st.integers(0, 5),
    hidden=st.lists(st.integers(1, 40), max_size=3).map(tuple),
    dropout=st.just(0.0) | st.floats(0, 0.9),
)


@settings(max_examples=40)
@given(form=FORMS, d=st.integers(1, 20), height=st.integers(1, 9), width=st.integers(1, 9))
def test_every_form_answers_maps_of_every_size_with_one_logit(form: HeadForm, d: int, height: int, width: int) -> None:
    maps = torch.rand(3, d, height, width)
    features = form.pool()(maps)
    assert features.shape == (3, form.inputs(d))
    assert form.layers(d)(features).shape == (3, 1)
    assert HeadForm.from_json(form.to_json()) == form and "linear layer" in str(form)


def test_a_grid_averages_fields_of_equal_size() -> None:
    maps = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0))
    wanted = maps.numpy().reshape(2, 3, 4, 2, 4, 3).mean(axis=(3, 5)).reshape(2, -1)
    assert np.allclose(RX.pool()(maps).numpy(), wanted, atol=1e-6)
    assert np.allclose(TOP.pool()(maps).numpy(), maps.numpy().mean(axis=(2, 3)), atol=1e-6)
    assert torch.equal(LINEAR.pool()(maps), pooled(maps))
    small = torch.rand(1, 1, 1, 2)
    assert torch.allclose(RX.pool()(small).reshape(4, 2, 2), small[0, 0, 0, :, None].expand(4, 2, 2))


def test_hidden_layers_compute_as_by_hand(trunk: Trunk) -> None:
    classifier = Classifier(trunk, form=HeadForm(grid=2, hidden=(7, 5))).eval()
    images = batch_of(grey_image(), grey_image(seed=1))
    with torch.inference_mode():
        logits = classifier(images)
        row = classifier.features(images).numpy()
    weights = [p.detach().numpy() for p in classifier.head.parameters()]
    for weight, bias in zip(weights[:4:2], weights[1:4:2], strict=True):
        row = np.maximum(row @ weight.T + bias, 0)
    assert np.allclose(logits.numpy(), (row @ weights[4].T + weights[5])[:, 0], atol=1e-5)


def test_dropout_leaves_out_its_share_in_training_and_nothing_in_evaluation(trunk: Trunk) -> None:
    classifier = Classifier(trunk, form=HeadForm(dropout=0.25))
    with torch.no_grad():
        classifier.head.dense1.weight.fill_(1.0)
    maps = torch.ones(200, trunk.spec.d, 2, 2)
    torch.manual_seed(0)
    kept = (
        classifier.train().answer(maps) * 0.75 / (2 * trunk.spec.d)
    )  # what is kept is enlarged to make up for the rest
    assert kept.mean().item() == pytest.approx(0.75, abs=0.01) and kept.std() > 0.01
    assert torch.equal(classifier.eval().answer(maps), torch.full((200,), 2.0 * trunk.spec.d))


def test_without_dropout_the_head_is_what_it_was_and_draws_no_random_number(trunk: Trunk) -> None:
    for form in (LINEAR, TOP, RX):
        classifier = Classifier(trunk, form=form)
        assert not any(isinstance(module, nn.Dropout) for module in classifier.modules())
        torch.manual_seed(7)
        before = torch.get_rng_state()
        classifier.train().answer(torch.rand(2, trunk.spec.d, 3, 3, generator=torch.Generator().manual_seed(0)))
        assert torch.equal(before, torch.get_rng_state())
    assert set(Classifier(trunk).state_dict()) == {f"trunk.net.{n}" for n in trunk.net.state_dict()} | {
        "head.weight",
        "head.bias",
    }
    assert Classifier(trunk).name == trunk.spec.name


def test_fresh_hidden_layers_follow_the_seed_and_leave_the_generator_alone(trunk: Trunk) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (Classifier(trunk, form=RX, seed=seed).head.dense1.weight for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("wrong", [{"grid": -1}, {"grid": 65}, {"hidden": (3, 0)}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_a_form_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a head has"):
        HeadForm(**wrong)


def test_networks_that_differ_have_different_names(trunk: Trunk) -> None:
    forms = (LINEAR, TOP, RX, HeadForm(dropout=0.5), HeadForm(hidden=(8,)), HeadForm(grid=2))
    assert len({Classifier(trunk, form=form).name for form in forms}) == len(forms)


def a_short_run(thawing: Thawing, folder: Path) -> tuple[Classifier, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Two epochs on noise; the network, and the states of trunk and head before."""
    network = Classifier(open_backbone(TINY, "random"), form=TOP)
    trunk, head = ({n: t.clone() for n, t in part.state_dict().items()} for part in (network.trunk, network.head))
    pixels = np.stack([grey_image(48, 48, seed=i) for i in range(48)])
    target = (np.arange(48) % 2).astype(np.float32)
    batches = Batches(pixels, np.arange(32), target[:32], 16)
    held_out = HeldOut(pixels, np.arange(32, 48), target[32:])
    options = TrainOptions(epochs=2, batch=16, thawing=thawing)
    return fit(network, batches, held_out, options, folder, seed=0).network, trunk, head


def test_with_a_frozen_trunk_training_moves_the_head_alone(tmp_path: Path) -> None:
    # Kim 2018 retrained the top layer of Inception v3 and nothing below it: neither weights nor statistics may move.
    network, trunk, head = a_short_run(Thawing((("head", 0),)), tmp_path / "frozen")
    assert any("running_mean" in name for name in trunk) and any("num_batches_tracked" in name for name in trunk)
    assert all(torch.equal(t, trunk[name]) for name, t in network.trunk.state_dict().items())
    assert all(not torch.equal(t, head[name]) for name, t in network.head.state_dict().items())
    whole, trunk, _ = a_short_run(Thawing(), tmp_path / "whole")
    moved = {name for name, t in whole.trunk.state_dict().items() if not torch.equal(t, trunk[name])}
    assert any("running_mean" in name for name in moved) and any("conv" in name for name in moved)


def test_another_form_of_the_trunk_keeps_the_head(trunk: Trunk) -> None:
    classifier = Classifier(trunk, form=RX, seed=4).eval()
    other = classifier.with_trunk(fused(trunk))
    images = batch_of(grey_image(96, 96))
    assert torch.allclose(other(images), classifier(images), atol=1e-3) and other.form == RX
