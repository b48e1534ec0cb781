from __future__ import annotations

import os
import sys
from pathlib import Path

import distributed
import pytest

from osteon.dataset import cluster
from osteon.dataset.cluster import Jobs, executor_of, job_script
from osteon.dataset.workers import each
from osteon.errors import MissingPackage, NotFound, UnknownName


def test_without_a_cluster_there_is_no_executor() -> None:
    with executor_of("") as executor:
        assert executor is None


def test_a_running_scheduler_is_reached_by_its_address() -> None:
    running = distributed.LocalCluster(n_workers=1, processes=False, protocol="tcp://", dashboard_address=None)
    with running, executor_of(running.scheduler_address) as executor:
        assert dict(each(str, range(5), workers=2, executor=executor, lost=repr)) == {n: str(n) for n in range(5)}


def test_where_no_scheduler_answers_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_CONNECT_S", 1)
    with (
        pytest.raises(NotFound, match=r"no scheduler answers at tcp://127\.0\.0\.1:1"),
        executor_of("tcp://127.0.0.1:1"),
    ):
        raise AssertionError


def test_a_wrong_name_lists_the_right_ones() -> None:
    with (
        pytest.raises(UnknownName, match=r"no cluster 'slrum'; give local, slurm, or an address"),
        executor_of("slrum"),
    ):
        raise AssertionError


def test_without_the_extra_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackage, match=r"pip install 'osteon\[cluster\]'"), executor_of("local"):
        raise AssertionError


def test_the_job_script_asks_for_what_was_asked_for() -> None:
    jobs = Jobs(
        queue="long", account="trauma", cores=8, memory="12GB", walltime="04:00:00",
        directives=("--qos=debug",), prologue=("module load python/3.11",),
    )  # fmt: skip
    script = job_script(jobs, "tcp://login1:8786").splitlines()
    assert script[0].startswith("#!")
    for line in ("-p long", "-A trauma", "-n 1", "--cpus-per-task=8", "-t 04:00:00", "--qos=debug"):
        assert f"#SBATCH {line}" in script
    assert "#SBATCH --mem=12G" in script
    # The worker starts after the modules are loaded, as one process of Dask with a thread for each core.
    begun = next(number for number, line in enumerate(script) if "dask_worker tcp://login1:8786" in line)
    assert script.index("module load python/3.11") < begun
    assert sys.executable in script[begun]
    assert "--nthreads 8" in script[begun]
    plain = job_script(Jobs())
    assert "#SBATCH -p" not in plain and "#SBATCH -A" not in plain


# Like SLURM's, it keeps a copy of the script: dask-jobqueue removes its own as soon as it was handed over.
SBATCH = """#!/bin/sh
cp "$1" job.sh
sh job.sh > /dev/null 2>&1 &
echo "Submitted batch job $!"
"""


def test_work_goes_through_jobs_that_slurm_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler of two lines stands for SLURM: `sbatch` starts the script at once, `scancel` ends it."""
    for name, text in {"sbatch": SBATCH, "scancel": '#!/bin/sh\nkill "$1"\n'}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    with executor_of("slurm", workers=2, jobs=Jobs(cores=2, memory="2GB")) as executor:
        got = dict(each(os.path.basename, ["a/b", "c/d"], workers=2, executor=executor, lost=repr))
    assert got == {0: "b", 1: "d"}
