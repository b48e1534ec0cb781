"""A run record leads back to its inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from osteon import runs
from osteon.errors import CannotWrite


def one_run(out: Path, *inputs: Path) -> None:
    with runs.recording("train", out, {"out": out, "folds": 5}, inputs=inputs, seeds={"seed": 7}) as result:
        result["auroc"] = 0.5


def test_a_record_says_what_was_run_on_what(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("a,b\n")
    one_run(tmp_path / "out", table)
    run = runs.read(tmp_path / "out")
    assert run.command == "train"
    assert run.arguments["folds"] == 5
    assert run.seeds == {"seed": 7}
    assert run.result == {"auroc": 0.5}
    assert len(run.inputs[str(table)]) == 64
    assert run.versions["numpy"]
    assert len(run.id) == 16


def test_the_chain_climbs_to_the_first_run(tmp_path: Path) -> None:
    a, b, c = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    one_run(a)
    one_run(b, a)
    one_run(c, b)
    ids = [runs.read(f).id for f in (c, b, a)]
    assert [run.id for run in runs.chain(c, [a, b, c])] == ids


def test_a_failed_run_leaves_no_record(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), runs.recording("train", tmp_path, {}):
        raise RuntimeError
    assert not (tmp_path / "run.json").exists()


def test_the_results_of_another_command_are_not_mixed_up(tmp_path: Path) -> None:
    one_run(tmp_path)
    one_run(tmp_path)  # the same command replaces its own
    earlier = (tmp_path / "run.json").read_bytes()
    with pytest.raises(CannotWrite, match="results of `osteon train`"), runs.recording("evaluate", tmp_path, {}):
        pytest.fail("the work must not begin")
    assert (tmp_path / "run.json").read_bytes() == earlier
