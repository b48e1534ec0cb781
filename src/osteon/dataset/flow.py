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
        """Begin with the readable images of an export, and the refusals of its other files."""
        self.frame, self.refusals = frame, list(refusals)
        times = Counter(refusal.code for refusal in self.refusals)
        left = [LeftOut(code, REFUSAL_CODES[code], times[code], None, None) for code in REFUSAL_CODES if times[code]]
        given = Stage("files given", len(frame) + len(self.refusals), None, None)
        self.stages = [given, self._stage("radiographs", left)]

    def apply(self, title: str, rules: Iterable[Callable[[pd.DataFrame], Dropped]]) -> None:
        """Leave out what each rule names of the rows that the rules before it have left; `title` is of what remains."""
        left = [self._without(rule(self.frame)) for rule in rules]
        self.stages.append(self._stage(title, [one for one in left if one.files]))

    def _without(self, dropped: Dropped) -> LeftOut:
        if not dropped.rows.any():
            return LeftOut(dropped.code, dropped.why, 0, 0, 0)
        before, self.frame = self.frame, self.frame[~dropped.rows]
        paths = before["path"].to_numpy(object)[dropped.rows]
        reasons = [dropped.reason] * len(paths) if isinstance(dropped.reason, str) else dropped.reason
        self.refusals += [
            Refusal(path, dropped.code, reason, dropped.remedy) for path, reason in zip(paths, reasons, strict=True)
        ]
        lost = (int(before[name].nunique() - self.frame[name].nunique()) for name in ("study", "patient"))
        return LeftOut(dropped.code, dropped.why, len(paths), *lost)

    def _stage(self, title: str, left: Sequence[LeftOut]) -> Stage:
        studies, patients = (int(self.frame[name].nunique()) for name in ("study", "patient"))
        return Stage(title, len(self.frame), studies, patients, tuple(left))


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
