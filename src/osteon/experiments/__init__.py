"""Published studies run again: as they did it, and beside it as it should be judged. EXPERIMENTS lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """A study that can be run again.

    Attributes:
        module: with its functions `cohort_of` and `run`, and its `plan.SCALES`; imported when it is run.
        about: one sentence for tables.
    """

    module: str
    about: str


EXPERIMENTS: Mapping[str, Experiment] = {
    "hong2023": Experiment("osteon.experiments.hong2023", "RUST, the healing score, by transfer learning"),
}
"""Name on the command line → experiment."""
