"""InceptionV3 from Keras, RadImageNet and timm: the same features as in the network that the weights come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from osteon.errors import Mismatch
from osteon.learn import weights
from osteon.learn.backbones import Trunk, build, open_backbone, rebuild
from osteon.learn.fuse import fused
from osteon.learn.networks import inception
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


def torchvisions() -> nn.Module:
    import torchvision

    return torchvision.models.inception_v3(aux_logits=False, init_weights=False, transform_input=False).eval()


def test_weights_from_radimagenet_give_what_torchvision_gives(images: torch.Tensor, tmp_path: Path) -> None:
    net, theirs = build("inception_v3", seed=5), torchvisions()
    theirs.load_state_dict(net.state_dict(), strict=False)
    # RadImageNet's authors saved torchvision's layers in one nn.Sequential, without the classifier.
    layers = nn.Sequential(*list(theirs.children())[:-1])
    state = {f"backbone.{name}": tensor for name, tensor in layers.state_dict().items()}
    assert "backbone.0.conv.weight" in state and len(state) == len(net.state_dict())
    torch.save(state, tmp_path / "InceptionV3.pt")
    trunk = open_backbone("inception_v3", tmp_path / "InceptionV3.pt")
    with torch.inference_mode():
        wanted = layers[:-2](((images - 0.5) / 0.5).expand(-1, 3, -1, -1))  # without mean and dropout
    np.testing.assert_allclose(maps_of(trunk, images), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_older_releases_of_torchvision_numbered_no_poolings() -> None:
    own = build("inception_v3").state_dict()
    kept = [layer for layer in torchvisions().children() if next(layer.parameters(), None) is not None]
    state = {f"{number}.{name}": t for number, layer in enumerate(kept[:-1]) for name, t in layer.state_dict().items()}
    renamed = inception.timm_names(state, own)
    assert {name: t.shape for name, t in renamed.items()} == {name: t.shape for name, t in own.items()}


def test_keras_weights_of_another_architecture_are_refused_by_name(keras_file: tuple[Path, np.ndarray]) -> None:
    state, net = weights.read(keras_file[0]), inception.build_keras()

    def filled(changed: dict[str, torch.Tensor]) -> None:
        weights.fill(net, inception.timm_names(changed, net.state_dict()), classifier=("fc",), where="the test")

    filled(state | {"predictions/kernel": torch.zeros(2048, 9), "predictions/bias": torch.zeros(9)})
    with pytest.raises(Mismatch, match=r"another shape for Conv2d_2a_3x3\.conv\.weight"):
        filled(state | {"conv2d_1/kernel": torch.zeros(3, 3, 32, 48)})
    with pytest.raises(Mismatch, match=r"lacks Mixed_7c\.branch_pool\.conv\.weight"):
        filled({name: t for name, t in state.items() if name != "conv2d_93/kernel"})
    with pytest.raises(Mismatch, match=r"has unexpected conv1_conv/kernel"):
        filled({"conv1_conv/kernel": torch.zeros(7, 7, 3, 64)})
    scaled = inception.timm_names(state | {"batch_normalization/gamma": torch.full((32,), 3.0)}, net.state_dict())
    assert (scaled["Conv2d_1a_3x3.bn.weight"] == 3).all() and (scaled["Conv2d_2a_3x3.bn.weight"] == 1).all()


def test_what_has_no_counterpart_keeps_its_name() -> None:
    own = list(build("inception_v3").state_dict())
    state = {"fc.weight": torch.zeros(1), "Conv2d_1a_3x3.conv.weight": torch.zeros(1)}
    assert inception.timm_names(state, own) == state
    numbered = inception.timm_names({"0.conv.weight": torch.zeros(1), "odd": torch.zeros(2)}, own)
    assert set(numbered) == {"Conv2d_1a_3x3.conv.weight", "odd"}
