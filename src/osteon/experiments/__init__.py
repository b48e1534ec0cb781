"""Published studies run again: as they did it, and beside it as it should be judged. EXPERIMENTS lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from osteon.experiments.around import Run
    from osteon.types import Recipe


class Plan(Protocol):
    """How large an experiment is, as far as whoever makes its data must know; a frozen dataclass."""

    @property
    def scale(self) -> str:
        """Name of the scale."""

    @property
    def about(self) -> str:
        """The plan in one line."""

    @property
    def size(self) -> int:
        """Side of the prepared images in pixels."""

    @property
    def sealed(self) -> float:
        """Share of the images that is set aside as sealed test set, 0 ≤ sealed < 1."""


class Study(Protocol):
    """What the module of an experiment holds."""

    SCALES: Mapping[str, Any]
    """Scale → plan."""

    def plan_of(self, scale: str, backbones: Sequence[str], **options: Any) -> Any:
        """The plan of a scale, changed as the command line asks."""

    def phantom_of(self, plan: Any) -> Any:
        """The plan of the phantom cohort that stands in where no data are given."""

    def forms_of(self, plan: Any) -> Mapping[str, Recipe]:
        """Further forms in which the images are prepared: name → recipe, which splits none; {} where one is enough."""

    def cohort_of(self, manifest: pd.DataFrame, images: Mapping[str, Path]) -> Any:
        """The images of a split manifest that the experiment can use."""

    def run(self, cohort: Any, plan: Any, around: Run) -> dict[str, Any]:
        """The whole experiment: writes the report, and returns what report.json holds."""

    def figures_of(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The few figures of report.json that the run record repeats."""


@dataclass(frozen=True)
class Experiment:
    """A study that can be run again.

    Attributes:
        module: a `Study`; imported when it is run.
        about: one sentence for tables.
        task: what the labels of its data answer, of `osteon.tasks.TASKS`.
        phantom: the verb that makes its phantom cohort.
        options: what it takes on the command line beside what all take.
    """

    module: str
    about: str
    task: str
    phantom: str
    options: tuple[str, ...] = ()

    def study(self) -> Study:
        """The module, imported."""
        return cast(Study, import_module(self.module))


EXPERIMENTS: Mapping[str, Experiment] = {
    "hong2023": Experiment(
        "osteon.experiments.hong2023",
        "RUST, the healing score, by transfer learning",
        task="modified-rust",
        phantom="healing",
        options=("inception", "network_epochs"),
    ),
    "kim2018": Experiment(
        "osteon.experiments.kim2018",
        "fractures of the wrist on lateral radiographs, by retraining a top layer",
        task="fracture",
        phantom="phantom",
    ),
    "decid2021": Experiment(
        "osteon.experiments.decid2021",
        "fractures in studies of the wrist, and how small the images may be",
        task="fracture",
        phantom="phantom",
    ),
}
"""Name on the command line → experiment."""
