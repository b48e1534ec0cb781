"""From maps to a healing score: what `train` does with a manifest that carries grades."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import runs, tables
from osteon.errors import BadTable
from osteon.tasks.rust import CORTICES, SCORES
from osteon.types import Progress, silent
from osteon.verbs.folders import BUNDLE, PREDICTIONS, Done, argument, estimate_of, manifest_of, pictures

if TYPE_CHECKING:
    import pandas as pd

    from osteon.learn.backbones import Trunk
    from osteon.learn.healing.bundle import HealingBundle
    from osteon.learn.healing.crossval import HealingCrossValidation
    from osteon.learn.origin import Origin

VISITS = "visits.parquet"


def train_healing(split: Path, out: Path, *, bank: Path, seed: int = 0, progress: Progress = silent) -> Done:
    """Cross-validate a reader of cortices by patient beside the floors, and make the bundle.

    Args:
        split: what `split` wrote; its manifest carries grades (`osteon ingest --task modified-rust`).
        out: folder for `predictions.parquet` (`osteon.tables.GRADES`), `visits.parquet` with the totals, and `bundle/`.
        bank: what `features --maps` wrote.
        seed: of the readers, and of the bootstrap behind the bundle's figures.
        progress: told of steps done.

    Raises:
        BadTable: if the manifest carries no grades.
    """
    from osteon.evaluate import healing_report
    from osteon.evaluate.report import is_phantom
    from osteon.learn.bank import FeatureBank
    from osteon.learn.healing import bundle as healing_bundle
    from osteon.learn.healing.crossval import cross_validate_healing
    from osteon.learn.maps import flips_of

    manifest = manifest_of(split, "split", needs=["prepared", "group", "fold"])
    task = _task_of(manifest)
    prepared = Path(argument(bank, "prepared", "features"))
    arguments = {"split": split, "features": bank, "task": task}
    with runs.recording("train", out, arguments, inputs=[split, bank], seeds={"seed": seed}) as result:
        shown = pictures(prepared, manifest, remedy="run `osteon prepare`, and `osteon features` on what was split")
        features = FeatureBank.open(bank)
        trunk, maps = features.open_trunk(), features.maps_of(list(manifest["image"]), flips_of(manifest))
        features.check_fresh(shown)
        found = cross_validate_healing(
            maps,
            manifest,
            score=SCORES[task],
            model=f"{trunk.spec.name}, frozen, + cortex reader",
            images=shown,
            seed=seed,
            progress=progress,
        )
        simulated = is_phantom(manifest)
        report = healing_report.evaluate(found.grades, score=SCORES[task], seed=seed, phantom=simulated)
        saved = healing_bundle.save(_bundle(found, trunk, report, prepared, shown, task), out / BUNDLE)
        tables.write(out / PREDICTIONS, found.grades, tables.GRADES)
        tables.write(out / VISITS, found.visits, {})
        result |= {"model": report["model"], "bundle": saved.digest, "notes": found.notes, "phantom": simulated}
        result |= {"icc": report["validation"]["totals"].get("icc")}
    return Done(f"{report['sentence']} Bundle: {out / BUNDLE}", result)


def _task_of(manifest: pd.DataFrame) -> str:
    """Modified RUST if a grade 4 is among the grades, else RUST."""
    from osteon.dataset import grades

    if not set(CORTICES) <= set(manifest):
        raise BadTable("the manifest carries no grades", remedy="ingest with --task rust or --task modified-rust")
    given, _ = grades.arrays(manifest)
    return next(name for name, score in SCORES.items() if score.grades[-1] >= given.max())


def _bundle(
    found: HealingCrossValidation,
    trunk: Trunk,
    report: Mapping[str, Any],
    prepared: Path,
    images: Mapping[str, Path],
    task: str,
) -> HealingBundle:
    from osteon.dataset import journal, steps
    from osteon.dataset.prepared import pixels_of
    from osteon.learn.healing.bundle import HealingBundle
    from osteon.learn.healing.cortex_reader import CortexNetwork

    height, width = pixels_of(next(iter(images.values()))).shape
    return HealingBundle(
        network=CortexNetwork(trunk, found.reader).eval(),
        recipe=steps.from_json(journal.read(prepared).recipe),
        task=task,
        fusion=found.fusion,
        level=found.level,
        size=(height, width),
        origin=_origin(report),
    )


def _origin(report: Mapping[str, Any]) -> Origin:
    from osteon.learn.origin import NO_FLOOR, Figure, Origin

    part = report["validation"]
    cases, totals = part["cases"], part["totals"]
    name, compared = (
        ("ICC(2,1) of the total", totals["icc"]) if totals["judged"] else ("kappa", part["overall"]["kappa"])
    )
    best = compared["best_floor"]
    label = f" ({report['label']})" if report["label"] else ""
    figure = Figure(
        name=f"{name} with the rater, {len(cases['folds'])} folds by patient{label}",
        model=estimate_of(compared["figure"]),
        floor=estimate_of(best["figure"]) if best else NO_FLOOR,
        floor_name=best["title"] if best else "",
    )
    kind = "phantom radiographs, simulated" if report["phantom"] else "radiographs"
    commit, changed = runs.git_state()
    return Origin(
        data=f"{cases['images']} {kind}, of {cases['visits']} visits of {cases['groups']} patients or groups.",
        commit=f"{commit}, with changes that were not committed" if changed else commit,
        how="Maps of a frozen trunk; calibration, fusion and intervals were fitted on out-of-fold scores.",
        figures=(figure,),
        limits=tuple(caution["text"] for caution in report["cautions"]),
    )
