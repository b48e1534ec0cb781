from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import sleep

import pytest

from osteon.dataset.guard import Limits, Lost
from osteon.dataset.workers import each, in_groups
from osteon.errors import BadTable, OsteonError


def code_of(item: object, why: Lost) -> str:
    return why.code


def test_every_item_gets_its_result_in_whatever_order() -> None:
    got = dict(each(str, range(100), workers=2, lost=code_of))
    assert got == {number: str(number) for number in range(100)}


def test_every_group_gets_its_results_in_its_own_order() -> None:
    with ThreadPoolExecutor(2) as pool:
        got = dict(in_groups(abs, [(-1, -2), (), (-3,)], workers=2, executor=pool, lost=len))
    assert got == {0: [1, 2], 1: [], 2: [3]}


def test_only_a_few_groups_are_asked_for_at_a_time() -> None:
    asked = iter(range(10**9))
    with ThreadPoolExecutor(1) as pool:
        results = each(str, asked, workers=2, executor=pool, lost=code_of)
        next(results)
        results.close()
    assert next(asked) <= 16


def test_a_lost_item_costs_nothing_but_itself() -> None:
    with ThreadPoolExecutor(1) as pool:
        got = dict(each(int, ["1", "no number", "3"], executor=pool, lost=lambda item, why: -len(why.reason)))
        dead = dict(each(os._exit, [4], executor=pool, lost=code_of))
        slow = dict(each(sleep, [0, 600], executor=pool, lost=code_of, limits=Limits(seconds=1)))
    assert (got[0], got[2]) == (1, 3)
    assert got[1] < 0
    assert dead == {0: "crashed"}
    assert slow == {0: None, 1: "timeout"}


def refuse(item: str) -> str:
    raise BadTable(f"{item} is no table", remedy="bring one")


def test_an_error_that_osteon_knows_ends_the_work_and_is_raised_here() -> None:
    with pytest.raises(BadTable, match="x is no table; bring one"):
        list(each(refuse, ["x"] * 9, workers=2, lost=code_of))


def test_what_cannot_be_sent_to_a_worker_is_said() -> None:
    with pytest.raises(OsteonError, match=r"cannot be handed to a worker \(.*pickle"):
        list(each(lambda item: item, [1], lost=code_of))
    with pytest.raises(OsteonError, match=r"cannot be handed to a worker \(.*pickle"):
        list(each(str, [1, threading.Lock()], lost=code_of))


def test_no_items_start_no_worker() -> None:
    assert list(each(str, [], workers=2, lost=code_of)) == []


def test_an_executor_that_was_shut_down_is_one_clear_error() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(OsteonError, match="the executor failed"):
        list(each(str, [1], executor=pool, lost=code_of))


def end_this_worker(item: int, why: Lost) -> str:
    os._exit(1)  # `lost` is called outside the guard


def test_a_pool_whose_worker_dies_is_one_clear_error() -> None:
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(OsteonError, match=r"the executor failed \(BrokenProcessPool.*run again"),
    ):
        list(each(int, ["x"], executor=pool, lost=end_this_worker))


def test_a_script_needs_no_guarded_main_part(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("from osteon.dataset.workers import each\nprint(list(each(str, [1], lost=repr)))")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[(0, '1')]"


def test_a_function_of_the_script_itself_is_refused_in_one_sentence(tmp_path: Path) -> None:
    script = """
        from osteon.dataset.workers import each
        from osteon.errors import OsteonError

        def double(number):
            return 2 * number

        try:
            list(each(double, [1], lost=repr))
        except OsteonError as error:
            print(error)
    """
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(script))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=120, check=True)
    assert "define functions and steps in a module that can be imported" in done.stdout
