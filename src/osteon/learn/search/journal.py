"""A search as a queue in an Optuna journal, which any number of processes and machines work off together.

All trials stand in the journal before the first one runs, so nothing depends on who runs which. A worker says that it
lives by a small file beside the journal; a trial whose worker is gone is put into the queue again. Optuna's own
heartbeat needs a relational database, and a search on a shared folder should need no server.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from osteon import files
from osteon.errors import CannotWrite, Mismatch, NotFound

JOURNAL, RUNNING = "journal.log", "running"

STALE_AFTER_S = 600.0
"""A worker of another machine that has not been heard of for so long is taken for dead."""

_VERBOSITY = threading.Lock()  # Optuna has one for the whole process

_INDEX, _GIVEN_UP = "index", "given_up"  # attributes of a trial in the journal


@dataclass(frozen=True)
class Task:
    """A trial that this worker has claimed.

    Attributes:
        index: which one of the search.
        claim: file that says that it is being run.
        trial: its number inside the storage.
    """

    index: int
    claim: Path
    trial: int

    def beat(self) -> None:
        """Say that the worker lives."""
        os.utime(self.claim)


class Queue:
    """The trials of the search in a folder, as one worker sees them."""

    def __init__(self, folder: Path, *, stale_after_s: float = STALE_AFTER_S) -> None:
        """The queue that `begin` made.

        Raises:
            NotFound: if there is none.
        """
        self._storage = _storage(files.must_exist(folder / JOURNAL, remedy="begin the search first"))
        study = self._storage.get_all_studies()[0]
        self._study, self.identity = study._study_id, dict(study.user_attrs)
        self._running, self._stale_after_s = folder / RUNNING, stale_after_s

    def outcomes(self) -> dict[int, float | None]:
        """Index → score of every settled trial; None if it was given up."""
        found: dict[int, float | None] = {}
        for trial in self._trials():
            if _is_settled(trial):
                # The first counts; a second one, of a worker that was taken for dead, says the same.
                found.setdefault(trial.user_attrs[_INDEX], trial.value if trial.state == TrialState.COMPLETE else None)
        return dict(sorted(found.items()))

    def __len__(self) -> int:
        """How many trials the search has."""
        return len({trial.user_attrs[_INDEX] for trial in self._trials()})

    def claim(self) -> Task | None:
        """The waiting trial of the smallest index, which from now on runs here; None if none waits."""
        self._requeue()
        settled = self.outcomes()
        waiting = [t for t in self._trials() if t.state == TrialState.WAITING and t.user_attrs[_INDEX] not in settled]
        for trial in sorted(waiting, key=lambda t: int(t.user_attrs[_INDEX])):
            # The file comes first, so that a running trial without one is nobody's.
            claim = self._running / f"{trial.number:05d}-{uuid.uuid4().hex[:8]}.json"
            files.write_json(claim, _worker())
            task = Task(int(trial.user_attrs[_INDEX]), claim, self._id(trial))
            with _race():
                if self._storage.set_trial_state_values(task.trial, TrialState.RUNNING):
                    return task
            self.release(task)
        return None

    def finish(self, task: Task, score: float) -> None:
        """Settle a trial with its score."""
        with _race():
            self._storage.set_trial_state_values(task.trial, TrialState.COMPLETE, [score])
        self.release(task)

    def give_up(self, task: Task, reason: str) -> None:
        """Settle a trial that has no score; nobody tries it again."""
        with _race():
            self._storage.set_trial_user_attr(task.trial, _GIVEN_UP, reason)
            self._storage.set_trial_state_values(task.trial, TrialState.FAIL)
        self.release(task)

    def release(self, task: Task) -> None:
        """Say that this worker no longer runs a trial; unless it is settled, the next worker takes it."""
        task.claim.unlink(missing_ok=True)

    def is_hopeless(self, task: Task, step: int, score: float, pruner: optuna.pruners.BasePruner) -> bool:
        """Note an intermediate score of a trial, and ask the pruner about it."""
        with _race():
            self._storage.set_trial_intermediate_value(task.trial, step, score)
        study = optuna.load_study(
            study_name=None, storage=self._storage, sampler=optuna.samplers.RandomSampler(seed=0), pruner=pruner
        )
        return pruner.prune(study, self._storage.get_trial(task.trial))

    def _requeue(self) -> None:
        """Put back the trials whose workers are gone."""
        # First the trials, then the claims: one that began in between has its claim, and is not among these trials.
        running = [trial for trial in self._trials() if trial.state == TrialState.RUNNING]
        alive = {claim.name.partition("-")[0] for claim in self._running.glob("*.json") if self._lives(claim)}
        for trial in running:
            if f"{trial.number:05d}" not in alive:
                with _race():
                    self._storage.set_trial_state_values(self._id(trial), TrialState.FAIL)
        trials = self._trials()
        held = {t.user_attrs[_INDEX] for t in trials if not t.state.is_finished() or _is_settled(t)}
        lost = {t.user_attrs[_INDEX]: t for t in trials if t.user_attrs[_INDEX] not in held}
        # Two workers may both put one back; who comes second to it does it again for nothing, and to the same end.
        for index, trial in sorted(lost.items()):
            self._storage.create_new_trial(self._study, _waiting(index, trial.params, trial.distributions))

    def _trials(self) -> list[FrozenTrial]:
        return self._storage.get_all_trials(self._study, deepcopy=False)

    def _id(self, trial: FrozenTrial) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study, trial.number)

    def _lives(self, claim: Path) -> bool:
        try:
            said, heard = files.read_json(claim), claim.stat().st_mtime
        except (NotFound, FileNotFoundError):
            return False  # released just now
        if said["machine"] == _machine():
            return _is_running(said["process"], said["started"])
        # The clock that counts is that of the disk which all machines write to.
        clock = self._running / "clock"
        clock.touch()
        return clock.stat().st_mtime - heard < self._stale_after_s


def begin(
    folder: Path,
    name: str,
    settings: Sequence[Mapping[str, Any]],
    space: Mapping[str, BaseDistribution],
    identity: Mapping[str, Any],
) -> None:
    """Write a journal with all trials waiting, unless there is one.

    It appears whole: however many workers begin at once, one journal is the first, and all use it.

    Args:
        folder: one search each.
        name: of the Optuna study in the journal.
        settings: of each trial, by index.
        space: setting → what it is drawn from, for Optuna's own reports.
        identity: all that must be the same for a search to be gone on with, as JSON.

    Raises:
        Mismatch: if the folder holds another search.
        CannotWrite: if it cannot be written to.
    """
    wanted = json.loads(json.dumps(dict(identity)))
    if not (folder / JOURNAL).exists():
        _write(files.must_be_writable(folder), name, settings, space, wanted)
    theirs = Queue(folder).identity
    differing = sorted(key for key in wanted.keys() | theirs.keys() if wanted.get(key) != theirs.get(key))
    if differing:
        raise Mismatch(
            f"{folder} holds another search (it differs in {', '.join(differing)})", remedy="choose another folder"
        )


def _write(
    folder: Path,
    name: str,
    settings: Sequence[Mapping[str, Any]],
    space: Mapping[str, BaseDistribution],
    identity: Mapping[str, Any],
) -> None:
    temporary = folder / f".{JOURNAL}.{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage = _storage(temporary)
        with _quietly():
            study = storage.create_new_study([StudyDirection.MAXIMIZE], name)
        for key, value in identity.items():
            storage.set_study_user_attr(study, key, value)
        for index, values in enumerate(settings):
            storage.create_new_trial(study, _waiting(index, values, space))
        with suppress(FileExistsError):  # another worker was the first
            os.link(temporary, folder / JOURNAL)
    except OSError as error:
        raise CannotWrite(
            f"could not write the journal of a search in {folder} ({error.strerror or error})",
            remedy="choose another folder",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _storage(journal: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(journal)))


def _waiting(index: int, params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING, params=dict(params), distributions=dict(space), user_attrs={_INDEX: index}
    )


def _is_settled(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.COMPLETE or (trial.state == TrialState.FAIL and _GIVEN_UP in trial.user_attrs)


@contextmanager
def _race() -> Iterator[None]:
    """Inside, it is no error that a trial was settled meanwhile: somebody took this worker, or another, for dead."""
    with suppress(UpdateFinishedTrialError):
        yield


@contextmanager
def _quietly() -> Iterator[None]:
    """Inside, Optuna says nothing of what it does; it would print."""
    with _VERBOSITY:
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)


def _worker() -> dict[str, Any]:
    process = psutil.Process()
    return {"machine": _machine(), "process": process.pid, "started": process.create_time()}


def _machine() -> str:
    """Where process numbers mean the same: a container has its own, under whatever name."""
    namespace = Path("/proc/self/ns/pid")
    return f"{platform.node()} {namespace.readlink() if namespace.exists() else ''}".strip()


def _is_running(process: int, started: float) -> bool:
    try:
        found = psutil.Process(process)
        # Start times of one process differ by rounding alone; a reused number belongs to a later one.
        return bool(abs(found.create_time() - started) < 1 and found.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
