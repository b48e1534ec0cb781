"""What the commands' folders hold under which names, and what a command says when it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs
from osteon.types import Refusal

if TYPE_CHECKING:
    import pandas as pd

MANIFEST, REFUSALS, PREDICTIONS = "manifest.parquet", "refusals.parquet", "predictions.parquet"
SEALED, OPENINGS = "sealed.parquet", "openings.json"
BUNDLE, READINGS, OVERLAYS = "bundle", "readings.json", "overlays"


@dataclass(frozen=True)
class Done:
    """What a command did: `said` for people, `figures` for machines."""

    said: str
    figures: dict[str, Any]


def argument(folder: Path, name: str, command: str) -> str:
    """An argument of the command that wrote a folder, from its run record.

    Raises:
        NotFound: if the folder holds no record of that command.
    """
    remedy = f"pass a folder that `osteon {command}` wrote"
    files.must_exist(folder / runs.RECORD, remedy=remedy)
    return str(runs.read(folder).arguments.get(name, ""))


def pictures(prepared: Path, manifest: pd.DataFrame) -> dict[str, Path]:
    """Image id → prepared PNG."""
    return {i: prepared / "images" / name for i, name in zip(manifest["image"], manifest["prepared"], strict=True)}


def by_code(refusals: Iterable[Refusal]) -> dict[str, int]:
    """Refusal code → how many, the most frequent first."""
    return dict(Counter(refusal.code for refusal in refusals).most_common())


def refused(codes: dict[str, int]) -> str:
    """The refusals of a run, as the end of a sentence."""
    if not codes:
        return ", none refused"
    return f", {sum(codes.values())} refused ({', '.join(f'{n} {code}' for code, n in codes.items())})"
