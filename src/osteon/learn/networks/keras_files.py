"""Weights from Keras's HDF5 files (`.h5`): arrays by layer and name, and nothing that would be run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

LARGEST = 2**30
"""Bytes of all arrays together that are read, ten times InceptionV3's. A few bytes of a file can claim any size."""


def read(path: Path) -> dict[str, Tensor]:
    """The arrays of a file of weights, or of a whole model, as `layer/weight` → float32 tensor.

    Nothing outside the file is opened: links and arrays that lie elsewhere are refused. Damaged files raise what h5py
    raises (OSError, RuntimeError, KeyError, ValueError, TypeError).

    Raises:
        ValueError: if it holds no layers, a model as one of them, or other things than arrays of numbers.
    """
    with h5py.File(path, "r") as stored:
        # `model.save` puts the weights beside the optimiser's; `save_weights` has nothing else.
        inside = isinstance(stored.get("model_weights", getlink=True), h5py.HardLink)
        top = stored["model_weights"] if inside else stored
        if "layer_names" not in top.attrs and "layer_names0" not in top.attrs:
            hint = "; Keras 3's .weights.h5 does not name its layers, save the model as .h5" if "layers" in top else ""
            raise ValueError(f"it names no layers{hint}")
        arrays: dict[str, h5py.Dataset] = {}
        for name, array in _arrays(top):
            if name in arrays:
                raise ValueError(f"{name.partition('/')[0]} is a model inside a model; save it by itself as .h5")
            arrays[name] = array
        claimed = sum(array.size * array.dtype.itemsize for array in arrays.values())
        if claimed > LARGEST:
            raise ValueError(f"its arrays claim {claimed} bytes")
        return {name: _tensor(name, array) for name, array in arrays.items()}


def _arrays(top: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    found: list[str] = []
    top.visit(found.append)  # follows no links
    for path in found:
        if isinstance(top[path], h5py.Dataset):
            layer, _, rest = path.partition("/")
            # Between them may stand the names of the model and, once more, of the layer.
            yield f"{layer}/{rest.rpartition('/')[2].partition(':')[0]}", top[path]


def _tensor(name: str, array: h5py.Dataset) -> Tensor:
    if array.dtype.kind != "f":
        raise ValueError(f"{name} is no array of numbers with a decimal point")
    if array.external or array.is_virtual:
        raise ValueError(f"{name} lies in another file")
    return torch.from_numpy(np.asarray(array[()], np.float32))
