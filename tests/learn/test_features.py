from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from osteon import files
from osteon.errors import BadTable, CannotWrite, Mismatch, NotFound, TooFewCases, UnreadableImage
from osteon.learn.backbones import Trunk, open_backbone
from osteon.learn.features import FeatureBank, extract
from osteon.learn.fuse import fused
from osteon.learn.networks.torchvision_shim import timm
from tests.learn.nets import TINY, batch_of, brightness_trunk, grey_image, largest_file, write_images


@pytest.fixture(scope="module")
def tiny() -> Trunk:
    return open_backbone(TINY, "random")


def by_hand(trunk: Trunk, path: Path, flips: int = 2) -> NDArray[np.float64]:
    """Features (flips, 2d) by the obvious road: PIL, a plain timm network, numpy pooling."""
    net = timm.create_model(trunk.spec.name, pretrained=False, num_classes=0).eval()
    net.load_state_dict(trunk.net.state_dict())
    grey = np.asarray(Image.open(path), dtype=float) / 255
    rows = []
    for image in (grey, grey[:, ::-1], grey[::-1], grey[::-1, ::-1])[:flips]:
        colour = (np.stack([image] * 3) - np.reshape(trunk.spec.mean, (3, 1, 1))) / np.reshape(
            trunk.spec.std, (3, 1, 1)
        )
        with torch.no_grad():
            maps = net.forward_features(torch.tensor(colour[None], dtype=torch.float32))[0].numpy()
        positions = maps.reshape(len(maps), -1)
        rows.append(np.concatenate([positions.mean(axis=1), positions.max(axis=1)]))
    return np.array(rows)


@pytest.mark.parametrize("name", [TINY, "tf_efficientnet_lite0"])
def test_features_are_those_of_a_plain_timm_network(tmp_path: Path, name: str) -> None:
    trunk = open_backbone(name, "random")
    images = write_images(tmp_path / "images", 4, sizes=[(64, 64), (96, 64)])
    bank = extract(trunk, images, tmp_path / "bank", threads=1)
    order = list(images)[::-1]
    found = bank.array(order)
    wanted = np.array([by_hand(trunk, images[image]) for image in order])
    assert found.shape == (4, 2, 2 * trunk.spec.d) and found.dtype == np.float32
    assert np.allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_bank_of_four_flips_holds_those_of_both_axes(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 5, sizes=[(64, 64), (96, 64)])
    order = list(images)
    extract(tiny, dict(list(images.items())[:2]), tmp_path / "four", flips=4)
    bank = extract(tiny, images, tmp_path / "four", flips=4)
    wanted = np.array([by_hand(tiny, images[image], flips=4) for image in order])
    assert (bank.flips, bank.reused, bank.array(order, flips=4).shape) == (4, 2, (5, 4, 2 * tiny.spec.d))
    assert np.allclose(bank.array(order, flips=4), wanted, atol=1e-3 * np.abs(wanted).max())
    # Who asks for no number gets the two that a classifier averages over, the same as from a bank of two.
    two = extract(tiny, images, tmp_path / "two")
    assert np.array_equal(bank.array(order), two.array(order)) and bank.array([], flips=4).shape[1] == 4
    with pytest.raises(Mismatch, match="holds 2 flips of each image, not 4"):
        two.array(order, flips=4)
    for folder, flips in ((tmp_path / "four", 2), (tmp_path / "two", 4)):
        with pytest.raises(Mismatch, match="another folder"):
            extract(tiny, images, folder, flips=flips)
    with pytest.raises(ValueError, match="2 or 4 flips"):
        extract(tiny, images, tmp_path / "three", flips=3)


