"""Reading: seconds a radiograph with a loaded bundle, against a plain pydicom + timm script, in the same run.

    python benchmarks/read.py [--bundle FOLDER] [--rounds 5] [--threads 1] [--json FILE]

Timed is everything from the file to the probability, with and without the overlay. The plain script reads the pixels
with pydicom, windows, pads, resizes with PIL and runs the same network on the image and its mirror image. Files are the
real DICOM radiographs beside the repository where they are there, otherwise phantoms. Without a bundle, one with an
untrained head is made: the time does not depend on the answer.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pydicom
import torch
from common import write
from PIL import Image

from osteon import reader
from osteon.dataset.steps import RECIPES
from osteon.errors import UnreadableImage
from osteon.learn.backbones import open_backbone
from osteon.learn.bundle import Bundle, load
from osteon.learn.heads import Classifier
from osteon.phantom.cohort import Plan, make_cohort
from osteon.types import Calibration

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom"
SIDE = 448


def radiographs(scratch: Path) -> tuple[str, list[Path]]:
    """Real files that every road can read, or phantoms."""
    if SHARED.exists():
        return "real DICOM", [path for path in sorted(SHARED.rglob("*.dcm")) if _plain_reads(path)]
    make_cohort(Plan(patients=8, rows=2048, columns=1640), scratch / "cohort", seed=0)
    return "phantom", sorted((scratch / "cohort").rglob("*.dcm"))


def _plain_reads(path: Path) -> bool:
    try:
        pydicom.dcmread(path).pixel_array  # noqa: B018
    except (RuntimeError, ValueError, AttributeError, NotImplementedError):
        return False
    return True


def plain(bundle: Bundle, path: Path) -> float:
    """The probability as one would first compute it."""
    dataset = pydicom.dcmread(path)
    values = dataset.pixel_array.astype(np.float32)
    low, high = values.min(), values.max()
    grey = (values - low) / max(high - low, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        grey = 1 - grey
    side = max(grey.shape)
    canvas = np.zeros((side, side), np.float32)
    top, left = (side - grey.shape[0]) // 2, (side - grey.shape[1]) // 2
    canvas[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    small = Image.fromarray((canvas * 255).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BOX)
    images = torch.from_numpy(np.asarray(small).astype(np.float32) / 255)[None, None]
    with torch.no_grad():
        score = (bundle.classifier(images) + bundle.classifier(images.flip(-1))) / 2
    return float(bundle.calibration(score.numpy().astype(float))[0])


def seconds(run: Callable[[Path], object], paths: list[Path], rounds: int) -> np.ndarray:
    """(rounds × paths,) wall seconds, after one warm-up."""
    run(paths[0])
    found = []
    for _ in range(rounds):
        for path in paths:
            start = time.perf_counter()
            run(path)
            found.append(time.perf_counter() - start)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch, for both roads; osteon read uses 1")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    if options.bundle:
        stored = load(options.bundle)
    else:
        classifier = Classifier(open_backbone())
        stored = Bundle(
            classifier, RECIPES["ANY"], "fracture", Calibration(1, 0, 1, 0.5), {"youden": 0.5}, (SIDE, SIDE)
        )
    ready = reader.ready(stored)
    loading = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as scratch:
        kind, paths = radiographs(Path(scratch))
        overlays = Path(scratch) / "overlays"
        runs: dict[str, Callable[[Path], object]] = {
            "plain pydicom + timm": lambda path: plain(stored, path),
            "osteon, probability": lambda path: reader.read([path], ready),
            "osteon, with overlay": lambda path: reader.read([path], ready, overlays=overlays),
        }
        try:
            times = {name: seconds(run, paths, options.rounds) for name, run in runs.items()}
        except UnreadableImage as error:
            raise SystemExit(f"a file of the benchmark cannot be read: {error}") from error
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    print(f"{len(paths)} {kind} files, {options.rounds} rounds, {options.threads} threads, loaded in {loading:.2f} s")
    for name, found in times.items():
        print(f"{name:24s} p50 {np.median(found):.3f} s   p95 {np.percentile(found, 95):.3f} s")
    ratio = float(np.median(times["plain pydicom + timm"]) / np.median(times["osteon, probability"]))
    print(f"osteon reads {ratio:.2f} times as fast as the plain script (medians); peak memory {peak / 2**20:.0f} MB")
    figures = {
        "files": len(paths),
        "kind": kind,
        "rounds": options.rounds,
        "threads": options.threads,
        "loading_s": loading,
        "p50_s": {name: float(np.median(found)) for name, found in times.items()},
        "p95_s": {name: float(np.percentile(found, 95)) for name, found in times.items()},
        "ratio": ratio,
        "peak_memory_mb": peak / 2**20,
        "memory_before_loading_mb": before / 2**20,
    }
    write(options.json, "read", figures)


if __name__ == "__main__":
    main()
