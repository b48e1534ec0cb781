"""From boxes to a detector: what `train` does with a table of boxes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import runs, tables
from osteon.errors import BadTable, unknown_name
from osteon.settings import Settings
from osteon.types import Progress, silent
from osteon.verbs.folders import BUNDLE, PREDICTIONS, Done, argument, estimate_of, manifest_of, pictures

if TYPE_CHECKING:
    import pandas as pd

    from osteon.learn.backbones import Trunk
    from osteon.learn.detector.crossval import DetectorCrossValidation
    from osteon.learn.detector.work import Work
    from osteon.learn.origin import Figure, Origin

PLACES = "places"
"""Folder of the tables on places, as `osteon evaluate --places` takes it."""


@dataclass(frozen=True)
class Detecting:
    """How `train` makes a detector.

    Attributes:
        detectors: names in `osteon.learn.detector.work.DETECTORS`; of several, the inner folds choose.
        source: where the images come from, their licence and what to cite: a sentence for the card.
        limits: what is known of shortcuts and of where it fails, one sentence each, for the card.
        minutes: after which no further detector is begun; 0 trains all.
    """

    detectors: tuple[str, ...] = ("frozen",)
    source: str = ""
    limits: tuple[str, ...] = ()
    minutes: float = 0.0


def train_detector(
    split: Path,
    out: Path,
    *,
    boxes: Path,
    trunk: Trunk,
    how: Detecting | None = None,
    images: Path | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Done:
    """Cross-validate a detector by patient beside the floors, and make the bundle.

    Run it again after a kill, or after its minutes: it goes on with the detectors that are missing.

    Args:
        split: what `split` wrote.
        out: folder for `predictions.parquet`, `places/`, `bundle/`, and the work: `copies/`, `maps/`, `runs/`.
        boxes: table with one row per box, in pixels of the files (`osteon.dataset.boxes.read`).
        trunk: whose maps are read.
        how: which detector, for how long, and what its card says.
        images: what `prepare` wrote; None is the folder that was split.
        seed: of the bootstrap behind the bundle's figures.
        settings: of this machine.
        progress: told of steps done.

    Raises:
        UnknownName: for another detector.
        BadTable: if the boxes break their contract, or the manifest carries grades.
        Mismatch: if the folder holds the work of another run.
    """
    from osteon.learn.detector.work import DETECTORS, train_together

    how, settings = how or Detecting(), settings or Settings()
    for name in how.detectors:
        if name not in DETECTORS:
            raise unknown_name("detector", name, DETECTORS)
    prepared = images or Path(argument(split, "prepared", "split"))
    until = time.time() + 60 * how.minutes if how.minutes else math.inf
    arguments = {"split": split, "images": prepared, "boxes": boxes, "detectors": how.detectors, "trunk": trunk.spec}
    arguments = {name: value if isinstance(value, Path) else str(value) for name, value in arguments.items()}
    with runs.recording("train", out, arguments, inputs=[split, prepared, boxes], seeds={"seed": seed}) as result:
        case = _case(split, prepared, boxes)
        works = _works(case, how.detectors, out)
        for work in works.values():
            work.compute_maps(trunk, threads=settings.threads, progress=progress)
        workers = settings.worker_count
        missing = train_together(list(works.values()), workers=workers, until=until, progress=progress)
        result |= {"detectors_missing": missing}
        if missing:
            return Done(
                f"{missing} detectors are still to be trained; run the same command again, and it goes on", result
            )
        return _finished(case, works, how, out, seed, result, progress)


@dataclass(frozen=True, eq=False)
class _Case:
    """What a detector is trained on.

    Attributes:
        manifest: n rows, as they were split.
        images: id → prepared PNG.
        boxes: on the prepared images.
        prepared: the folder of the images.
        size: (height, width) of each.
    """

    manifest: pd.DataFrame
    images: Mapping[str, Path]
    boxes: pd.DataFrame
    prepared: Path
    size: tuple[int, int]


def _case(split: Path, prepared: Path, path: Path) -> _Case:
    from osteon.dataset import boxes as drawn
    from osteon.dataset.prepared import pixels_of
    from osteon.tasks.rust import CORTICES

    manifest = manifest_of(split, "split", needs=["prepared", "group", "fold"])
    if set(CORTICES) <= set(manifest):
        raise BadTable("the manifest carries grades, and boxes are for a yes or no", remedy="leave --boxes out")
    ingested = manifest_of(Path(argument(prepared, "ingested", "prepare")), "ingest", needs=["path"])
    shown = pictures(prepared, manifest)
    height, width = pixels_of(next(iter(shown.values()))).shape
    on_prepared = drawn.on_prepared(drawn.read(path, ingested), manifest)
    return _Case(manifest, shown, on_prepared, prepared, (height, width))


def _works(case: _Case, detectors: Sequence[str], out: Path) -> dict[str, Work]:
    """The work of every plan that is asked for, by its name."""
    from osteon.dataset.boxes import by_image
    from osteon.learn.detector.work import DETECTORS, PLANS, Folders, Material, Work
    from osteon.learn.nested import lay_out

    names = list(case.manifest["image"])
    material = Material(case.images, by_image(case.boxes, names), lay_out(case.manifest), case.size)
    plans = dict.fromkeys(plan for detector in detectors for plan in DETECTORS[detector])
    return {
        plan: Work(PLANS[plan], material, Folders(out / "maps", out / "copies", out / "runs" / plan)) for plan in plans
    }


def _finished(
    case: _Case,
    works: Mapping[str, Work],
    how: Detecting,
    out: Path,
    seed: int,
    result: dict[str, Any],
    progress: Progress,
) -> Done:
    """Figures, tables and bundle, once all detectors are trained."""
    from osteon.dataset import journal, steps
    from osteon.dataset.splits import SEALED
    from osteon.evaluate import places
    from osteon.evaluate.report import evaluate
    from osteon.learn.detector.bundle import save
    from osteon.learn.detector.crossval import cross_validate_detector, place_tables
    from osteon.learn.detector.work import DETECTORS, packed
    from osteon.learn.guarding import parts_named

    told = {plan: work.told() for plan, work in works.items()}
    candidates = {name: [told[plan] for plan in DETECTORS[name]] for name in how.detectors}
    found = cross_validate_detector(
        candidates, case.manifest, case.boxes, model="detector", images=case.images, progress=progress
    )
    given = place_tables(case.manifest, case.boxes, found, case.size)
    report = evaluate(found.predictions, case.manifest, seed=seed, places=given)
    recipe = steps.from_json(journal.read(case.prepared).recipe)
    parts = [(works[plan], told[plan], recipe) for plan in DETECTORS[found.final.candidate]]
    origin = origin_of(report, how=said_of(found), source=how.source, limits=how.limits)
    saved = save(packed(parts, found, origin, named=parts_named(case.manifest)), out / BUNDLE)
    tables.write(out / PREDICTIONS, found.predictions, tables.PREDICTIONS)
    # The boxes of the sealed part would give its targets away: they stay in the table that they came from.
    sealed = set(case.manifest.loc[case.manifest["fold"] == SEALED, "image"])
    places.write(replace(given, truth=given.truth[~given.truth["image"].isin(sealed)]), out / PLACES)
    figures = {figure.name: str(figure.model) for figure in origin.figures}
    size = sum(path.stat().st_size for path in (out / BUNDLE).iterdir())
    result |= {"model": report["model"], "auroc": report["validation"]["discrimination"]["auroc"]}
    result |= {"figures": figures, "bundle": saved.digest, "bytes": size, "notes": dict(found.notes)}
    result |= {"phantom": report["phantom"]}
    told_of = "; ".join(f"{name} {value}" for name, value in list(figures.items())[1:])
    return Done(f"{report['sentence']} {told_of}. Bundle ({size / 1e6:.1f} MB): {out / BUNDLE}", result)


def said_of(found: DetectorCrossValidation) -> str:
    """How the final model came about, in one sentence."""
    return f"Labels and boxes; {found.notes.get('detector') or found.notes['model']}."


def origin_of(report: Mapping[str, Any], *, how: str, source: str, limits: Sequence[str]) -> Origin:
    """Where a detector comes from: the data and figures of its report, and what its maker says.

    Args:
        report: of `osteon.evaluate.report.evaluate`, with places.
        how: it was trained.
        source: of the images, their licence and what to cite.
        limits: besides the cautions of the report.
    """
    from osteon.learn.origin import Origin
    from osteon.tasks import TASKS

    part = report["validation"]
    cases = part["cases"]
    kind = "phantom radiographs, simulated" if report["phantom"] else "radiographs"
    data = (
        f"{cases['images']} {kind}, of {cases['groups']} patients or groups; {cases['prevalence']:.0%} of the images "
        f"with the finding “{TASKS[report['task']['name']].positive}”."
    )
    if "cases" in part["places"]:
        data += f" {part['places']['cases']['true_boxes']} boxes on {part['places']['cases']['with_boxes']} images."
    commit, changed = runs.git_state()
    return Origin(
        data=f"{data} {source}".strip(),
        commit=f"{commit}, with changes that were not committed" if changed else commit,
        how=how,
        figures=tuple(_figures(report)),
        limits=(*(caution["text"] for caution in report["cautions"]), *limits),
    )


def _figures(report: Mapping[str, Any]) -> list[Figure]:
    """The headlines, each beside the best floor of its own."""
    part, label = report["validation"], f" ({report['label']})" if report["label"] else ""
    overall, places = part["discrimination"], part["places"]
    floors = overall["floors"]
    wanted = [
        (f"AUROC, mean of {overall['folds_counted']} folds by patient", overall["auroc"], floors, "auroc"),
        ("average precision", overall["average_precision"], floors, "average_precision"),
    ]
    if not places["reason"]:
        pointing, boxes = places["pointing"], places["boxes"]
        wanted += [
            ("pointing game", pointing["rate"], pointing["floors"], "rate"),
            ("average precision of boxes (mAP50)", boxes["average_precision"], boxes["floors"], "average_precision"),
        ]
    wanted += [
        (f"AUROC, {row['column'].lower()} {row['value']}, {row['n']} images", row["auroc"], [], "auroc")
        for row in _with_shortcuts(report)
    ]
    return [_figure(f"{name}{label}", ours, lines, key) for name, ours, lines, key in wanted]


def _with_shortcuts(report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The subgroups of the columns that the report warns of: to know them is to know half of the answer."""
    rows = report["validation"]["subgroups"]
    warnings = [caution["text"] for caution in report["cautions"] if caution["rule"] == "far_prevalence"]
    told = {row["column"] for row in rows for text in warnings if text.startswith(f"{row['column']} {row['value']}:")}
    return [row for row in rows if row["column"] in told]


def _figure(name: str, ours: Mapping[str, Any], floors: Sequence[Mapping[str, Any]], key: str) -> Figure:
    from osteon.learn.origin import NO_FLOOR, Figure

    known = [line for line in floors if line[key]["value"] is not None]
    best = max(known, key=lambda line: float(line[key]["value"]), default=None)
    if best is None:
        return Figure(name, estimate_of(ours), NO_FLOOR)
    return Figure(name, estimate_of(ours), estimate_of(best[key]), str(best["title"]))
