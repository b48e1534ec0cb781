"""Reading a folder: `osteon read` on 500 JPEGs with a detector, against a plain timm loop, in the same run.

    python benchmarks/read_folder.py [--bundle FOLDER] [--files 500] [--rounds 3] [--batches 1 16] [--json FILE]

Both do the same work in the network: the trunk on every image and on its mirror image at the same size, in single
precision, and the lesion heads. The plain loop is what one would write first: a `DataLoader` with a process per core
that opens the JPEG with Pillow, pads and resizes it; batches of 1 or 16, of which the faster counts; the networks as
timm builds them. It stops at the probability. `osteon read` checks the files, groups them into studies, looks for
inverted images, draws boxes, and writes readings and a run record; its time counts from the call to the end, with the
loading of the bundle and the start of its processes, which the plain loop's does not. Overlays are timed besides.

Memory is the largest resident size of the command in a process of its own, on 100 files and on all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import write
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from osteon import verbs
from osteon.dataset.steps import RECIPES
from osteon.errors import OsteonError
from osteon.learn.backbones import open_backbone
from osteon.learn.detector.bundle import DetectorBundle, Member, load, save
from osteon.learn.detector.kept import kept
from osteon.learn.detector.lesions import BoxRule
from osteon.learn.detector.network import STRIDES, DetectorNetwork, detector_on
from osteon.phantom.cohort import Plan, make_cohort
from osteon.settings import Settings
from osteon.types import Calibration
from osteon.verbs.reading import SHIPPED

IMAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "fracatlas" / "images"
BATCHES = (1, 16)
"""Images a step of the plain loop: on many CPUs the first is the faster one, because activations stay in the cache."""

FEW = 100
"""Files on which memory is measured besides."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bundle", type=Path, help="of a detector; default: the shipped one, else an untrained one")
    parser.add_argument(
        "--images", type=Path, default=IMAGES, help="folder of JPEGs; default: FracAtlas, else phantoms"
    )
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="of the plain loop")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    torch.set_num_threads(cores)
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        kind, folder = files_in(room, options.images, options.files)
        bundle = options.bundle or (SHIPPED if SHIPPED.exists() else untrained(room / "bundle"))
        loaded = load(bundle, "fracture")
        print(f"{len(list(folder.iterdir()))} {kind}, {cores} cores; {loaded.describe()}")
        roads: dict[str, Callable[[], object]] = {
            **{f"plain timm loop, batches of {b}": partial(plain, loaded, folder, cores, b) for b in options.batches},
            "osteon read": lambda: ours(folder, bundle, room, cores, overlays=False),
            "osteon read, with overlays": lambda: ours(folder, bundle, room, cores, overlays=True),
        }
        rates: dict[str, list[float]] = {name: [] for name in roads}
        for _ in range(options.rounds):
            for name, road in roads.items():
                began = time.perf_counter()
                road()
                rates[name].append(options.files / (time.perf_counter() - began))
                print(f"{name:32s} {rates[name][-1]:6.1f} images/s", flush=True)
        memory = {
            count: resident(folder, bundle, room, count) for count in sorted({min(FEW, options.files), options.files})
        }
    medians = {name: float(np.median(found)) for name, found in rates.items()}
    for name, rate in medians.items():
        print(f"median of {name:32s} {rate:6.1f} images/s")
    ratio = medians["osteon read"] / max(rate for name, rate in medians.items() if name.startswith("plain"))
    print(f"osteon reads {ratio:.2f} times as many images in a second as the faster plain loop (medians)")
    print("; ".join(f"{count} files: {size / 2**20:.0f} MB" for count, size in memory.items()))
    figures = {
        "files": options.files,
        "kind": kind,
        "rounds": options.rounds,
        "cores": cores,
        "detector": loaded.describe(),
        "images_per_s": medians,
        "rounds_images_per_s": rates,
        "ratio": ratio,
        "resident_mb": {str(count): size / 2**20 for count, size in memory.items()},
    }
    write(options.json, "read_folder", figures)


