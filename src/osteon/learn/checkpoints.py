"""A training run on disk: one safetensors file, so that it is there whole or not at all, and holds no code.

It has the weights, the best weights so far, the optimiser's moments and, as JSON, what run it is and how it went.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from osteon import files
from osteon.errors import Mismatch
from osteon.learn.heads import Classifier


@dataclass(frozen=True)
class Epoch:
    """Mean log loss of one epoch on the training batches as they came, and on the held-out images after it."""

    training: float
    held_out: float


@dataclass(eq=False)
class Run:
    """What changes from epoch to epoch.

    Attributes:
        configuration: all that must be the same for a run to be gone on with, as JSON.
        epochs: those that are done.
        best: 0-based epoch of the least held-out loss; -1 before the first.
        best_weights: the classifier's state after it.
    """

    configuration: dict[str, Any]
    epochs: list[Epoch] = field(default_factory=list)
    best: int = -1
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def add(self, epoch: Epoch, classifier: Classifier) -> None:
        """Note an epoch that is done; keep the classifier's weights if it is the best so far, the first on a tie."""
        if self.best < 0 or epoch.held_out < self.epochs[self.best].held_out:
            self.best = len(self.epochs)
            self.best_weights = {name: t.detach().clone() for name, t in classifier.state_dict().items()}
        self.epochs.append(epoch)


def save(path: Path, run: Run, classifier: Classifier, optimizer: torch.optim.Optimizer) -> None:
    """Write the run, its classifier and its optimiser; the same run writes the same bytes.

    Raises:
        CannotWrite: if the disk is full; the checkpoint before is then as it was.
    """
    tensors: dict[str, Tensor] = {f"weights/{name}": tensor for name, tensor in classifier.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in run.best_weights.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{number}/{name}": tensor for name, tensor in moments.items()}
    description = {
        "configuration": run.configuration,
        "best": run.best,
        "epochs": [asdict(epoch) for epoch in run.epochs],
    }
    content = to_bytes({name: t.contiguous() for name, t in tensors.items()}, {"run": json.dumps(description)})
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def resume(path: Path, configuration: dict[str, Any], classifier: Classifier, optimizer: torch.optim.Optimizer) -> Run:
    """The run so far, its weights and moments put in place; a new run if there is no checkpoint.

    Raises:
        Mismatch: if the file is no checkpoint, or one of another run.
    """
    # As JSON gives it back: a tuple and a list are the same.
    configuration = json.loads(json.dumps(configuration))
    if not path.exists():
        return Run(configuration)
    description, tensors = _read(path, str(next(classifier.parameters()).device))
    theirs = description["configuration"]
    differing = sorted(k for k in configuration.keys() | theirs.keys() if configuration.get(k) != theirs.get(k))
    if differing:
        raise Mismatch(
            f"{path} is the checkpoint of another run (it differs in {', '.join(differing)})",
            remedy="choose another folder, or remove it to train from the beginning",
        )
    classifier.load_state_dict(_below("weights/", tensors))
    numbers = sorted({int(name.split("/")[0]) for name in _below("optimizer/", tensors)})
    moments = {number: _below(f"optimizer/{number}/", tensors) for number in numbers}
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    epochs = [Epoch(**epoch) for epoch in description["epochs"]]
    return Run(configuration, epochs, int(description["best"]), _below("best/", tensors))


def _read(path: Path, device: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt", device=device) as stored:
            description = json.loads(stored.metadata()["run"])
            return description, {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise Mismatch(f"{path} is no checkpoint ({error})", remedy="remove it to train from the beginning") from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
