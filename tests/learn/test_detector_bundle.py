"""Detectors in a folder: the same answers after loading, small, and no answer from a folder that was tampered with."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon import files
from osteon.errors import BadTable, CannotWrite, Mismatch, NotFound, OsteonError, UnknownName
from osteon.learn import bundle as plain
from osteon.learn.backbones import open_backbone
from osteon.learn.detector.bundle import DetectorBundle, Member, card, load, save
from osteon.learn.detector.kept import kept, restored, stored
from osteon.learn.detector.lesions import BoxRule, boxes_of
from osteon.learn.detector.network import POOLINGS, STRIDES, DetectorNetwork
from osteon.learn.healing import bundle as healing
from osteon.learn.maps import cut_behind, maps_of
from osteon.learn.weights import digest_of
from osteon.reader import ready
from osteon.types import Calibration
from tests.learn.detectors import a_bundle, a_member, a_network
from tests.learn.nets import TINY, batch_of, grey_image, largest_file
from tests.learn.test_bundle import JSON, leaves

SCORES, CELLS = 0.01, 0.05
"""Largest differences that half precision makes to log odds of images and of cells, as the detector's page has them."""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "bundle"
    save(a_bundle(), folder)
    return folder


def odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def an_image(size: int = 96, seed: int = 0) -> np.ndarray:
    return grey_image(size, size, seed=seed)


def test_what_is_saved_comes_back_and_says_the_same_to_the_last_bit(tmp_path: Path) -> None:
    bundle = a_bundle(a_member(0), a_member(1, 128, middle=16), a_member(2, pooling="top"))
    digest = save(bundle, tmp_path / "bundle").digest
    back = load(tmp_path / "bundle", "fracture")
    for seed in range(3):
        shown = [an_image(96, seed), an_image(128, seed)]
        one, other = bundle.see(shown), back.see(shown)
        assert one.probability == other.probability and np.array_equal(one.cells, other.cells)
        assert np.array_equal(one.corners, other.corners) and np.array_equal(one.scores, other.scores)
    for name in ("recipes", "task", "calibration", "rule", "thresholds", "operating_point"):
        assert getattr(back, name) == getattr(bundle, name), name
    assert [m.network.trunk.spec for m in back.members] == [m.network.trunk.spec for m in bundle.members]
    assert repr(back.origin) == repr(bundle.origin)
    assert digest == back.digest == files.digest_of(tmp_path / "bundle" / "bundle.json")
    assert not any(module.training for member in back.members for module in member.network.modules())


def test_the_same_detectors_give_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    save(a_bundle(), tmp_path / "again")
    save(load(saved), tmp_path / "third")
    assert files.digest_of(tmp_path / "again") == files.digest_of(saved) == files.digest_of(tmp_path / "third")


@pytest.mark.parametrize(("backbone", "weights"), [(TINY, "random"), ("tf_efficientnet_lite0", "default")])
@pytest.mark.parametrize("middle", [0, 16])
def test_half_precision_says_what_single_precision_says(backbone: str, weights: str, middle: int) -> None:
    network = a_network(backbone=backbone, weights=weights, middle=middle)
    before = digest_of(network.state_dict())
    small = kept(network)
    images = batch_of(*(an_image(seed=seed) for seed in range(4)))
    with torch.inference_mode():
        wanted, found = network.both(images), small.both(images)
    assert wanted.image.std() > SCORES and wanted.cells.std() > CELLS  # a network that says one thing proves nothing
    assert (wanted.image - found.image).abs().max() < SCORES
    assert (wanted.cells - found.cells).abs().max() < CELLS
    assert digest_of(network.state_dict()) == before, "the network that was given is left as it was"
    assert digest_of(kept(small).state_dict()) == digest_of(small.state_dict()), "what is rounded stays as it is"


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_answer_is_the_mean_of_the_members_answers(pooling: str) -> None:
    """The other road: each network by itself, on the image and its mirror image; maps on the grid of the first."""
    bundle = a_bundle(a_member(0, pooling=pooling), a_member(1), a_member(2, 128))
    small, large = an_image(96), an_image(128)
    with torch.inference_mode():
        said = [m.network.both(batch_of(i)) for m, i in zip(bundle.members, (small, small, large), strict=True)]
        first, second, third = (one.maps.double() for one in said)
        # Of 8 × 8 cells linearly on 6 × 6: what OpenCV and torch agree on.
        third = torch.nn.functional.interpolate(third, (6, 6), mode="bilinear", align_corners=False)
    wanted = ((first + second + third) / 3)[0].numpy()
    sight = bundle.see([small, large])
    assert np.allclose(sight.cells, wanted[0], atol=1e-4)
    score = np.mean([one.image.item() for one in said])
    assert odds(sight.probability) == pytest.approx(1.2 * score - 0.3, abs=1e-4)
    corners, heights = boxes_of(wanted, STRIDES[0], (96, 96), bundle.rule)
    assert len(corners) and np.allclose(sight.corners, corners, atol=0.1)
    assert np.allclose(sight.scores, heights * sight.probability, atol=1e-4)


