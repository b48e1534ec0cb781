"""Which maps may be shown to readers: the verb `explain`."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs
from osteon.errors import Mismatch, NotFound, TooFewCases, unknown_name
from osteon.types import Progress, silent
from osteon.verbs.folders import BUNDLE, Done, argument, manifest_of, pictures

if TYPE_CHECKING:
    import pandas as pd

    from osteon.explain.checks import Case
    from osteon.learn.bundle import Bundle

CHECKS, SHEET = "checks.json", "sheet.png"


@dataclass(frozen=True)
class Checking:
    """How `explain` checks.

    Attributes:
        methods: names in `osteon.explain.maps.EXPLAINERS`; () is all that apply to the network.
        cases: images with boxes to measure on, drawn at random if there are more.
        minutes: after which no further image is begun; 0 measures all.
        seed: of what is drawn, shuffled and resampled.
    """

    methods: tuple[str, ...] = ()
    cases: int = 150
    minutes: float = 0.0
    seed: int = 0


def explain(
    bundle: Path,
    out: Path,
    *,
    images: Path,
    boxes: Path,
    how: Checking | None = None,
    progress: Progress = silent,
) -> Done:
    """Check the methods of explanation of a bundle on images with boxes, and write what they came to into the bundle.

    The bundle is replaced whole or not at all. Run it again after a kill, or after its minutes: it goes on.

    Args:
        bundle: what `train` wrote, or the `bundle` folder in it.
        out: folder for `checks.json`, `sheet.png` and the rows that were measured.
        images: what `prepare` wrote with the recipe of the bundle, or what `split` made of it: then without the sealed.
        boxes: table with one row per box, in pixels of the files (`osteon.dataset.boxes.read`).
        how: which methods, on how many images, for how long.
        progress: told of images done.

    Raises:
        UnknownName: for a method that does not exist.
        Mismatch: if the bundle holds no classifier, or the images were prepared by another recipe.
        TooFewCases: if no image has a box.
        BadTable, NotFound: for boxes, images or a bundle that cannot be read.
    """
    from osteon.explain.checking import measured
    from osteon.explain.checks import summed_up
    from osteon.explain.maps import EXPLAINERS
    from osteon.explain.pictures import explain_all, save_sheet
    from osteon.explain.verdict import to_json
    from osteon.learn.bundle import load, save

    how, folder = how or Checking(), bundle / BUNDLE if (bundle / BUNDLE).is_dir() else bundle
    for name in how.methods:
        if name not in EXPLAINERS:
            raise unknown_name("explainer", name, EXPLAINERS)
    model = load(folder)
    methods = how.methods or tuple(name for name, one in EXPLAINERS.items() if not one.missing(model.classifier))
    arguments = {"bundle": folder, "images": images, "boxes": boxes, "methods": methods, "cases": how.cases}
    with runs.recording("explain", out, arguments, inputs=[folder, images, boxes], seeds={"seed": how.seed}) as result:
        cases = _cases(images, boxes, model, how)
        until = time.monotonic() + 60 * how.minutes if how.minutes else math.inf
        rows = measured(
            ((model.classifier, case) for case in cases),
            methods,
            out / f"rows-{_identity(model, how.seed)}.jsonl",
            total=len(cases),
            seed=how.seed,
            until=until,
            progress=progress,
        )
        result |= {"images": len(rows) // len(methods), "images_missing": len(cases) - len(rows) // len(methods)}
        if missing := result["images_missing"]:
            return Done(
                f"{missing} images are still to be measured; run the same command again, and it goes on", result
            )
        checks = summed_up(rows, seed=how.seed)
        record = to_json(checks, _told_of(cases, boxes, folder))
        save_sheet(out / SHEET, cases[0].image, explain_all(model.classifier, cases[0].image, methods))
        saved = save(replace(model, explanations=record), folder)
        files.write_json(out / CHECKS, record)
        shown = [method for method, told in record["methods"].items() if told["shown"]]
        result |= {"shown": shown, "earlier_bundle": model.digest, "bundle": saved.digest, "checks": record}
    return Done("\n".join(_said(record, shown, folder)), result)


def _cases(images: Path, boxes: Path, model: Bundle, how: Checking) -> list[Case]:
    """The images that are measured on, in an order that depends on the seed alone."""
    import numpy as np

    from osteon.dataset import boxes as drawn
    from osteon.dataset.splits import SEALED

    prepared = images if (images / "images").is_dir() else Path(argument(images, "prepared", "split"))
    manifest = manifest_of(images, "prepare", needs=["prepared", "placement"])
    _must_be_prepared_for(model, prepared)
    if "fold" in manifest:
        manifest = manifest[manifest["fold"] != SEALED]
    ingested = manifest_of(Path(argument(prepared, "ingested", "prepare")), "ingest", needs=["path"])
    found = drawn.on_prepared(drawn.read(boxes, ingested), manifest)
    manifest = manifest[manifest["image"].isin(found["image"])].reset_index(drop=True)
    if manifest.empty:
        raise TooFewCases(f"no image of {images} has a box in {boxes.name}", remedy="pass the boxes of these images")
    order = np.random.default_rng(how.seed).permutation(len(manifest))[: how.cases]
    chosen = manifest.iloc[order]
    return list(_read(chosen, found, pictures(prepared, chosen)))


def _must_be_prepared_for(model: Bundle, prepared: Path) -> None:
    from osteon.dataset import journal, steps

    recipe = steps.from_json(journal.read(prepared).recipe)
    if recipe != model.recipe:
        raise Mismatch(
            f"the images in {prepared} were prepared by another recipe than the bundle's: {steps.describe(recipe)}",
            remedy="prepare them as those were that the bundle was trained on",
        )


def _read(chosen: pd.DataFrame, boxes: pd.DataFrame, shown: dict[str, Path]) -> Iterator[Case]:
    from osteon.dataset.boxes import by_image
    from osteon.dataset.prepared import pixels_of
    from osteon.explain.checks import Case

    names = chosen["image"].tolist()
    groups = chosen["group" if "group" in chosen else "patient"].astype(str).tolist()
    for name, group, mine in zip(names, groups, by_image(boxes, names), strict=True):
        yield Case(name, group, pixels_of(shown[name]), mine)


def _identity(model: Bundle, seed: int) -> str:
    """Names what rows depend on, besides image and method."""
    from osteon.dataset import steps
    from osteon.learn.weights import digest_of

    said = [digest_of(model.classifier.state_dict()), steps.to_json(model.recipe), seed]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def _told_of(cases: Sequence[Case], boxes: Path, folder: Path) -> str:
    """What was measured on, in one sentence for the record."""
    learnt = _learnt_by(folder)
    if learnt is None:
        seen = "it is not known whether the bundle has learnt from any of them"
    else:
        seen = f"the bundle has learnt from {sum(case.name in learnt for case in cases)} of them"
    groups = len({case.group for case in cases})
    return f"{len(cases)} images of {groups} patients or groups with boxes in {boxes.name}; {seen}"


def _learnt_by(folder: Path) -> set[str] | None:
    """The images that a bundle has learnt from, if the run that made it and its split are still there."""
    try:
        manifest = manifest_of(Path(argument(folder.parent, "split", "train")), "split", needs=["fold"])
    except NotFound:
        return None
    return set(manifest.loc[(manifest["fold"] >= 0) & manifest["target"].notna(), "image"])


def _said(record: dict[str, Any], shown: Sequence[str], folder: Path) -> list[str]:
    lines = []
    for method, told in record["methods"].items():
        points = told["figures"]["pointing"]
        figure = "" if points["value"] is None else f"points at {points['value']:.2f}; "
        lines.append(
            f"{method}: {figure}{'passes' if told['shown'] else 'does not pass: ' + '; '.join(told['reasons'])}"
        )
    names = f"readers will be shown {' or '.join(shown)}" if shown else "readers will be shown no map"
    return [*lines, f"Measured on {record['data']}. Written into {folder}: {names}."]
