"""The command line: one command per verb. It parses and prints; `osteon.verbs` does the work."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from osteon import (
    __version__,
    cli_audit,
    cli_experiments,
    cli_healing,
    cli_judgement,
    cli_phantom,
    cli_privacy,
    settings,
)
from osteon.cli_healing import Naming, NamingName
from osteon.console import (
    Json,
    KeyColumn,
    LabelColumn,
    Labels,
    Out,
    PatientColumn,
    Seed,
    Sheet,
    Task,
    Workers,
    bars,
    show,
    workers_of,
)
from osteon.errors import BadTable, OsteonError

app = typer.Typer(
    help="AI on bone radiographs, honestly measured. Research software, not a medical device.",
    epilog="Start with `osteon demo --out demo`; it runs every command below on phantom radiographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Outliers(StrEnum):
    """What becomes of studies with very many images."""

    keep = "keep"
    drop = "drop"


app.command(epilog="Example: `osteon phantom cohort --patients 120 --seed 7`")(cli_phantom.phantom)


@app.command(epilog="Example: `osteon ingest export --labels labels.csv --out work/ingest`")
def ingest(
    source: Annotated[
        Path, typer.Argument(help="Folder of DICOM, PNG or JPEG files and zip archives, nested as you like.")
    ],
    out: Out,
    labels: Labels = None,
    key_column: KeyColumn = "",
    label_column: LabelColumn = "",
    patient_column: PatientColumn = "",
    sheet: Sheet = "",
    naming: Naming = NamingName.as_written,
    inconclusive: Annotated[
        str, typer.Option(help="Answer where people could not tell: take these images as inconclusive.")
    ] = "",
    exclude: Annotated[
        list[str] | None, typer.Option(help="COLUMN (says yes) or COLUMN=VALUE: leave these images out; repeatable.")
    ] = None,
    max_instances: Annotated[int, typer.Option(min=1, help="A study of more images is an outlier.")] = 20,
    outliers: Annotated[Outliers, typer.Option(help="Keep outliers, or leave them out.")] = Outliers.keep,
    task: Task = "fracture",
    key: Annotated[
        Path | None, typer.Option(help="Key of the pseudonyms, made if it is not there; default: in --out.")
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Take in a folder of radiographs: a manifest of what can be used, and a reason for each file that cannot."""
    from osteon import verbs
    from osteon.dataset.exclusions import parse
    from osteon.dataset.labels import Columns
    from osteon.dataset.settle import Rules

    rules = Rules(tuple(map(parse, exclude or ())), max_instances, outliers is Outliers.drop)
    with bars("ingest", as_json) as progress:
        done = verbs.ingest(
            source,
            out,
            labels=labels,
            columns=Columns(key_column, label_column, patient_column, sheet, naming, inconclusive),
            rules=rules,
            task=task,
            key=key,
            workers=workers_of(workers),
            progress=progress,
        )
    show(done.said, done.figures, as_json)


app.command(epilog="Example: `osteon deidentify export --labels labels.csv --key secret.key --out clean`")(
    cli_privacy.deidentify
)
app.command(epilog="Example: `osteon check clean --original export --key secret.key`")(cli_privacy.check)


