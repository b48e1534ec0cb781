"""A process that may be killed: no image can take the run, or the executor's worker, with it.

The guard sits inside the task, so that it is the same on every executor. It sends each item through a pipe to a child
of its own, waits for the answer as long as the limits allow, and kills the child otherwise. A child is started once
and kept warm; only one that was lost is replaced. It ends with its parent, even if that one is killed.

The child is a plain subprocess, not one of `multiprocessing`: workers of Dask may have no children of that kind, and a
script need not be guarded by `if __name__ == "__main__":`.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pickle import PicklingError
from queue import SimpleQueue
from typing import Any, TypeVar

import cv2

from osteon.errors import OsteonError

Item = TypeVar("Item")
Result = TypeVar("Result")

_START_S = 120.0  # for the child to begin, on a machine that is busy
_LAST_S = 5.0  # a killed process that has not ended by then hangs in a disk that does not answer
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from osteon.dataset import guard; guard.serve()"

ENVIRONMENT = {
    # One image is one thread's work; libraries that start one thread per core only take memory.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # glibc gives large blocks back, and every page of the next image is zeroed anew: a third of the time of an image.
    "MALLOC_MMAP_THRESHOLD_": str(2**27),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
}
"""What a child finds in its environment, besides what its parent has."""


@dataclass(frozen=True)
class Limits:
    """What one item may take.

    Attributes:
        seconds: by the clock.
        memory: bytes of writable memory of the process (Linux: RLIMIT_DATA). With the libraries, which are mapped from
            their files and not counted, the default keeps a worker below 1 GB.
    """

    seconds: float = 60.0
    memory: int = 900_000_000


LIMITS = Limits()
"""What one image may take unless something else is asked for."""


@dataclass(frozen=True)
class Lost:
    """An item without a result: a refusal code (`crashed` or `timeout`), why, and what would mend it."""

    code: str
    reason: str
    remedy: str


class Guard:
    """Calls functions in warm processes that it can kill; one for each call that is under way at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._closed = False

    def call(self, function: Callable[[Item], Result], item: Item, limits: Limits) -> Result | Lost:
        """`function(item)`, called in another process; both must be picklable.

        An item whose process ends without an answer gets a second chance, in a fresh one: the first may have been
        killed from outside, by an administrator or by a kernel short of memory.

        Returns:
            The result, or why there is none: the limits were passed, an error that osteon does not know was raised, or
            the process ended twice.

        Raises:
            OsteonError: that the function raised; or if processes cannot start or cannot import the function, or the
                guard was closed.
        """
        answer = self._attempt(function, item, limits)
        if isinstance(answer, _Ended):
            answer = self._attempt(function, item, limits, fresh=True)
        return answer.lost if isinstance(answer, _Ended) else answer

    def close(self) -> None:
        """End all processes, also those at work; calls under way fail, and so do later ones."""
        with self._lock:
            self._closed = True
            idle, busy = list(self._idle), list(self._busy)
            self._idle.clear()
        for child in busy:
            child.kill()  # the thread that waits for it sees the end, and closes its pipe
        for child in idle:
            child.end()

    def _attempt(
        self, function: Callable[[Item], Result], item: Item, limits: Limits, *, fresh: bool = False
    ) -> Result | Lost | _Ended:
        with self._lock:
            self._refuse_if_closed()
            child = self._idle.pop() if self._idle and not fresh else None
        child = child or _Child((function, item))
        with self._lock:
            self._busy.add(child)
        whole = False
        try:
            with self._lock:
                self._refuse_if_closed()
            kind, answer = child.ask(function, item, limits)
            whole = kind in ("result", "error")
        finally:
            # Whatever went wrong here or there: only a child that answered in order is used again.
            with self._lock:
                self._busy.discard(child)
                kept = whole and not self._closed
                if kept:
                    self._idle.append(child)
            if not kept:
                child.end()
        if kind == "error":
            raise answer
        with self._lock:
            self._refuse_if_closed()
        result: Result | Lost | _Ended = answer
        return result

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise OsteonError("the workers were stopped", remedy="run again: what was finished is kept")


def of_this_process() -> Guard:
    """The guard of the process that asks: its children stay warm until it ends."""
    with _LOCK:
        guard = _GUARDS.get(os.getpid())  # a forked process must not talk to the children of its parent
        if guard is None:
            guard = _GUARDS[os.getpid()] = Guard()
            atexit.register(guard.close)
            threading.Thread(target=_end_with_parent, daemon=True).start()
        return guard


