"""What preparation costs: against a straight pipeline, over all real files, with two workers, over 10,000 instances.

    python benchmarks/prepare.py [--json FILE]                  all of it, half an hour
    python benchmarks/prepare.py --only straight --patients 6   the ratio and the stages alone, two minutes
    python benchmarks/prepare.py --only workers --copies 200    one worker against two, three minutes
    python benchmarks/prepare.py --only real                    the real files, two minutes
    python benchmarks/prepare.py --only many                    the 10,000 instances, a quarter of an hour

The straight pipeline does what de Cid 2021 describes (chapters 4.1 and 4.2) as one writes it first with pydicom,
scikit-image, scikit-learn and Pillow: window, mean of the corners, Otsu and components, closing and opening, principal
axis of all foreground pixels, rotation, all at full size; then the same square PNG with the same compression. Osteon
does more: digest, grey chain of the standard, check of attributes, every step of its recipe, statistics.

Seconds of one core are processor time, which other load on the machine disturbs little; workers are timed by the
clock. Everything runs in the environment of osteon's workers (`osteon.dataset.guard.ENVIRONMENT`): one thread, and an
allocator that keeps memory. 2500 × 2048 files are phantom wrists of 12 and 14 bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import psutil
from common import write
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.pixels import apply_voi_lut
from skimage import filters, measure, morphology, transform
from sklearn.decomposition import PCA

from osteon import files
from osteon.dataset import steps
from osteon.dataset.frame import render
from osteon.dataset.guard import ENVIRONMENT, LIMITS
from osteon.dataset.ingest import ingest
from osteon.dataset.pipeline import prepare
from osteon.dataset.preparation import Job, prepare_one, write_png
from osteon.dataset.sources import files_given, read_bytes
from osteon.dataset.statistics import moments_of
from osteon.dicom.attributes import Attributes
from osteon.dicom.chain import encoding_of
from osteon.dicom.decoders import words_of
from osteon.dicom.parsing import parse
from osteon.dicom.read import read
from osteon.phantom.cohort import make_cohort
from osteon.phantom.plan import Plan
from osteon.tasks import FRACTURE
from osteon.types import Recipe

RECIPE_NAME = "WRIST"
RECIPE: Recipe = steps.RECIPES[RECIPE_NAME]
UNFILTERED: Recipe = tuple(step for step in RECIPE if not isinstance(step, steps.BodyPartFilter))
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom"
PARTS = ("straight", "workers", "real", "many")
SEED_RATE = 0.2  # radiographs per second and core: de Cid 2021, chapter 4.1, 30 h on one CPU


def straight(path: Path, out: Path, size: tuple[int, int]) -> None:
    """The pipeline of the seed, as one writes it first; `size` is (height, width) of the PNG."""
    height, width = size
    dataset = dcmread(path)
    values = apply_voi_lut(dataset.pixel_array, dataset).astype(np.float64)
    values = (values - values.min()) / (values.max() - values.min()) * 255
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        values = 255 - values
    image = values.astype(np.uint8)
    if _corners(image) >= 100:
        image = 255 - image
    # Parts: components that are large; the first stays.
    foreground = image > filters.threshold_otsu(image)
    foreground = morphology.remove_small_objects(foreground, max_size=image.size // 200)
    parts = measure.label(foreground)
    top, left, bottom, right = measure.regionprops(parts)[0].bbox if parts.max() else (0, 0, *image.shape)
    image = image[top:bottom, left:right]
    # Rotation: the long axis of the foreground upright.
    foreground = image > filters.threshold_otsu(image)
    square = morphology.footprint_rectangle((9, 9))
    foreground = morphology.opening(morphology.closing(foreground, square), square)
    x, y = PCA(2).fit(np.argwhere(foreground)[:, ::-1]).components_[0]
    angle = (np.degrees(np.arctan2(y, x)) - 90 + 90) % 180 - 90
    image = transform.rotate(image, angle, resize=True, preserve_range=True).astype(np.uint8)
    rows, columns = (
        max(image.shape[0], round(image.shape[1] * height / width)),
        max(image.shape[1], round(image.shape[0] * width / height)),
    )
    padded = np.zeros((rows, columns), np.uint8)
    top, left = (rows - image.shape[0]) // 2, (columns - image.shape[1]) // 2
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    picture = Image.fromarray(padded).resize((width, height), Image.Resampling.BOX)
    picture.save(out, compress_level=1, compress_type=3)  # as osteon.dataset.preparation.PNG: 3 is run lengths


def _corners(image: NDArray[np.uint8]) -> float:
    height, width = image.shape[0] // 10, image.shape[1] // 10
    ends = [
        (rows, columns)
        for rows in (slice(height), slice(-height, None))
        for columns in (slice(width), slice(-width, None))
    ]
    return float(np.mean([image[place].mean() for place in ends]))


def job_of(path: Path, out: Path) -> Job:
    """The job of preparing one file."""
    return Job(files.digest_of(path)[:32], path.parent, path.name, RECIPE, out, LIMITS)


def taking_turns(ways: dict[str, Callable[[Path], Any]], paths: Sequence[Path]) -> dict[str, list[float]]:
    """Processor seconds of each way on each file, after one file to warm up."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for path in [paths[0], *paths]:
        for name, way in ways.items():
            start = time.process_time()
            way(path)
            took[name].append(time.process_time() - start)
    return {name: seconds[1:] for name, seconds in took.items()}


