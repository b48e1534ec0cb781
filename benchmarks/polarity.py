"""How often bone is taken for what it is, white or dark: the corner rule of de Cid 2021 against ours.

    python benchmarks/polarity.py [--plates 1100] [--json FILE]

Truth: phantom plates know it; all FracAtlas and GRAZPEDWRI-DX images show bone white, and each is judged with its
negative. None of these plates and pictures was used to fit or choose anything (see `polarity_fit.py`). The seven
distinct DICOM radiographs at hand are shown as their tags say, and judged by their pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from common import milliseconds, write
from numpy.random import default_rng
from numpy.typing import NDArray

from osteon.dataset.frame import proxy_of, proxy_pixels
from osteon.dataset.steps.polarity import corner_rule, whiteness
from osteon.dicom.read import read
from osteon.phantom.plates import KINDS, draw_plate
from osteon.types import Radiograph

HERE = Path(__file__).resolve()
SHARED = HERE.parents[2] / "shared" / "data"
FRACATLAS = SHARED / "fracatlas"
FRACATLAS_300 = (HERE.parent / "fracatlas_300.txt").read_text().split()
STREAM = 21_000
DICOM = ("RG1_JLSN", "RG2_UNC", "RG3_UNC", "CHEST_DX_Canon_966_fixed", "HAND_CR", "TEETH_CR", "THORAX_DX")

Image = NDArray[np.uint8]


def grey(path: Path) -> Image:
    """An image file at the size on which steps look."""
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise FileNotFoundError(path)
    return proxy_pixels(Radiograph(image.astype(np.uint8), 255))


def variants(image: Image, seed: int) -> dict[str, Image]:
    """What happens to pictures: noise, frames, a slanting scan, a cut."""
    height, width = image.shape
    down, across = height // 10, width // 10
    noise = default_rng(seed).normal(0, 25, image.shape)
    return {
        "as it is": image,
        "noise, sd 25 of 255": np.clip(image + noise, 0, 255).astype(np.uint8),
        "white frame": _framed(image, 255),
        "black frame": _framed(image, 0),
        "turned 8° on white": turned(image, 8, 255),
        "turned 8° on black": turned(image, 8, 0),
        "turned 25° on white": turned(image, 25, 255),
        "middle 60 %": image[2 * down : height - 2 * down, 2 * across : width - 2 * across],
    }


def _framed(image: Image, value: int) -> Image:
    down, across = (side // 10 for side in image.shape)
    return cv2.copyMakeBorder(image, down, down, across, across, cv2.BORDER_CONSTANT, value=value).astype(np.uint8)


def turned(image: Image, degrees: float, value: int) -> Image:
    """The image turned about its middle on a larger, even ground."""
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    wide, tall = (int(np.ceil(v)) for v in np.abs(matrix[:, :2]) @ (width, height))
    matrix[:, 2] += (wide - width) / 2, (tall - height) / 2
    return cv2.warpAffine(image, matrix, (wide, tall), flags=cv2.INTER_LINEAR, borderValue=value).astype(np.uint8)


def judged(image: Image) -> tuple[bool, bool, float]:
    """(corner rule inverts, ours inverts, our log odds of white bone)."""
    odds = whiteness(image)
    return corner_rule(image), odds < 0, odds


def on_plates(count: int) -> list[dict[str, Any]]:
    """One row per phantom plate."""
    rows = []
    for seed in range(count):
        plate = draw_plate(default_rng((STREAM, seed)), kind=KINDS[seed % len(KINDS)])
        corner, ours, odds = judged(proxy_pixels(plate.radiograph()))
        dirt = [name for name, on in (("collimated", plate.collimation), ("noisy", plate.noisy)) if on]
        rows.append(
            {
                "seed": seed,
                "kind": plate.kind,
                "dirt": [*dirt, *([f"{plate.border} border"] if plate.border else [])],
                "corner": corner == plate.inverted,
                "ours": ours == plate.inverted,
                "odds": -odds if plate.inverted else odds,
            }
        )
    return rows


def on_pictures(paths: list[Path], which: Callable[[Image, int], dict[str, Image]]) -> list[dict[str, Any]]:
    """One row per picture, variant and polarity; a frame belongs to the picture and turns with it into the negative."""
    rows = []
    for seed, path in enumerate(paths):
        for name, image in which(grey(path), seed).items():
            for negative in (False, True):
                corner, ours, odds = judged((255 - image).astype(np.uint8) if negative else image)
                right = {"corner": corner == negative, "ours": ours == negative, "odds": -odds if negative else odds}
                rows.append({"file": path.name, "variant": name, "negative": negative, **right})
    return rows


def shares(rows: list[dict[str, Any]], key: Callable[[dict[str, Any]], str]) -> dict[str, dict[str, float]]:
    """Group → number, and per cent right by each rule."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return {
        name: {
            "n": len(g),
            **{rule: round(100 * float(np.mean([r[rule] for r in g])), 2) for rule in ("corner", "ours")},
        }
        for name, g in groups.items()
    }


def printed(title: str, table: dict[str, dict[str, float]]) -> None:
    print(f"\n{title:40s} {'n':>6s} {'corner':>8s} {'ours':>8s}")
    for name, row in table.items():
        print(f"{name:40s} {row['n']:6.0f} {row['corner']:8.2f} {row['ours']:8.2f}")


def some_proxies() -> Iterator[Radiograph]:
    """Forty plates, each with the proxy that a recipe would have made of it."""
    return (proxy_of(draw_plate(default_rng((STREAM, seed))).radiograph()) for seed in range(40))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--plates", type=int, default=1100)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    plates = on_plates(options.plates)
    bones = [row for row in plates if row["kind"] != "chest"]
    tables = {
        "phantom plates, all but chests": shares(bones, lambda row: "all"),
        "phantom plates by kind": shares(plates, lambda row: str(row["kind"])),
        "phantom plates, all but chests, by dirt": shares(
            [row | {"of": d} for row in bones for d in row["dirt"] or ["none of these"]], lambda row: str(row["of"])
        ),
    }
    misses: dict[str, Any] = {"plates": [row for row in plates if not row["ours"]]}
    if SHARED.exists():
        paths = [FRACATLAS / "images" / name for name in FRACATLAS_300]
        real = on_pictures(paths, variants)
        graz = sorted((SHARED / "graz").rglob("*.png")) + sorted((SHARED / "graz").rglob("*_WRI-*.jpg"))
        wrists = on_pictures(graz, variants)
        tables["FracAtlas, fixed 300, with negatives"] = shares(real, lambda row: str(row["variant"]))
        tables["GRAZPEDWRI-DX, with negatives"] = shares(wrists, lambda row: str(row["variant"]))
        misses["pictures"] = [row for row in real + wrists if not row["ours"]]
        files = [next((SHARED / "dicom").rglob(f"{name}*.dcm")) for name in DICOM]
        misses["dicom"] = {file.stem: round(whiteness(proxy_pixels(read(file))), 2) for file in files}
        print("log odds of white bone of DICOM files shown as they say:", misses["dicom"])
    for title, table in tables.items():
        printed(title, table)
    speed = milliseconds(whiteness, map(proxy_pixels, some_proxies()))
    print(f"\nmilliseconds of one core a plate: {speed}")
    write(options.json, "polarity", {"right_percent": tables, "misses": misses, "milliseconds": speed})


if __name__ == "__main__":
    main()
