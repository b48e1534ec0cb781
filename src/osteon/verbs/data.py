"""From files to folds: the verbs `phantom`, `hospital`, `healing`, `prepare` and `split`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from osteon import files, runs, tables
from osteon.errors import unknown_name
from osteon.types import Progress, Recipe, Refusal, silent
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
    import pandas as pd

    from osteon.phantom.healing_plan import HealingPlan
    from osteon.phantom.hospital import HospitalPlan
    from osteon.phantom.plan import Plan


def phantom(out: Path, plan: Plan, *, seed: int = 0, workers: int = 1, progress: Progress = silent) -> Done:
    """Make a phantom cohort: DICOM files, `labels.csv`, `truth.parquet`; an earlier one in `out` is replaced."""
    from osteon.phantom.cohort import make_cohort

    with runs.recording("phantom", out, {"plan": asdict(plan)}, seeds={"seed": seed}) as result:
        images = make_cohort(plan, out, seed=seed, workers=workers, progress=progress)
        result |= {"patients": plan.patients, "images": images, "phantom": True}
    return Done(f"{plan.patients} phantom patients, {result['images']} DICOM files in {out}", result)


def hospital(out: Path, plan: HospitalPlan, *, seed: int = 0, workers: int = 1, progress: Progress = silent) -> Done:
    """Make the phantom of a hospital's export: `export/`, `labels.csv`, and the truth; an earlier one is replaced."""
    from osteon.phantom.hospital import make_export

    with runs.recording("phantom", out, {"plan": asdict(plan), "hospital": True}, seeds={"seed": seed}) as result:
        made = make_export(plan, out, seed=seed, workers=workers, progress=progress)
        result |= {**made, "phantom": True}
    said = f"{made['studies']} phantom studies in {out / 'export'}: {made['images']} images, {made['spoiled']} spoiled"
    return Done(f"{said} files, {made['other']} files that are no radiographs", result)


def healing(out: Path, plan: HealingPlan, *, seed: int = 0, workers: int = 1, progress: Progress = silent) -> Done:
    """Make a phantom cohort of healing tibiae: files, labels, ratings, the truth; an earlier one is replaced."""
    from osteon.phantom.healing_cohort import make_healing_cohort

    with runs.recording("phantom", out, {"plan": asdict(plan), "healing": True}, seeds={"seed": seed}) as result:
        made = make_healing_cohort(plan, out, seed=seed, workers=workers, progress=progress)
        result |= {**made, "phantom": True}
    said = f"{plan.patients} phantom patients with {made['visits']} visits, {made['images']} DICOM files in {out}"
    return Done(f"{said}; {made['not scoreable']} images lack a grade", result)


def prepare(
    ingested: Path,
    out: Path,
    *,
    recipe: str = "ANY",
    size: int | None = None,
    source: Path | None = None,
    seconds: float = 60.0,
    trace: Sequence[str] = (),
    cluster: str = "",
    workers: int = 1,
    progress: Progress = silent,
    on_refused: Callable[[int], None] = lambda count: None,
) -> Done:
    """Run a recipe of `osteon.dataset.steps.RECIPES` on every study, as `prepare_by` does.

    Args:
        ingested, out: see there.
        recipe: its name.
        size: side of the prepared images, instead of the recipe's.
        source, seconds, trace, cluster, workers, progress, on_refused: see there.
    """
    from osteon.dataset.steps import RECIPES

    if recipe not in RECIPES:
        raise unknown_name("recipe", recipe, RECIPES)
    return prepare_by(
        _sized(RECIPES[recipe], size),
        ingested,
        out,
        source=source,
        seconds=seconds,
        trace=trace,
        cluster=cluster,
        workers=workers,
        progress=progress,
        on_refused=on_refused,
    )


def prepare_by(
    recipe: Recipe,
    ingested: Path,
    out: Path,
    *,
    source: Path | None = None,
    seconds: float = 60.0,
    trace: Sequence[str] = (),
    cluster: str = "",
    workers: int = 1,
    progress: Progress = silent,
    on_refused: Callable[[int], None] = lambda count: None,
) -> Done:
    """Run a recipe on every study: `images/`, `manifest.parquet`, `refusals.parquet`, `statistics.json`.

    Goes on after an interruption.

    Args:
        recipe: what to do with each image.
        ingested: what `ingest` wrote.
        out: folder for the results.
        source: where the files are, if they moved since ingest.
        seconds: that one image may take.
        trace: studies, or a number of them, whose images are also shown step by step in `trace/`.
        cluster: where the work is done, as `osteon.dataset.cluster.executor_of` takes it.
        workers: processes.
        progress: told of images.
        on_refused: told how many of them were refused so far.
    """
    from osteon.dataset import pipeline, privacy, refusals, steps
    from osteon.dataset import trace as tracing
    from osteon.dataset.cluster import executor_of
    from osteon.dataset.guard import Limits
    from osteon.dicom.pseudonyms import Key

    limits = Limits(seconds=seconds)
    manifest = manifest_of(ingested, "ingest", needs=["path"])
    studies = tracing.choose(manifest, trace)
    where = source or Path(argument(ingested, "source", "ingest"))
    files.must_exist(where, remedy="if the files have moved, pass --source")
    key = Key.open(
        files.must_exist(Path(argument(ingested, "key", "ingest")), remedy="put the key back, or ingest again")
    )
    arguments = {"ingested": ingested, "recipe": steps.to_json(recipe), "source": where, "seconds": seconds}
    with runs.recording("prepare", out, arguments, inputs=[ingested]) as result:
        with executor_of(cluster, workers=workers) as executor:
            made = pipeline.prepare(
                manifest,
                where,
                recipe,
                out,
                refusals=privacy.anonymous(refusals.read(ingested / REFUSALS), key),
                workers=workers,
                executor=executor,
                limits=limits,
                progress=progress,
                on_refused=on_refused,
            )
        result |= {
            "images": len(made.manifest),
            "done": made.done,
            "skipped": made.skipped,
            "refused": by_code(made.refusals),
            "mean": made.moments.mean if made.moments.n else None,
            "sd": made.moments.sd if made.moments.n else None,
            "recipe": steps.describe(recipe),
        }
        if studies:
            shown = manifest[manifest["study"].isin(studies)]
            result["traced"] = tracing.trace(shown, where, recipe, out, workers=workers, limits=limits)
    fresh = f"{len(made.manifest)} images prepared" if made.done else "nothing to do"
    kept = f", {made.skipped} of {len(manifest)} files were done already" if made.skipped else ""
    said = [f"{fresh}{kept}{refused(result['refused'])}", *examples(_by_path(made.refusals, manifest))]
    if studies:
        said.append(f"{result['traced']} images shown step by step in {out / tracing.TRACE}")
    return Done("\n".join(said), result)


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


def _by_path(refusals: Sequence[Refusal], manifest: pd.DataFrame) -> list[Refusal]:
    """Refusals of images, by the paths of their files: for who sits before the screen, not for the tables."""
    path_of = dict(zip(manifest["image"], manifest["path"], strict=True))
    return [replace(refusal, path=path_of[refusal.path]) for refusal in refusals if refusal.path in path_of]


def _sized(recipe: Recipe, size: int | None) -> Recipe:
    from osteon.dataset.steps import FitSquare

    if size is None:
        return recipe
    return tuple(replace(step, size=size) if isinstance(step, FitSquare) else step for step in recipe)