def test_a_second_run_computes_nothing_and_a_longer_one_only_what_is_new(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 9)
    few = dict(list(images.items())[:5])
    first = extract(tiny, few, tmp_path / "bank", threads=1)
    digest = files.digest_of(tmp_path / "bank")
    again = extract(tiny, few, tmp_path / "bank", threads=1)
    assert (first.computed, first.reused, again.computed, again.reused) == (5, 0, 0, 5)
    assert files.digest_of(tmp_path / "bank") == digest
    more = extract(tiny, images, tmp_path / "bank", threads=1)
    assert (more.computed, more.reused, len(more)) == (4, 5, 9)
    assert np.array_equal(more.array(list(few)), first.array(list(few)))
    assert "image0000" in more and "image9999" not in more


def test_the_bytes_depend_on_neither_threads_nor_earlier_runs(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 70, sizes=[(64, 64), (64, 96)])
    extract(tiny, images, tmp_path / "one", threads=1)
    extract(tiny, images, tmp_path / "three", threads=3)
    extract(tiny, dict(list(images.items())[:13]), tmp_path / "two goes", threads=2)
    extract(tiny, images, tmp_path / "two goes", threads=2)
    assert len({files.digest_of(tmp_path / name) for name in ("one", "three", "two goes")}) == 1


def test_a_batch_gives_the_same_features_to_rounding(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 7, sizes=[(64, 64), (64, 64), (96, 64)])
    single = extract(tiny, images, tmp_path / "single").array(list(images))
    batched = extract(tiny, images, tmp_path / "batched", batch=4).array(list(images))
    assert np.allclose(single, batched, atol=1e-4 * np.abs(single).max())


def test_an_image_that_was_prepared_anew_is_computed_anew(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 4)
    before = extract(tiny, images, tmp_path / "bank").array(list(images))
    FeatureBank.open(tmp_path / "bank").check_fresh(images)
    cv2.imwrite(str(images["image0002"]), grey_image(seed=99))
    with pytest.raises(Mismatch, match="1 of 4 images were prepared anew"):
        FeatureBank.open(tmp_path / "bank").check_fresh(images)
    bank = extract(tiny, images, tmp_path / "bank")
    bank.check_fresh(images)
    after = bank.array(list(images))
    assert (bank.computed, bank.reused, len(bank)) == (1, 3, 4)
    changed = np.any(before != after, axis=(1, 2))
    assert changed.tolist() == [False, False, True, False]
    reopened = FeatureBank.open(tmp_path / "bank")
    assert np.array_equal(reopened.array(list(images)), after) and reopened.trunk == tiny.spec


class Stop(Exception):
    """The run was interrupted."""


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    trunk = brightness_trunk()
    images = write_images(tmp_path / "images", 150, sizes=[(96, 96)])

    def stop(done: int, total: int) -> None:
        assert total == 150
        if done == 100:
            raise Stop

    with pytest.raises(Stop):
        extract(trunk, images, tmp_path / "bank", progress=stop)
    kept = len(FeatureBank.open(tmp_path / "bank"))
    assert 0 < kept <= 100
    resumed = extract(trunk, images, tmp_path / "bank")
    assert (resumed.reused, resumed.computed) == (kept, 150 - kept)
    extract(trunk, images, tmp_path / "fresh")
    assert files.digest_of(tmp_path / "bank") == files.digest_of(tmp_path / "fresh")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("finished")
    images = write_images(folder / "images", 6, sizes=[(96, 96)])
    extract(brightness_trunk(), images, folder / "bank")
    return folder, images