def decoded(data: bytes) -> NDArray[Any]:
    """The stored words of a DICOM file, by the fastest exact decoder, and nothing else."""
    dataset, _ = parse(data, whole=True)
    return words_of(dataset, encoding_of(Attributes(dataset)), str(dataset.file_meta.TransferSyntaxUID))


def stages(path: Path, out: Path) -> dict[str, float]:
    """Processor seconds of each stage of one image."""
    marks = [time.process_time()]

    def mark() -> None:
        marks.append(time.process_time())

    data = read_bytes(path.parent, path.name)
    mark()
    hashlib.sha256(data).hexdigest()
    mark()
    decoded(data)
    mark()
    radiograph = read(data)
    mark()
    parts = steps.apply(RECIPE, radiograph)
    mark()
    shown = [render(part) for part in parts]
    mark()
    for number, pixels in enumerate(shown):
        write_png(out / f"stage-{number}.png", pixels)
    mark()
    for pixels in shown:
        moments_of(pixels)
    mark()
    names = ("file", "digest", "decode", "decode and grey", "steps", "warp", "write", "statistics")
    return dict(zip(names, np.diff(marks).tolist(), strict=True))


def against_straight(folder: Path, patients: int) -> dict[str, Any]:
    """Uncompressed files of 2500 × 2048, one core: seconds of both, and of each stage of ours."""
    plan = Plan(patients=patients, rows=2500, columns=2048, syntaxes=("explicit",))
    make_cohort(plan, folder / "cohort", seed=5, workers=2)
    paths = sorted((folder / "cohort").rglob("*.dcm"))
    out = folder / "out"
    out.mkdir()
    first = prepare_one(job_of(paths[0], out))
    size = cv2.imread(str(out / first.parts[0].file), cv2.IMREAD_UNCHANGED).shape
    jobs = {path: job_of(path, out) for path in paths}
    ways: dict[str, Callable[[Path], Any]] = {
        "osteon": lambda path: prepare_one(jobs[path]),
        "decode": lambda path: decoded(path.read_bytes()),
        "read": lambda path: read(path.read_bytes()),
        "straight": lambda path: straight(path, out / "straight.png", size),
    }
    took = {name: float(np.median(seconds)) for name, seconds in taking_turns(ways, paths).items()}
    several = [stages(path, out) for path in paths]
    return {
        "images": len(paths),
        "size": size,
        **{f"{name}_s": seconds for name, seconds in took.items()},
        "besides_decoding_s": took["osteon"] - took["decode"],
        "besides_reading_s": took["osteon"] - took["read"],
        "ratio": took["straight"] / took["osteon"],
        "images_per_s_core": 1 / took["osteon"],
        "straight_images_per_s_core": 1 / took["straight"],
        "seed_images_per_s_core": SEED_RATE,
        "stages_s": {name: float(np.median([one[name] for one in several])) for name in several[0]},
    }


def prepare_again(job: Job, path: Path) -> None:
    """Prepare the image of a job, which is that of the path."""
    prepare_one(job)