@app.command(epilog="Example: `osteon prepare work/ingest --out work/prepared`")
def prepare(
    ingested: Annotated[Path, typer.Argument(help="Folder that `osteon ingest` wrote.")],
    out: Out,
    recipe: Annotated[
        str, typer.Option(help="What is done to each image; see the reference of the dataset room.")
    ] = "ANY",
    size: Annotated[
        int | None, typer.Option(min=32, help="Side of the prepared images; default: the recipe's.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Where the files are, if they moved since ingest.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Refuse an image that takes longer.")] = 60.0,
    trace: Annotated[
        list[str] | None, typer.Option(help="Show every step of a study, or of so many studies, in trace/; repeatable.")
    ] = None,
    cluster: Annotated[
        str, typer.Option(help="`local`, `slurm`, or a Dask scheduler (tcp://host:8786); default: own processes.")
    ] = "",
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Run a recipe on every study. Run it again after an interruption: it goes on where it was."""
    from osteon import verbs

    with bars("prepare", as_json) as watch:
        done = verbs.prepare(
            ingested,
            out,
            recipe=recipe,
            size=size,
            source=source,
            seconds=seconds,
            trace=trace or (),
            cluster=cluster,
            workers=workers_of(workers),
            progress=watch,
            on_refused=watch.refused,
        )
    show(done.said, done.figures, as_json)


@app.command(epilog="Example: `osteon export work/prepared --out work/export`")
def export(
    prepared: Annotated[Path, typer.Argument(help="Folder that `osteon prepare` wrote.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Write a prepared data set for other programs: class folder, study folder, PNG, and metadata as CSV."""
    from osteon import verbs

    with bars("export", as_json) as progress:
        done = verbs.export(prepared, out, progress=progress)
    show(done.said, done.figures, as_json)


@app.command(epilog="Example: `osteon split work/prepared --out work/split --folds 5 --test 0.2`")
def split(
    prepared: Annotated[Path, typer.Argument(help="Folder that `osteon prepare` wrote.")],
    out: Out,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    test: Annotated[float, typer.Option(min=0, max=0.9, help="Share of patients sealed away as test set.")] = 0.0,
    duplicates: Annotated[bool, typer.Option(help="Join patients that share a near-identical image.")] = True,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Divide patients into folds and a sealed test set; patients that share an image stay together."""
    from osteon import verbs

    with bars("split", as_json) as progress:
        done = verbs.split(prepared, out, folds=folds, test=test, duplicates=duplicates, seed=seed, progress=progress)
    show(done.said, done.figures, as_json)


@app.command(epilog="Example: `osteon features work/prepared --out work/features`")
def features(
    prepared: Annotated[Path, typer.Argument(help="Folder that `osteon prepare` wrote.")],
    out: Out,
    backbone: Annotated[str, typer.Option(help="A backbone of osteon, or any timm name.")] = "tf_efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="`default`, `random`, `hub`, `hub:TAG`, or a local file.")] = "default",
    digest: Annotated[str, typer.Option(help="SHA-256 that the weights must have.")] = "",
    batch: Annotated[int, typer.Option(min=1, help="Images a step: 1 for a CPU, more for a GPU.")] = 1,
    maps: Annotated[bool, typer.Option("--maps", help="Keep their places, as grades of cortices need.")] = False,
    as_json: Json = False,
) -> None:
    """Compute the features of a frozen backbone once, for each image and its mirror image."""
    from osteon import verbs

    chosen = settings.load()
    with bars("features", as_json) as progress:
        done = verbs.features(
            prepared,
            out,
            backbone=backbone,
            weights=weights,
            digest=digest,
            batch=batch,
            maps=maps,
            settings=chosen,
            progress=progress,
        )
    show(done.said, done.figures, as_json)


@app.command(epilog="Example: `osteon train work/split --features work/features --out work/model`")
def train(
    split: Annotated[Path, typer.Argument(help="Folder that `osteon split` wrote.")],
    out: Out,
    features: Annotated[
        Path | None, typer.Option(help="Feature bank: train a head on a frozen backbone (minutes).")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Prepared folder: fine-tune the whole network (hours, or a GPU).")
    ] = None,
    backbone: Annotated[str, typer.Option(help="Backbone to fine-tune.")] = "tf_efficientnet_lite0",
    weights: Annotated[str, typer.Option(help="Weights to start from, as in `osteon features`.")] = "default",
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of fine-tuning.")] = 10,
    batch: Annotated[int, typer.Option(min=2, help="Images a step of fine-tuning.")] = 16,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak learning rate of fine-tuning.")] = 3e-4,
    boxes: Annotated[
        Path | None, typer.Option(help="Table of boxes, in pixels of the files: train a detector that says where.")
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option(help="`frozen`, `copies`, `trained`, `both`, `brief`; repeatable: folds choose.")
    ] = None,
    source: Annotated[str, typer.Option(help="Detector's card: where images come from, licence, what to cite.")] = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="Detector's card: a known shortcut or limit; repeatable.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0, help="Detector: begin no training after so many; call again to go on.")
    ] = 0,
    studies: Annotated[
        str,
        typer.Option(
            help="`lse`, `max`, `mean` or `attention` over views: learn from labels of studies; no bundle yet."
        ),
    ] = "",
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Cross-validate by patient, beside the floors on the same folds, and make the bundle."""
    from osteon import verbs

    if studies:
        if features is None or images or boxes:
            raise BadTable(
                "a model of studies learns on features", remedy="pass --features, and no --images or --boxes"
            )
        with bars("train", as_json) as progress:
            done = verbs.train_studies(split, out, bank=features, pooling=studies, seed=seed, progress=progress)
        show(done.said, done.figures, as_json)
        return
    tuning = verbs.Tuning(backbone=backbone, weights=weights, epochs=epochs, batch=batch, learning_rate=learning_rate)
    asked = bool(boxes or detector or source or limit or minutes)
    detecting = verbs.Detecting(tuple(detector or ["frozen"]), source, tuple(limit or ()), minutes) if asked else None
    chosen = settings.load()
    with bars("train", as_json) as progress:
        done = verbs.train(
            split,
            out,
            bank=features,
            images=images,
            tuning=tuning,
            boxes=boxes,
            detecting=detecting,
            seed=seed,
            settings=replace(chosen, workers=workers) if workers else chosen,
            progress=progress,
        )
    show(done.said, done.figures, as_json)


app.command(epilog="Example: `osteon evaluate work/model --manifest work/split --out work/report`")(
    cli_judgement.evaluate
)
app.command(epilog="Example: `osteon checklist work/report --out work/checklist`")(cli_judgement.checklist)
app.command(epilog="Example: `osteon triage work/model --out work/triage`")(cli_judgement.triage)
app.command(epilog="Example: `osteon audit work/model --out work/audit --gate`")(cli_audit.audit)
app.command(epilog="Example: `osteon explain work/model --images work/split --boxes boxes.csv --out work/explained`")(
    cli_judgement.explain
)
app.command(epilog="Example: `osteon agreement ratings.csv --out work/agreement`")(cli_healing.agreement)


@app.command(epilog="Example: `osteon read wrist.dcm --out work/reading`")
def read(
    files: Annotated[list[Path], typer.Argument(help="Files of one or several studies, or folders of them.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle that `osteon train` wrote; default: the one that comes with osteon.")
    ] = None,
    out: Out = Path("reading"),
    overlays: Annotated[bool, typer.Option(help="Write an overlay that shows where the model looked.")] = True,
    injured: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Healing score: when the bone broke; default: the first visit."),
    ] = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Read studies with a bundle: a probability and where the model looked, or the healing score over the months."""
    from osteon import verbs

    chosen = settings.load()
    with bars("read", as_json) as progress:
        done = verbs.read(
            files,
            out,
            bundle=bundle,
            overlays=overlays,
            injured=injured.date() if injured else None,
            settings=replace(chosen, workers=workers) if workers else chosen,
            progress=progress,
        )
    show(done.said, done.figures, as_json)


app.command(epilog="Example: `osteon experiment hong2023 --out work/hong2023`")(cli_experiments.experiment)


@app.command(epilog="Example: `osteon demo --out demo`")
def demo(
    out: Out = Path("demo"),
    patients: Annotated[int, typer.Option(min=40, help="Phantom patients.")] = 150,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Run every command on a phantom cohort, from DICOM files to a report, a bundle and a reading."""
    from osteon.demo import demo as run_demo
    from osteon.phantom.plan import Plan

    done = run_demo(
        out,
        Plan(patients=patients),
        seed=seed,
        workers=workers_of(workers),
        bars=lambda label: bars(label, as_json),
        tell=lambda line: None if as_json else print(line),
    )
    show(done.said, done.figures, as_json)


@app.callback(invoke_without_command=True)
def version(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """AI on bone radiographs, honestly measured. Research software, not a medical device."""
    if show_version:
        print(f"osteon {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error becomes one sentence with its remedy, and its exit code."""
    try:
        app()
    except OsteonError as error:
        Console(stderr=True, soft_wrap=True).print(f"osteon: {error}", style="red", markup=False, highlight=False)
        sys.exit(error.exit_code)
