from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from osteon.errors import UnknownName
from osteon.explain.checks import on_grid
from osteon.explain.maps import EXPLAINERS, explain, grad_cam, overlay, save_overlay
from osteon.learn.backbones import open_backbone
from osteon.learn.heads import Classifier, HeadForm
from tests.explain.planted import SIDE, finds_lines, four_squares, random_head, square_of
from tests.learn.nets import TINY, batch_of, brightness_trunk, grey_image
from tests.make import SHARED

OF_A_CONVOLUTION = [name for name in EXPLAINERS if not name.startswith("attention")]
TO_EXPLAIN = (finds_lines(), random_head("test_vit"), random_head(TINY))


def finds_brightness(*, bright: float = 1.0, dark: float = 0.0) -> Classifier:
    """A classifier whose evidence is known: bright places speak for the finding by `bright`, dark ones by `dark`."""
    return Classifier.from_linear(brightness_trunk(), [bright, dark, 0.0, 0.0], 0.0)


def a_square(top: int, left: int, side: int, *, inside: int = 250, outside: int = 100) -> NDArray[np.uint8]:
    image = np.full((96, 128), outside, np.uint8)
    image[top : top + side, left : left + side] = inside
    return image


@settings(max_examples=40)
@given(top=st.integers(0, 64), left=st.integers(0, 96), side=st.integers(20, 32))
@pytest.mark.parametrize("method", ["grad-cam", "hires-cam", "layer-cam"])
def test_the_map_is_highest_where_the_evidence_was_planted(method: str, top: int, left: int, side: int) -> None:
    heat = explain(finds_brightness(), a_square(top, left, side), method).heat
    y, x = np.unravel_index(int(heat.argmax()), heat.shape)
    assert top <= y < top + side and left <= x < left + side
    far = np.ones(heat.shape, bool)
    far[max(0, top - 16) : top + side + 16, max(0, left - 16) : left + side + 16] = False
    assert heat[far].max(initial=0) == 0


@settings(max_examples=6)
@given(order=st.permutations(range(4)), direction=st.integers(0, 3))
@pytest.mark.parametrize("method", OF_A_CONVOLUTION)
def test_every_method_points_at_the_lines_that_speak_for_the_finding(
    method: str, order: list[int], direction: int
) -> None:
    # Four squares that differ in nothing but the direction of their lines: brightness and edges tell nothing.
    image = four_squares(order=tuple(order))
    found = explain(finds_lines(direction), image, method, flips=False)  # a mirror turns falling lines into rising ones
    x, y, side, _ = square_of(tuple(order), direction)[0].astype(int)
    coarse = on_grid(found.evidence)
    top, left = np.argwhere(coarse == coarse.max())[0] * SIDE / 28
    assert y - 4 <= top <= y + side and x - 4 <= left <= x + side
    left, top = square_of(tuple(order), (direction + 1) % 4)[0, :2].astype(int)
    there = found.evidence[top + 4 : top + 20, left + 4 : left + 20].sum()
    assert there < 0 if EXPLAINERS[method].signed else there <= found.evidence[y : y + side, x : x + side].sum() / 2


@settings(max_examples=8)
@given(height=st.integers(8, 70), width=st.integers(8, 70), grey=st.one_of(st.none(), st.integers(0, 255)))
@pytest.mark.parametrize("method", list(EXPLAINERS))
def test_any_image_gives_a_finite_map_of_its_size_or_a_reason(
    method: str, height: int, width: int, grey: int | None
) -> None:
    image = np.full((height, width), grey, np.uint8) if grey is not None else grey_image(height, width, seed=height)
    for classifier in TO_EXPLAIN[:1] if method in ("occlusion", "integrated-gradients") else TO_EXPLAIN:
        found = explain(classifier, image, method)
        assert found.evidence.shape == image.shape and found.evidence.dtype == np.float32
        assert np.isfinite(found.evidence).all() and np.isfinite(found.heat).all()
        assert bool(found.missing) != bool(found.evidence.any())
        assert np.abs(found.heat).max() == (0 if found.missing else 1)


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(UnknownName, match="grad-cam"):
        explain(finds_brightness(), grey_image(), "grad-kamera")


def test_what_speaks_against_the_finding_is_not_shown() -> None:
    image = a_square(32, 40, 24, inside=5, outside=250)  # a dark square on a bright ground
    speaks_against = grad_cam(finds_brightness(bright=1.0, dark=-3.0), image)
    assert speaks_against[40:48, 48:56].max() == 0 and speaks_against[4, 4] > 0.9
    speaks_for = grad_cam(finds_brightness(bright=0.0, dark=1.0), image)
    assert speaks_for[44, 52] > 0.9 and speaks_for[4, 4] == 0


def test_without_evidence_the_map_is_empty() -> None:
    for classifier in (finds_brightness(bright=-1.0), Classifier(brightness_trunk())):
        heat = grad_cam(classifier, a_square(32, 40, 24))
        assert heat.shape == (96, 128) and not heat.any()


def test_on_a_mean_head_it_equals_the_class_activation_map() -> None:
    # Selvaraju 2017, section 3.1: for a linear head on mean-pooled maps it is the class activation map of Zhou 2016.
    trunk = open_backbone("resnet18", "random", seed=2)
    weight = np.random.default_rng(0).normal(size=512)
    classifier = Classifier.from_linear(trunk, np.concatenate([weight, np.zeros(512)]), 0.0)
    image = grey_image(160, 128, seed=4)
    with torch.inference_mode():
        maps = trunk(batch_of(image))[0].double().numpy()
    activation = np.maximum(np.tensordot(weight, maps, axes=1), 0)
    wanted = cv2.resize(activation, (128, 160), interpolation=cv2.INTER_LINEAR)
    heat = grad_cam(classifier, image, flips=False)
    assert activation.max() > 0
    assert np.allclose(heat, wanted / wanted.max(), atol=1e-3)