def test_a_bundle_made_ready_says_the_same() -> None:
    bundle = a_bundle(a_member(0), a_member(1))
    fast, image = ready(bundle), an_image()
    assert isinstance(fast, DetectorBundle)
    one, other = bundle.see([image]), fast.see([image])
    assert odds(one.probability) == pytest.approx(odds(other.probability), abs=1e-3)
    assert np.allclose(one.cells, other.cells, atol=1e-3)


def test_detectors_on_one_trunk_store_it_once(tmp_path: Path) -> None:
    sizes = {}
    for count in (1, 3):
        save(a_bundle(*(a_member(seed) for seed in range(count))), tmp_path / str(count))
        sizes[count] = (tmp_path / str(count) / "weights.safetensors").stat().st_size
    heads = sum(t.numel() for t in a_member().network.detector.head.state_dict().values())
    assert sizes[3] - sizes[1] < 2 * 4 * heads + 4000  # two more heads and their names
    back = load(tmp_path / "3")
    assert len({id(member.network.trunk) for member in back.members}) == 1
    trained = a_bundle(a_member(0), a_member(1, middle=16))
    save(trained, tmp_path / "mixed")
    names = file_header(tmp_path / "mixed")
    assert {name.partition("/")[0] for name in names} == {"0", "1", "0-1"}


