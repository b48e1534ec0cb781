"""Where the work is done: processes of this machine, or the workers of a Dask cluster, also under SLURM.

Dask is an extra (`pip install 'osteon[cluster]'`) and reaches the pipeline only as a `concurrent.futures.Executor`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from osteon.errors import MissingPackage, NotFound, UnknownName

LOCAL, SLURM = "local", "slurm"

_SCHEDULERS = ("tcp://", "tls://", "ucx://", "ws://", "wss://")
_CONNECT_S = 30


@dataclass(frozen=True)
class Jobs:
    """What one SLURM job asks for; it holds one worker of Dask, which leads one process of osteon for each core.

    What is empty or None here comes from the settings of dask-jobqueue (`jobqueue.yaml`), then from JOB.

    Attributes:
        queue: partition. account: to be charged.
        cores: of a job. memory: of a job, for example `8GB`: a process of osteon needs up to 1 GB.
        walltime: hh:mm:ss. Studies of a job that ends in the midst of its work go to other workers.
        directives: further lines for the head of the job script, for example `--qos=debug`.
        prologue: shell lines to run first, for example `module load python`.
    """

    queue: str = ""
    account: str = ""
    cores: int | None = None
    memory: str = ""
    walltime: str = ""
    directives: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()


JOB = {"cores": 4, "memory": "8GB", "walltime": "02:00:00"}
"""What a job asks for where nothing else says so."""


@contextmanager
def executor_of(where: str, *, workers: int = 1, jobs: Jobs | None = None) -> Iterator[Executor | None]:
    """An executor for `osteon.dataset.pipeline.prepare`, for as long as the block lasts.

    Args:
        where: "" for processes of this machine without Dask (then None is given), `local` for a Dask cluster on this
            machine, `slurm` for one whose workers are SLURM jobs, or the address of a running scheduler
            (`tcp://host:8786`).
        workers: processes; under SLURM as many jobs are asked for as hold them. A running scheduler keeps its own.
        jobs: what a SLURM job asks for.

    Raises:
        MissingPackage: if the extra is not installed.
        NotFound: if nothing answers at the address.
        UnknownName: for any other text.
    """
    if not where:
        yield None
        return
    if where not in (LOCAL, SLURM) and not where.startswith(_SCHEDULERS):
        raise UnknownName(
            f"there is no cluster {where!r}", remedy=f"give {LOCAL}, {SLURM}, or an address such as tcp://host:8786"
        )
    distributed = _imported("distributed")
    with _address(where, workers, jobs or Jobs()) as address:
        try:
            client = distributed.Client(address, timeout=_CONNECT_S)
        except OSError as error:
            raise NotFound(f"no scheduler answers at {where}", remedy="start one: dask scheduler") from error
        with client:
            yield client.get_executor()


def job_script(jobs: Jobs, scheduler: str = "tcp://scheduler:8786") -> str:
    """The script that would be given to `sbatch` for one job, as text.

    Raises:
        MissingPackage: if the extra is not installed.
    """
    job = _imported("dask_jobqueue.slurm").SLURMJob(scheduler=scheduler, name="osteon", **_asked_for(jobs))
    return str(job.job_script())


@contextmanager
def _address(where: str, workers: int, jobs: Jobs) -> Iterator[Any]:
    """What a client connects to: the address given, or a cluster that lasts as long as the block."""
    if where == LOCAL:
        local = _imported("distributed").LocalCluster
        with local(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
            yield cluster
    elif where == SLURM:
        asked = _asked_for(jobs)
        with _imported("dask_jobqueue").SLURMCluster(**asked) as cluster:
            cluster.scale(jobs=math.ceil(workers / asked["cores"]))
            yield cluster
    else:
        yield where


def _asked_for(jobs: Jobs) -> dict[str, Any]:
    """The arguments of dask-jobqueue; it fills in what is None from its own settings."""
    settings = _imported("dask.config").get("jobqueue.slurm", {})
    job = {name: getattr(jobs, name) or settings.get(name) or JOB[name] for name in JOB}
    return {
        **job,
        "queue": jobs.queue or None,
        "account": jobs.account or None,
        "processes": 1,  # of Dask; each of its threads leads a process of osteon
        "job_extra_directives": list(jobs.directives) or None,
        "job_script_prologue": list(jobs.prologue) or None,
    }


def _imported(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackage(
            f"{module} is not installed, which clusters need", remedy="install it: pip install 'osteon[cluster]'"
        ) from error