@settings(max_examples=30)
@given(index=st.integers(0, 500), rows=st.integers(0, 6), rubbish=st.binary(max_size=40))
def test_a_kill_at_any_moment_of_writing_loses_no_row_that_was_named(
    finished: tuple[Path, dict[str, Path]],
    tmp_path_factory: pytest.TempPathFactory,
    index: int,
    rows: int,
    rubbish: bytes,
) -> None:
    folder, images = finished
    bank = tmp_path_factory.mktemp("killed") / "bank"
    shutil.copytree(folder / "bank", bank)
    lines = (bank / "index.tsv").read_bytes()[:index]
    named = lines.count(b"\n")
    (bank / "index.tsv").write_bytes(lines)
    values = (bank / "features.npy").read_bytes()
    row = (len(values) - 128) // 6
    # Values are on the disk before the lines that name them: some rows more than lines, and a row written in part.
    (bank / "features.npy").write_bytes(values[: 128 + max(named, rows) * row] + rubbish)
    header = np.lib.format.header_data_from_array_1_0(np.empty((max(named, rows), 2, 4), np.float32))
    with (bank / "features.npy").open("r+b") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
    resumed = extract(brightness_trunk(), images, bank)
    assert (resumed.reused, resumed.computed) == (named, 6 - named)
    assert np.array_equal(resumed.array(list(images)), FeatureBank.open(folder / "bank").array(list(images)))


def test_features_of_another_trunk_are_never_served(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 2)
    extract(tiny, images, tmp_path / "bank")
    digest = files.digest_of(tmp_path / "bank")
    with pytest.raises(Mismatch, match="another folder"):
        extract(open_backbone(TINY, "random", seed=1), images, tmp_path / "bank")
    changed = open_backbone(TINY, "random")
    with torch.no_grad():
        next(changed.net.parameters()).mul_(2)
    with pytest.raises(Mismatch, match="mark_trained"):
        extract(changed, images, tmp_path / "bank")
    assert files.digest_of(tmp_path / "bank") == digest


def test_a_bank_carries_its_trunk(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 2)
    bank = extract(tiny, images, tmp_path / "bank")
    trunk = FeatureBank.open(tmp_path / "bank").open_trunk()
    assert trunk.spec == tiny.spec and not trunk.training
    assert np.array_equal(extract(trunk, images, tmp_path / "again").array(list(images)), bank.array(list(images)))
    other = extract(open_backbone(TINY, "random", seed=1), images, tmp_path / "other")
    shutil.copy(other.folder / "trunk.safetensors", bank.folder / "trunk.safetensors")
    with pytest.raises(Mismatch, match="does not hold the weights"):
        bank.open_trunk()
    (bank.folder / "trunk.safetensors").unlink()
    with pytest.raises(NotFound):
        bank.open_trunk()


