"""Where a bundle comes from: data, code, training, and what was measured beside which floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from osteon.types import Estimate

NO_FLOOR = Estimate(math.nan, note="no floor was measured")
"""What stands beside a figure whose floor nobody measured."""

LIMITS = (
    "Research software, not a medical device: it must not decide about a patient.",
    "It knows images like those it was trained on; elsewhere its figures are not those below.",
)
"""What is true of every bundle."""


@dataclass(frozen=True)
class Figure:
    """One figure of merit beside its floor.

    Attributes:
        name: e.g. `AUROC, mean of 5 folds`.
        model: of the model, with its interval.
        floor: of the best floor on the same cases.
        floor_name: which floor that was, e.g. `tags`; "" if none was measured.
    """

    name: str
    model: Estimate
    floor: Estimate = NO_FLOOR
    floor_name: str = ""


@dataclass(frozen=True)
class Origin:
    """Where a bundle comes from. No run id and no date: the same data, code and seed give the same bytes.

    The run record beside the bundle names the run, and names the bundle by its digest.

    Attributes:
        data: one sentence: which radiographs, how many patients and images, how many positive.
        commit: git commit of the code, and whether the tree had changes; "" if unknown.
        how: one sentence: how the head or the network was trained.
        figures: what was measured, with floors.
        limits: sentences on what is known not to work.
    """

    data: str = ""
    commit: str = ""
    how: str = ""
    figures: tuple[Figure, ...] = ()
    limits: tuple[str, ...] = ()

    def measured(self) -> str:
        """The figures for people, as Markdown."""
        rows = [
            f"| {f.name} | {f.model} | {f.floor}{f' ({f.floor_name})' if f.floor_name else ''} |" for f in self.figures
        ]
        table = "\n".join(["| figure | model | best floor |", "|---|---|---|", *rows]) if rows else "Nothing yet."
        note = "Intervals are 95 %. A floor is a model that sees next to nothing; what counts is the gain over it."
        return f"{table}\n\n{note}"

    def to_json(self) -> dict[str, Any]:
        """JSON values; a figure that is not defined is null, because JSON knows no NaN."""
        content: dict[str, Any] = _without_nan(asdict(self))
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Origin:
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: if `content` is no such thing.
        """
        figures = tuple(
            Figure(str(f["name"]), _estimate(f["model"]), _estimate(f["floor"]), str(f["floor_name"]))
            for f in content["figures"]
        )
        texts = {key: str(content[key]) for key in ("data", "commit", "how")}
        return cls(**texts, figures=figures, limits=tuple(map(str, content["limits"])))


def _estimate(content: Mapping[str, Any]) -> Estimate:
    value, low, high = (math.nan if content[k] is None else float(content[k]) for k in ("value", "low", "high"))
    return Estimate(value, low, high, n=int(content["n"]), note=str(content["note"]))


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
