"""InceptionV3 from Keras, RadImageNet and timm: the same features as in the network that the weights come from."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from osteon.errors import Mismatch
from osteon.learn import inception
from osteon.learn.backbones import Trunk, build, open_backbone, rebuild
from osteon.learn.fuse import fused
from tests.learn.keras_reference import as_tf2_wrote, inception_v3, output_of, save_model
from tests.learn.nets import TINY, batch_of, grey_image

HEIGHT, WIDTH = 107, 91
"""Not square, so that rows and columns cannot be mixed up; the last maps are 2 × 1."""


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return batch_of(grey_image(HEIGHT, WIDTH, seed=1), grey_image(HEIGHT, WIDTH, seed=2))


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory, images: torch.Tensor) -> tuple[Path, np.ndarray]:
    """A model that Keras saved, and the maps (n, d, h, w) that Keras computes with it."""
    model = inception_v3(height=HEIGHT, width=WIDTH, seed=3, include_top=False)
    path = tmp_path_factory.mktemp("keras") / "inception.h5"
    save_model(model, path)
    colour = np.repeat(images.numpy().transpose(0, 2, 3, 1) * 2 - 1, 3, axis=-1)  # Keras's own input: -1 to 1
    return path, output_of(model, colour).transpose(0, 3, 1, 2)


@pytest.fixture(scope="module")
def trunk(keras_file: tuple[Path, np.ndarray]) -> Trunk:
    return open_backbone("inception_v3_keras", keras_file[0])


def maps_of(trunk: Trunk, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return trunk(images).numpy()


def test_weights_from_keras_give_what_keras_gives(
    keras_file: tuple[Path, np.ndarray], trunk: Trunk, images: torch.Tensor, tmp_path: Path
) -> None:
    path, wanted = keras_file
    assert np.abs(wanted).max() > 0.1
    np.testing.assert_allclose(maps_of(trunk, images), wanted, rtol=1e-4, atol=1e-5)
    # As TensorFlow 2 wrote them, in a session that had made another model before: other paths and numbers.
    as_tf2_wrote(path, tmp_path / "tf2.h5", first=94)
    assert open_backbone("inception_v3_keras", tmp_path / "tf2.h5").spec.digest == trunk.spec.digest


def test_the_same_weights_fit_under_timms_names_and_from_a_bank_or_bundle(
    trunk: Trunk, images: torch.Tensor, tmp_path: Path
) -> None:
    save_file(trunk.net.state_dict(), tmp_path / "timm.safetensors")
    assert open_backbone("inception_v3_keras", tmp_path / "timm.safetensors").spec.digest == trunk.spec.digest
    again = rebuild(trunk.spec, dict(trunk.net.state_dict()), "the test")
    np.testing.assert_array_equal(maps_of(again, images), maps_of(trunk, images))


def test_timms_own_pooling_would_give_other_features(
    keras_file: tuple[Path, np.ndarray], trunk: Trunk, images: torch.Tensor
) -> None:
    path, wanted = keras_file
    timms = Trunk(build("inception_v3"), trunk.spec).eval()
    timms.net.load_state_dict(trunk.net.state_dict())
    assert np.abs(maps_of(timms, images) - wanted).max() > 0.1 * np.abs(wanted).max()
    with pytest.raises(Mismatch, match="choose the backbone inception_v3_keras"):
        open_backbone("inception_v3", path)
    with pytest.raises(Mismatch, match=f"{TINY} does not compute as Keras does"):
        open_backbone(TINY, path)


def test_banks_compute_it_as_it_is(keras_file: tuple[Path, np.ndarray], trunk: Trunk, images: torch.Tensor) -> None:
    with torch.inference_mode():
        folded = fused(trunk)(images).numpy()
    np.testing.assert_allclose(folded, keras_file[1], rtol=1e-3, atol=1e-4)


def as_radimagenet(net: nn.Module, *, poolings: bool) -> dict[str, torch.Tensor]:
    """The state of torchvision's layers in one nn.Sequential named `backbone`, as RadImageNet's authors saved it."""
    import torchvision

    layers = torchvision.models.inception_v3(aux_logits=False, init_weights=False, transform_input=False)
    layers.load_state_dict(net.state_dict(), strict=False)
    kept = [m for m in layers.children() if poolings or next(m.parameters(), None) is not None]
    return {f"backbone.{name}": t for name, t in nn.Sequential(*kept[:-1]).state_dict().items()}


@pytest.mark.parametrize("poolings", [True, False])  # older releases of torchvision had no layers for them
def test_weights_from_radimagenet_give_what_torchvision_gives(
    images: torch.Tensor, tmp_path: Path, poolings: bool
) -> None:
    net = build("inception_v3", seed=5)
    state = as_radimagenet(net, poolings=poolings)
    assert "backbone.0.conv.weight" in state and len(state) == len(net.state_dict())
    torch.save(state, tmp_path / "InceptionV3.pt")
    trunk = open_backbone("inception_v3", tmp_path / "InceptionV3.pt")
    assert trunk.spec.digest == open_backbone("inception_v3", "random", seed=5).spec.digest
    if poolings:
        import torchvision

        layers = torchvision.models.inception_v3(aux_logits=False, init_weights=False, transform_input=False).eval()
        layers.load_state_dict(net.state_dict(), strict=False)
        with torch.inference_mode():
            maps = (images - 0.5) / 0.5
            for layer in list(layers.children())[:-3]:  # without pooling, dropout and classifier
                maps = layer(maps.expand(-1, 3, -1, -1) if maps.shape[1] == 1 else maps)
        np.testing.assert_allclose(maps_of(trunk, images), maps.numpy(), rtol=1e-4, atol=1e-5)


def test_a_keras_file_with_its_classifier_fits_too(tmp_path: Path) -> None:
    model = inception_v3(height=75, width=75, seed=1, include_top=True, classes=5)
    save_model(model, tmp_path / "whole.h5")
    trunk = open_backbone("inception_v3_keras", tmp_path / "whole.h5")
    first = model.layers[1].kernel.value.detach().numpy()
    np.testing.assert_array_equal(trunk.net.Conv2d_1a_3x3.conv.weight.detach().numpy(), first.transpose(3, 2, 0, 1))


def changed(path: Path, target: Path, layer: str, content: np.ndarray | None) -> Path:
    """A copy of a `.h5` file in which a layer's kernel is other content, or gone."""
    target.write_bytes(path.read_bytes())
    with h5py.File(target, "r+") as stored:
        group = stored["model_weights"][layer][layer]
        del group["kernel"]
        if content is not None:
            group["kernel"] = content
    return target


