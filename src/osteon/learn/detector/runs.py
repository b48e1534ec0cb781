"""All the detectors that a nested cross-validation needs, trained one by one; what each says is kept on the disk.

A file is written whole once its detector is done, so a call that was cut off goes on, when repeated, with those that
are missing; and two processes may share the work. A file of another run is refused, never used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from osteon import files
from osteon.dataset.splits import SEALED
from osteon.errors import Mismatch, NotFound
from osteon.learn.backbones import Trunk
from osteon.learn.detector.box_targets import Cells, grid_of
from osteon.learn.detector.network import STRIDES, Detector, DetectorNetwork
from osteon.learn.detector.training import DetectorOptions, Examples, fitted, said_of
from osteon.learn.logistic import Array
from osteon.learn.nested import Layout
from osteon.learn.train import part_of
from osteon.learn.weights import digest_of
from osteon.types import Progress, silent

Fresh = Callable[[], Detector]
"""Makes the detector that every training starts from; each call gives a new one with the same weights."""


@dataclass(frozen=True, eq=False)
class Told:
    """What the detectors of a layout say of the images that they have not learnt from.

    Attributes:
        folder: where it is kept, one file for each model of the layout.
        layout: the parts of n images.
        epochs: (s,) those after which weights were kept; everything is told for each.
        scores: (s, models, n) log odds of the image; NaN where a model has learnt from it, or is not asked.
        size: (height, width) of the images in pixels.
    """

    folder: Path
    layout: Layout
    epochs: tuple[int, ...]
    scores: Array
    size: tuple[int, int]

    def maps(self, place: int, model: int) -> tuple[NDArray[np.intp], Cells]:
        """Rows (m,) that a model was asked about, and their maps (m, 5, h, w) after an epoch, as `Lesions` has them.

        Args:
            place: of the epoch in `epochs`.
            model: number in the layout.
        """
        with safe_open(self._path(model), framework="pt") as stored:
            rows = stored.get_tensor("rows").numpy()
            maps = stored.get_slice("maps")[place].float().numpy()
        return rows, maps

    def weights(self, place: int) -> dict[str, Tensor]:
        """The state, after the epoch at a place, of the detector that learnt from all folds."""
        prefix = f"epoch{self.epochs[place]}/"
        with safe_open(self._path(self.layout.left_out.index(())), framework="pt") as stored:
            names = [name for name in stored.keys() if name.startswith(prefix)]  # noqa: SIM118  # no mapping
            return {name.removeprefix(prefix): stored.get_tensor(name) for name in names}

    def _path(self, model: int) -> Path:
        return path_of(self.folder, self.layout.left_out[model])


def train_all(
    fresh: Fresh,
    examples: Examples,
    layout: Layout,
    options: DetectorOptions,
    folder: Path,
    *,
    seed: int,
    models: Sequence[int] | None = None,
    progress: Progress = silent,
) -> None:
    """Train the detectors of a layout that `folder` does not hold yet: k (k + 1) / 2 + 1 for k folds.

    Args:
        fresh: what each starts from.
        examples: the n images of the layout.
        layout: which detector learns from which of them.
        options: how.
        folder: gets a file for each.
        seed: of each.
        models: numbers in the layout of those to train, for processes that share a folder; None trains all.
        progress: called with the thousandths of all runs done and their number.

    Raises:
        Mismatch: if the folder holds a detector of another run.
        TooFewCases, Diverged: as `detector_training.fitted`.
        CannotWrite: if the disk is full; what was finished is kept.
    """
    mine = range(len(layout.left_out)) if models is None else models
    for done, model in enumerate(mine):
        path, run = path_of(folder, layout.left_out[model]), _run(fresh, examples, layout, model, options, seed)
        if not _is_there(path, run):
            part = part_of(progress, done, len(mine))
            content = _trained(fresh(), examples, layout, model, options, seed, part)
            encoded = to_bytes(content, {"run": json.dumps(run)})
            with files.replacing(path) as temporary:
                temporary.write_bytes(encoded)
        progress(1000 * (done + 1), 1000 * len(mine))


def told(
    fresh: Fresh,
    examples: Examples,
    layout: Layout,
    options: DetectorOptions,
    folder: Path,
    *,
    seed: int,
    models: Sequence[int] | None = None,
) -> Told:
    """What `train_all`, called with the same arguments, has left in a folder; of other models nothing is told.

    Raises:
        NotFound: if a detector is not there yet.
        Mismatch: if one is of another run.
    """
    scores = np.full((len(options.epochs), *layout.training.shape), np.nan)
    for model in range(len(layout.left_out)) if models is None else models:
        path = path_of(folder, layout.left_out[model])
        if not _is_there(path, _run(fresh, examples, layout, model, options, seed)):
            raise NotFound(f"{path} is not there", remedy="train the detectors: that goes on where it was cut off")
        with safe_open(path, framework="pt") as stored:
            scores[:, model, stored.get_tensor("rows").numpy()] = stored.get_tensor("scores").numpy()
    return Told(folder, layout, options.epochs, scores, examples.size)


def final_network(trunk: Trunk, fresh: Fresh, said: Told, place: int) -> DetectorNetwork:
    """The network from pixels to answers of the detector that learnt from all folds, in evaluation mode.

    Args:
        trunk: whose maps were cached.
        fresh: as it was given to `train_all`.
        said: of that run.
        place: of the epoch among `said.epochs`; the folds have chosen one (`DetectorCrossValidation.final`).
    """
    detector = fresh()
    detector.load_state_dict(said.weights(place))
    return DetectorNetwork.of(trunk, detector)


def path_of(folder: Path, left_out: tuple[int, ...]) -> Path:
    """The file of the detector that does not see these folds."""
    return folder / ("-".join(["without", *map(str, left_out)]) if left_out else "final")


def asked(layout: Layout, model: int) -> NDArray[np.intp]:
    """The rows that a model is asked about: those of the folds that it does not see; the last one, the sealed part."""
    out = layout.left_out[model]
    return np.flatnonzero(np.isin(layout.fold, out) if out else layout.fold == SEALED)


def _trained(
    fresh: Detector,
    examples: Examples,
    layout: Layout,
    model: int,
    options: DetectorOptions,
    seed: int,
    progress: Progress,
) -> dict[str, Tensor]:
    """The content of a file: `rows`, and for each epoch `scores`, `maps` and, of the last model, weights."""
    rows, out = asked(layout, model), layout.left_out[model]
    scores = np.empty((len(options.epochs), len(rows)))
    maps = np.empty((len(options.epochs), len(rows), 5, *grid_of(examples.size, STRIDES[0])), np.float16)
    content: dict[str, Tensor] = {}
    trained = fitted(fresh, examples, np.flatnonzero(layout.training[model]), options, seed=seed, progress=progress)
    for place, (epoch, detector) in enumerate(trained):
        scores[place], maps[place] = said_of(detector, examples, rows)
        if not out:
            state = detector.state_dict()
            content |= {f"epoch{epoch}/{name}": tensor.detach().clone() for name, tensor in state.items()}
    told = {"rows": torch.from_numpy(rows), "scores": torch.from_numpy(scores), "maps": torch.from_numpy(maps)}
    return content | told


def _run(
    fresh: Fresh, examples: Examples, layout: Layout, model: int, options: DetectorOptions, seed: int
) -> dict[str, Any]:
    """What must be the same for a file to be used."""
    learnt = np.flatnonzero(layout.training[model])
    taught = hashlib.sha256()
    for row in learnt.tolist():
        taught.update(f"{examples.key[row]} {examples.target[row]}\n".encode())
        taught.update(np.asarray(examples.boxes[row], "<f8").tobytes())
        if examples.moved is not None:
            taught.update(np.asarray(examples.moved[row], "<f8").tobytes())
    seen = "\n".join(examples.key[row] for row in asked(layout, model))
    return {
        "detector": digest_of(fresh().state_dict()),
        "options": repr(options),
        "seed": seed,
        "taught": taught.hexdigest(),
        "asked": hashlib.sha256(seen.encode()).hexdigest(),
        "size": list(examples.size),
    }


def _is_there(path: Path, run: dict[str, Any]) -> bool:
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as stored:
            theirs = json.loads((stored.metadata() or {})["run"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise Mismatch(f"{path} is no detector of a cross-validation ({error})", remedy="remove it") from error
    differing = sorted(name for name in run.keys() | theirs.keys() if run.get(name) != theirs.get(name))
    if differing:
        raise Mismatch(
            f"{path} is of another run (it differs in {', '.join(differing)})",
            remedy="choose another folder, or remove it to train again",
        )
    return True
