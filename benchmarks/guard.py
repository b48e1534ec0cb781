"""What the guard refuses: images of other kinds, at a stated rate of false alarms, beside two other distances.

    python benchmarks/guard.py TRAINED [--detector FOLDER] [--data SHARED] [--phantom PREPARED] [--json FILE]

TRAINED is the folder OUT of `docs/results/fracatlas.sh`. Its features and prepared images are the training; for the
false alarms each fold is judged by a guard of the others. With `--detector`, the folder of `fracatlas_detector.py`, the
guard that stands before a detector is judged as well, which looks at the maps of a frozen trunk. Photographs are those
that scikit-image ships. SHARED holds real DICOM files, wrists of another hospital and broken files (`dicom/`, `graz/`,
`bad_images/`), PREPARED is the `prepared` folder of a demo.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from common import write
from numpy.typing import NDArray
from skimage import color, data, filters

from osteon import tables
from osteon.dataset import journal, steps
from osteon.dataset.frame import render
from osteon.dataset.prepared import pixels_of
from osteon.dataset.steps import apply
from osteon.dataset.steps.polarity import whiteness
from osteon.dicom.read import read
from osteon.errors import UnreadableImage
from osteon.evaluate.patient_quantiles import highest
from osteon.learn.bank import FeatureBank
from osteon.learn.batches import as_input
from osteon.learn.detector.network import STRIDES
from osteon.learn.detector.watch import features_in, looks
from osteon.learn.features import features_of
from osteon.learn.guard import Guard, fit_guard
from osteon.learn.heads import mirrored
from osteon.learn.maps import channels_of, maps_of
from osteon.types import Header, Radiograph, Recipe

Pixels = NDArray[np.uint8]
PHOTOGRAPHS = ("astronaut", "camera", "coffee", "cat", "coins", "brick", "grass", "gravel", "moon", "page", "text")
PHOTOGRAPHS += ("rocket", "hubble_deep_field", "immunohistochemistry", "clock")
OTHER_PARTS = ("CHEST", "THORAX", "TEETH", "RG1")
RATES = (0.05, 0.02)
NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Case:
    """What a guard learns from.

    Attributes:
        what: stands behind it, in words.
        recipe: that prepares an image for it.
        features_of: (flips, d) of a prepared image.
        features: (n, flips, d) of the training images.
        paths: n prepared files. white: (n,) their `whiteness`.
        group, fold: (n,) of each.
    """

    what: str
    recipe: Recipe
    features_of: Callable[[Pixels], NDArray[np.float32]]
    features: NDArray[np.float32]
    paths: list[Path]
    white: NDArray[np.float64]
    group: NDArray[np.str_]
    fold: NDArray[np.intp]


def classifier(trained: Path) -> Case:
    """The features behind the linear head of `docs/results/fracatlas.sh`."""
    manifest = tables.read(trained / "split" / "manifest.parquet", tables.MANIFEST)
    bank = FeatureBank.open(trained / "features")
    trunk, prepared = bank.open_trunk(), trained / "prepared"
    return Case(
        what="a linear head",
        recipe=steps.from_json(journal.read(prepared).recipe),
        features_of=lambda pixels: features_of(trunk, pixels[None])[0],
        features=bank.array(list(manifest["image"])),
        **of(manifest, prepared / "images"),
    )


def detector(folder: Path, strides: tuple[int, ...]) -> Case:
    """The maps of a frozen trunk, as `fracatlas_detector.py` caches them, at some of their strides."""
    manifest = tables.read(folder / "split" / "manifest.parquet", tables.MANIFEST)
    bank = FeatureBank.open(folder / "maps-tf_efficientnet_lite0-448-16-32")
    trunk = bank.open_trunk()
    channels = channels_of(trunk, STRIDES)

    def looks_of(pixels: Pixels) -> NDArray[np.float32]:
        grey = as_input(pixels[None])
        with torch.inference_mode():
            both = torch.cat([maps_of(trunk, grey, STRIDES), maps_of(trunk, mirrored(grey), STRIDES)])
            return looks(both, STRIDES, channels, strides).numpy()

    prepared = folder / "prepared-448"
    return Case(
        what=f"a detector, maps at strides of {' and '.join(map(str, strides))}",
        recipe=steps.from_json(journal.read(prepared).recipe),
        features_of=looks_of,
        features=features_in(bank, list(manifest["image"]), channels, strides),
        **of(manifest, prepared / "images"),
    )


def of(manifest: pd.DataFrame, images: Path) -> dict[str, Any]:
    """What both kinds of case take from a manifest."""
    paths = [images / str(name) for name in manifest["prepared"]]
    return {
        "paths": paths,
        "white": np.array([white_of(path.resolve()) for path in paths]),
        "group": manifest["group"].to_numpy(str),
        "fold": manifest["fold"].to_numpy(int),
    }


@cache
def white_of(path: Path) -> float:
    return whiteness(pixels_of(path))


def photographs() -> Iterator[Pixels]:
    for name in PHOTOGRAPHS:
        image = getattr(data, name)()
        yield np.ascontiguousarray(image if image.ndim == 2 else 255 * color.rgb2gray(image[..., :3]), np.uint8)


def noise(rng: np.random.Generator) -> Iterator[Pixels]:
    """White noise, and clouds of several sizes."""
    for _ in range(8):
        yield rng.integers(0, 256, (400, 320), dtype=np.uint8)
    for size in np.linspace(3, 30, 12):
        cloud = filters.gaussian(rng.normal(size=(400, 320)), size)
        yield np.clip(128 + 60 * cloud / cloud.std(), 0, 255).astype(np.uint8)


def faint(rng: np.random.Generator) -> Iterator[Pixels]:
    for level in np.linspace(10, 240, 10):
        yield np.clip(rng.normal(level, 2, (400, 320)), 0, 255).astype(np.uint8)


def from_files(paths: list[Path], recipe: Recipe) -> Iterator[tuple[Pixels, Header]]:
    """Prepared as a reading prepares them; each picture once, however often it was encoded."""
    known = set()
    for path in paths:
        try:
            radiograph = read(path)
        except UnreadableImage:
            continue
        if path.name.split("_")[0].startswith("RG") and path.name.split("_")[0] in known:
            continue
        known.add(path.name.split("_")[0])
        for part in apply(recipe, radiograph):
            yield render(part), radiograph.header


def kinds(case: Case, data: Path, phantom: Path | None) -> dict[str, list[tuple[Pixels, Header]]]:
    """Kind → images (pixels, header), prepared as a reading prepares them."""
    rng, nothing = np.random.default_rng(0), Header()
    some = np.random.default_rng(1).choice(len(case.paths), 60, replace=False)

    def prepared(images: Iterator[Pixels]) -> list[tuple[Pixels, Header]]:
        return [(render(part), nothing) for image in images for part in apply(case.recipe, Radiograph(image, 255))]

    dicom = sorted((data / "dicom").glob("*/*.dcm"))
    other = [path for path in dicom if path.name.startswith(OTHER_PARTS)]
    found = {
        "FracAtlas shown negative": [(255 - pixels_of(case.paths[i]), nothing) for i in some],
        "photographs, in grey": prepared(photographs()),
        "noise and clouds": prepared(noise(rng)),
        "nearly blank": prepared(faint(rng)),
        "real DICOM, chest and teeth": list(from_files(other, case.recipe)),
        "real DICOM, limbs and hip": list(from_files([p for p in dicom if p not in other], case.recipe)),
        "wrists of another hospital": list(from_files(sorted((data / "graz").glob("*/*.*g")), case.recipe)),
        "broken JPEG that can be opened": list(from_files(sorted((data / "bad_images").glob("*.jpg")), case.recipe)),
    }
    if phantom:
        shown = [pixels_of(path) for path in sorted((phantom / "images").glob("*.png"))[:20]]
        found["phantom wrists"] = [(pixels, nothing) for pixels in shown]
        found["phantom wrists, negative"] = [(255 - pixels, nothing) for pixels in shown]
    return {kind: images for kind, images in found.items() if images}


def nearest(rows: NDArray[np.floating], to: NDArray[np.floating], centre: NDArray, scale: NDArray) -> NDArray:
    """Distance to the fifth nearest training image, of standardised features."""
    a, b = ((each - centre) / scale for each in (rows, to))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(np.partition(squares, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1], 0))


def held_out(case: Case, rate: float) -> dict[str, float]:
    """False alarms: each fold refused by a guard of the others; by patient is what the rate states."""
    refused = np.zeros(len(case.fold), bool)
    for f in np.unique(case.fold):
        here = case.fold == f
        guard = fit_guard(case.features[~here], case.white[~here], case.group[~here], false_alarm=rate)
        refused[here] = (guard.distance(case.features[here]) > guard.farthest) | (case.white[here] < guard.darkest)
    _, number, count = np.unique(case.group, return_inverse=True, return_counts=True)
    return {"by_image": float(refused.mean()), "by_patient": float(np.average(refused, weights=1 / count[number]))}


def judged(
    guard: Guard, case: Case, shown: dict[str, list[tuple[Pixels, Header]]], mine: dict[str, list]
) -> list[dict]:
    """For each kind: share refused, by which reason, and the share by the distance alone and by its neighbours."""
    rows = case.features.mean(axis=1)
    fold = np.unique(case.group, return_inverse=True)[1] % 5
    apart = np.empty(len(rows))
    for f in range(5):
        apart[fold == f] = nearest(rows[fold == f], rows[fold != f], guard.centre, guard.scale)
    limit = highest(apart, case.group, guard.false_alarm / 2)
    found = []
    for kind, images in shown.items():
        pairs = zip(images, mine[kind], strict=True)
        codes = [why.code for (pixels, header), seen in pairs if (why := guard.why_not(pixels, seen, header))]
        stacked = np.stack(mine[kind])
        by_neighbours = nearest(stacked.mean(axis=1), rows, guard.centre, guard.scale) > limit
        found.append(
            {
                "kind": kind,
                "images": len(images),
                "refused": len(codes) / len(images),
                "reasons": {code: codes.count(code) for code in sorted(set(codes))},
                "by_distance": float((guard.distance(stacked) > guard.farthest).mean()),
                "by_neighbours": float(by_neighbours.mean()),
            }
        )
    return found


def figures_of(case: Case, data: Path, phantom: Path | None) -> list[dict]:
    """What a guard of this case comes to at each of RATES, printed as it is found."""
    shown = kinds(case, data, phantom)
    mine = {kind: [case.features_of(pixels) for pixels, _ in images] for kind, images in shown.items()}
    figures = []
    for rate in RATES:
        alarms = held_out(case, rate)
        guard = fit_guard(case.features, case.white, case.group, false_alarm=rate)
        rows = judged(guard, case, shown, mine)
        print(
            f"\n{case.what}: false alarms stated {rate:.3f}, held out {alarms['by_patient']:.3f} by patient, ", end=""
        )
        print(f"{alarms['by_image']:.3f} by image; limits {guard.farthest:.1f}, {guard.darkest:.2f}")
        print(f"{'kind':30} {'images':>6} {'refused':>8} {'distance':>9} {'neighbours':>11}  reasons")
        for row in rows:
            told = f"{row['refused']:8.2f} {row['by_distance']:9.2f} {row['by_neighbours']:11.2f}"
            print(f"{row['kind']:30} {row['images']:6} {told}  {row['reasons']}", flush=True)
        figures.append({"false_alarm": rate, "held_out": alarms, "rows": rows})
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("trained", type=Path, help="OUT of docs/results/fracatlas.sh")
    parser.add_argument("--detector", type=Path, help="folder of fracatlas_detector.py")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="real files of other kinds")
    parser.add_argument("--phantom", type=Path, help="prepared folder of a demo")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cases = [classifier(arguments.trained)]
    if arguments.detector:
        cases += [detector(arguments.detector, strides) for strides in (STRIDES, STRIDES[:1])]
    group = cases[0].group
    figures = {case.what: figures_of(case, arguments.data, arguments.phantom) for case in cases}
    write(arguments.json, "guard", {"patients": len(np.unique(group)), "images": len(group), "guards": figures})


if __name__ == "__main__":
    main()