def test_bad_input_ends_in_a_clear_error(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 2)
    with pytest.raises(TooFewCases):
        extract(tiny, {}, tmp_path / "bank")
    with pytest.raises(NotFound, match="osteon prepare"):
        extract(tiny, images | {"gone": tmp_path / "gone.png"}, tmp_path / "bank")
    for name, content in {"cut": images["image0000"].read_bytes()[:60], "empty": b"", "text": b"no image"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableImage, match=name):
            extract(tiny, {name: tmp_path / name}, tmp_path / "bank")
    cv2.imwrite(str(tmp_path / "colour.png"), np.zeros((64, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "deep.png"), np.zeros((64, 64), np.uint16))
    for name in ("colour.png", "deep.png"):
        with pytest.raises(UnreadableImage) as refused:
            extract(tiny, {name: tmp_path / name}, tmp_path / "bank")
        assert refused.value.code == "not_grey"
    with pytest.raises(BadTable, match="tab"):
        extract(tiny, {"a\tb": images["image0000"]}, tmp_path / "bank")
    with pytest.raises(NotFound, match=r"lacks 1 of 2 images, e\.g\. nowhere"):
        extract(tiny, images, tmp_path / "bank").array(["image0000", "nowhere"])


def test_a_damaged_bank_is_refused(tmp_path: Path, tiny: Trunk) -> None:
    with pytest.raises(NotFound, match="osteon features"):
        FeatureBank.open(tmp_path)
    extract(tiny, write_images(tmp_path / "images", 3), tmp_path / "bank")
    damages = {
        "bank.json": ['{"format": 99}', "[]", '{"format": 1, "trunk": {"name": 3}}', "{"],
        "index.tsv": ["one column\n", "a\tb\tc\n", "x\ty\n" * 4],
        "features.npy": ["", "no numpy file"],
    }
    for name, contents in damages.items():
        whole = (tmp_path / "bank" / name).read_bytes()
        for content in contents:
            (tmp_path / "bank" / name).write_text(content)
            with pytest.raises(BadTable):
                FeatureBank.open(tmp_path / "bank")
        (tmp_path / "bank" / name).write_bytes(whole)
    assert len(FeatureBank.open(tmp_path / "bank")) == 3


def test_a_full_disk_leaves_the_bank_as_it_was(tmp_path: Path, tiny: Trunk) -> None:
    images = write_images(tmp_path / "images", 90)
    few = dict(list(images.items())[:20])
    wanted = extract(tiny, few, tmp_path / "bank").array(list(few))
    room = (tmp_path / "bank" / "features.npy").stat().st_size + 1000
    with largest_file(room), pytest.raises(CannotWrite, match="free some space"):
        extract(tiny, images, tmp_path / "bank")
    bank = FeatureBank.open(tmp_path / "bank")
    assert len(bank) == 20 and np.array_equal(bank.array(list(few)), wanted)
    extract(tiny, images, tmp_path / "bank")
    with largest_file(1000), pytest.raises(CannotWrite):
        extract(tiny, images, tmp_path / "fresh")
    extract(tiny, images, tmp_path / "fresh")
    assert files.digest_of(tmp_path / "bank") == files.digest_of(tmp_path / "fresh")


def test_extraction_leaves_trunk_and_torch_as_they_were(tmp_path: Path) -> None:
    trunk = open_backbone(TINY, "random").train()
    state, threads = {name: t.clone() for name, t in trunk.state_dict().items()}, torch.get_num_threads()
    extract(trunk, write_images(tmp_path / "images", 2), tmp_path / "bank", threads=2)
    assert torch.get_num_threads() == threads
    assert all(module.training for module in trunk.modules())
    assert all(p.requires_grad for p in trunk.parameters())
    assert all(torch.equal(value, trunk.state_dict()[name]) for name, value in state.items())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18", "inception_v3", "test_convnext", "test_nfnet"])
def test_a_fused_trunk_gives_the_same_maps(name: str) -> None:
    trunk = open_backbone(name, "random")
    for module in trunk.modules():  # fresh statistics (0 and 1) would hide an error in folding them
        if isinstance(module, nn.BatchNorm2d):
            generator = torch.Generator().manual_seed(module.num_features)
            for tensor, low in ((module.running_mean, -0.3), (module.running_var, 0.5), (module.weight.data, 0.5)):
                assert tensor is not None
                tensor.copy_(low + torch.rand(tensor.shape, generator=generator))
    ready = fused(trunk)
    images = batch_of(grey_image(112, 96), grey_image(112, 96, seed=1))
    with torch.inference_mode():
        wanted, found = trunk(images), ready(images)
    assert torch.allclose(wanted, found, atol=1e-4 * float(wanted.abs().max()))
    left = [m for m in ready.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not left and ready.spec == trunk.spec


class Twice(nn.Module):
    """Uses what a convolution gives before and after the normalisation: folding one into the other would be wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3)
        self.normalisation = nn.BatchNorm2d(2)

    def forward_features(self, colour: torch.Tensor) -> torch.Tensor:
        given = self.convolution(colour)
        maps: torch.Tensor = self.normalisation(given) + given
        return maps


def test_a_network_that_cannot_be_fused_is_kept_as_it_is() -> None:
    trunk = Trunk(Twice(), brightness_trunk().spec).eval()
    assert isinstance(trunk.net.normalisation, nn.BatchNorm2d) and trunk.net.normalisation.running_var is not None
    trunk.net.normalisation.running_var.fill_(4.0)
    images = batch_of(grey_image())
    with torch.inference_mode():
        assert torch.allclose(trunk(images), fused(trunk)(images), atol=1e-6)
