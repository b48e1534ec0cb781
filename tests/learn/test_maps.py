"""Maps keep the place, come from the network as it is, and stand in a bank by image and flip."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from osteon.errors import BadTable, Mismatch, NotFound
from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.features import FeatureBank, extract
from osteon.learn.maps import apart, channels_of, flips_of, maps_of, sided, stage_names, stages_after
from tests.learn.nets import TINY, batch_of, brightness_trunk, grey_image, write_images


def by_hooks(trunk: Trunk, grey: Tensor, modules: tuple[str, str]) -> tuple[Tensor, Tensor]:
    """What two modules of the network give, caught on the way: another road to the maps."""
    caught: list[Tensor] = []
    hooks = [
        trunk.net.get_submodule(name).register_forward_hook(lambda module, given, out: caught.append(out))
        for name in modules
    ]
    with torch.inference_mode():
        trunk(grey)
    for hook in hooks:
        hook.remove()
    return caught[0], caught[1]


@pytest.mark.parametrize(
    ("name", "modules"), [("tf_efficientnet_lite0", ("blocks.2", "blocks.4")), ("resnet18", ("layer2", "layer3"))]
)
def test_maps_are_those_of_two_stages_with_every_fine_value_in_its_place(name: str, modules: tuple[str, str]) -> None:
    trunk = open_backbone(name, "random")
    grey = batch_of(grey_image(64, 96, seed=1), grey_image(64, 96, seed=2))
    fine, coarse = by_hooks(trunk, grey, modules)
    with torch.inference_mode():
        maps = maps_of(trunk, grey)
    c = fine.shape[1]
    assert maps.shape == (2, 4 * c + coarse.shape[1], 4, 6)
    assert torch.allclose(maps[:, 4 * c :], coarse, atol=1e-5)
    for channel, row, column in ((0, 0, 0), (3, 5, 2), (c - 1, 7, 11)):
        place = 4 * channel + 2 * (row % 2) + column % 2
        assert torch.allclose(maps[:, place, row // 2, column // 2], fine[:, channel, row, column], atol=1e-5)


@pytest.mark.parametrize("strides", [(16, 32), (8, 16, 32), (8,)])
def test_maps_of_any_strides_can_be_taken_apart_again(strides: tuple[int, ...]) -> None:
    trunk = open_backbone("resnet18", "random")
    grey = batch_of(grey_image(64, 96, seed=1), grey_image(64, 96, seed=2))
    layers = {8: "layer2", 16: "layer3", 32: "layer4"}
    with torch.inference_mode():
        found = apart(maps_of(trunk, grey, strides), strides, channels_of(trunk, strides))
    for stride, maps in zip(strides, found, strict=True):
        wanted, _ = by_hooks(trunk, grey, (layers[stride], layers[stride]))
        assert maps.shape[-2:] == (64 // stride, 96 // stride) and torch.allclose(maps, wanted, atol=1e-5)
    assert stage_names(trunk, strides) == [layers[stride] for stride in strides]
    assert stages_after(trunk, 8, 32) == ["layer3", "layer4"]


def test_a_bank_is_of_one_choice_of_strides(tmp_path: Path) -> None:
    trunk = open_backbone(TINY, "random")
    images = write_images(tmp_path / "images", 3)
    bank = extract(trunk, images, tmp_path / "bank", maps=True, strides=(16, 32), threads=1)
    assert bank.strides == FeatureBank.open(tmp_path / "bank").strides == (16, 32)
    found = bank.maps_of(list(images), np.zeros(3, int))
    grey = batch_of(*(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in images.values()))
    with torch.inference_mode():
        wanted = maps_of(trunk, grey, (16, 32)).numpy()
    assert np.allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())
    with pytest.raises(Mismatch, match="at strides of 16 and 32 pixels, not maps"):
        extract(trunk, images, tmp_path / "bank", maps=True, threads=1)


def test_a_network_that_does_not_pad_gives_maps_that_fit_each_other() -> None:
    trunk = open_backbone("inception_v3", "random")
    with torch.inference_mode():
        maps = maps_of(trunk, torch.zeros(1, 1, 160, 128))
    assert maps.shape[1] == 4 * 288 + 768 and maps.ndim == 4


def test_a_backbone_without_these_strides_is_refused() -> None:
    with pytest.raises(Mismatch, match="strides of 8 and 16"):
        maps_of(brightness_trunk(), torch.zeros(1, 1, 64, 64))


def test_a_bank_of_maps_holds_both_flips_and_gives_the_one_asked_for(tmp_path: Path) -> None:
    trunk = open_backbone(TINY, "random")
    images = write_images(tmp_path / "images", 5)
    extract(trunk, dict(list(images.items())[:2]), tmp_path / "bank", maps=True, threads=1)
    bank = extract(trunk, images, tmp_path / "bank", maps=True, threads=2)
    assert (bank.computed, bank.reused) == (3, 2)
    order, flips = [*images][::-1], np.array([0, 1, 1, 0, 1])
    found = FeatureBank.open(tmp_path / "bank").maps_of(order, flips)
    grey = [cv2.imread(str(images[image]), cv2.IMREAD_GRAYSCALE) for image in order]
    with torch.inference_mode():
        wanted = maps_of(trunk, batch_of(*(g[:, ::-1] if f else g for g, f in zip(grey, flips, strict=True)))).numpy()
    assert found.dtype == np.float16 and found.shape == wanted.shape
    assert np.allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())


def test_maps_and_pooled_features_are_not_mixed_up(tmp_path: Path) -> None:
    trunk = open_backbone(TINY, "random")
    images = write_images(tmp_path / "images", 3)
    pooled = extract(trunk, images, tmp_path / "pooled")
    maps = extract(trunk, images, tmp_path / "maps", maps=True)
    with pytest.raises(Mismatch, match="holds pooled features"):
        pooled.maps_of(list(images), np.zeros(3, int))
    with pytest.raises(Mismatch, match="holds maps"):
        maps.array(list(images))
    with pytest.raises(Mismatch, match="holds pooled features, not maps"):
        extract(trunk, images, tmp_path / "pooled", maps=True)
    with pytest.raises(Mismatch, match="not pooled features"):
        extract(trunk, images, tmp_path / "maps")
    with pytest.raises(NotFound, match="lacks 1 of 1 images"):
        maps.maps_of(["unknown"], np.zeros(1, int))
    mixed = write_images(tmp_path / "mixed", 2, sizes=[(64, 64), (96, 64)])
    with pytest.raises(BadTable, match="another size"):
        extract(trunk, mixed, tmp_path / "uneven", maps=True)


def test_right_legs_are_mirrored_and_unknown_ones_are_not() -> None:
    manifest = pd.DataFrame({"laterality": ["L", "R", "", pd.NA, "B"], "resolved_side": ["", "L", "R", "", "R"]})
    assert flips_of(manifest).tolist() == [0, 1, 1, 0, 0]  # what the file says goes first
    assert sided(manifest).tolist() == [True, True, True, False, False]
    assert flips_of(manifest[["laterality"]]).tolist() == [0, 1, 0, 0, 0]