def real_files(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """All real DICOM files, one core: the sum of the medians of three runs, of all work and of decoding alone."""
    total = decoding = 0.0
    used, refused = 0, []
    folder = folder / "real"
    folder.mkdir(exist_ok=True)
    for name in filter(lambda name: name.endswith(".dcm"), files_given(SHARED)):
        path = SHARED / name
        job = Job(files.digest_of(path)[:32], SHARED, name, recipe, folder, LIMITS)
        done = prepare_one(job)
        if done.refusal:
            refused.append(f"{name}: {done.refusal.code}")
            continue
        ways = {"all": partial(prepare_again, job), "decode": lambda path: decoded(path.read_bytes())}
        took = taking_turns(ways, [path] * 3)
        total += float(np.median(took["all"]))
        decoding += float(np.median(took["decode"]))
        used += 1
    return {"files": used, "refused": refused, "all_s": total, "decode_s": decoding, "ratio": total / decoding}


def two_workers(folder: Path, copies: int) -> dict[str, Any]:
    """JPEG lossless files of 2500 × 2048 by the clock, starting of workers included: one worker, then two."""
    plan = Plan(patients=2, rows=2500, columns=2048, syntaxes=("jpeg-lossless",))
    make_cohort(plan, folder / "packed", seed=7, workers=2)
    source = folder / "packed" / "dicom"
    manifest = ingest(source, None, task=FRACTURE, workers=2).manifest
    manifest = copied(manifest, source, folder / "copies", copies)
    took = {}
    for workers in (1, 2):
        start = time.perf_counter()
        done = prepare(manifest, folder / "copies", RECIPE, folder / f"by-{workers}", workers=workers)
        took[workers] = time.perf_counter() - start
        assert done.done == len(manifest)
    return {"images": len(manifest), "one_s": took[1], "two_s": took[2], "ratio": took[1] / took[2]}


def copied(manifest: pd.DataFrame, source: Path, folder: Path, copies: int) -> pd.DataFrame:
    """The files again and again under new instance UIDs, and their manifest: other bytes, the same pixels."""
    folder.mkdir()
    contents = [(source / path).read_bytes() for path in manifest["path"]]
    rows = []
    for number in range(copies):
        row = number % len(manifest)
        old = str(manifest["instance"].iloc[row]).encode()
        new = f"{number:0{len(old)}d}".encode()
        data = contents[row].replace(old, new)
        name = f"{number:06d}.dcm"
        (folder / name).write_bytes(data)
        rows.append({"image": hashlib.sha256(data).hexdigest()[:32], "path": name, "study": f"{number // 2}"})
    made = manifest.iloc[[number % len(manifest) for number in range(copies)]].reset_index(drop=True)
    return made.assign(**pd.DataFrame(rows))


def many_instances(folder: Path, count: int) -> dict[str, Any]:
    """So many small instances with two workers, in a fresh process that watches its own memory and the clock."""
    make_cohort(Plan(patients=4, rows=320, columns=256, syntaxes=("jpeg-ls",)), folder / "small", seed=6)
    done = subprocess.run(
        [sys.executable, __file__, "--watch", str(folder), str(count)], capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def watched(folder: Path, count: int) -> dict[str, Any]:
    """What `many_instances` asks of its process."""
    source = folder / "small" / "dicom"
    manifest = ingest(source, None, task=FRACTURE).manifest
    manifest = copied(manifest, source, folder / "many", count)
    me, samples = psutil.Process(), []
    workers: list[int] = []
    start = time.perf_counter()

    def watch(done: int, total: int) -> None:
        if done % (count // 100) < 2:
            samples.append((done, time.perf_counter() - start, me.memory_info().rss))
            workers.extend(child.memory_info().rss for child in me.children())

    prepare(manifest, folder / "many", RECIPE, folder / "prepared", workers=2, progress=watch)
    done, seconds, resident = np.array(samples, float).T
    settled = done >= count / 20
    line = np.polyfit(done[settled], seconds[settled], 1)
    return {
        "instances": count,
        "seconds": time.perf_counter() - start,
        "images_per_s": count / seconds[-1],
        "parent_mb": [float(x) / 1e6 for x in (resident[settled].min(), resident[settled].max())],
        "parent_spread": float((resident[settled].max() - resident[settled].min()) / 2 / resident[settled].mean()),
        "worker_mb": max(workers) / 1e6,
        "off_the_line": float(np.abs(np.polyval(line, done[settled]) - seconds[settled]).max() / seconds[-1]),
    }


def said_of_straight(one: dict[str, Any]) -> str:
    """The first part of the table."""
    lines = [f"2500 × 2048, uncompressed, recipe {RECIPE_NAME}, to {one['size']}, {one['images']} images, one core"]
    lines += [
        f"  {name:<9} {one[f'{name}_s'] * 1e3:6.1f} ms {1 / one[f'{name}_s']:7.1f} images/s"
        for name in ("osteon", "straight")
    ]
    lines.append(f"  ratio {one['ratio']:.1f}×; the seed: {SEED_RATE} images/s on its files, machine and steps")
    lines.append(
        f"  everything but decoding {one['besides_decoding_s'] * 1e3:.1f} ms, but reading (file, decoding, grey chain) "
        f"{one['besides_reading_s'] * 1e3:.1f} ms; by stage, ms:"
    )
    lines.append("  " + ", ".join(f"{stage} {seconds * 1e3:.1f}" for stage, seconds in one["stages_s"].items()))
    return "\n".join(lines)


def said_of_workers(figures: dict[str, Any]) -> str:
    """The second part of the table."""
    return "{images} JPEG lossless: one worker {one_s:.1f} s, two {two_s:.1f} s, {ratio:.2f}×".format(**figures)


def said_of_real(name: str, real: dict[str, Any]) -> str:
    """A line of the third part of the table."""
    return (
        f"{real['files']} real files, {name}: {real['all_s']:.2f} s, decoding alone {real['decode_s']:.2f} s, "
        f"{real['ratio']:.2f}×"
    )


def said_of_many(many: dict[str, Any]) -> str:
    """The last part of the table."""
    low, high = many["parent_mb"]
    return (
        f"{many['instances']} instances, two workers: {many['seconds']:.0f} s ({many['images_per_s']:.0f}/s); parent "
        f"{low:.0f}–{high:.0f} MB (± {many['parent_spread']:.1%}), worker ≤ {many['worker_mb']:.0f} MB; the time "
        f"is off a straight line by ≤ {many['off_the_line']:.1%}"
    )


def main() -> None:
    """Print the table; with --json also write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be given several times")
    parser.add_argument("--patients", type=int, default=6, help="straight: two images of 2500 × 2048 each")
    parser.add_argument("--copies", type=int, default=200, help="workers: images of 2500 × 2048")
    parser.add_argument("--instances", type=int, default=10_000, help="many: images of 320 × 256")
    parser.add_argument("--json", type=Path, help="write the figures of the parts that ran here")
    parser.add_argument("--watch", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not ENVIRONMENT.items() <= os.environ.items():
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})
    cv2.setNumThreads(1)
    if arguments.watch:
        print(json.dumps(watched(Path(arguments.watch[0]), int(arguments.watch[1]))))
        return
    figures: dict[str, Any] = {"recipe": RECIPE_NAME}
    wanted = arguments.only or PARTS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "straight" in wanted:
            figures["straight"] = against_straight(folder, arguments.patients)
            print(said_of_straight(figures["straight"]), flush=True)
        if "workers" in wanted:
            figures["workers"] = two_workers(folder, arguments.copies)
            print(said_of_workers(figures["workers"]), flush=True)
        if "real" in wanted and SHARED.exists():
            # Chests, hips, hands and teeth: ANY is their recipe. The steps of WRIST are timed on them all the same.
            for name, recipe in {"ANY": steps.RECIPES["ANY"], "all steps": UNFILTERED}.items():
                figures[f"real, {name}"] = real_files(folder, recipe)
                print(said_of_real(name, figures[f"real, {name}"]), flush=True)
        if "many" in wanted:
            figures["many"] = many_instances(folder, arguments.instances)
            print(said_of_many(figures["many"]), flush=True)
    write(arguments.json, "prepare", figures)


if __name__ == "__main__":
    main()
