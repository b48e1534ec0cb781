"""Training steps: osteon's loop against a plain timm and torchvision loop, on the same images in the same run.

    python benchmarks/train.py [--images 192] [--rounds 2] [--threads 2] [--backbones NAME …] [--json FILE]

The plain loop is what one would first write: timm model, DataLoader over PNG files, torchvision's transforms, AdamW,
gradient clipping. It runs with workers and without; the ratio is against the faster of the two. Both train the same
architecture from random weights on the same images, in batches of the same size, with the same flips, shifts and
rotations. An epoch is timed from asking for its first batch to the end of its last step, without evaluation; the time
waiting for data is that spent in asking for a batch. Processor time, which other work on the machine changes less, is
compared with the plain loop that has no workers. Decoding is timed by itself: it is done once for all epochs, and
found again by the next run on the same images.

Images are FracAtlas radiographs, padded to a square, where the development data lie beside the repository; otherwise
synthetic ones.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from common import write
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from osteon.learn.augmentation import Augmentation
from osteon.learn.backbones import find, open_backbone
from osteon.learn.batches import Batches
from osteon.learn.decoded import decode
from osteon.learn.heads import Classifier
from osteon.learn.networks.torchvision_shim import timm
from osteon.learn.optimisers import AdamW
from osteon.learn.train import HeldOut, TrainOptions, fit

# After the shim, without which torchvision does not import beside a CPU build of torch.
from torchvision import transforms  # isort: skip

HOW = Augmentation()
BATCH, SIDE = 16, 224
BATCHES, SIDES = (16, 32, 64), (160, 224, 320, 448)
HELD_OUT = 8
FRACATLAS = Path(__file__).resolve().parents[2] / "shared" / "data" / "fracatlas" / "images"

Batch = tuple[Tensor, Tensor]


@dataclass
class Epoch:
    """Seconds of one epoch by the clock, of processors and of waiting for data; its steps and images."""

    seconds: float = 0.0
    processor: float = 0.0
    waiting: float = 0.0
    steps: int = 0
    images: int = 0

    def timed(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches, while the clock runs."""
        start, busy, source = time.perf_counter(), time.process_time(), iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(source, None)
            self.waiting += time.perf_counter() - asked
            if batch is None:  # asked for after the last step
                self.seconds, self.processor = time.perf_counter() - start, time.process_time() - busy
                return
            self.steps, self.images = self.steps + 1, self.images + len(batch[0])
            yield batch

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds


@dataclass(frozen=True, eq=False)
class TimedBatches(Batches):
    """Batches that note what every epoch took."""

    log: list[Epoch] = field(default_factory=list)

    def epoch(self, epoch: int, *, seed: int, share: tuple[int, int] = (0, 1), ahead: bool = False) -> Iterator[Batch]:
        self.log.append(Epoch())
        return self.log[-1].timed(super().epoch(epoch, seed=seed, share=share, ahead=ahead))


@dataclass(frozen=True, eq=False)
class Data:
    """Prepared images of one size, with targets (n,)."""

    kind: str
    paths: list[Path]
    target: NDArray[np.float32]


