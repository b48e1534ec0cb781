"""What the guard refuses: images of other kinds, at a stated rate of false alarms, beside two other distances.

    python benchmarks/guard.py TRAINED [--data SHARED] [--phantom PREPARED] [--json FILE]

TRAINED is the folder OUT of `docs/results/fracatlas.sh`. Its features and prepared images are the training; for the
false alarms each fold is judged by a guard of the others. Photographs are those that scikit-image ships. SHARED holds
real DICOM files and wrists of another hospital (`dicom/`, `graz/`), PREPARED is the `prepared` folder of a demo.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from common import write
from numpy.typing import NDArray
from skimage import color, data, filters

from osteon import tables
from osteon.dataset.frame import render
from osteon.dataset.prepared import pixels_of
from osteon.dataset.steps import apply
from osteon.dataset.steps.polarity import whiteness
from osteon.dicom.read import read
from osteon.errors import UnreadableImage
from osteon.evaluate.patient_quantiles import highest
from osteon.learn import bundle
from osteon.learn.bank import FeatureBank
from osteon.learn.guard import Guard, fit_guard
from osteon.learn.heads import mirrored
from osteon.types import Header, Radiograph

Pixels = NDArray[np.uint8]
PHOTOGRAPHS = ("astronaut", "camera", "coffee", "cat", "coins", "brick", "grass", "gravel", "moon", "page", "text")
PHOTOGRAPHS += ("rocket", "hubble_deep_field", "immunohistochemistry", "clock")
OTHER_PARTS = ("CHEST", "THORAX", "TEETH", "RG1")
RATES = (0.05, 0.02)
NEIGHBOURS = 5


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


def from_files(paths: list[Path], model: bundle.Bundle) -> Iterator[tuple[Pixels, Header]]:
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
        for part in apply(model.recipe, radiograph):
            yield render(part), radiograph.header


def features_of(pixels: Pixels, model: bundle.Bundle) -> NDArray[np.float32]:
    """(2, d) of the image and its mirror image."""
    grey = torch.from_numpy(pixels)[None, None].float() / 255
    with torch.inference_mode():
        both = [model.classifier.features(grey), model.classifier.features(mirrored(grey))]
    return torch.cat(both).numpy()


def kinds(model: bundle.Bundle, arguments: argparse.Namespace, taken: list[Path]) -> dict[str, list]:
    """Kind → images (pixels, header); "refuse" or "read" says what would be right."""
    rng, nothing = np.random.default_rng(0), Header()

    def prepared(images: Iterator[Pixels]) -> list[tuple[Pixels, Header]]:
        return [(render(part), nothing) for image in images for part in apply(model.recipe, Radiograph(image, 255))]

    dicom = sorted((arguments.data / "dicom").glob("*/*.dcm"))
    other = [path for path in dicom if path.name.startswith(OTHER_PARTS)]
    found = {
        "FracAtlas shown negative": [(255 - pixels_of(path), nothing) for path in taken],
        "photographs, in grey": prepared(photographs()),
        "noise and clouds": prepared(noise(rng)),
        "nearly blank": prepared(faint(rng)),
        "real DICOM, chest and teeth": list(from_files(other, model)),
        "real DICOM, limbs and hip": list(from_files([p for p in dicom if p not in other], model)),
        "wrists of another hospital": list(from_files(sorted((arguments.data / "graz").glob("*/*.*g")), model)),
    }
    if arguments.phantom:
        shown = [pixels_of(path) for path in sorted((arguments.phantom / "images").glob("*.png"))[:20]]
        found["phantom wrists"] = [(pixels, nothing) for pixels in shown]
        found["phantom wrists, negative"] = [(255 - pixels, nothing) for pixels in shown]
    return found


def nearest(rows: NDArray[np.floating], to: NDArray[np.floating], centre: NDArray, scale: NDArray) -> NDArray:
    """Distance to the fifth nearest training image, of standardised features."""
    a, b = ((each - centre) / scale for each in (rows, to))
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.sqrt(np.maximum(np.partition(squares, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1], 0))


def held_out(features: NDArray, white: NDArray, fold: NDArray, group: NDArray, images: list[Path], rate: float) -> dict:
    """False alarms: each fold refused by a guard of the others; by patient is what the rate states."""
    refused = np.zeros(len(fold), bool)
    for f in np.unique(fold):
        here = fold == f
        guard = fit_guard(features[~here], white[~here], group[~here], false_alarm=rate)
        refused[here] = (guard.distance(features[here]) > guard.farthest) | (white[here] < guard.darkest)
    each = 1 / np.unique(group, return_inverse=True, return_counts=True)[2]
    weight = each[np.unique(group, return_inverse=True)[1]]
    return {"by_image": float(refused.mean()), "by_patient": float(np.average(refused, weights=weight))}


def judged(guard: Guard, shown: dict[str, list], model: bundle.Bundle, features: NDArray, group: NDArray) -> list[dict]:
    """For each kind: share refused, by which reason, and the share by the distance alone and by its neighbours."""
    rows = features.mean(axis=1)
    fold = np.unique(group, return_inverse=True)[1] % 5
    apart = np.empty(len(rows))
    for f in range(5):
        apart[fold == f] = nearest(rows[fold == f], rows[fold != f], guard.centre, guard.scale)
    limit = highest(apart, group, guard.false_alarm / 2)
    found = []
    for kind, images in shown.items():
        mine = [features_of(pixels, model) for pixels, _ in images]
        why = [guard.why_not(*image) for image in ((p, f, h) for (p, h), f in zip(images, mine, strict=True))]
        codes = [error.code for error in why if error]
        stacked = np.stack(mine)
        found.append(
            {
                "kind": kind,
                "images": len(images),
                "refused": len(codes) / len(images),
                "reasons": {code: codes.count(code) for code in sorted(set(codes))},
                "by_distance": float((guard.distance(stacked) > guard.farthest).mean()),
                "by_neighbours": float((nearest(stacked.mean(axis=1), rows, guard.centre, guard.scale) > limit).mean()),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("trained", type=Path, help="OUT of docs/results/fracatlas.sh")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="real files of other kinds")
    parser.add_argument("--phantom", type=Path, help="prepared folder of a demo")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = bundle.load(arguments.trained / "model" / "bundle")
    manifest = tables.read(arguments.trained / "split" / "manifest.parquet", tables.MANIFEST)
    features = FeatureBank.open(arguments.trained / "features").array(list(manifest["image"]))
    group, fold = manifest["group"].to_numpy(str), manifest["fold"].to_numpy(int)
    paths = [arguments.trained / "prepared" / "images" / str(name) for name in manifest["prepared"]]
    white = np.array([whiteness(pixels_of(path)) for path in paths])
    some = np.random.default_rng(1).choice(len(paths), 60, replace=False)
    shown = kinds(model, arguments, [paths[i] for i in some])
    figures = []
    for rate in RATES:
        alarms = held_out(features, white, fold, group, paths, rate)
        guard = fit_guard(features, white, group, false_alarm=rate)
        rows = judged(guard, shown, model, features, group)
        print(f"\nfalse alarms stated {rate:.3f}, held out {alarms['by_patient']:.3f} by patient, ", end="")
        print(f"{alarms['by_image']:.3f} by image; limits {guard.farthest:.1f}, {guard.darkest:.2f}")
        print(f"{'kind':30} {'images':>6} {'refused':>8} {'distance':>9} {'neighbours':>11}  reasons")
        for row in rows:
            told = f"{row['refused']:8.2f} {row['by_distance']:9.2f} {row['by_neighbours']:11.2f}"
            print(f"{row['kind']:30} {row['images']:6} {told}  {row['reasons']}")
        figures.append({"false_alarm": rate, "held_out": alarms, "rows": rows})
    write(arguments.json, "guard", {"patients": len(np.unique(group)), "images": len(group), "rates": figures})


if __name__ == "__main__":
    main()
