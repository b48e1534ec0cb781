"""What was given, what was left out and why, what remained: the numbers of a STARD flow diagram, which add up.

STARD 2015 (Bossuyt et al., BMJ 351:h5527, item 19) asks for the flow of participants. Here files, studies and patients
flow side by side: a study or a patient is left out where its last file is, so that every stage less what was left out
there is the next one, for each of the three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon.types import REFUSAL_CODES, Refusal


@dataclass(frozen=True, eq=False)
class Dropped:
    """Rows of a table that one rule leaves out.

    Attributes:
        rows: (n,) whether it leaves out each row.
        code: one of `osteon.types.REFUSAL_CODES`.
        why: the rule in a few words, for the diagram.
        reason: of each row left out, in their order, or one for all.
        remedy: what would mend it.
    """

    rows: NDArray[np.bool_]
    code: str
    why: str
    reason: Sequence[str] | str
    remedy: str


@dataclass(frozen=True)
class LeftOut:
    """How many one rule left out. Studies and patients are None where files could not say whose they are."""

    code: str
    why: str
    files: int
    studies: int | None
    patients: int | None


@dataclass(frozen=True)
class Stage:
    """What remained, and what was left out since the stage before."""

    title: str
    files: int
    studies: int | None
    patients: int | None
    left_out: tuple[LeftOut, ...] = ()


Flow = tuple[Stage, ...]
"""From all files given to the images taken."""


class Sieve:
    """Lets rules leave rows out, one after the other, and keeps the account.

    Attributes:
        frame: the rows that are left, with `path`, `study` and `patient`.
        refusals: of all that was left out.
        stages: the flow so far.
    """

    def __init__(self, frame: pd.DataFrame, refusals: Iterable[Refusal]) -> None:
        """Begin with the readable images, whose table it takes over, and the refusals of the other files."""
        self.frame, self.refusals = frame, list(refusals)
        # Numbers are counted much faster than names, and there is much counting.
        self._units = [pd.factorize(frame[name])[0] for name in ("study", "patient")]
        times = Counter(refusal.code for refusal in self.refusals)
        left = [LeftOut(code, REFUSAL_CODES[code], times[code], None, None) for code in REFUSAL_CODES if times[code]]
        given = Stage("files given", len(frame) + len(self.refusals), None, None)
        self.stages = [given, self._stage("radiographs", left)]

    def apply(self, title: str, rules: Iterable[Callable[[pd.DataFrame], Dropped]], needs: Iterable[str]) -> None:
        """Leave out what each rule names of the rows that the rules before it have left.

        Args:
            title: of what remains.
            rules: from the rows that are left to those that a rule leaves out.
            needs: columns that they look at; the others are not copied between rules.
        """
        rows, seen = np.arange(len(self.frame)), self.frame[[*dict.fromkeys(("path", *needs))]]
        left = []
        for rule in rules:
            dropped = rule(seen)
            left.append(self._told(dropped, seen))
            if dropped.rows.any():
                seen, rows = seen[~dropped.rows], rows[~dropped.rows]
                self._units = [unit[~dropped.rows] for unit in self._units]
        del seen
        if len(rows) < len(self.frame):
            whole, self.frame = self.frame, pd.DataFrame()
            # Column by column, so that a million rows are never there twice.
            self.frame = pd.DataFrame({name: whole.pop(name).iloc[rows] for name in list(whole)})
        self.stages.append(self._stage(title, [one for one in left if one.files]))

    def _told(self, dropped: Dropped, seen: pd.DataFrame) -> LeftOut:
        """What a rule leaves out; a refusal is kept for each of its rows."""
        paths = seen["path"].to_numpy(object)[dropped.rows] if dropped.rows.any() else []
        reasons = [dropped.reason] * len(paths) if isinstance(dropped.reason, str) else dropped.reason
        self.refusals += [
            Refusal(path, dropped.code, reason, dropped.remedy) for path, reason in zip(paths, reasons, strict=True)
        ]
        lost = (_different(unit) - _different(unit[~dropped.rows]) for unit in self._units)
        return LeftOut(dropped.code, dropped.why, len(paths), *lost)

    def _stage(self, title: str, left: Sequence[LeftOut]) -> Stage:
        studies, patients = map(_different, self._units)
        return Stage(title, len(self.frame), studies, patients, tuple(left))


def _different(codes: NDArray[np.intp]) -> int:
    return int(np.count_nonzero(np.bincount(codes)))


def table(flow: Flow) -> pd.DataFrame:
    """The flow as a table: after each stage, what was left out on the way to the next.

    Returns:
        Columns `stage` (empty for what was left out), `left_out`, `code`, `files`, `studies`, `patients`.
    """
    rows = list[tuple[str, str, str, int, int | None, int | None]]()
    for stage in flow:
        rows += [("", one.why, one.code, one.files, one.studies, one.patients) for one in stage.left_out]
        rows.append((stage.title, "", "", stage.files, stage.studies, stage.patients))
    frame = pd.DataFrame(rows, columns=["stage", "left_out", "code", "files", "studies", "patients"])
    return frame.astype({"studies": "Int64", "patients": "Int64"})
