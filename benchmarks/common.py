"""What every benchmark writes beside its figures: the machine, its load, the commit, the versions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from osteon import files, runs


def write(path: Path | None, name: str, figures: dict[str, Any]) -> None:
    """Write the figures of the benchmark `name` as JSON, with what they depend on; nothing without a path."""
    if path is None:
        return
    commit, dirty = runs.git_state()
    where = {**runs.machine(), "load": round(os.getloadavg()[0], 2), "versions": runs.versions()}
    files.write_json(path, {"benchmark": name, "figures": figures, "machine": where, "commit": commit, "dirty": dirty})


def milliseconds(function: Callable[[Any], Any], items: Iterable[Any]) -> dict[str, float]:
    """Median and largest processor time of one call, the making of the items left out."""
    times = []
    for item in items:
        start = time.process_time()
        function(item)
        times.append(1e3 * (time.process_time() - start))
    return {"median": round(float(np.median(times)), 2), "largest": round(max(times), 2)}
