"""A training run on disk: one safetensors file, so that it is there whole or not at all, and holds no code.

It has the weights, their moving average if there is one, the best weights so far if they are others, the optimiser's
moments and, as JSON, what run it is and how it went. Of a run that is done the best weights are all that is kept.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from osteon import files
from osteon.errors import Mismatch
from osteon.learn.objectives import Epoch, Objective


@dataclass(eq=False)
class Run:
    """What changes from epoch to epoch.

    Attributes:
        configuration: all that must be the same for a run to be gone on with, as JSON.
        epochs: those that are done.
        best: 0-based epoch that the objective chose; -1 before the first.
        best_weights: the state, after it, of the network that is judged.
    """

    configuration: dict[str, Any]
    epochs: list[Epoch] = field(default_factory=list)
    best: int = -1
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def waited(self) -> int:
        """Epochs since the best one."""
        return max(len(self.epochs) - 1 - self.best, 0)

    def add(self, epoch: Epoch, judged: nn.Module, objective: Objective) -> None:
        """Note an epoch that is done; keep the weights that were judged if the objective chooses it before the best."""
        if self.best < 0 or objective.is_better(epoch, self.epochs[self.best]):
            self.best = len(self.epochs)
            self.best_weights = {name: t.detach().clone() for name, t in judged.state_dict().items()}
        self.epochs.append(epoch)


@dataclass(frozen=True, eq=False)
class Moving:
    """What every step changes.

    Attributes:
        network: in training.
        judged: the average of its weights, or the network itself.
        optimizer: torch's.
    """

    network: nn.Module
    judged: nn.Module
    optimizer: torch.optim.Optimizer


def save(path: Path, run: Run, moving: Moving, *, finished: bool) -> None:
    """Write the run and, unless it is finished, what moves; the same run writes the same bytes.

    Raises:
        CannotWrite: if the disk is full; the checkpoint before is then as it was.
    """
    tensors: dict[str, Tensor] = {}
    if finished or run.waited:
        tensors |= {f"best/{name}": tensor for name, tensor in run.best_weights.items()}
    if not finished:
        tensors |= {f"weights/{name}": tensor for name, tensor in moving.network.state_dict().items()}
        if moving.judged is not moving.network:
            tensors |= {f"average/{name}": tensor for name, tensor in moving.judged.state_dict().items()}
        for number, moments in moving.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{name}": tensor for name, tensor in moments.items()}
    description = {
        "configuration": run.configuration,
        "best": run.best,
        "epochs": [asdict(epoch) for epoch in run.epochs],
    }
    content = to_bytes({name: t.contiguous() for name, t in tensors.items()}, {"run": json.dumps(description)})
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def resume(path: Path, configuration: dict[str, Any], moving: Moving) -> Run:
    """The run so far, its weights and moments put in place unless it is finished; a new run if there is no checkpoint.

    Raises:
        Mismatch: if the file is no checkpoint, or one of another run.
    """
    # As JSON gives it back: a tuple and a list are the same.
    configuration = json.loads(json.dumps(configuration))
    if not path.exists():
        return Run(configuration)
    description, tensors = _read(path, str(next(moving.network.parameters()).device))
    theirs = description["configuration"]
    differing = sorted(k for k in configuration.keys() | theirs.keys() if configuration.get(k) != theirs.get(k))
    if differing:
        raise Mismatch(
            f"{path} is the checkpoint of another run (it differs in {', '.join(differing)})",
            remedy="choose another folder, or remove it to train from the beginning",
        )
    epochs = [_epoch(**epoch) for epoch in description["epochs"]]
    weights, average, best = (_below(f"{kind}/", tensors) for kind in ("weights", "average", "best"))
    if not best:  # the last epoch is the best one
        best = {name: tensor.clone() for name, tensor in (average or weights).items()}
    run = Run(configuration, epochs, int(description["best"]), best)
    if not weights:
        return run
    moving.network.load_state_dict(weights)
    if average:
        moving.judged.load_state_dict(average)
    numbers = sorted({int(name.split("/")[0]) for name in _below("optimizer/", tensors)})
    moments = {number: _below(f"optimizer/{number}/", tensors) for number in numbers}
    groups = moving.optimizer.state_dict()["param_groups"]
    moving.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    return run


def _epoch(training: float, held_out: float, figures: dict[str, list[float]]) -> Epoch:
    # JSON knows no tuples.
    return Epoch(training, held_out, {name: (known, unseen) for name, (known, unseen) in figures.items()})


def _read(path: Path, device: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt", device=device) as stored:
            description = json.loads(stored.metadata()["run"])
            return description, {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise Mismatch(f"{path} is no checkpoint ({error})", remedy="remove it to train from the beginning") from error


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
