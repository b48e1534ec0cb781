"""From files to folds: the verbs `phantom`, `ingest`, `prepare` and `split`."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from osteon import files, runs, tables
from osteon.errors import unknown_name
from osteon.tasks import TASKS
from osteon.types import Progress, Recipe, silent
from osteon.verbs.folders import (
    MANIFEST,
    REFUSALS,
    SEALED,
    Done,
    argument,
    by_code,
    examples,
    manifest_of,
    pictures,
    refused,
)

if TYPE_CHECKING:
    from osteon.phantom.plan import Plan


def phantom(out: Path, plan: Plan, *, seed: int = 0, workers: int = 1, progress: Progress = silent) -> Done:
    """Make a phantom cohort: DICOM files, `labels.csv`, `truth.parquet`; an earlier one in `out` is replaced."""
    from osteon.phantom.cohort import make_cohort

    with runs.recording("phantom", out, {"plan": asdict(plan)}, seeds={"seed": seed}) as result:
        make_cohort(plan, out, seed=seed, workers=workers, progress=progress)
        result |= {"patients": plan.patients, "images": plan.patients * len(plan.views), "phantom": True}
    return Done(f"{plan.patients} phantom patients, {result['images']} DICOM files in {out}", result)


def ingest(
    source: Path,
    out: Path,
    *,
    labels: Path | None = None,
    patient_column: str = "",
    task: str = "fracture",
    workers: int = 1,
    progress: Progress = silent,
) -> Done:
    """Take in a folder of radiographs: `manifest.parquet` and `refusals.parquet`."""
    from osteon.dataset import ingest as room
    from osteon.dataset import refusals

    if task not in TASKS:
        raise unknown_name("task", task, TASKS)
    arguments = {"source": source.resolve(), "labels": labels, "patient_column": patient_column, "task": task}
    with runs.recording("ingest", out, arguments, inputs=[labels] if labels else []) as result:
        taken = room.ingest(
            source, labels, task=TASKS[task], patient_column=patient_column, workers=workers, progress=progress
        )
        tables.write(out / MANIFEST, taken.manifest, tables.MANIFEST)
        refusals.write(out / REFUSALS, taken.refusals)
        result |= {
            "files": taken.given,
            "images": len(taken.manifest),
            "patients": int(taken.manifest["patient"].nunique()),
            "positive": int(taken.manifest["target"].sum()),
            "refused": by_code(taken.refusals),
            "labels_without_image": len(taken.labels_without_image),
            "notes": list(taken.notes),
        }
    said = [
        f"{result['images']} of {result['files']} files taken, {result['patients']} patients, "
        f"{result['positive']} images with a positive label{refused(result['refused'])}"
    ]
    if taken.labels_without_image:
        said.append(f"{len(taken.labels_without_image)} labels are about no image that could be read")
    return Done("\n".join(["; ".join([*said, *taken.notes]), *examples(taken.refusals)]), result)


def prepare(
    ingested: Path,
    out: Path,
    *,
    recipe: str = "ANY",
    size: int | None = None,
    source: Path | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Done:
    """Run a recipe on every image: `images/`, `manifest.parquet`, `refusals.parquet`. Goes on after an interruption."""
    from osteon.dataset import pipeline, refusals, steps

    if recipe not in steps.RECIPES:
        raise unknown_name("recipe", recipe, steps.RECIPES)
    chosen = _sized(steps.RECIPES[recipe], size)
    manifest = manifest_of(ingested, "ingest")
    where = source or Path(argument(ingested, "source", "ingest"))
    files.must_exist(where, remedy="if the files have moved, pass --source")
    arguments = {"ingested": ingested, "recipe": steps.to_json(chosen), "source": where}
    with runs.recording("prepare", out, arguments, inputs=[ingested]) as result:
        earlier = refusals.read(ingested / REFUSALS)
        made = pipeline.prepare(manifest, where, chosen, out, refusals=earlier, workers=workers, progress=progress)
        result |= {
            "images": len(made.manifest),
            "done": made.done,
            "skipped": made.skipped,
            "refused": by_code(made.refusals),
            "recipe": steps.describe(chosen),
        }
    fresh = f"{made.done} images prepared" if made.done else "nothing to do"
    kept = f", {made.skipped} were there already" if made.skipped else ""
    sentence = f"{fresh}{kept}{refused(result['refused'])}"
    return Done("\n".join([sentence, *examples(made.refusals)]), result)


def split(
    prepared: Path,
    out: Path,
    *,
    folds: int = 5,
    test: float = 0.0,
    duplicates: bool = True,
    seed: int = 0,
    progress: Progress = silent,
) -> Done:
    """Divide patients into folds and a sealed test set: `manifest.parquet`, and `sealed.parquet` with its targets."""
    from osteon.dataset import splits
    from osteon.dataset.duplicates import find_duplicates

    manifest = manifest_of(prepared, "prepare", needs=["prepared"])
    arguments = {"prepared": prepared, "folds": folds, "test": test, "duplicates": duplicates}
    with runs.recording("split", out, arguments, inputs=[prepared], seeds={"seed": seed}) as result:
        same = find_duplicates(pictures(prepared, manifest), progress=progress) if duplicates else None
        whole = splits.split(manifest, folds=folds, test=test, seed=seed, duplicates=same)
        # The answers of the test set leave the manifest here, so that no later command can see them by mistake.
        visible, sealed = splits.seal(whole)
        tables.write(out / MANIFEST, visible, tables.MANIFEST)
        tables.write(out / SEALED, sealed, {name: tables.MANIFEST[name] for name in ("image", "target")})
        result |= {
            "folds": folds,
            "groups": int(whole["group"].nunique()),
            "sealed_images": len(sealed),
            "joined_patients": int(whole["patient"].nunique() - whole["group"].nunique()),
        }
    return Done(splits.describe(whole), result)


def _sized(recipe: Recipe, size: int | None) -> Recipe:
    from osteon.dataset.steps import FitSquare

    if size is None:
        return recipe
    return tuple(replace(step, size=size) if isinstance(step, FitSquare) else step for step in recipe)
