"""Trainings shared by processes: each takes the next one that nobody has taken, and what is finished is kept.

A process that is killed leaves its training where the last epoch ended; a second call goes on with it. Each process
computes in one thread unless told otherwise, so that the results are the same however many there are.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from osteon.errors import OsteonError
from osteon.experiments.around import Run
from osteon.experiments.stages import Kept, keep, kept
from osteon.types import Progress, silent

_PAUSE_S = 0.5
"""How often it is looked whether a helper has finished."""


class Job(Protocol):
    """A training: a frozen dataclass that another process can be handed."""

    @property
    def name(self) -> str:
        """Of its folder."""

    @property
    def cost(self) -> float:
        """How long it takes, relative to others: the longest come first, so that no process waits long at the end."""

    def __call__(self, progress: Progress) -> Kept:
        """Train, as far as it was not done before."""


def train_all(
    jobs: Sequence[Job],
    around: Run,
    said: Callable[[Kept], str],
    *,
    tables: tuple[str, ...] = (),
    progress: Progress = silent,
) -> dict[str, Kept]:
    """What every training left, by name, in the order of the jobs; those that are not finished are trained first.

    Args:
        jobs: whose results are kept in `around.stages`.
        around: says how many processes and threads there are, and is told of what is finished.
        said: tells a training in one line.
        tables: names of the tables of each.
        progress: told of the trainings finished, in thousandths, by this process and by others.

    Raises:
        OsteonError: what a training raises; what was finished is kept.
    """
    waiting = sorted((job for job in jobs if not _done(job, around.stages)), key=lambda job: (-job.cost, job.name))
    for job in jobs:
        if job not in waiting:
            around.tell(_line(job, _kept(job, around.stages, tables), said, "kept: "))
    told: set[str] = set()

    def tell_of_new() -> None:
        for job in waiting:
            if job.name not in told and _done(job, around.stages):
                told.add(job.name)
                around.tell(_line(job, _kept(job, around.stages, tables), said))

    # Several processes on one GPU would wait for each other, and share its memory.
    helpers = 0 if torch.cuda.is_available() else min(around.workers, len(waiting)) - 1
    taken = multiprocessing.get_context("spawn").Value("i", 0)
    with _helped(waiting, around, taken, helpers) as helping:
        for place in _next(taken, len(waiting)):
            _finish(waiting[place], around, _part(progress, len(jobs) - len(waiting) + len(told), len(jobs)))
            tell_of_new()
        while any(helper.is_alive() for helper in helping):
            time.sleep(_PAUSE_S)
            tell_of_new()
    for job in waiting:  # of a helper that failed: its error is raised here
        if not _done(job, around.stages):
            _finish(job, around, silent)
    tell_of_new()
    progress(1000 * len(jobs), 1000 * len(jobs))
    return {job.name: _kept(job, around.stages, tables) for job in jobs}


@contextmanager
def in_threads(number: int) -> Iterator[None]:
    """Inside, torch computes in so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _helped(jobs: Sequence[Job], around: Run, taken: Any, helpers: int) -> Iterator[list[Any]]:
    """Inside, so many more processes take jobs."""
    context = multiprocessing.get_context("spawn")
    started: list[Any] = []
    try:
        for _ in range(helpers):
            helper = context.Process(
                target=_help, args=(list(jobs), around.stages, around.threads or 1, taken), daemon=True
            )
            helper.start()
            started.append(helper)
        yield started
    finally:
        for helper in started:
            helper.terminate()
            helper.join()


def _help(jobs: list[Job], stages: Path, threads: int, taken: Any) -> None:
    def watch(done: int, total: int) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            sys.exit(1)

    try:
        with in_threads(threads):
            for place in _next(taken, len(jobs)):
                keep(stages / jobs[place].name, jobs[place](watch))
    except (OsteonError, KeyboardInterrupt):
        sys.exit(1)


def _next(taken: Any, jobs: int) -> Iterator[int]:
    """Places that no other process has."""
    while True:
        with taken.get_lock():
            place, taken.value = taken.value, taken.value + 1
        if place >= jobs:
            return
        yield place


def _finish(job: Job, around: Run, progress: Progress) -> None:
    with in_threads(around.threads or 1):
        keep(around.stages / job.name, job(progress))


def _part(progress: Progress, done: int, jobs: int) -> Progress:
    def report(now: int, total: int) -> None:
        progress(1000 * done + 1000 * now // total, 1000 * jobs)

    return report


def _done(job: Job, stages: Path) -> bool:
    return kept(stages / job.name) is not None


def _kept(job: Job, stages: Path, tables: tuple[str, ...]) -> Kept:
    found = kept(stages / job.name, *tables)
    if found is None:
        raise RuntimeError(f"{job.name} was finished and is not kept")
    return found


def _line(job: Job, done: Kept, said: Callable[[Kept], str], how: str = "") -> str:
    return f"{job.name:<22} {how}{said(done)}"
