"""What an experiment runs in: its folder, its seed, its backbones, and the sealed answers, which are opened once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from osteon import files
from osteon.errors import Mismatch
from osteon.experiments.trunks import TrunkChoice
from osteon.experiments.writing import write_csv
from osteon.learn.backbones import Trunk
from osteon.types import Progress

IDENTITY, STAGES, ANSWERS = "experiment.json", "stages", "opened.csv"

FEW_TRIALS = 8
"""Up to so many trials another process takes longer to start than to help."""

Tell = Callable[[str], None]
"""Is given a sentence after each stage."""

Bars = Callable[[str], AbstractContextManager[Progress]]
"""Makes a progress bar for a stage."""


@dataclass(frozen=True, eq=False)
class InForm:
    """The images of a manifest as a recipe prepared them.

    Attributes:
        images: image → prepared PNG.
        placements: image → where it lies in its file, as `osteon.dataset.placement.Placement` reads it.
    """

    images: Mapping[str, Path]
    placements: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Run:
    """Everything around the experiment that is no setting of it.

    Attributes:
        out: folder of the results.
        seed: of folds, trials and training.
        open_trunk: gives the backbone of a choice.
        open_sealed: gives the answers of the sealed part and writes down that they were opened; None: there is none.
        openings: how often they have been opened so far.
        phantom: whether the data are simulated.
        workers: processes of the searches. threads: of the backbones; 0 for as many as torch would use.
        bars: makes a progress bar for a stage. tell: is given a sentence after each.
        forms: name of a further form of the plan → the images in it.
        truth: what is true of the images of a phantom cohort that was made for this run, by `image`, answers of the
            sealed part among it; None for other data.
    """

    out: Path
    seed: int
    open_trunk: Callable[[TrunkChoice], Trunk]
    open_sealed: Callable[[], pd.DataFrame] | None
    openings: Callable[[], int]
    phantom: bool
    workers: int
    threads: int
    bars: Bars
    tell: Tell
    forms: Mapping[str, InForm] = field(default_factory=dict)
    truth: Callable[[], pd.DataFrame | None] = lambda: None

    @property
    def stages(self) -> Path:
        """Where finished stages are kept."""
        return self.out / STAGES

    def processes(self, trials: int) -> int:
        """Processes for a search of so many trials."""
        return self.workers if trials > FEW_TRIALS else 1


def begin(around: Run, experiment: str, *, data: str, settings: Mapping[str, Any]) -> None:
    """Checks that the folder is this run's, or nobody's, and writes down whose it is.

    Args:
        around: its folder and seed.
        experiment: name of it.
        data: a digest of the data.
        settings: all that the results depend on.

    Raises:
        Mismatch: if the folder holds an experiment of another name, seed, data or settings.
        CannotWrite: if it cannot be written.
    """
    wanted = json.loads(json.dumps({"experiment": experiment, "seed": around.seed, "data": data, **settings}))
    path = files.must_be_writable(around.out) / IDENTITY
    if not path.exists():
        files.write_json(path, wanted)
    there = files.read_json(path)
    if differing := sorted(key for key in wanted.keys() | there.keys() if wanted.get(key) != there.get(key)):
        raise Mismatch(
            f"{around.out} holds another run of this experiment (it differs in {', '.join(differing)})",
            remedy="choose another --out, or delete that folder",
        )


def answers_of(around: Run, tidied: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame | None:
    """The answers of the sealed part, all as text; they are opened once and then kept. None if nothing is sealed.

    Args:
        around: how to open them, and where they are kept.
        tidied: leaves of them what the experiment needs.
    """
    if around.open_sealed is None:
        return None
    path = around.stages / ANSWERS
    if not path.exists():
        write_csv(path, tidied(around.open_sealed()))
    return pd.read_csv(path, dtype="string")
