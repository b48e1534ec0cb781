"""Images prepared per second and core, how much of it is decoding, and what a restart costs.

    python benchmarks/prepare.py [--images 12] [--json FILE]

Files are 12-bit images of 2500 × 2048 pixels, uncompressed and JPEG lossless. The obvious alternative, in the same run
and on the same files, is pydicom + NumPy + Pillow at full size: window, mean of the corners, padding, resizing, PNG of
the same size and compression level. Seconds on one core are processor time, which other load on the machine
disturbs little; the pool is timed by the clock.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import write
from PIL import Image
from pydicom import dcmread, uid

from osteon import files
from osteon.dataset import steps
from osteon.dataset.frame import render
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import Job, prepare, prepare_one
from osteon.dicom.read import read
from osteon.tasks import FRACTURE

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.dicom.making import a_radiograph_file, stored_values

RECIPE = steps.RECIPES["ANY"]
SYNTAXES = {"uncompressed": uid.ExplicitVRLittleEndian, "JPEG lossless": uid.JPEGLosslessSV1}


def made_files(folder: Path, images: int, syntax: str) -> list[Path]:
    """Radiographs in one transfer syntax that differ in a few pixels."""
    folder.mkdir()
    paths = []
    for number in range(images):
        stored = stored_values(2500, 2048, bits=12)
        stored[:8, :8] = number
        path = folder / f"{number:03d}.dcm"
        path.write_bytes(a_radiograph_file(stored, syntax=syntax, bits=12, WindowCenter=2048, WindowWidth=4096))
        paths.append(path)
    return paths


def plainly(path: Path, out: Path) -> None:
    """The same job as one would write it first: everything at full size, in floating point."""
    dataset = dcmread(path)
    pixels = dataset.pixel_array.astype(float)
    low = float(dataset.WindowCenter) - float(dataset.WindowWidth) / 2
    grey = np.clip((pixels - low) / float(dataset.WindowWidth), 0, 1) * 255
    ends = (slice(min(grey.shape) // 10), slice(-(min(grey.shape) // 10), None))
    ground = [grey[rows, columns].mean() for rows in ends for columns in ends]
    if np.mean(ground) >= 100:
        grey = 255 - grey
    side = max(grey.shape)
    square = np.zeros((side, side))
    top, left = (side - grey.shape[0]) // 2, (side - grey.shape[1]) // 2
    square[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    image = Image.fromarray(square.astype(np.uint8)).resize((448, 448), Image.Resampling.BOX)
    image.save(out, compress_level=1)


def stages(path: Path, out: Path) -> dict[str, float]:
    """Seconds of each stage of one image."""
    marks = [time.process_time()]

    def mark() -> None:
        marks.append(time.process_time())

    image = files.digest_of(path)[:32]
    mark()
    radiograph = read(path)
    mark()
    (placed,) = steps.apply(RECIPE, radiograph)
    mark()
    pixels = render(placed)
    mark()
    cv2.imwrite(str(out / f"{image}.png"), pixels)
    mark()
    names = ("digest", "read", "steps", "render", "write")
    return dict(zip(names, np.diff(marks).tolist(), strict=True))


def seconds_of(works: dict[str, Callable[[Path], Any]], paths: list[Path]) -> dict[str, float]:
    """Median processor seconds per file of each way, taking turns, after one file to warm up."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for path in [paths[0], *paths]:
        for name, work in works.items():
            start = time.process_time()
            work(path)
            times[name].append(time.process_time() - start)
    return {name: float(np.median(taken[1:])) for name, taken in times.items()}


def one_syntax(folder: Path, images: int, syntax: str) -> dict[str, Any]:
    """The figures of one transfer syntax, on one core."""
    source = folder / "in"
    paths = made_files(source, images, syntax)
    out = folder / "out"
    out.mkdir()
    each = [stages(path, out) for path in paths]
    median = {name: float(np.median([stage[name] for stage in each])) for name in each[0]}

    image_of = {path: files.digest_of(path)[:32] for path in paths}

    def ours(path: Path) -> None:
        assert prepare_one(Job(image_of[path], source, path.name, RECIPE, out)).refusal is None

    ways = {"ours": ours, "read": read, "plain": lambda path: plainly(path, out / "plain.png")}
    took = seconds_of(ways, paths)
    mine, plain = took["ours"], took["plain"]
    return {
        "images_per_s": 1 / mine,
        "seconds": mine,
        "decode_share": took["read"] / mine,
        "besides_decoding_s": mine - took["read"],
        "stages_s": median,
        "plain_seconds": plain,
        "ratio": plain / mine,
        "file_mb": paths[0].stat().st_size / 1e6,
    }


def whole(folder: Path, images: int, workers: int) -> dict[str, Any]:
    """Through the pool, with starting it; then once more with nothing to do."""
    source = folder / "in"
    made_files(source, images, SYNTAXES["uncompressed"])
    manifest = ingest(source, None, task=FRACTURE, workers=workers).manifest
    took = []
    for _ in range(2):
        start = time.perf_counter()
        done = prepare(manifest, source, RECIPE, folder / "out", workers=workers)
        took.append(time.perf_counter() - start)
    assert (done.done, done.skipped) == (0, images)
    return {"images": images, "workers": workers, "first_s": took[0], "again_s": took[1]}


def main() -> None:
    """Print the table; with --json also write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    figures: dict[str, Any] = {}
    print("2500 × 2048, 12 bit, one core   images/s  decoding  besides   plain    ratio")
    for name, syntax in SYNTAXES.items():
        with tempfile.TemporaryDirectory() as folder:
            one = figures[name] = one_syntax(Path(folder), arguments.images, syntax)
        ms = {key: 1e3 * one[key] for key in ("besides_decoding_s", "plain_seconds")}
        print(
            f"  {name:<28} {one['images_per_s']:9.1f} {one['decode_share']:8.0%} {ms['besides_decoding_s']:6.0f} ms"
            f" {ms['plain_seconds']:5.0f} ms {one['ratio']:6.1f}×"
        )
        print("    " + ", ".join(f"{stage} {value * 1e3:.1f} ms" for stage, value in one["stages_s"].items()))
    with tempfile.TemporaryDirectory() as folder:
        run = figures["pool"] = whole(Path(folder), 5 * arguments.images, arguments.workers)
    print(
        f"  pool of {run['workers']}: {run['images']} images in {run['first_s']:.1f} s, "
        f"run again with nothing to do: {run['again_s'] * 1e3:.0f} ms"
    )
    write(arguments.json, "prepare", figures)


if __name__ == "__main__":
    main()
