"""What the commands' folders hold under which names, and what a command says when it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs, tables
from osteon.errors import BadTable, NotFound
from osteon.types import Estimate, Refusal

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
    remedy = _written_by(command)
    files.must_exist(folder / runs.RECORD, remedy=remedy)
    run = runs.read(folder)
    if run.command != command:
        raise NotFound(f"{folder} holds what `osteon {run.command}` wrote", remedy=remedy)
    return str(run.arguments.get(name, ""))


def manifest_of(folder: Path, command: str, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """The manifest that a command wrote into a folder.

    Args:
        folder: given by the user.
        command: that should have written it, for the message.
        needs: columns that earlier commands do not write.

    Raises:
        NotFound: if there is none.
        BadTable: if it is another command's, or damaged.
    """
    files.must_exist(folder / MANIFEST, remedy=_written_by(command))
    manifest = tables.read(folder / MANIFEST, tables.MANIFEST)
    missing = [name for name in needs if name not in manifest]
    if missing:
        columns = f"column{'s' * (len(missing) > 1)} {', '.join(missing)}"
        raise BadTable(f"the manifest in {folder} lacks the {columns}", remedy=_written_by(command))
    return manifest


def pictures(prepared: Path, manifest: pd.DataFrame, *, remedy: str = "run `osteon prepare` again") -> dict[str, Path]:
    """Image id → prepared PNG.

    Raises:
        NotFound: if some are not there; `remedy` says what to do then.
    """
    folder = files.must_exist(prepared / "images", remedy=_written_by("prepare"))
    there = {path.name for path in folder.iterdir()}
    missing = sum(name not in there for name in manifest["prepared"])
    if missing:
        raise NotFound(f"{missing} of {len(manifest)} prepared images are not in {folder}", remedy=remedy)
    return {i: folder / name for i, name in zip(manifest["image"], manifest["prepared"], strict=True)}


def _written_by(command: str) -> str:
    return f"pass a folder that `osteon {command}` wrote"


def examples(refusals: Iterable[Refusal]) -> list[str]:
    """One line for each refusal code: the first file refused by it, why, and what to do."""
    first = {refusal.code: refusal for refusal in reversed(list(refusals))}
    return [f"{code}, for example {r.path}: {r.reason}; {r.remedy}" for code, r in sorted(first.items())]


def by_code(refusals: Iterable[Refusal]) -> dict[str, int]:
    """Refusal code → how many, the most frequent first."""
    return dict(Counter(refusal.code for refusal in refusals).most_common())


def refused(codes: dict[str, int]) -> str:
    """The refusals of a run, as the end of a sentence."""
    if not codes:
        return ", none refused"
    return f", {sum(codes.values())} refused ({', '.join(f'{n} {code}' for code, n in codes.items())})"


def estimate_of(content: Mapping[str, Any]) -> Estimate:
    """A figure of a report as it was before JSON."""
    numbers = {key: float("nan") if content[key] is None else float(content[key]) for key in ("value", "low", "high")}
    return Estimate(**numbers, n=int(content["n"]), note=str(content["note"]))