def prepared_images(folder: Path, count: int, side: int) -> Data:
    """8-bit grey PNG of side × side."""
    sources = sorted(FRACATLAS.glob("*"))[:count] if FRACATLAS.exists() else []
    folder.mkdir(parents=True)
    paths = []
    for number in range(count):
        source = cv2.imread(str(sources[number]), cv2.IMREAD_GRAYSCALE) if sources else synthetic(number)
        scale = side / max(source.shape)
        height, width = (max(1, round(length * scale)) for length in source.shape)
        canvas = np.zeros((side, side), np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        canvas[top : top + height, left : left + width] = cv2.resize(
            source, (width, height), interpolation=cv2.INTER_AREA
        )
        paths.append(folder / f"{number:05d}.png")
        cv2.imwrite(str(paths[-1]), canvas)
    return Data("FracAtlas" if sources else "synthetic", paths, (np.arange(count) % 2).astype(np.float32))


def synthetic(seed: int, side: int = 448) -> NDArray[np.uint8]:
    """A bright shaft in a soft limb on noise."""
    rng = np.random.default_rng(seed)
    x = np.linspace(-1, 1, side)[None, :] + 0.1 * np.sin(np.linspace(0, 3, side))[:, None]
    limb, shaft = np.exp(-((x / 0.5) ** 4)), np.exp(-((x / 0.15) ** 4))
    return np.clip(40 + 70 * limb + 110 * shaft + rng.normal(0, 4, (side, side)), 0, 255).astype(np.uint8)


def ours(backbone: str, data: Data, batch: int, epochs: int, cache: Path) -> list[Epoch]:
    """The epochs of `train.fit`."""
    pixels, rows = decode(data.paths, cache), np.arange(len(data.paths))
    training = TimedBatches(pixels, rows, data.target, batch, HOW)
    held_out = HeldOut(pixels, rows[:HELD_OUT], data.target[:HELD_OUT])
    options = TrainOptions(epochs=epochs, batch=batch, optimiser=AdamW(), augmentation=HOW)
    network = Classifier(open_backbone(backbone, "random"))
    with tempfile.TemporaryDirectory() as folder:
        fit(network, training, held_out, options, Path(folder), seed=0)
    return training.log


class Pictures(torch.utils.data.Dataset[Batch]):
    """What one would first write."""

    def __init__(self, data: Data, backbone: str) -> None:
        entry = find(backbone)
        self.data = data
        self.transform = transforms.Compose(
            [
                transforms.RandomHorizontalFlip(HOW.flip),
                transforms.RandomAffine(
                    HOW.rotation_deg,
                    translate=(HOW.shift, HOW.shift),
                    interpolation=transforms.InterpolationMode.BILINEAR,
                ),
                transforms.ToTensor(),
                transforms.Normalize(entry.mean, entry.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.data.paths)

    def __getitem__(self, row: int) -> Batch:
        image = Image.open(self.data.paths[row]).convert("RGB")
        return self.transform(image), torch.tensor(self.data.target[row])


def plain(backbone: str, data: Data, batch: int, epochs: int, workers: int) -> list[Epoch]:
    """The epochs of a plain loop."""
    torch.manual_seed(0)
    net = timm.create_model(backbone, pretrained=False, num_classes=1).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-4, weight_decay=0.01)
    loss_of, log = nn.BCEWithLogitsLoss(), []
    loader = torch.utils.data.DataLoader(
        Pictures(data, backbone), batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    for _ in range(epochs):
        log.append(Epoch())
        for images, target in log[-1].timed(loader):
            loss = loss_of(net(images).squeeze(1), target)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            loss.item()
    return log


def fastest(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch that other work on the machine has slowed least."""
    return min(epochs, key=lambda epoch: epoch.seconds / epoch.images)


def thriftiest(epochs: Sequence[Epoch]) -> float:
    """The least processor seconds of an epoch for each image."""
    return min(epoch.processor / epoch.images for epoch in epochs)


def compared(backbone: str, data: Data, batch: int, options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Both loops in turns, so that a busy machine slows both; the best epoch of each counts."""
    kinds = {"plain": 0, f"plain, {options.threads} workers": options.threads}
    found: dict[str, list[Epoch]] = {"osteon": [], **{kind: [] for kind in kinds}}
    for _ in range(options.rounds):
        found["osteon"] += ours(backbone, data, batch, options.epochs, cache)
        for kind, workers in kinds.items():
            found[kind] += plain(backbone, data, batch, options.epochs, workers)
    best = {kind: fastest(epochs) for kind, epochs in found.items()}
    other = max(kinds, key=lambda kind: best[kind].rate)
    return {
        "images_per_second": {kind: epoch.rate for kind, epoch in best.items()},
        "step_ms": {kind: 1000 * epoch.seconds / epoch.steps for kind, epoch in best.items()},
        "waiting_share": {kind: epoch.waiting / epoch.seconds for kind, epoch in best.items()},
        "waiting_share_every_epoch": [epoch.waiting / epoch.seconds for epoch in found["osteon"]],
        "processor_seconds_per_image": {kind: thriftiest(found[kind]) for kind in ("osteon", "plain")},
        "processor_ratio": thriftiest(found["plain"]) / thriftiest(found["osteon"]),
        "faster_plain_loop": other,
        "ratio": best["osteon"].rate / best[other].rate,
    }


def decoding(data: Data, cache: Path) -> dict[str, float]:
    """Seconds to decode all images, and to find them decoded."""
    taken = []
    for _ in range(2):
        start = time.perf_counter()
        decode(data.paths, cache)
        taken.append(time.perf_counter() - start)
    return {"decode_seconds": taken[0], "found_again_seconds": taken[1]}


def printed(what: str, figures: dict[str, Any]) -> None:
    for kind, rate in figures["images_per_second"].items():
        step, waiting = figures["step_ms"][kind], figures["waiting_share"][kind]
        print(f"{what:36s} {kind:18s} {step:8.0f} ms a step {rate:7.1f} images/s, waiting {waiting:5.1%}")
    print(
        f"{what:36s} osteon is {figures['ratio']:.2f} times as fast as the faster plain loop, "
        f"{figures['processor_ratio']:.2f} times in processor time (against the one without workers)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--epochs", type=int, default=2, help="of each run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backbones", nargs="+", default=["tf_efficientnet_lite0", "resnet18"])
    parser.add_argument("--sides", nargs="*", type=int, default=SIDES)
    parser.add_argument("--batches", nargs="*", type=int, default=BATCHES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    figures: dict[str, Any] = {"images": options.images, "threads": options.threads}
    with tempfile.TemporaryDirectory() as scratch:
        cache, sets = Path(scratch) / "cache", dict[int, Data]()

        def data(side: int) -> Data:
            if side not in sets:
                sets[side] = prepared_images(Path(scratch) / f"{side}", options.images, side)
            return sets[side]

        figures |= {"kind": data(SIDE).kind, **decoding(data(SIDE), cache)}
        print(f"{options.images} {figures['kind']} images, {options.threads} threads, batches of {BATCH} of {SIDE} px")
        print(f"decoded in {figures['decode_seconds']:.2f} s, found again in {figures['found_again_seconds']:.3f} s")
        figures["backbones"] = {}
        for name in options.backbones:
            figures["backbones"][name] = compared(name, data(SIDE), BATCH, options, cache)
            printed(name, figures["backbones"][name])
        first = options.backbones[0]
        grid = [(BATCH, side) for side in options.sides] + [(batch, SIDE) for batch in options.batches]
        figures["growth"] = []
        for batch, side in dict.fromkeys(grid):
            epoch = fastest(ours(first, data(side), batch, options.epochs, cache))
            figures["growth"].append(
                {
                    "batch": batch,
                    "side": side,
                    "step_ms": 1000 * epoch.seconds / epoch.steps,
                    "images_per_second": epoch.rate,
                    "waiting_share": epoch.waiting / epoch.seconds,
                }
            )
            row = figures["growth"][-1]
            print(
                f"{first}, batches of {batch:3d}, {side:3d} px {row['step_ms']:8.0f} ms a step "
                f"{row['images_per_second']:7.1f} images/s, waiting {row['waiting_share']:5.1%}"
            )
    write(options.json, "train", figures)


if __name__ == "__main__":
    main()
