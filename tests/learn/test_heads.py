from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import nn

from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.features import features_of
from osteon.learn.heads import Classifier, pooled
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
