"""One function on many items in worker processes, so that neither a dying worker nor a dying parent does harm."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from multiprocessing.connection import wait as wait_for
from typing import TypeVar

import cv2

from osteon.errors import OsteonError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    lost: Callable[[Item], Result],
) -> Iterator[tuple[int, Result]]:
    """Apply a picklable function to every item, a few at a time.

    If a worker process dies, the items that were under way are tried again one by one; the one that kills its worker
    also then gets `lost(item)` for a result, and the rest goes on.

    Args:
        function: called in a worker; its exceptions are raised here.
        items: each is sent to a worker when its turn comes.
        workers: processes to start; with an `executor`, how many it has.
        executor: runs the calls instead of own processes. If it breaks, so does this.
        lost: makes the result of an item that no worker survives.

    Yields:
        (position, result) in the order in which they finish.

    Raises:
        OsteonError: if worker processes cannot start, or the given executor broke.
    """
    if not items:
        return
    pool = executor or _open_pool(workers)
    window = 4 * workers  # enough that no worker waits, few enough that results do not pile up
    waiting, running = deque(range(len(items))), dict[Future[Result], int]()
    try:
        while waiting or running:
            broken = not _submitted(pool, function, items, waiting, running, window)
            finished = wait(running, return_when=FIRST_COMPLETED).done if running else set()
            broken = broken or any(isinstance(future.exception(), BrokenExecutor) for future in finished)
            suspects = []
            # All futures of a broken pool are done, or end at once.
            for future in list(running) if broken else finished:
                position = running.pop(future)
                if isinstance(future.exception(), BrokenExecutor):
                    suspects.append(position)
                else:
                    yield position, future.result()
            if broken and executor is not None:
                raise OsteonError("the executor lost its workers", remedy="run again: what was finished is kept")
            if broken:
                pool.shutdown(wait=False)
                yield from _one_by_one(function, items, sorted(suspects), lost)
                if waiting:
                    pool = _open_pool(workers)
    finally:
        if executor is None:
            pool.shutdown(wait=True, cancel_futures=True)


def _submitted(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    waiting: deque[int],
    running: dict[Future[Result], int],
    window: int,
) -> bool:
    """Fill the window; False if the pool turned out to be broken."""
    while waiting and len(running) < window:
        try:
            future = pool.submit(function, items[waiting[0]])
        except BrokenExecutor:
            return False
        running[future] = waiting.popleft()
    return True


def _one_by_one(
    function: Callable[[Item], Result], items: Sequence[Item], positions: Sequence[int], lost: Callable[[Item], Result]
) -> Iterator[tuple[int, Result]]:
    pool: Executor | None = None
    try:
        for position in positions:
            pool = pool or _open_pool(1)
            future = pool.submit(function, items[position])
            if isinstance(future.exception(), BrokenExecutor):
                pool = None
                yield position, lost(items[position])
            else:
                yield position, future.result()
    finally:
        if pool:
            pool.shutdown(wait=True, cancel_futures=True)


def _open_pool(workers: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork of a process with threads (torch, Arrow) may hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(max(1, workers), mp_context=context, initializer=_begin)
    try:
        # Without this test, workers that cannot start would look like images that crash them.
        pool.submit(os.getpid).result()
    except BrokenExecutor as error:
        raise OsteonError(
            "worker processes cannot start", remedy="call osteon from a module guarded by `if __name__ == '__main__':`"
        ) from error
    return pool


def _begin() -> None:
    """What a worker does first."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone answers Ctrl-C
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is gone: killed parents leave workers that wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)