@pytest.mark.parametrize(
    "name", [TINY, "resnet18", "tf_efficientnet_lite0", "inception_v3", "test_vit", "rx_lite", "attention56"]
)
def test_it_runs_on_any_backbone_and_says_the_same_twice(name: str) -> None:
    trunk = open_backbone(name, "random")
    weight = np.random.default_rng(1).normal(size=2 * trunk.spec.d)
    classifier = Classifier.from_linear(trunk, weight, 0.0)
    image = grey_image(96, 112, seed=1)
    heat, again = grad_cam(classifier, image), grad_cam(classifier, image)
    assert heat.shape == (96, 112) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() in (0.0, 1.0)
    assert np.array_equal(heat, again)
    turned = grad_cam(classifier, np.ascontiguousarray(image[:, ::-1]))
    assert np.allclose(turned, heat[:, ::-1], atol=1e-5)


def test_behind_hidden_layers_it_follows_the_gradient_of_the_logit() -> None:
    # Selvaraju 2017, equations 1 and 2, with finite differences in place of the gradient.
    classifier = Classifier(brightness_trunk(), form=HeadForm(grid=2, hidden=(5, 3)), seed=1).double().eval()
    image = a_square(32, 40, 24)
    with torch.inference_mode():
        maps = classifier.trunk(batch_of(image).double())
        height, width = maps.shape[2:]
        weight = []
        for channel in range(maps.shape[1]):
            shifted = maps.clone()
            shifted[:, channel] += 1e-6  # every place of a channel at once: the sum of the gradient over its places
            weight.append((classifier.answer(shifted) - classifier.answer(maps)).item() / 1e-6 / (height * width))
        small = np.maximum(np.tensordot(weight, maps[0].numpy(), axes=1), 0)
    wanted = cv2.resize(small, (128, 96), interpolation=cv2.INTER_LINEAR)
    heat = grad_cam(classifier.float(), image, flips=False)
    assert small.max() > 0 and np.allclose(heat, wanted / wanted.max(), atol=1e-3)


def test_the_classifier_is_left_as_it_was() -> None:
    classifier = Classifier.from_linear(open_backbone(TINY, "random"), np.ones(192), 0.0)
    classifier.train()
    next(m for m in classifier.modules() if isinstance(m, torch.nn.BatchNorm2d)).eval()
    frozen = next(classifier.parameters()).requires_grad_(False)
    classifier.head.bias.grad = torch.ones(1)
    modes = [module.training for module in classifier.modules()]
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    grad_cam(classifier, grey_image())
    assert [module.training for module in classifier.modules()] == modes and len(set(modes)) == 2
    assert all(torch.equal(value, classifier.state_dict()[name]) for name, value in state.items())
    assert not frozen.requires_grad and classifier.head.weight.requires_grad
    assert torch.equal(classifier.head.bias.grad, torch.ones(1)) and classifier.head.weight.grad is None
    assert not any(m._forward_hooks or m._backward_hooks for m in classifier.modules())


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(off: Callable[[], AbstractContextManager[None]]) -> None:
    classifier, image = finds_brightness(), a_square(32, 40, 24)
    wanted = grad_cam(classifier, image)
    with off():
        assert np.array_equal(grad_cam(classifier, image), wanted)


def test_an_overlay_shows_the_bone_where_the_map_is_low_and_colour_where_it_is_high() -> None:
    image = grey_image(64, 96)
    heat = np.zeros((64, 96), np.float32)
    heat[20:40, 30:60] = 1
    picture = overlay(image, heat)
    assert picture.shape == (64, 96, 3) and picture.dtype == np.uint8
    nothing = heat == 0
    assert np.array_equal(picture[nothing], np.repeat(image[nothing][:, None], 3, axis=1))
    warm = picture[~nothing].astype(int)
    assert (warm[:, 0] > warm[:, 2]).all()  # red above blue
    cold = overlay(image, -heat)[~nothing].astype(int)
    assert (cold[:, 0] < cold[:, 2]).all()
    # Bone stays visible below: where the image is brighter, so is the overlay.
    assert np.corrcoef(image[~nothing], warm.sum(axis=1))[0, 1] > 0.99
    with pytest.raises(ValueError, match="map"):
        overlay(image, heat[1:])


def test_an_overlay_is_written_as_png_the_same_each_time(tmp_path: Path) -> None:
    image, heat = a_square(32, 40, 24), grad_cam(finds_brightness(), a_square(32, 40, 24))
    save_overlay(tmp_path / "new" / "a.png", image, heat)
    save_overlay(tmp_path / "b.png", image, heat)
    assert (tmp_path / "new" / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    back = cv2.imread(str(tmp_path / "b.png"), cv2.IMREAD_COLOR)
    assert back is not None and np.array_equal(back[..., ::-1], overlay(image, heat))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.png"]


@pytest.mark.shared
def test_a_real_radiograph_gets_a_map() -> None:
    path = sorted((SHARED / "fracatlas" / "images").iterdir())[0]
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    trunk = open_backbone()
    heat = grad_cam(Classifier.from_linear(trunk, np.ones(2 * trunk.spec.d), 0.0), np.asarray(image, np.uint8))
    assert heat.shape == image.shape and heat.max() == 1
