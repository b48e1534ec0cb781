"""Detectors of fractures on FracAtlas: several ways, each beside the floors, chosen by inner folds, reported by outer.

In a folder is made whatever is missing, by the commands that any data takes: ingest, prepare, split; then maps of a
trunk, one detector after another, and figures. A call that was cut off goes on when it is repeated. With `--minutes` it
ends by itself after a while, between two detectors; with `--share 0/2` and `--share 1/2` two processes share the work,
once the first of them has made the maps.

`--pilot` leaves the first fold out altogether, trains one detector without each other fold, and prints what it reaches
there: a look at what is worth a full run, which the first fold then reports on unseen. `--negatives 600` takes so many
of the images without a fracture, for a quicker look.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import common
import numpy as np
import pandas as pd

from osteon import tables
from osteon.dataset import boxes as boxes_of
from osteon.dataset import journal, steps
from osteon.dataset.labels import Columns
from osteon.evaluate import metrics
from osteon.evaluate.report import evaluate
from osteon.learn.backbones import DEFAULT, open_backbone
from osteon.learn.detector.bundle import save
from osteon.learn.detector.crossval import DetectorCrossValidation, cross_validate_detector, place_tables
from osteon.learn.detector.lesions import peak_of
from osteon.learn.detector.network import STRIDES
from osteon.learn.detector.runs import Told, path_of, train_all
from osteon.learn.detector.training import DetectorOptions
from osteon.learn.detector.work import Folders, Material, Plan, Work, packed
from osteon.learn.nested import Layout, lay_out
from osteon.learn.optimisers import AdamW
from osteon.types import Progress
from osteon.verbs import data, intake
from osteon.verbs.detecting import origin_of, said_of
from osteon.verbs.folders import pictures

SOURCE = (
    "FracAtlas (Abedeen et al., Sci Data 10:521, 2023), licence CC BY 4.0: cite that paper. The images were resampled "
    "to 448 px on the longer side."
)
"""Of the images, for the card of a bundle."""

LIMITS = (
    "Known shortcuts of these data: hardware and casts, which are nearly always seen with a fracture; region and view; "
    "the shape of the file.",
    "Groups join neighbours in acquisition order and near-duplicate images, since the data have no patient ids: images "
    "of one patient may lie in two folds.",
    "One source, labelled by two radiologists and checked by a surgeon: nothing is known of other hospitals.",
)
"""What is known of them besides, likewise."""


@dataclass(frozen=True)
class Part:
    """One detector of an approach.

    Attributes:
        options: how its head is made and trained.
        backbone: whose maps it reads; others than lite0 need a file of weights (`--weights`).
        size: side in pixels of the prepared images.
        strides: of the cached maps.
        copies: of each image, moved (`osteon.learn.detector.views`), to learn from besides.
        seed: of the training.
    """

    options: DetectorOptions = field(default_factory=DetectorOptions)
    backbone: str = DEFAULT
    size: int = 448
    strides: tuple[int, ...] = STRIDES
    copies: int = 0
    seed: int = 0

    @property
    def plan(self) -> Plan:
        """The same as the package has it."""
        return Plan(self.options, self.strides, self.copies, self.seed)

    @property
    def maps(self) -> str:
        """Name of the folder of its maps."""
        return f"maps-{self.backbone}-{self.size}-{'-'.join(map(str, self.strides))}"


@dataclass(frozen=True)
class Approach:
    """A way to detect fractures: what it is, and the names of its detectors, whose mean it is."""

    about: str
    parts: tuple[str, ...]


SHORT = DetectorOptions(bf16=True)
"""All folds chose the last of its epochs: what follows is trained for longer, in smaller steps, and keeps its last."""

LONG = replace(SHORT, epochs=(24,), batch=16)
TUNED = replace(LONG, epochs=(6,), middle=16, stages=AdamW(learning_rate=3e-4, weight_decay=0.05))

PARTS: Mapping[str, Part] = {
    "short": Part(SHORT),
    "frozen": Part(LONG),
    "labels": Part(replace(LONG, cells=0.0)),
    "soft": Part(replace(LONG, target="soft")),
    "large": Part(LONG, size=672),
    "views": Part(LONG, copies=4),
    "middle": Part(TUNED),
    "lite2": Part(LONG, backbone="tf_efficientnet_lite2"),
}
"""Name → detector. Each is trained once, whichever approaches share it."""

APPROACHES: Mapping[str, Approach] = {
    "short": Approach("frozen lite0 at 448 px, maps of strides 16 and 32, boxes; 12 epochs", ("short",)),
    "frozen": Approach("the same, 24 epochs in batches of half the size", ("frozen",)),
    "labels": Approach("the same as frozen, labels alone", ("labels",)),
    "soft": Approach("the same, a hill over each box in place of the share that it covers", ("soft",)),
    "large": Approach("the same at 672 px", ("large",)),
    "views": Approach("the same, and four moved copies of each image", ("views",)),
    "middle": Approach("lite0 at 448 px, the stages behind stride 16 trained", ("middle",)),
    "lite2": Approach("frozen lite2 at 448 px", ("lite2",)),
    "both": Approach("the mean of frozen and middle", ("frozen", "middle")),
}
"""Name → approach."""


def main() -> None:
    options = arguments()
    began = time.monotonic()
    split = prepared(options, 448)
    if options.pilot:
        split = for_pilot(split, options.negatives)
    layout = lay_out(split)
    chosen = {name: APPROACHES[name] for name in options.approach or APPROACHES}
    names = dict.fromkeys(name for approach in chosen.values() for name in approach.parts)
    works: dict[str, Work] = {}
    there: dict[str, Told] = {}
    for name in names:
        late = options.minutes and time.monotonic() - began > 60 * options.minutes
        done = finished(folder_of(name, options), layout)
        if late and not done:
            print(f"{name} waits for the next call", file=sys.stderr)
            continue
        works[name] = work = work_of(name, options, split, layout, opened=not options.pilot and done)
        models = wanted(layout, options)
        train(work, models, until=began + 60 * options.minutes if options.minutes else math.inf)
        if options.pilot:
            print(pilot(name, work, models), flush=True)
        elif finished(work.folders.runs, layout):
            there[name] = work.told()
    if options.pilot:
        return
    figures = report(chosen, works, there, options, split)
    print(table(figures))
    common.write(options.json, "fracatlas_detector", figures)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of all that is made")
    parser.add_argument("--data", type=Path, help="folder with images/, labels.csv and boxes.csv; needed once")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--approach", action="append", choices=APPROACHES, help="may be repeated; all by default")
    parser.add_argument("--weights", action="append", default=[], metavar="BACKBONE=FILE", help="may be repeated")
    parser.add_argument("--minutes", type=float, default=0, help="after which no further detector is begun")
    parser.add_argument("--share", default="0/1", help="i/k: train every k-th detector, from the i-th on")
    parser.add_argument("--pilot", action="store_true", help="without the first fold")
    parser.add_argument("--negatives", type=int, default=0, help="of a pilot; 0 takes all")
    parser.add_argument("--threads", type=int, default=1, help="that compute maps")
    parser.add_argument("--bundle", type=Path, help="gets the final detector of what was asked for, once it is done")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def prepared(options: argparse.Namespace, size: int) -> pd.DataFrame:
    """The manifest of the images at a size, split into the same folds at every size."""
    ingested, made = options.folder / "in", options.folder / f"prepared-{size}"
    if not (ingested / "manifest.parquet").exists():
        columns = Columns(patient="group")
        intake.ingest(options.data / "images", ingested, labels=options.data / "labels.csv", columns=columns)
    if not (made / "manifest.parquet").exists():
        data.prepare(ingested, made, size=size)
    if not (options.folder / "split" / "manifest.parquet").exists():
        data.split(made, options.folder / "split", folds=options.folds)
    split = tables.read(options.folder / "split" / "manifest.parquet", tables.MANIFEST)
    here = tables.read(made / "manifest.parquet", tables.MANIFEST).set_index("image")
    return split.assign(placement=here["placement"].reindex(split["image"]).to_numpy())


def for_pilot(split: pd.DataFrame, negatives: int) -> pd.DataFrame:
    """The rows outside the first fold; of those without a fracture so many, drawn at random, if not 0."""
    kept = split[split["fold"] != split["fold"].min()]
    sound = kept.index[kept["target"] == 0].to_numpy()
    if 0 < negatives < len(sound):
        dropped = np.random.default_rng(0).permutation(sound)[negatives:]
        kept = kept.drop(index=dropped)
    return kept.reset_index(drop=True)


def work_of(
    name: str, options: argparse.Namespace, split: pd.DataFrame, layout: Layout, *, opened: bool = False
) -> Work:
    """The work of a part, with its images and maps, made where they are missing unless they are only `opened`."""
    part, files = PARTS[name], dict(one.split("=", 1) for one in options.weights)
    everything = prepared(options, part.size)
    manifest = everything.set_index("image").loc[split["image"]].reset_index()
    images = pictures(options.folder / f"prepared-{part.size}", manifest)
    drawn = boxes_of.by_image(true_boxes(options, manifest), list(split["image"]))
    folders = Folders(options.folder / part.maps, options.folder / f"views-{part.size}", folder_of(name, options))
    work = Work(part.plan, Material(images, drawn, layout, (part.size, part.size)), folders)
    if options.share.startswith("0/") and not opened:  # two processes may not write one bank
        trunk = open_backbone(part.backbone, files.get(part.backbone))
        work.compute_maps(trunk, threads=options.threads, progress=reporting(part.maps))
    return work


def train(work: Work, models: list[int], until: float) -> None:
    """Train these of its detectors, none of which is begun after `until`."""
    layout = work.material.layout
    for model in models:
        if time.monotonic() < until:
            said = reporting(f"{work.folders.runs.name} without {layout.left_out[model]}")
            train_all(**work.run, models=[model], progress=said)


def folder_of(name: str, options: argparse.Namespace) -> Path:
    """Of the detectors of a part."""
    return Path(options.folder) / (f"pilot-{options.negatives or 'all'}" if options.pilot else "runs") / name


def finished(folder: Path, layout: Layout) -> bool:
    """Whether all detectors of a part are trained."""
    return all(path_of(folder, out).exists() for out in layout.left_out)


def true_boxes(options: argparse.Namespace, manifest: pd.DataFrame) -> pd.DataFrame:
    """The boxes that people drew, on the prepared images of a manifest."""
    kept = options.folder / "boxes.parquet"
    if not kept.exists():
        ingested = tables.read(options.folder / "in" / "manifest.parquet", tables.MANIFEST)
        tables.write(kept, boxes_of.read(options.data / "boxes.csv", ingested), tables.BOXES)
    return boxes_of.on_prepared(tables.read(kept, tables.BOXES), manifest)


def wanted(layout: Layout, options: argparse.Namespace) -> list[int]:
    """Numbers of the detectors that this call trains."""
    number, count = map(int, options.share.split("/"))
    every = range(len(layout.left_out))
    if options.pilot:
        every = [model for model in every if len(layout.left_out[model]) == 1]
    return list(every)[number::count]


def pilot(name: str, work: Work, models: list[int]) -> str:
    """What the detectors reach on the fold that each has not seen, epoch by epoch."""
    layout, said = work.material.layout, work.told(models)
    lines = []
    for place, epoch in enumerate(said.epochs):
        areas, precisions, hits = [], [], []
        for model in models:
            rows, maps = said.maps(place, model)
            score, target = said.scores[place, model, rows], layout.target[rows]
            areas.append(metrics.auroc(score, target))
            precisions.append(metrics.average_precision(score, target))
            for row, one in zip(rows.tolist(), maps, strict=True):
                if len(boxes := work.examples.boxes[row]):
                    x, y, _ = peak_of(one[0], STRIDES[0], said.size)
                    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
                    hits.append(bool(((low <= (x, y)) & ((x, y) <= high)).all(axis=1).any()))
        lines.append(
            f"{name:12} epoch {epoch:3}: AUROC {np.mean(areas):.3f} ({', '.join(f'{a:.3f}' for a in areas)}), "
            f"AP {np.mean(precisions):.3f}, pointing {np.mean(hits):.3f} of {len(hits)}"
        )
    return "\n".join(lines)


def report(
    chosen: Mapping[str, Approach],
    works: Mapping[str, Work],
    there: Mapping[str, Told],
    options: argparse.Namespace,
    split: pd.DataFrame,
) -> dict[str, Any]:
    """The figures of each approach whose detectors are all there, and of what the inner folds choose among them.

    A bundle is made of the last: of the only approach, or of what was chosen.
    """
    candidates = {
        name: [there[part] for part in approach.parts]
        for name, approach in chosen.items()
        if all(part in there for part in approach.parts)
    }
    images = pictures(options.folder / "prepared-448", split)
    found = {}
    tried = {name: {name: members} for name, members in candidates.items()}
    if len(candidates) > 1:
        tried["chosen by inner folds"] = candidates
    for name, given in tried.items():
        size = next(iter(given.values()))[0].size
        manifest = prepared(options, size[0])
        boxes = true_boxes(options, manifest)
        done = cross_validate_detector(given, manifest, boxes, images=images)
        judged = evaluate(done.predictions, manifest, seed=0, places=place_tables(manifest, boxes, done, size))
        found[name] = of(judged["validation"], done.notes["model"])
        for what in ("predictions", "points", "boxes"):
            columns = {"predictions": tables.PREDICTIONS, "points": tables.POINTS, "boxes": tables.FOUND_BOXES}[what]
            tables.write(
                options.folder / "out" / name.replace(" ", "-") / f"{what}.parquet", getattr(done, what), columns
            )
    if options.bundle and len(candidates) < len(chosen):
        print(f"no bundle yet: {len(chosen) - len(candidates)} approaches are not finished", file=sys.stderr)
    elif options.bundle:
        pack(options, done, judged, {part: (works[part], there[part]) for part in there}, tried[name])
    return {"images": len(split), "folds": options.folds, "approaches": found}


def pack(
    options: argparse.Namespace,
    done: DetectorCrossValidation,
    judged: Mapping[str, Any],
    parts: Mapping[str, tuple[Work, Told]],
    candidates: Mapping[str, list[Told]],
) -> None:
    """Write the bundle of the detectors that all folds chose."""
    members = []
    for said in candidates[done.final.candidate]:
        work = next(work for work, other in parts.values() if other is said)
        recipe = steps.from_json(journal.read(options.folder / f"prepared-{said.size[0]}").recipe)
        members.append((work, said, recipe))
    origin = origin_of(judged, how=said_of(done), source=SOURCE, limits=LIMITS)
    save(packed(members, done, origin), options.bundle)
    size = sum(path.stat().st_size for path in options.bundle.iterdir() if path.is_file())
    print(f"{options.bundle}: {done.final.candidate}, detectors: {len(members)}, {size / 1e6:.2f} MB")


def of(judged: Mapping[str, Any], note: str) -> dict[str, Any]:
    """The headlines of a report."""
    overall, places = judged["discrimination"], judged["places"]
    sound, metal = (
        next(row for row in judged["subgroups"] if (row["column"], row["value"]) == ("Hardware", value))
        for value in ("0", "1")
    )
    return {
        "auroc": overall["auroc"],
        "per fold": [fold["auroc"]["value"] for fold in overall["auroc_per_fold"]],
        "average precision": overall["average_precision"],
        "best floor": {"model": overall["best_floor"]["model"], "auroc": overall["best_floor"]["auroc"]},
        "gain": overall["gain"],
        "auroc without hardware": sound["auroc"],
        "added by hardware": metal["added"],
        "pointing": places["pointing"]["rate"],
        "pointing floor": places["pointing"]["best_floor"]["rate"],
        "mAP50": places["boxes"]["average_precision"],
        "note": note,
    }


def table(figures: dict[str, Any]) -> str:
    """The headlines for people."""
    lines = [f"{figures['images']} images, {figures['folds']} folds by group, out of fold; 95 % intervals by group"]
    for name, found in figures["approaches"].items():
        lines.append(f"{name}: {found['note']}")
        for what in ("auroc", "average precision", "pointing", "mAP50", "gain", "added by hardware"):
            one = found[what]
            lines.append(f"  {what:18} {one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})")
        lines.append(f"  best floor         {found['best floor']['model']} {found['best floor']['auroc']['value']:.3f}")
    return "\n".join(lines)


def reporting(what: str) -> Progress:
    """Says every hundredth, since this takes minutes."""
    last = -1

    def report(done: int, total: int) -> None:
        nonlocal last
        if (now := 100 * done // max(total, 1)) != last:
            last = now
            print(f"\r{what}: {now} %", end="\n" if now == 100 else "", file=sys.stderr, flush=True)

    return report


if __name__ == "__main__":
    main()
