from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from osteon.dataset.guard import LIMITS, Guard, Limits, Lost
from osteon.errors import OsteonError, UnreadableImage


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


def who(item: int) -> int:
    return os.getpid()


def shoot(item: int) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def live_twice(mark: Path) -> str:
    """Ends its process the first time, as an administrator or the kernel would."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def fill(megabytes: int) -> int:
    return int(np.ones(megabytes * 10**6, np.uint8).size // 10**6)


def enlarge(megabytes: int) -> int:
    """Memory that OpenCV asks for, not NumPy."""
    return cv2.resize(np.ones((1, 1000), np.uint8), (1000, megabytes * 1000)).size // 10**6


def peak(item: int) -> int:
    """Fill almost what the limits allow; resident bytes, libraries included."""
    block = np.ones(int(0.7 * LIMITS.memory), np.uint8)
    return psutil.Process().memory_info().rss * int(block[-1])


def no_radiograph(item: str) -> None:
    raise UnreadableImage("blank", f"{item} is blank", remedy="leave it out")


def test_the_child_is_another_process_and_stays_warm(guard: Guard) -> None:
    pids = {guard.call(who, number, LIMITS) for number in range(20)}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_calls_at_the_same_time_have_a_child_each(guard: Guard) -> None:
    with ThreadPoolExecutor(2) as pool:
        start = threading.Barrier(2)
        pids = list(pool.map(lambda n: (start.wait(), guard.call(who, n, LIMITS))[1], range(2)))
    assert len(set(pids)) == 2


def test_a_child_that_crashes_twice_loses_the_item_and_is_replaced(guard: Guard) -> None:
    before = guard.call(who, 0, LIMITS)
    lost = guard.call(shoot, 0, LIMITS)
    assert isinstance(lost, Lost)
    assert lost.code == "crashed"
    assert "SIGSEGV" in lost.reason
    assert guard.call(who, 0, LIMITS) != before


def test_a_child_that_was_killed_from_outside_is_given_a_second_chance(guard: Guard, tmp_path: Path) -> None:
    assert guard.call(live_twice, tmp_path / "mark", LIMITS) == "alive"


def test_a_child_that_was_killed_while_idle_costs_nothing(guard: Guard) -> None:
    first = guard.call(who, 0, LIMITS)
    assert isinstance(first, int)
    os.kill(first, signal.SIGKILL)
    assert guard.call(who, 0, LIMITS) != first


def test_what_takes_too_long_is_ended(guard: Guard) -> None:
    pid = guard.call(who, 0, LIMITS)
    assert isinstance(pid, int)
    lost = guard.call(time.sleep, 600, Limits(seconds=0.2))
    assert isinstance(lost, Lost)
    assert (lost.code, lost.reason) == ("timeout", "it took more than 0.2 s")
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone limits the writable memory of a process")
def test_a_child_gets_no_more_memory_than_it_may_have(guard: Guard) -> None:
    narrow = Limits(memory=300 * 10**6)
    for function in (fill, enlarge):
        lost = guard.call(function, 300, narrow)
        assert isinstance(lost, Lost)
        assert (lost.code, lost.reason) == ("crashed", "it needs more than 300 MB of memory")
        assert guard.call(function, 300, LIMITS) == 300
    resident = guard.call(peak, 0, LIMITS)
    assert isinstance(resident, int)
    assert 0.6e9 < resident < 1e9


def test_errors_that_osteon_knows_are_raised_and_others_lose_the_item(guard: Guard) -> None:
    with pytest.raises(UnreadableImage, match="x is blank") as caught:
        guard.call(no_radiograph, "x", LIMITS)
    assert (caught.value.code, caught.value.remedy) == ("blank", "leave it out")
    lost = guard.call(int, "no number", LIMITS)
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("it failed with ValueError: invalid literal")


def test_a_closed_guard_ends_what_is_under_way(guard: Guard) -> None:
    with ThreadPoolExecutor(1) as pool:
        pid = guard.call(who, 0, LIMITS)
        assert isinstance(pid, int)
        asleep = pool.submit(guard.call, time.sleep, 600, LIMITS)
        time.sleep(0.2)
        guard.close()
        with pytest.raises(OsteonError, match="the workers were stopped"):
            asleep.result(timeout=60)
    with pytest.raises(OsteonError, match="the workers were stopped"):
        guard.call(who, 0, LIMITS)
    assert not psutil.pid_exists(pid)


class LastWord:
    """An answer during which the guard that receives it is closed."""

    def __reduce__(self) -> tuple[object, tuple[()]]:
        return close_the_guard, ()


def close_the_guard() -> None:
    CLOSED_BY_ITS_ANSWER[0].close()


CLOSED_BY_ITS_ANSWER: list[Guard] = []


def say_the_last_word(item: int) -> LastWord:
    return LastWord()


def test_a_child_that_answers_while_the_guard_is_closed_is_waited_for(guard: Guard) -> None:
    CLOSED_BY_ITS_ANSWER[:] = [guard]
    pid = guard.call(who, 0, LIMITS)
    assert isinstance(pid, int)
    with pytest.raises(OsteonError, match="the workers were stopped"):
        guard.call(say_the_last_word, 0, LIMITS)
    assert not psutil.pid_exists(pid), "not even as a zombie"


SCRIPTS = {
    "threads": """
        from concurrent.futures import ThreadPoolExecutor as Pool
        pool = Pool(2)
    """,
    "processes": """
        from concurrent.futures import ProcessPoolExecutor as Pool
        from multiprocessing import get_context
        pool = Pool(2, mp_context=get_context("spawn"))
    """,
    "none": "pool = None",
}
SLEEP = """
    import time
    from osteon.dataset.workers import each

    if __name__ == "__main__":
        {pool}
        results = each(time.sleep, [0, 600, 600], workers=2, executor=pool, lost=print)
        next(results)
        print("one is done", flush=True)
        next(results)
"""


@pytest.mark.parametrize("name", SCRIPTS)
def test_nothing_outlives_a_killed_parent(name: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(
        textwrap.dedent(SLEEP).format(pool=textwrap.indent(textwrap.dedent(SCRIPTS[name]), " " * 4).strip())
    )
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2)  # both workers are at the long items, or about to be
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 1
        process.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
