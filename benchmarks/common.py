"""What every benchmark writes beside its figures: the machine, its load, the commit, the versions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from osteon import files, runs


def write(path: Path | None, name: str, figures: dict[str, Any]) -> None:
    """Write the figures of the benchmark `name` as JSON, with what they depend on; nothing without a path."""
    if path is None:
        return
    commit, dirty = runs.git_state()
    where = {**runs.machine(), "load": round(os.getloadavg()[0], 2), "versions": runs.versions()}
    files.write_json(path, {"benchmark": name, "figures": figures, "machine": where, "commit": commit, "dirty": dirty})
