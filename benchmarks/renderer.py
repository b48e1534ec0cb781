"""Grey levels of 255 between osteon and DCMTK, file by file, with the same window.

    python benchmarks/renderer.py [--folder DIR] [--json FILE]

The folder holds the real radiographs of the development data. DCMTK and gdcmconv must be installed (`make system`);
without them or the folder nothing is measured.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import write
from pydicom import dcmread

from osteon.errors import UnreadableImage

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.dicom.second_renderer import LOSSY, TOOLS, commands, levels_brighter
from tests.make import SHARED


def compared(path: Path) -> dict[str, Any]:
    """What `tests.dicom.second_renderer` finds of one file."""
    dataset = dcmread(path, stop_before_pixels=True)
    syntax = dataset.file_meta.TransferSyntaxUID
    row: dict[str, Any] = {"file": path.name, "syntax": syntax.keyword, "lossy": syntax in LOSSY}
    row["commands"] = [_shown(command) for command in commands(path, dataset, Path())]
    with tempfile.TemporaryDirectory() as folder:
        try:
            brighter = levels_brighter(path, Path(folder))
        except UnreadableImage as error:
            return row | {"refused": error.code, "dcmtk_refuses": _fails(path, Path(folder))}
    return row | {
        "pixels": brighter.size,
        "equal": round(float((brighter == 0).mean()), 6),
        "within_1": float((np.abs(brighter) <= 1).mean()),
        "pixels_beyond_1": int((np.abs(brighter) > 1).sum()),
        "largest": int(np.abs(brighter).max()),
        "osteon_darker": int((brighter < 0).sum()),
    }


def _shown(command: list[str]) -> str:
    return " ".join(Path(word).name if "/" in word else word for word in command)


def _fails(path: Path, folder: Path) -> bool:
    steps = commands(path, dcmread(path, stop_before_pixels=True), folder)
    return any(subprocess.run(step, capture_output=True).returncode != 0 for step in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=SHARED / "dicom")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        print(f"not measured: {', '.join(missing)} not installed")
        return
    rows = [compared(path) for path in sorted(options.folder.rglob("*.dcm"))]
    print(f"{'file':46s} {'syntax':24s} {'equal':>8s} {'within 1':>9s} {'beyond':>7s} {'largest':>8s}")
    for row in rows:
        if "refused" in row:
            print(
                f"{row['file']:46s} {row['syntax']:24s} refused ({row['refused']}), DCMTK too: {row['dcmtk_refuses']}"
            )
        else:
            print(
                f"{row['file']:46s} {row['syntax']:24s} {row['equal']:8.2%} {row['within_1']:9.4%} "
                f"{row['pixels_beyond_1']:7d} {row['largest']:8d}"
            )
    versions = {tool: _version(tool) for tool in TOOLS}
    write(options.json, "renderer", {"files": rows, "tools": versions})


def _version(tool: str) -> str:
    lines = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout.strip().splitlines()
    return lines[0].strip() if lines else ""


if __name__ == "__main__":
    main()
