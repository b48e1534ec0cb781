"""One function on many items in parallel, on any executor; every call is guarded (see `osteon.dataset.guard`)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from osteon.dataset.guard import LIMITS, Guard, Limits, Lost, of_this_process
from osteon.errors import OsteonError

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    lost: Callable[[Item, Lost], Result],
    limits: Limits = LIMITS,
) -> Generator[tuple[int, Result]]:
    """Apply a function to every item, a few at a time; as `in_groups`, with one item in a group.

    Yields:
        (position, result) in the order in which they finish.
    """
    groups = ((item,) for item in items)
    done = in_groups(function, groups, workers=workers, executor=executor, lost=lost, limits=limits)
    with closing(done):
        for position, results in done:
            yield position, results[0]


def in_groups(
    function: Callable[[Item], Result],
    groups: Iterable[Sequence[Item]],
    *,
    workers: int = 1,
    executor: Executor | None = None,
    lost: Callable[[Item, Lost], Result],
    limits: Limits = LIMITS,
) -> Generator[tuple[int, list[Result]]]:
    """Apply a function to every item of every group; one group is one task of the executor.

    Whoever may leave before the end closes it (`contextlib.closing`): left to the garbage collector, its processes run
    on for as long as a traceback holds it.

    Args:
        function: picklable, called in a process that can be killed.
        groups: taken one by one when their turn comes, so that millions need no memory.
        workers: processes to start; with an `executor`, how many it has.
        executor: runs the tasks. Without one, `workers` threads each lead a process of their own.
        lost: makes the result of an item whose process crashed, or passed the limits; picklable.
        limits: of one item.

    Yields:
        (position of the group, its results) in the order in which groups finish.

    Raises:
        OsteonError: that the function raised, if processes cannot start, or if the executor loses its workers.
    """
    own = Guard() if executor is None else None
    pool = executor or ThreadPoolExecutor(max(1, workers))
    window = 4 * max(1, workers)  # enough that no worker waits, few enough that results do not pile up
    waiting, running = enumerate(groups), dict[Future[list[Result]], int]()
    try:
        while True:
            for position, items in islice(waiting, window - len(running)):
                running[_submitted(pool, _Task(function, items, lost, limits), own)] = position
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                position = running.pop(future)
                yield position, _result_of(future)
    finally:
        for future in running:
            future.cancel()
        if own:
            own.close()
            pool.shutdown()


@dataclass(frozen=True)
class _Task(Generic[Item, Result]):
    """What an executor is given: items that one worker does one after the other."""

    function: Callable[[Item], Result]
    items: Sequence[Item]
    lost: Callable[[Item, Lost], Result]
    limits: Limits

    def __call__(self, guard: Guard | None = None) -> list[Result]:
        guard = guard or of_this_process()
        results = []
        for item in self.items:
            answer = guard.call(self.function, item, self.limits)
            results.append(self.lost(item, answer) if isinstance(answer, Lost) else answer)
        return results


def _submitted(pool: Executor, task: _Task[Item, Result], own: Guard | None) -> Future[list[Result]]:
    try:
        return pool.submit(task, own) if own else pool.submit(task)
    except RuntimeError as error:  # BrokenExecutor among them
        raise _executor_failed(error) from error


def _result_of(future: Future[list[Result]]) -> list[Result]:
    try:
        return future.result()
    except OsteonError:
        raise
    except Exception as error:
        # What the function raises is a result or an OsteonError: anything else comes from the executor.
        raise _executor_failed(error) from error


def _executor_failed(error: Exception) -> OsteonError:
    return OsteonError(
        f"the executor failed ({type(error).__name__}: {error})", remedy="run again: what was finished is kept"
    )
