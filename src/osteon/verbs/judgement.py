"""What a model is worth, and what it says: the verbs `evaluate` and `read`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import files, runs, tables
from osteon.errors import BadTable, NotFound, UnreadableImage
from osteon.settings import Settings
from osteon.types import Progress, Reading, silent
from osteon.verbs.folders import BUNDLE, OPENINGS, OVERLAYS, PREDICTIONS, READINGS, SEALED, Done, manifest_of

if TYPE_CHECKING:
    import pandas as pd


def evaluate(
    predictions: Path,
    out: Path,
    *,
    manifest: Path | None = None,
    unseal: bool = False,
    prevalence: float | None = None,
    model: str = "",
    seed: int = 0,
    progress: Progress = silent,
) -> Done:
    """Judge predictions, whoever made them: `report.json` and `report.html`.

    Args:
        predictions: a predictions table, or the folder that holds `predictions.parquet`.
        out: folder of the report.
        manifest: what `split` wrote, for subgroups and for the sealed targets.
        unseal: open the sealed test set; when, and for which predictions, is written beside it, in `openings.json`.
        prevalence: for predictive values, as a share.
        model: which model of the table, if it holds several besides floors.
        seed: of the bootstrap.
        progress: told of stages done.
    """
    path = predictions / PREDICTIONS if predictions.is_dir() else predictions
    files.must_exist(path, remedy="pass a folder that `osteon train` wrote, or a table of predictions")
    graded = tables.is_graded(path)
    table = tables.read(path, tables.GRADES if graded else tables.PREDICTIONS)
    if graded and prevalence is not None:
        raise BadTable("grades have no prevalence", remedy="leave --prevalence out")
    cases = manifest_of(manifest, "split") if manifest else None
    arguments = {"predictions": path, "manifest": manifest, "unseal": unseal, "prevalence": prevalence, "model": model}
    inputs = [folder for folder in (predictions, manifest) if folder]
    with runs.recording("evaluate", out, arguments, inputs=inputs, seeds={"seed": seed}) as result:
        if unseal:
            if manifest is None:
                raise BadTable("the sealed targets lie with the split", remedy="pass --manifest with --unseal")
            table = _opened(manifest, table, by=path)
        context = _Context(seed, model or None, len(_openings(manifest)), _phantom(path.parent, cases), progress)
        if graded:
            content, figures = _judge_grades(table, context, out)
        else:
            content, figures = _judge(table, cases, prevalence, context, out)
        result |= {"sentence": content["sentence"], "model": content["model"], "phantom": content["phantom"]}
        result |= {**figures, "openings": context.openings}
    said = [content["sentence"]]
    if content["test"]["state"] == "opened":
        said.append(f"{_which_test(result['openings'])}: {content['test']['sentence']}")
    return Done("\n".join(said), result)


@dataclass(frozen=True)
class _Context:
    """What a report needs to know besides the table."""

    seed: int
    model: str | None
    openings: int
    phantom: bool
    progress: Progress


def _judge(
    table: pd.DataFrame, cases: pd.DataFrame | None, prevalence: float | None, context: _Context, out: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report on answers of yes or no, written; and the figures of it that the run record keeps."""
    from osteon.evaluate import report

    content = report.evaluate(
        table,
        cases,
        seed=context.seed,
        model=context.model,
        prevalence=prevalence,
        openings=context.openings,
        phantom=context.phantom,
        progress=context.progress,
    )
    report.write(content, out)
    found = content["validation"]["discrimination"]
    kept = ("auroc", "auroc_pooled", "average_precision", "best_floor", "gain")
    return content, {**{name: found[name] for name in kept}, "test": _test_figures(content)}


