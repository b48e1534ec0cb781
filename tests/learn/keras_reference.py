"""Keras as the reference for what osteon takes over from it: on torch, without touching the home folder."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# Keras reads these when it is imported, and would else write its settings to ~/.keras.
os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_HOME"] = tempfile.mkdtemp(prefix="keras-")
atexit.register(shutil.rmtree, os.environ["KERAS_HOME"])

import keras  # noqa: E402 - only after the settings above

__all__ = ["as_tf2_wrote", "inception_v3", "keras", "output_of", "save_model"]


def inception_v3(*, height: int, width: int, seed: int, **options: Any) -> Any:
    """Keras's InceptionV3 with random weights, the statistics of its normalisations too."""
    keras.utils.clear_session()  # layers are numbered over all models of a session, and tests name some
    keras.utils.set_random_seed(seed)
    model = keras.applications.InceptionV3(weights=None, input_shape=(height, width, 3), **options)
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            d = layer.beta.shape
            layer.set_weights([rng.normal(0, 0.3, d), rng.normal(0, 0.1, d), rng.uniform(0.5, 1.5, d)])
    return model


def output_of(model: Any, images: np.ndarray) -> np.ndarray:
    """What a Keras model gives for images (n, h, w, c), in evaluation mode."""
    return np.asarray(model(images, training=False).detach().numpy())


def save_model(model: Any, path: Path) -> None:
    """As users do it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy's, about torch tensors inside Keras
        model.save(path) if path.suffixes == [".h5"] else model.save_weights(path)


def as_tf2_wrote(path: Path, target: Path, *, first: int) -> None:
    """The weights of a `.h5` file as TensorFlow 2's Keras wrote them: other paths, layers numbered from `first`."""

    def renumbered(layer: str) -> str:
        kind, _, number = layer.rpartition("_") if layer[-1].isdigit() else (layer, "", "0")
        return f"{kind}_{int(number) + first}" if kind in ("conv2d", "batch_normalization") else layer

    with h5py.File(path) as stored, h5py.File(target, "w") as out:
        layers = stored["model_weights"]
        out.attrs["layer_names"] = [renumbered(layer) for layer in layers]
        for layer in layers:
            group = out.create_group(renumbered(layer))
            found: list[str] = []
            layers[layer].visit(found.append)
            for name in found:
                if isinstance(layers[layer][name], h5py.Dataset):
                    leaf = name.rpartition("/")[2].partition(":")[0]
                    group[f"{renumbered(layer)}/{leaf}:0"] = layers[layer][name][()]
