from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from osteon.explain import relevance
from osteon.explain.maps import explain
from osteon.explain.relevance import NotConserved
from osteon.learn.backbones import open_backbone
from osteon.learn.detector.network import DetectorNetwork, LesionHead
from osteon.learn.heads import RX, TOP, Classifier, HeadForm
from osteon.learn.maps import channels_of
from tests.explain.planted import random_head, rx_of
from tests.learn.nets import TINY, batch_of, grey_image


def last_bias(classifier: Classifier) -> float:
    return float([m for m in classifier.head.modules() if isinstance(m, nn.Linear)][-1].bias.detach())


@pytest.mark.parametrize(
    ("name", "form", "side"),
    [
        ("rx_lite", RX, 96),
        ("rx_lite", TOP, 96),
        ("resnet18", TOP, 96),
        (TINY, HeadForm(), 64),
        ("test_resnet", HeadForm(grid=2, hidden=(8,)), 64),
        ("tf_efficientnet_lite0", HeadForm(), 96),
    ],
)
def test_relevance_adds_up_to_the_logit_less_the_last_bias(name: str, form: HeadForm, side: int) -> None:
    classifier, images = random_head(name, form=form), batch_of(grey_image(side, side, seed=3))
    found = relevance.relevance(classifier, images)
    with torch.no_grad():
        wanted = float(classifier(images)) - last_bias(classifier)
    assert found.shape == (1, side, side)
    assert float(found.sum()) == pytest.approx(wanted, rel=0.01)


def test_with_the_weights_of_imagenet_too() -> None:
    # Trained normalisation leaves large biases: without rules for them nine tenths of the relevance are lost here.
    classifier, images = random_head("tf_efficientnet_lite0", weights_of=None), batch_of(grey_image(96, 96, seed=3))
    with torch.no_grad():
        wanted = float(classifier(images)) - last_bias(classifier)
    assert float(relevance.relevance(classifier, images).sum()) == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize("name", ["inception_v3", "inception_v3_keras"])
def test_means_at_the_border_hand_back_all_that_they_got(name: str) -> None:
    classifier, images = random_head(name, form=TOP), batch_of(grey_image(80, 80, seed=3))
    with torch.no_grad():
        classifier.head.weight.div_(1e10)  # random weights without normalisation make maps of this size
        wanted = float(classifier(images)) - last_bias(classifier)
    assert float(relevance.relevance(classifier, images).sum()) == pytest.approx(wanted, rel=0.01)


def test_two_layers_by_hand() -> None:
    rng = np.random.default_rng(4)
    filters, bias = rng.normal(size=(3, 3, 3)), rng.normal(size=3)
    classifier = Classifier(rx_of(filters, bias), form=HeadForm(grid=1, hidden=(2,)), seed=3).eval()
    first, last = (layer for layer in classifier.head.modules() if isinstance(layer, nn.Linear))
    image = rng.integers(0, 256, (4, 4), dtype=np.uint8)
    x = image / 255.0

    fields = [x[y : y + 3, z : z + 3] for y in range(2) for z in range(2)]  # the pool takes the largest of the four
    before = np.array([[(w * field).sum() + b for field in fields] for w, b in zip(filters, bias, strict=True)])
    winner, maps = before.argmax(axis=1), np.maximum(before.max(axis=1), 0)
    w1, b1, w2 = (t.detach().double().numpy() for t in (first.weight, first.bias, last.weight[0]))
    hidden = np.maximum(w1 @ maps + b1, 0)
    of_hidden = w2 * hidden  # LRP-0 of the logit
    parts = w1 * maps
    of_maps = (parts / parts.sum(axis=1, keepdims=True) * of_hidden[:, None]).sum(axis=0)  # epsilon, biases left out
    wanted = np.zeros((4, 4))
    for w, field, r in zip(filters, winner, of_maps, strict=True):
        y, z = divmod(int(field), 2)
        given = fields[field] * w - 0.0 * np.maximum(w, 0) - 1.0 * np.minimum(w, 0)  # z-box between 0 and 1
        wanted[y : y + 3, z : z + 3] += given / given.sum() * r
    assert hidden.any() and np.abs(wanted).max() > 0
    assert np.allclose(relevance.relevance(classifier, batch_of(image))[0], wanted, rtol=1e-3, atol=1e-5)


def test_what_has_no_rules_has_no_map() -> None:
    image = grey_image(96, 96)
    for name in ("test_vit", "attention56", "test_efficientnet"):
        found = explain(Classifier(open_backbone(name, "random")), image, "lrp")
        assert "no rules" in found.missing and not found.evidence.any()
    trunk = open_backbone("resnet18", "random")
    found = explain(DetectorNetwork(trunk, LesionHead(*channels_of(trunk, (16, 32)))).eval(), image, "lrp")
    assert "one head" in found.missing


def test_relevance_that_does_not_add_up_is_not_shown() -> None:
    with pytest.raises(NotConserved, match="not conserved"):
        relevance._must_add_up(torch.ones(1, 1, 2, 2), torch.tensor([5.0]))
    with pytest.raises(NotConserved):
        relevance._must_add_up(torch.full((1, 1, 2, 2), float("nan")), torch.tensor([5.0]))
