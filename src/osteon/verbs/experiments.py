"""Published studies run again: the verb `experiment`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs
from osteon.errors import BadTable, UnknownName, unknown_name
from osteon.settings import Settings
from osteon.types import Progress, Recipe, silent
from osteon.verbs.data import healing, phantom, prepare, prepare_by, split
from osteon.verbs.folders import MANIFEST, OPENINGS, SEALED, Done, argument, manifest_of, pictures
from osteon.verbs.intake import ingest

if TYPE_CHECKING:
    import pandas as pd

    from osteon.experiments import Experiment, Plan
    from osteon.experiments.around import InForm
    from osteon.experiments.trunks import TrunkChoice
    from osteon.learn.backbones import Trunk

LABELS, RECORD = "labels.csv", "run.json"

MAKERS: Mapping[str, Callable[..., Done]] = {"healing": healing, "phantom": phantom}
"""The verbs that make phantom cohorts."""

Bars = Callable[[str], AbstractContextManager[Progress]]


# One keyword for each thing that the command line hands over.
def experiment(
    name: str,
    out: Path,
    *,
    data: Path | None = None,
    scale: str = "small",
    backbones: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    bars: Bars = lambda label: nullcontext(silent),
    tell: Callable[[str], None] = lambda line: None,
) -> Done:
    """Run a published study again: `report.html`, `report.json`, figures, curves and tables. Goes on after a kill.

    Args:
        name: of `osteon.experiments.EXPERIMENTS`.
        out: folder of the results, of the finished stages, and of what had to be made of the data.
        data: what `split`, `prepare` or `ingest` wrote, or a folder of images with its `labels.csv`; None makes a
            phantom cohort of the scale's size.
        scale: of the experiment's `SCALES`.
        backbones: NAME or NAME=WEIGHTS of the frozen backbones; none takes the plan's.
        options: what this experiment alone takes, by name (`Experiment.options`).
        seed: of everything.
        settings: of this machine.
        bars: makes a progress bar for a stage.
        tell: is given one sentence after each stage.

    Raises:
        UnknownName: for an experiment or a scale that there is not, or an option that means nothing to it.
    """
    from osteon.evaluate.report import is_phantom
    from osteon.experiments.around import Run

    chosen = _named(name)
    study = chosen.study()
    settings, options = settings or Settings(), options or {}
    for astray in (option for option in options if option not in chosen.options):
        raise UnknownName(f"--{astray.replace('_', '-')} means nothing to {name}", remedy="leave it out")
    plan = study.plan_of(scale, backbones, **options)
    arguments = {"name": name, "data": data, "plan": asdict(plan)}
    inputs = [data] if data else []
    with runs.recording("experiment", out, arguments, inputs=inputs, seeds={"seed": seed}) as result:
        ready = _ready(data, out / "data", chosen, plan, seed, settings, bars, tell)
        folder = ready.split
        manifest = manifest_of(folder, "split", needs=["prepared", "group", "fold"])
        around = Run(
            out=out,
            seed=seed,
            open_trunk=partial(_trunk, settings=settings, seed=seed),  # other processes can call it too
            open_sealed=(lambda: _answers(folder, by=name)) if (folder / SEALED).exists() else None,
            openings=lambda: len(_openings(folder)),
            phantom=is_phantom(manifest),
            workers=settings.worker_count,
            threads=settings.threads,
            bars=bars,
            tell=tell,
            forms={name: _in_form(manifest, at) for name, at in ready.forms.items()},
            truth=lambda: None if ready.phantom is None else _truth(ready.phantom),
        )
        cohort = study.cohort_of(manifest, pictures(ready.prepared, manifest))
        content = study.run(cohort, plan, around)
        result |= {name: content[name] for name in ("sentence", "phantom", "scale", "data", "openings")}
        result |= study.figures_of(content)
    return Done(f"{content['sentence']}\nReport: {out / 'report.html'}", result)


def scales(name: str) -> Done:
    """What scales an experiment has, the smallest first.

    Raises:
        UnknownName: for an experiment that there is not.
    """
    chosen = _named(name)
    told = {scale: str(plan.about) for scale, plan in chosen.study().SCALES.items()}
    lines = [f"  --scale {scale:<8} {about}" for scale, about in told.items()]
    return Done("\n".join([f"{name}: {chosen.about}", *lines]), {"name": name, "scales": told})


def _named(name: str) -> Experiment:
    from osteon.experiments import EXPERIMENTS

    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


@dataclass(frozen=True)
class _Ready:
    """Folders of the data: the split, the prepared images, further forms of them, and the phantom cohort, if any."""

    split: Path
    prepared: Path
    forms: Mapping[str, Path] = field(default_factory=dict)
    phantom: Path | None = None


def _ready(
    data: Path | None,
    work: Path,
    chosen: Experiment,
    plan: Plan,
    seed: int,
    settings: Settings,
    bars: Bars,
    tell: Callable[[str], None],
) -> _Ready:
    """The data, made as far as they are not there."""
    workers = settings.worker_count

    def stage(name: str, verb: Callable[[Path, Progress], Done]) -> Path:
        folder = work / name
        if not (folder / RECORD).exists():
            with bars(name) as progress:
                tell(f"{name:<22} {verb(folder, progress).said}")
        return folder

    key: Path | None = None
    if data is None:
        make, made = MAKERS[chosen.phantom], chosen.study().phantom_of(plan)
        data = stage("cohort", lambda at, told: make(at, made, seed=seed, workers=workers, progress=told))
        key = _phantom_key(work, seed)
    command, made_here = _command_of(data), data if key else None
    prepared = Path(argument(data, "prepared", "split")) if command == "split" else data
    if command not in ("ingest", "prepare", "split"):
        source, labels = data, _labels_of(data, chosen.task)
        data = stage(
            "ingest",
            lambda at, told: ingest(
                source, at, labels=labels, task=chosen.task, key=key, workers=workers, progress=told
            ),
        )
        command = "ingest"
    if command == "ingest":
        ingested = data
        prepared = stage(
            "prepared", lambda at, told: prepare(ingested, at, size=plan.size, workers=workers, progress=told)
        )
    if command != "split":
        data = stage("split", lambda at, told: split(prepared, at, test=plan.sealed, seed=seed, progress=told))

    def in_form(recipe: Recipe) -> Callable[[Path, Progress], Done]:
        first = Path(argument(prepared, "ingested", "prepare"))
        return lambda at, told: prepare_by(recipe, first, at, workers=workers, progress=told)

    forms = {name: stage(name, in_form(recipe)) for name, recipe in chosen.study().forms_of(plan).items()}
    return _Ready(data, prepared, forms, made_here)


def _command_of(folder: Path) -> str:
    """The command that wrote a folder, "" if none did."""
    files.must_exist(folder, remedy="pass a folder, or leave --data out for a phantom cohort")
    return runs.read(folder).command if (folder / RECORD).exists() else ""


def _labels_of(folder: Path, task: str) -> Path:
    labels = folder / LABELS
    if not labels.exists():
        raise BadTable(
            f"{folder} has neither a manifest nor a {LABELS}",
            remedy=f"ingest it first: osteon ingest {folder} --labels … --task {task}, and pass what that wrote",
        )
    return labels


def _phantom_key(work: Path, seed: int) -> Path:
    """Phantoms have no secrets: a key from the seed keeps the promise of the same bytes."""
    from osteon.dicom.pseudonyms import Key

    path = work / "phantom.key"
    if not path.exists():
        Key(hashlib.sha256(f"osteon experiment {seed}".encode()).digest()).save(path)
    return path


def _trunk(choice: TrunkChoice, settings: Settings, seed: int) -> Trunk:
    from osteon.learn.backbones import open_backbone

    cache = Path(settings.weights) if settings.weights else None
    return open_backbone(choice.backbone, choice.weights, seed=seed, cache=cache)


def _in_form(manifest: pd.DataFrame, folder: Path) -> InForm:
    """The images of a manifest as they were prepared in a folder.

    Raises:
        BadTable: if the recipe of the form refused, or split, an image of the manifest.
    """
    from osteon import tables
    from osteon.experiments.around import InForm

    of_form = tables.read(folder / MANIFEST, tables.MANIFEST).set_index("image")
    wanted = manifest["image"].astype(str)
    if missing := int((~wanted.isin(of_form.index)).sum()):
        raise BadTable(
            f"{missing} images of the split are not in {folder}, whose recipe refused or split them",
            remedy="leave these images out of the label table, and begin with what osteon ingest wrote",
        )
    mine = of_form.loc[list(wanted)]
    return InForm(
        {str(image): folder / "images" / str(name) for image, name in mine["prepared"].items()},
        {str(image): str(place) for image, place in mine["placement"].items()},
    )


def _truth(cohort: Path) -> pd.DataFrame:
    """The truth of a phantom cohort, its images named as the manifest names them."""
    import pandas as pd

    truth = pd.read_parquet(cohort / "truth.parquet")
    return truth.assign(image=[files.digest_of(cohort / path)[:32] for path in truth["path"]])


def _answers(folder: Path, *, by: str) -> pd.DataFrame:
    """The answers of the sealed part, after this opening has been written down."""
    import pandas as pd

    sealed = pd.read_parquet(folder / SEALED)
    opening = {
        "opened": datetime.now(UTC).isoformat(timespec="seconds"),
        "predictions": f"experiment {by}",
        "split": files.digest_of(folder / MANIFEST),
    }
    files.write_json(folder / OPENINGS, [*_openings(folder), opening])
    return sealed


def _openings(folder: Path) -> list[dict[str, Any]]:
    path = folder / OPENINGS
    return list(files.read_json(path)) if path.exists() else []