def _judge_grades(table: pd.DataFrame, context: _Context, out: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The report on grades of cortices and totals of visits, written; and the figures that the run record keeps."""
    from osteon.evaluate import healing_report

    content = healing_report.evaluate(
        table,
        seed=context.seed,
        model=context.model,
        openings=context.openings,
        phantom=context.phantom,
        progress=context.progress,
    )
    healing_report.write(content, out)
    totals = content["validation"]["totals"]
    return content, {name: totals[name] for name in ("icc", "mae") if name in totals} | {
        "test": {"state": content["test"]["state"]}
    }


def read(
    paths: Sequence[Path],
    bundle: Path,
    out: Path,
    *,
    overlays: bool = True,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Done:
    """Read studies with a bundle: `readings.json`, and overlays that show where the model looked.

    Args:
        paths: files of one or several studies, or folders of them.
        bundle: what `train` wrote, or the `bundle` folder in it.
        out: folder of the readings.
        overlays: whether to write overlays.
        settings: of this machine.
        progress: told of studies read.

    Raises:
        UnreadableImage: if not one of the files can be read.
    """
    import torch

    from osteon import reader
    from osteon.learn.bundle import load

    # Threads that share one image wait for each other: seconds on a busy machine, for little gain on a quiet one.
    torch.set_num_threads(settings.threads if settings and settings.threads else 1)
    bundle = bundle / BUNDLE if (bundle / BUNDLE).is_dir() else bundle
    loaded = reader.ready(load(bundle, task="fracture"))
    studies = _studies(paths)
    arguments = {"files": sum(map(len, studies)), "overlays": overlays, "bundle": bundle}
    with runs.recording("read", out, arguments, inputs=[bundle]) as result:
        readings = []
        for done, study in enumerate(studies, start=1):
            readings.append(reader.read(study, loaded, overlays=out / OVERLAYS if overlays else None))
            progress(done, len(studies))
        if not any(reading.images for reading in readings):
            first = readings[0].refusals[0]
            raise UnreadableImage(first.code, f"{first.path}: {first.reason}", remedy=first.remedy)
        files.write_json(out / READINGS, [asdict(reading) for reading in readings])
        result |= {"studies": len(readings), "images": sum(len(r.images) for r in readings), "bundle": loaded.digest}
    said = [_said(reading) for reading in readings]
    said += [
        *dict.fromkeys(reading.note for reading in readings),
        loaded.describe(),
        "Research software, not a medical device.",
    ]
    return Done("\n".join(said), {"readings": [asdict(reading) for reading in readings]})


def _said(reading: Reading) -> str:
    lines = [f"not read: {refusal.path}: {refusal.reason}; {refusal.remedy}" for refusal in reading.refusals]
    if reading.finding:
        names = ", ".join(image.path for image in reading.images)
        figures = f"probability {reading.finding.probability:.2f}, cut-off {reading.threshold:.2f}"
        lines.insert(0, f"{reading.decision}: {figures} ({names})")
    return "\n".join(lines)


def _studies(paths: Sequence[Path]) -> list[list[Path]]:
    """The files in order, those of one study together; a file that names no study is a study of its own."""
    from osteon.dataset.sources import files_given
    from osteon.dicom.read import peek

    given = []
    for path in paths:
        files.must_exist(path)
        given += [path / inner for inner in files_given(path, archives=False)] if path.is_dir() else [path]
    if not given:
        raise NotFound("there are no files to read", remedy="pass radiographs, or a folder that holds some")
    studies: dict[str, list[Path]] = {}
    for path in given:
        try:
            study = peek(path)[0].study
        except UnreadableImage:
            study = ""  # the reader says why it cannot be read
        studies.setdefault(study or str(path), []).append(path)
    return list(studies.values())


def _opened(manifest: Path, table: pd.DataFrame, *, by: Path) -> pd.DataFrame:
    """The predictions with the sealed targets, after this opening has been written down."""
    from osteon.evaluate import graded, outcomes

    columns = {name: tables.MANIFEST[name] for name in ("image", "target")}
    sealed = tables.read(manifest / SEALED, columns)
    if sealed.empty:
        raise NotFound(f"{manifest} has no sealed test set", remedy="split with --test 0.2, say")
    opening = {"opened": datetime.now(UTC).isoformat(timespec="seconds"), "predictions": files.digest_of(by)}
    files.write_json(manifest / OPENINGS, [*_openings(manifest), opening])
    return graded.unseal(table, sealed) if "cortex" in table else outcomes.unseal(table, sealed)


def _phantom(folder: Path, cases: pd.DataFrame | None) -> bool:
    """Whether the images are simulated: by the manifest, or by the run that wrote the predictions."""
    from osteon.evaluate.report import is_phantom

    record = folder / runs.RECORD
    said = record.exists() and bool(files.read_json(record).get("result", {}).get("phantom"))
    return said or is_phantom(cases)


def _which_test(openings: int) -> str:
    if not openings:
        return "Test part, whose truth the table holds (how often it was looked at is not recorded)"
    return f"Sealed test set, opened {'once' if openings == 1 else f'{openings} times'}"


def _openings(manifest: Path | None) -> list[dict[str, Any]]:
    path = manifest / OPENINGS if manifest else None
    return list(files.read_json(path)) if path and path.exists() else []


def _test_figures(content: dict[str, Any]) -> dict[str, Any]:
    test = content["test"]
    found = test.get("discrimination", {})
    return {"state": test["state"], **{name: found[name] for name in ("auroc", "gain") if name in found}}