_LOCK = threading.Lock()
_GUARDS: dict[int, Guard] = {}


def _end_with_parent() -> None:
    """End a worker of a process pool whose parent was killed: left alone, it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


@dataclass(frozen=True)
class _Ended:
    """The child came to its end, perhaps by no fault of the item: what to say if the next one does too."""

    lost: Lost


_LEAVE_OUT = "leave the file out, and report it"


class _Child:
    """The process, and our end of the pipe to it. It is ready when it has imported all that its first work needs."""

    def __init__(self, work: tuple[Callable[[Any], Any], Any]) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(sys.path), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **ENVIRONMENT},
                process_group=0,  # the parent alone answers Ctrl-C
            )
        try:
            self._send(work)
            unready = self._pipe.recv() if self._pipe.poll(_START_S) else _cannot_start()
        except (EOFError, ConnectionError):
            unready = _cannot_start()
        except BaseException:
            self.end()
            raise
        if unready is not None:
            self.end()
            raise unready

    def ask(self, function: Callable[[Any], Any], item: Any, limits: Limits) -> tuple[str, Any]:
        """What the child says: `result`, `error` (an OsteonError), `lost`, or `ended` if it says nothing."""
        try:
            self._send((function, item, limits.memory))
            if not self._pipe.poll(limits.seconds):
                remedy = "leave the file out, or allow more seconds"
                return "lost", Lost("timeout", f"it took more than {limits.seconds:g} s", remedy)
            answer: tuple[str, Any] = self._pipe.recv()
        except (EOFError, ConnectionError):
            why = f"its worker ended without an answer, twice ({self._how()})"
            return "ended", _Ended(Lost("crashed", why, _LEAVE_OUT))
        return answer

    def _send(self, work: Any) -> None:
        try:
            self._pipe.send(work)
        except (PicklingError, AttributeError, TypeError) as error:
            raise _unportable(error) from error

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()

    def end(self) -> None:
        """Kill it, wait for its end, and close the pipe; for the thread that uses it."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_S)
        self._pipe.close()

    def _how(self) -> str:
        try:
            code = self._process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _cannot_start() -> OsteonError:
    code = "import osteon.dataset.guard"
    return OsteonError("worker processes cannot start", remedy=f"see what `{sys.executable} -c '{code}'` says")


def serve() -> None:
    """What the child does: call, answer, and end with its parent. Never returns."""
    cv2.setNumThreads(1)
    pipe: Connection = Connection(int(sys.argv[2]))
    asked: SimpleQueue[Any] = SimpleQueue()
    # A thread listens, so that the end of the parent is noticed in the midst of work too.
    threading.Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    first = asked.get()  # loaded, not done: imports must not count as time of an image
    pipe.send(first if isinstance(first, OsteonError) else None)
    while True:
        pipe.send(_answer(asked.get()))


def _listen(pipe: Connection, asked: SimpleQueue[Any]) -> None:
    while True:
        try:
            asked.put(pipe.recv())
        except (EOFError, OSError):
            os._exit(0)
        except Exception as error:  # noqa: BLE001  (what an import raises is anybody's guess)
            asked.put(_unportable(error))


def _unportable(error: Exception) -> OsteonError:
    return OsteonError(
        f"work cannot be handed to a worker ({_said(error)})",
        remedy="define functions and steps in a module that can be imported, not in the script that is run",
    )


def _answer(asked: Any) -> tuple[str, Any]:
    if isinstance(asked, OsteonError):
        return "error", asked
    function, item, memory = asked
    _limit(memory)
    try:
        return "result", function(item)
    except OsteonError as error:
        return "error", error
    except Exception as error:  # noqa: BLE001  (one image that a library chokes on must not end the run)
        if isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.STS_NO_MEM:
            # Earlier images may have left the memory in pieces: a fresh process decides.
            remedy = "leave the file out; if the image is not huge, report it"
            return "ended", _Ended(Lost("crashed", f"it needs more than {memory / 1e6:.0f} MB of memory", remedy))
        return "lost", Lost("crashed", f"it failed with {_said(error)}", _LEAVE_OUT)


def _said(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def _limit(memory: int) -> None:
    """Let allocations beyond `memory` fail.

    RLIMIT_AS would count address space that libraries reserve and never use (here 0.5 GB), and a watch over the
    resident size would come too late: a gigabyte is filled in a tenth of a second.
    """
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
