"""Run records: every command writes `run.json` beside its results, so that any figure leads back to its files."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from osteon import __version__, files
from osteon.errors import CannotWrite

RECORD = "run.json"
PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pydicom",
    "imagecodecs",
    "opencv-python-headless",
    "torch",
    "timm",
)


@dataclass(frozen=True)
class Run:
    """What was run, on what, with which result.

    Attributes:
        id: first 16 hexadecimal digits of the SHA-256 of all other fields.
        command: the verb, e.g. `train`.
        arguments: as given, paths as text.
        commit: git commit of the code, "" if it does not run from a checkout; `dirty` if the tree had changes.
        versions: package → version.
        seeds: name → seed.
        inputs: path → SHA-256 of each input file or folder.
        parents: ids of the run records found beside the inputs.
        machine: processor, cores, memory, system.
        started: UTC, ISO 8601. duration_s: seconds.
        result: a few figures of the outcome, for people who read the record.
    """

    command: str
    arguments: dict[str, Any]
    commit: str
    dirty: bool
    versions: dict[str, str]
    seeds: dict[str, int]
    inputs: dict[str, str]
    parents: tuple[str, ...]
    machine: dict[str, str]
    started: str
    duration_s: float
    result: dict[str, Any] = field(default_factory=dict)
    id: str = ""


@contextmanager
def recording(
    command: str,
    out: Path,
    arguments: Mapping[str, Any],
    *,
    inputs: Sequence[Path] = (),
    seeds: Mapping[str, int] | None = None,
) -> Iterator[dict[str, Any]]:
    """Record the block as one run: on success `out/run.json` is written, on an error nothing is.

    Args:
        command: the verb.
        out: folder of the results.
        arguments: the command's arguments.
        inputs: files and folders that the results depend on. A folder that holds a run record is known by that record
            and not read again.
        seeds: name → seed.

    Yields:
        A dictionary; what the block puts into it becomes the record's `result`.

    Raises:
        CannotWrite: if `out` cannot be written, or holds the results of another command, which would be mixed up.
    """
    _must_be_free(files.must_be_writable(out), command)
    started, clock = datetime.now(UTC), time.perf_counter()
    digests, parents = {}, []
    for path in inputs:
        record = (path if path.is_dir() else path.parent) / RECORD
        if record.exists():
            parents.append(str(files.read_json(record).get("id", "")))
        digests[str(path)] = _input_digest(path)
    result: dict[str, Any] = {}
    yield result
    revision, dirty = git_state()
    run = Run(
        command=command,
        arguments={k: str(v) if isinstance(v, Path) else v for k, v in arguments.items()},
        commit=revision,
        dirty=dirty,
        versions={"osteon": __version__, "python": platform.python_version(), **versions()},
        seeds=dict(seeds or {}),
        inputs=digests,
        parents=tuple(dict.fromkeys(parents)),
        machine=machine(),
        started=started.isoformat(timespec="seconds"),
        duration_s=round(time.perf_counter() - clock, 3),
        result=dict(result),
    )
    content = asdict(run)
    content["id"] = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]
    files.write_json(out / RECORD, content)


def _must_be_free(out: Path, command: str) -> None:
    earlier = files.read_json(out / RECORD).get("command", "") if (out / RECORD).exists() else command
    if earlier != command:
        raise CannotWrite(
            f"{out} holds the results of `osteon {earlier}`, which those of `osteon {command}` would spoil",
            remedy="choose another --out",
        )


def read(folder: Path) -> Run:
    """The run record of a result folder."""
    content = files.read_json(folder / RECORD)
    content["parents"] = tuple(content["parents"])
    return Run(**content)


def chain(folder: Path, among: Sequence[Path]) -> list[Run]:
    """The record of `folder` and all its ancestors that lie in the folders `among`, youngest first."""
    records = {run.id: run for run in map(read, (f for f in among if (f / RECORD).exists()))}
    found, queue = [read(folder)], list(read(folder).parents)
    while queue:
        parent = records.get(queue.pop(0))
        if parent is not None and parent not in found:
            found.append(parent)
            queue += parent.parents
    return found


def git_state() -> tuple[str, bool]:
    """Git commit of the code that runs, "" if it does not run from a checkout, and whether the tree had changes."""

    def ask(*words: str) -> str:
        done = subprocess.run(
            ["git", *words],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        # An installed copy may lie inside somebody else's repository, whose commit says nothing of this code.
        head = ask("rev-parse", "HEAD") if ask("ls-files", Path(__file__).name) else ""
        return head, bool(head and ask("status", "--porcelain"))
    except (OSError, subprocess.TimeoutExpired):
        # Without git the record still stands, and says so by an empty commit.
        return "", False


def machine() -> dict[str, str]:
    """The machine, as far as timings depend on it: system, processor, cores, memory."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(psutil.cpu_count() or 0),
        "memory_gb": f"{psutil.virtual_memory().total / 2**30:.0f}",
    }


def versions() -> dict[str, str]:
    """Package → version, of those that results or timings depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _input_digest(path: Path) -> str:
    if path.is_dir() and (path / RECORD).exists():
        return f"run {files.read_json(path / RECORD).get('id', '')}"
    return files.digest_of(path) if path.exists() else ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