@settings(max_examples=25)
@given(order=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_whatever_detectors_share_each_comes_back_whole(pool: list[DetectorNetwork], order: list[int]) -> None:
    networks = [pool[number] for number in order]
    tensors = stored(networks)
    for number, network in enumerate(networks):
        assert digest_of(restored(tensors, number)) == digest_of(network.state_dict())
    assert restored(tensors, len(networks)) == {}
    once = stored([pool[number] for number in dict.fromkeys(order)])
    assert sum(t.numel() for t in tensors.values()) == sum(t.numel() for t in once.values())


@pytest.fixture(scope="module")
def pool() -> list[DetectorNetwork]:
    """Two heads on one trunk, and two with trunks of their own."""
    return [a_member(seed, middle=16 * (seed > 1)).network for seed in range(4)]


def test_what_lies_behind_the_maps_is_not_kept() -> None:
    trunk = open_backbone("tf_efficientnet_lite0", "random")
    short = cut_behind(trunk, STRIDES)
    gone = set(trunk.net.state_dict()) - set(short.net.state_dict())
    assert {name.partition(".")[0] for name in gone} == {"conv_head", "bn2"}
    grey = batch_of(an_image())
    with torch.inference_mode():
        assert torch.equal(maps_of(trunk, grey, STRIDES), maps_of(short, grey, STRIDES))
        assert short(grey).shape[1] == short.spec.d == 320
    assert trunk.spec.d == 1280


def file_header(folder: Path) -> dict[str, dict[str, object]]:
    content = (folder / "weights.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return {name: entry for name, entry in header.items() if name != "__metadata__"}


def test_nothing_in_a_bundle_is_code_and_matrices_are_in_half_precision(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["README.md", "bundle.json", "weights.safetensors"]
    for entry in file_header(saved).values():
        assert entry["dtype"] == ("F16" if len(entry["shape"]) > 1 else "F32") or entry["dtype"] == "I64"  # type: ignore[arg-type]


def test_a_network_that_is_not_rounded_or_was_changed_is_refused(tmp_path: Path) -> None:
    member = a_member()
    with pytest.raises(Mismatch, match="is not rounded; pass what `kept` gives"):
        save(a_bundle(replace(member, network=a_network())), tmp_path / "bundle")
    with torch.no_grad():
        next(member.network.trunk.net.parameters()).mul_(2)
    with pytest.raises(Mismatch, match="were changed"):
        save(a_bundle(member), tmp_path / "bundle")
    large = a_network()
    with torch.no_grad():
        large.detector.head.cell.weight.fill_(1e5)
    with pytest.raises(Mismatch, match="half precision"):
        kept(large)
    assert not (tmp_path / "bundle").exists()


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(Mismatch, match="trained on"):
        a_bundle().see([an_image(64)])


def test_kinds_of_bundle_are_not_taken_for_each_other(saved: Path, tmp_path: Path) -> None:
    for loader in (plain.load, healing.load):
        with pytest.raises(Mismatch, match="kind 'lesions'"):
            loader(saved)
    with pytest.raises(Mismatch, match="answers “fracture”, not “colour”"):
        load(saved, task="colour")
    with pytest.raises(NotFound, match="osteon train"):
        load(tmp_path)


@settings(max_examples=100)
@given(data=st.data())
def test_no_value_in_the_description_ends_in_a_traceback(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = json.loads((saved / "bundle.json").read_text())
    *where, last = data.draw(st.sampled_from(leaves(content)))
    place = content
    for key in where:
        place = place[key]
    if data.draw(st.booleans()):
        place[last] = data.draw(JSON)
    else:
        del place[last]
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy(saved / "weights.safetensors", folder)
    (folder / "bundle.json").write_text(json.dumps(content))
    try:
        assert isinstance(load(folder), DetectorBundle)  # free text, and numbers of the right kind, cannot be told
    except OsteonError as refused:
        assert refused.remedy


@settings(max_examples=30)
@given(data=st.data())
def test_no_damage_to_the_weights_goes_unseen(
    saved: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((saved / "weights.safetensors").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("wrong")
    shutil.copy(saved / "bundle.json", folder)
    (folder / "weights.safetensors").write_bytes(
        content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))]
    )
    with pytest.raises(Mismatch, match="SHA-256"):
        load(folder)


def test_weights_that_do_not_fit_are_refused(saved: Path, tmp_path: Path) -> None:
    """With the right digest in the description: somebody who rewrites both is told what does not fit."""
    for number, change in enumerate(({"name": "resnet18"}, {"digest": "0" * 64})):
        content = json.loads((saved / "bundle.json").read_text())
        content["members"][0]["trunk"] |= change
        folder = tmp_path / str(number)
        shutil.copytree(saved, folder)
        (folder / "bundle.json").write_text(json.dumps(content))
        with pytest.raises(Mismatch, match=r"does not (fit|hold)"):
            load(folder)
    (saved.parent / "empty").mkdir()
    with pytest.raises(NotFound):
        load(saved.parent / "empty")


def test_a_bundle_is_checked_at_birth() -> None:
    with pytest.raises(UnknownName, match="fracture"):
        a_bundle(task="colour")
    with pytest.raises(UnknownName, match="youden"):
        a_bundle(operating_point="best")
    with pytest.raises(ValueError, match="number"):
        a_bundle(calibration=Calibration(math.inf, 0.0, 1, 0.5))
    with pytest.raises(ValueError, match="1 to 64 detectors"):
        a_bundle(members=())
    with pytest.raises(ValueError, match="positive"):
        a_bundle(Member(a_member().network, (), (0, 4)))
    with pytest.raises(ValueError, match="least and overlap"):
        a_bundle(rule=BoxRule(least=0))


def test_a_failed_save_leaves_the_earlier_bundle(tmp_path: Path) -> None:
    save(a_bundle(), tmp_path / "bundle")
    before = files.digest_of(tmp_path / "bundle")
    with largest_file(1000), pytest.raises(CannotWrite):
        save(a_bundle(a_member(3)), tmp_path / "bundle")
    assert files.digest_of(tmp_path / "bundle") == before


def test_a_description_of_another_kind_of_file_is_refused(saved: Path, tmp_path: Path) -> None:
    shutil.copytree(saved, tmp_path / "bundle")
    for text in ("", "[]", "{}", '{"format": 1, "head": "lesions"}', "null"):
        (tmp_path / "bundle" / "bundle.json").write_text(text)
        with pytest.raises(BadTable):
            load(tmp_path / "bundle")


def test_a_bundle_says_what_it_is(saved: Path) -> None:
    bundle = load(saved)
    assert "0.910 (0.850 to 0.960), best floor 0.620 (0.500 to 0.700)" in bundle.describe()
    assert "and where" in bundle.describe() and "one detector" in bundle.describe()
    assert "the mean of 2 detectors" in a_bundle(a_member(0), a_member(1, 128)).describe()
    text = (saved / "README.md").read_text()
    assert text == card(bundle)
    said = ("Research use only", "not a medical device", "CC BY 4.0", "Hardware is nearly always", "(tags)")
    for words in (*said, "no other fold has boxes", "youden (used)", "abc1234", "120 images, 40% of them"):
        assert words in text, words
