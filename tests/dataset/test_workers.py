from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from osteon.dataset.workers import each


def test_every_item_gets_its_result_in_whatever_order() -> None:
    with ThreadPoolExecutor(3) as pool:
        got = dict(each(str, range(100), workers=3, executor=pool, lost=repr))
    assert got == {number: str(number) for number in range(100)}


def test_only_a_few_items_are_under_way_at_a_time() -> None:
    asked: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        results = each(asked.append, range(1000), workers=2, executor=pool, lost=asked.append)
        next(results)
        pool.submit(int).result()
        assert len(asked) <= 16


def test_an_error_in_the_function_is_raised_here() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        list(each(lambda number: 1 / number, [1, 0], executor=pool, lost=float))


def test_no_items_start_no_worker() -> None:
    assert list(each(str, [], workers=2, lost=str)) == []


def test_workers_end_with_a_killed_parent() -> None:
    script = """
        import os, time
        from osteon.dataset.workers import each

        if __name__ == "__main__":
            results = each(time.sleep, [0, 600], workers=1, lost=float)
            next(results)
            print(os.getpid(), flush=True)
            next(results)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        workers = psutil.Process(process.pid).children(recursive=True)
        assert workers
        process.kill()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []


def test_workers_that_cannot_start_are_no_fault_of_the_items(tmp_path: Path) -> None:
    # A script whose main part is not guarded starts itself again in every spawned worker.
    script = """
        from osteon.dataset.workers import each
        from osteon.errors import OsteonError

        try:
            print(list(each(str, [1], workers=1, lost=repr)))
        except OsteonError as error:
            print(error)
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=True)
    assert "worker processes cannot start; call osteon from a module guarded by" in done.stdout
