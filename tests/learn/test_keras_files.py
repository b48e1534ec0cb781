"""Keras files are arrays and nothing else: whatever is odd about one is refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.errors import Mismatch
from osteon.learn import weights


def a_file(path: Path) -> Path:
    """Two layers as Keras writes them."""
    with h5py.File(path, "w") as stored:
        stored.attrs["layer_names"] = ["conv2d", "dense"]
        stored["conv2d/conv2d/kernel:0"] = np.arange(12, dtype=np.float32).reshape(1, 2, 3, 2)
        stored["dense/model/dense/bias:0"] = np.ones(3)
    return path


def test_arrays_are_named_by_layer_and_weight(tmp_path: Path) -> None:
    state = weights.read(a_file(tmp_path / "a.h5"))
    assert list(state) == ["conv2d/kernel", "dense/bias"]
    assert state["conv2d/kernel"].shape == (1, 2, 3, 2) and state["conv2d/kernel"][0, 1, 2, 1] == 11
    assert state["dense/bias"].dtype == torch.float32


def test_nothing_outside_the_file_is_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(np.ones(4, np.float32).tobytes())
    a_file(tmp_path / "other.h5")
    with h5py.File(tmp_path / "outside.h5", "w") as stored:
        stored.attrs["layer_names"] = ["dense"]
        stored.create_dataset("dense/kernel", (4,), np.float32, external=[(str(secret), 0, 16)])
    with pytest.raises(Mismatch, match="dense/kernel lies in another file"):
        weights.read(tmp_path / "outside.h5")
    for name in ("model_weights", "conv2d"):
        path = tmp_path / f"link-{name}.h5"
        with h5py.File(path, "w") as stored:
            stored.attrs["layer_names"] = ["conv2d"]
            stored[name] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/conv2d")
        with pytest.raises(Mismatch, match="holds no named tensors"):
            weights.read(path)


def test_what_is_no_array_of_numbers_is_refused(tmp_path: Path) -> None:
    contents = {
        "text": np.array(["code"], dtype=object),
        "integers": np.arange(3),
    }
    for name, content in contents.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as stored:
            stored.attrs["layer_names"] = ["dense"]
            stored.create_dataset("dense/kernel", data=content, dtype=h5py.string_dtype() if name == "text" else None)
        with pytest.raises(Mismatch, match="no array of numbers"):
            weights.read(tmp_path / f"{name}.h5")
    with h5py.File(tmp_path / "huge.h5", "w") as stored:  # a few thousand bytes that claim eight terabytes
        stored.attrs["layer_names"] = ["dense"]
        for layer in ("dense", "dense_1"):
            stored.create_dataset(f"{layer}/kernel", (2**20, 2**20), np.float32, chunks=(1024, 1024))
    with pytest.raises(Mismatch, match="its arrays claim 8796093022208 bytes"):
        weights.read(tmp_path / "huge.h5")


def test_files_of_other_kinds_say_what_to_do(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "keras3.weights.h5", "w") as stored:
        stored["layers/conv2d/vars/0"] = np.zeros(3, np.float32)
    with pytest.raises(Mismatch, match=r"save the model as \.h5"):
        weights.read(tmp_path / "keras3.weights.h5")
    with h5py.File(tmp_path / "nested.h5", "w") as stored:
        stored.attrs["layer_names"] = ["inception_v3"]
        stored["inception_v3/conv2d/kernel:0"] = stored["inception_v3/conv2d_1/kernel:0"] = np.zeros(3, np.float32)
    with pytest.raises(Mismatch, match="inception_v3 is a model inside a model"):
        weights.read(tmp_path / "nested.h5")
    with h5py.File(tmp_path / "any.h5", "w") as stored:
        stored["table"] = np.zeros(3)
    with pytest.raises(Mismatch, match="it names no layers"):
        weights.read(tmp_path / "any.h5")


@settings(max_examples=150)
@given(data=st.data())
def test_no_damage_to_a_file_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = a_file(tmp_path_factory.mktemp("damaged") / "a.h5")
    content = bytearray(path.read_bytes())
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), max_size=5)):
        content[place % len(content)] = value
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        assert set(weights.read(path))
    except Mismatch as refused:
        assert str(path) in str(refused)
