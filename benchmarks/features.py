"""Features of a frozen backbone: osteon's bank against a plain timm loop, on the same images in the same run.

    python benchmarks/features.py [--images 240] [--rounds 2] [--threads 2] [--json FILE]

The plain loop is what one would write first: timm model, PIL, normalise, forward of the image and its mirror image,
mean and maximum over positions. It runs image by image and in batches; the ratio is against the faster of the two.
Images are FracAtlas radiographs, padded to 448 × 448, where the development data lie beside the repository; otherwise
synthetic ones of the same size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from common import write
from numpy.typing import NDArray
from PIL import Image

from osteon.learn.backbones import DEFAULT, Trunk, open_backbone
from osteon.learn.features import extract
from osteon.learn.networks.torchvision_shim import timm

SIDE = 448
BATCH = 16
FRACATLAS = Path(__file__).resolve().parents[2] / "shared" / "data" / "fracatlas" / "images"


def prepared_images(folder: Path, count: int) -> tuple[str, dict[str, Path]]:
    """What the images are, and image id → 8-bit grey PNG of SIDE × SIDE."""
    sources = sorted(FRACATLAS.glob("*"))[:count] if FRACATLAS.exists() else []
    images = {}
    for number in range(count):
        source = cv2.imread(str(sources[number]), cv2.IMREAD_GRAYSCALE) if sources else synthetic(number)
        height, width = source.shape
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        top, left = (SIDE - height) // 2, (SIDE - width) // 2
        canvas[top : top + height, left : left + width] = source
        images[f"{number:05d}"] = folder / f"{number:05d}.png"
        cv2.imwrite(str(images[f"{number:05d}"]), canvas)
    return ("FracAtlas" if sources else "synthetic"), images


def synthetic(seed: int) -> NDArray[np.uint8]:
    """A bright shaft in a soft limb on noise."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, SIDE)[None, :] + 0.1 * np.sin(np.linspace(0, 3, SIDE))[:, None]
    limb, shaft = np.exp(-((x / 0.5) ** 4)), np.exp(-((x / 0.15) ** 4))
    return np.clip(40 + 70 * limb + 110 * shaft + rng.normal(0, 4, (SIDE, SIDE)), 0, 255).astype(np.uint8)


def plain_loop(trunk: Trunk, images: dict[str, Path], batch: int) -> NDArray[np.float32]:
    """Features (n, 2, 2d) as one would first write it."""
    net = timm.create_model(trunk.spec.name, pretrained=False, num_classes=0).eval()
    net.load_state_dict(trunk.net.state_dict())
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (trunk.spec.mean, trunk.spec.std))
    paths, rows = list(images.values()), []
    with torch.no_grad():
        for start in range(0, len(paths), batch):
            pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths[start : start + batch]]
            colour = (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255 - mean) / std
            flips = []
            for view in (colour, colour.flip(-1)):
                maps = net.forward_features(view)
                flips.append(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1))
            rows.append(torch.stack(flips, 1))
    return torch.cat(rows).numpy()


def timed(run: Callable[[], NDArray[np.float32]]) -> tuple[float, float, NDArray[np.float32]]:
    """(wall seconds, processor seconds, what it gave)."""
    wall, processor = time.perf_counter(), time.process_time()
    result = run()
    return time.perf_counter() - wall, time.process_time() - processor, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backbone", default=DEFAULT)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    trunk = open_backbone(options.backbone, None if options.backbone == DEFAULT else "random")
    with tempfile.TemporaryDirectory() as scratch:
        kind, images = prepared_images(Path(scratch), options.images)

        def osteon() -> NDArray[np.float32]:
            with tempfile.TemporaryDirectory() as fresh:
                return extract(trunk, images, Path(fresh) / "bank", threads=options.threads).array(list(images))

        runs: dict[str, Callable[[], NDArray[np.float32]]] = {
            "plain loop, image by image": lambda: plain_loop(trunk, images, 1),
            f"plain loop, batches of {BATCH}": lambda: plain_loop(trunk, images, BATCH),
            "osteon": osteon,
        }
        # In turns, so that a busy machine slows all of them; the best round of each counts.
        rounds = [{name: timed(run) for name, run in runs.items()} for _ in range(options.rounds)]
    wall = {name: min(r[name][0] for r in rounds) for name in runs}
    processor = {name: min(r[name][1] for r in rounds) for name in runs}
    reference = rounds[0]["plain loop, image by image"][2]
    deviation = float(np.abs(rounds[0]["osteon"][2] - reference).max() / np.abs(reference).max())
    plain = min((name for name in runs if name != "osteon"), key=wall.__getitem__)
    print(f"{options.images} {kind} images, {SIDE} px, both flips, {trunk.spec}, {options.threads} threads")
    for name in runs:
        print(f"{name:32s} {options.images / wall[name]:7.1f} images/s {processor[name]:8.1f} s of processor time")
    print(f"osteon is {wall[plain] / wall['osteon']:.2f} times as fast as the faster plain loop")
    print(f"in processor time {processor[plain] / processor['osteon']:.2f} times; largest deviation {deviation:.1e}")
    figures = {
        "images": options.images,
        "kind": kind,
        "backbone": str(trunk.spec),
        "threads": options.threads,
        "images_per_second": {name: options.images / seconds for name, seconds in wall.items()},
        "processor_seconds": processor,
        "ratio": wall[plain] / wall["osteon"],
        "ratio_each_round": [r[plain][0] / r["osteon"][0] for r in rounds],
        "largest_deviation_of_largest_feature": deviation,
    }
    write(options.json, "features", figures)


if __name__ == "__main__":
    main()
