"""The one door to timm: makes torchvision importable beside a torch that its wheel was not built for.

timm imports torchvision, and PyPI's torchvision wheel cannot load its compiled part beside a CPU build of torch. On
import, torchvision registers fake kernels for two operators that only the compiled part declares, and fails. This
module declares those two. Models and transforms then work; `torchvision.ops.nms`, which osteon never calls, does not.
With a matching wheel nothing is declared. Everything in osteon takes timm from here.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")


def declare_missing(operators: tuple[str, ...] = _OPERATORS) -> torch.library.Library | None:
    """Declare the operators that torchvision's compiled part would have declared; None if it loads by itself.

    The library must stay alive as long as the process uses torchvision.
    """
    if _compiled_part_loads():
        return None
    missing = [name for name in operators if not hasattr(torch.ops.torchvision, name)]
    if not missing:
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch has no hints here
    for name in missing:
        library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]  # nor here
    return library


def _compiled_part_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")  # finds the package without importing it
    if spec is None or spec.origin is None:
        return False
    for compiled in sorted(Path(spec.origin).parent.glob("_C*.*")):
        try:
            torch.ops.load_library(compiled)  # type: ignore[no-untyped-call]  # nor here
        except OSError:
            continue
        return True
    return False


_library = declare_missing()

import timm  # noqa: E402 - only after the declaration above
from timm.layers.norm_act import BatchNormAct2d  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402

__all__ = ["BatchNormAct2d", "VisionTransformer", "declare_missing", "timm"]
