"""The checks on many cases, one after the other; what was measured is kept, so that a call that was cut off goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from osteon import files
from osteon.errors import BadTable
from osteon.explain.checks import Case, Row, measure
from osteon.learn.heads import Network
from osteon.types import Progress, silent


def measured(
    cases: Iterable[tuple[Network, Case]],
    methods: Sequence[str],
    kept: Path,
    *,
    total: int,
    seed: int = 0,
    until: float = math.inf,
    progress: Progress = silent,
) -> list[Row]:
    """The rows of all cases, as `measure` gives them, unless the time is over before.

    Args:
        cases: an image with boxes and the network whose maps of it are checked; the same, in the same order, when the
            call is repeated.
        methods: names in `EXPLAINERS`.
        kept: gets a line of JSON for each row; rows that it holds are not measured again. It belongs to these networks
            and this seed, which it does not name. Its folder is made if it is not there.
        total: how many cases there are.
        seed: as `measure` takes it.
        until: in seconds of `time.monotonic`, after which no further case is begun.
        progress: told of cases done.

    Raises:
        BadTable: if `kept` holds something else.
        UnknownName: for a method that does not exist.
    """
    kept.parent.mkdir(parents=True, exist_ok=True)
    _without_a_torn_line(kept)
    there = {(row.name, row.method): row for row in rows_in(kept)}
    found: list[Row] = []
    for done, (network, case) in enumerate(cases):
        progress(done, total)
        missing = [method for method in methods if (case.name, method) not in there]
        if missing and time.monotonic() > until:
            return found
        fresh = measure(network, case, missing, seed=seed) if missing else []
        with kept.open("a", encoding="utf-8") as lines:
            lines.writelines(json.dumps(asdict(row)) + "\n" for row in fresh)
        there |= {(row.name, row.method): row for row in fresh}
        found += [there[case.name, method] for method in methods]
    progress(total, total)
    return found


def rows_in(kept: Path) -> list[Row]:
    """The rows that `measured` kept; none if there is no such file.

    Raises:
        BadTable: if the file holds something else.
    """
    if not kept.exists():
        return []
    try:
        return [Row(**json.loads(line)) for line in kept.read_text(encoding="utf-8").splitlines()]
    except (TypeError, ValueError) as error:
        raise BadTable(f"{kept} holds no rows of checks ({error})", remedy="remove it to measure them again") from error


def _without_a_torn_line(kept: Path) -> None:
    """Takes away what a call that was killed has left of its last line."""
    if not kept.exists():
        return
    whole, newline, torn = kept.read_text(encoding="utf-8").rpartition("\n")
    if torn:
        with files.replacing(kept) as temporary:
            temporary.write_text(whole + newline, encoding="utf-8")
