"""What every benchmark writes beside its figures: the machine, the commit, the versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from osteon import files

PACKAGES = ("numpy", "opencv-python-headless", "imagecodecs", "pydicom", "scikit-learn", "torch", "timm")


def machine() -> dict[str, Any]:
    """The machine and the code, as far as timings depend on them."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count() or 0,
        "load_before": round(os.getloadavg()[0], 2),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def write(path: Path | None, name: str, figures: dict[str, Any]) -> None:
    """Write the figures of the benchmark `name` with the machine as JSON; nothing without a path."""
    if path is not None:
        files.write_json(path, {"benchmark": name, "figures": figures, "machine": machine()})


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