def test_keras_weights_of_another_architecture_are_refused_by_name(
    keras_file: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    path, _ = keras_file
    with pytest.raises(Mismatch, match=r"another shape for Conv2d_2a_3x3\.conv\.weight"):
        wrong = np.zeros((3, 3, 32, 48), np.float32)
        open_backbone("inception_v3_keras", changed(path, tmp_path / "shape.h5", "conv2d_1", wrong))
    with pytest.raises(Mismatch, match=r"lacks Mixed_7c\.branch_pool\.conv\.weight"):
        open_backbone("inception_v3_keras", changed(path, tmp_path / "gone.h5", "conv2d_93", None))
    with h5py.File(tmp_path / "resnet.h5", "w") as other:
        other.attrs["layer_names"] = ["conv1_conv"]
        other["conv1_conv/conv1_conv/kernel:0"] = np.zeros((7, 7, 3, 64), np.float32)
    with pytest.raises(Mismatch, match=r"has unexpected conv1_conv/kernel"):
        open_backbone("inception_v3_keras", tmp_path / "resnet.h5")


def test_what_has_no_counterpart_keeps_its_name() -> None:
    own = list(build("inception_v3").state_dict())
    state = {"fc.weight": torch.zeros(1), "Conv2d_1a_3x3.conv.weight": torch.zeros(1)}
    assert inception.timm_names(state, own) == state
    numbered = inception.timm_names({"0.conv.weight": torch.zeros(1), "odd": torch.zeros(2)}, own)
    assert set(numbered) == {"Conv2d_1a_3x3.conv.weight", "odd"}
