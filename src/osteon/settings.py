"""Settings: `osteon.toml` and environment variables, read once at the edge into one frozen dataclass."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from osteon.errors import BadTable, unknown_name


@dataclass(frozen=True)
class Settings:
    """What may differ between two machines without changing a result.

    Attributes:
        workers: worker processes for preparation; 0 means one per core.
        threads: threads for the network in one process; 0 is one to read a study and one per core for features.
        weights: folder for weights that are fetched by hub name.
    """

    workers: int = 0
    threads: int = 0
    weights: str = ""

    def __post_init__(self) -> None:
        for name in ("workers", "threads"):
            if getattr(self, name) < 0:
                raise BadTable(f"setting {name} is negative", remedy="0 leaves the choice to osteon")

    @property
    def worker_count(self) -> int:
        """Worker processes to start, at least 1."""
        return self.workers or os.cpu_count() or 1


def load(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Defaults, overridden by the TOML file, overridden by `OSTEON_WORKERS`, `OSTEON_THREADS`, `OSTEON_WEIGHTS`.

    Args:
        path: the TOML file; by default `osteon.toml` in the working directory, if it is there.
        environment: by default the process's own.

    Raises:
        UnknownName: for a setting that does not exist.
        BadTable: for a value of the wrong type, or a file that is not TOML.
    """
    values: dict[str, object] = {}
    source = path or Path("osteon.toml")
    if path or source.exists():
        try:
            values |= tomllib.loads(source.read_text(encoding="utf-8"))
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadTable(
                f"{source} is not readable TOML ({error})", remedy="see docs/reference/settings.md"
            ) from error
    environment = os.environ if environment is None else environment
    known = {f.name: f.type for f in fields(Settings)}
    values |= {name: environment[f"OSTEON_{name.upper()}"] for name in known if f"OSTEON_{name.upper()}" in environment}
    for name in values:
        if name not in known:
            raise unknown_name("setting", name, known)
    workers, threads = _whole(values, "workers"), _whole(values, "threads")
    return Settings(workers=workers, threads=threads, weights=str(values.get("weights", "")))


def _whole(values: Mapping[str, object], name: str) -> int:
    value = values.get(name, 0)
    try:
        return int(str(value))
    except ValueError as error:
        raise BadTable(f"setting {name} is {value!r}", remedy="give a whole number, 0 or more") from error