def files_in(room: Path, given: Path, count: int) -> tuple[str, Path]:
    """A folder of so many JPEGs, and what they are: the first by name of those given, or phantoms."""
    folder = room / "images"
    folder.mkdir()
    if given.exists():
        for path in sorted(given.glob("*.jpg"))[:count]:
            shutil.copy(path, folder)
        if len(list(folder.iterdir())) < count:
            raise SystemExit(f"{given} holds fewer than {count} JPEGs: pass another folder, or fewer --files")
        return "real JPEGs (FracAtlas)" if given == IMAGES else f"JPEGs of {given.name}", folder
    make_cohort(Plan(patients=8, rows=448, columns=358), room / "cohort", seed=0)
    from osteon.dicom.read import read

    shown = [read(path) for path in sorted((room / "cohort").rglob("*.dcm"))]
    for number in range(count):
        radiograph = shown[number % len(shown)]
        pixels = (radiograph.pixels * (255 / radiograph.white)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:04d}.jpg", quality=95)
    return "phantom JPEGs", folder


def untrained(folder: Path) -> Path:
    """A bundle whose answers mean nothing: the time does not depend on them."""
    trunk = open_backbone()
    network = kept(DetectorNetwork.of(trunk, detector_on(trunk, STRIDES, seed=0)))
    member = Member(network, RECIPES["ANY"], (448, 448))
    calibration, cuts = Calibration(slope=1.0, intercept=0.0, n=1, prevalence=0.5), {"youden": 0.5}
    save(DetectorBundle((member,), "fracture", calibration, BoxRule(), cuts), folder)
    return folder


class Padded(Dataset[torch.Tensor]):
    """JPEGs as grey squares, float in 0..1."""

    def __init__(self, paths: list[Path], side: int) -> None:
        self.paths, self.side = paths, side

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        grey = Image.open(self.paths[number]).convert("L")
        longest = max(grey.size)
        square = Image.new("L", (longest, longest))
        square.paste(grey, ((longest - grey.width) // 2, (longest - grey.height) // 2))
        small = np.asarray(square.resize((self.side, self.side), Image.Resampling.BILINEAR), np.float32)
        return torch.from_numpy(small / 255)[None]


def plain(bundle: DetectorBundle, folder: Path, cores: int, batch: int) -> np.ndarray:
    """(n,) probabilities, as one would first compute them."""
    paths = sorted(folder.iterdir())
    scores = []
    for member in bundle.members:
        loader = DataLoader(Padded(paths, member.size[0]), batch_size=batch, num_workers=cores)
        with torch.inference_mode():
            scores.append(torch.cat([member.network.score(images) for images in loader]).double().numpy())
    return np.asarray(bundle.calibration(np.mean(scores, axis=0)))


def ours(folder: Path, bundle: Path, room: Path, cores: int, *, overlays: bool) -> None:
    """The command, called in this process."""
    out = room / "read"
    shutil.rmtree(out, ignore_errors=True)
    verbs.read([folder], out, bundle=bundle, overlays=overlays, settings=Settings(workers=cores))
    torch.set_num_threads(cores)  # as the plain loop has them


def resident(folder: Path, bundle: Path, room: Path, count: int) -> int:
    """Largest resident size in bytes of the command on the first so many files, in a process of its own."""
    some, out = room / f"some-{count}", room / f"read-{count}"
    shutil.copytree(folder, some, ignore=lambda _, names: sorted(names)[count:])
    words = [sys.executable, "-m", "osteon", "read", some, "--bundle", bundle, "--out", out, "--json"]
    process = subprocess.Popen([*map(str, words)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise OsteonError(f"`osteon read` ended with status {status}", remedy="call it by hand and see what it says")
    return usage.ru_maxrss * 1024  # Linux counts in KiB


if __name__ == "__main__":
    main()
