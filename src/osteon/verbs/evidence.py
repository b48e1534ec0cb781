"""What is known of a run, gathered from its folders: what `audit` looks at, and what drift compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from osteon import files, runs, tables
from osteon.errors import BadTable, Mismatch, NotFound, OsteonError
from osteon.verbs.folders import MANIFEST, PREDICTIONS, READINGS, pictures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from osteon.audit.audit import Evidence
    from osteon.audit.drift import Sample

Opened = TypeVar("Opened")
OPTIONS = {"manifest": "--manifest", "bank": "--features", "images": "--images"}


def evidence_of(
    subject: Path,
    *,
    manifest: Path | None = None,
    bank: Path | None = None,
    images: Path | None = None,
    model: str = "",
) -> Evidence:
    """The tables of a run, and those that its record names; what cannot be had says why.

    Args:
        subject: what `train` wrote, or a table of predictions, or what `split` or `prepare` wrote.
        manifest, bank, images: folders that `split`, `features` and `prepare` wrote; None takes what the records name.
        model: which model of the predictions, if they are of several besides floors.

    Raises:
        NotFound: if `subject`, or anything named beside it, is not there, or `subject` holds nothing to audit.
        UnknownName, TooFewCases: as `osteon.evaluate.report.choose_model`.
        BadTable, Mismatch: for a bank or prepared images that were named and cannot be used.
    """
    from osteon.audit.audit import Evidence
    from osteon.evaluate.report import choose_model
    from osteon.learn.bank import FeatureBank

    for path in (subject, manifest, bank, images):
        if path is not None:
            files.must_exist(path)
    missing: dict[str, str] = {}
    table = None
    folder = subject if subject.is_dir() else subject.parent
    if subject.is_file() or (subject / PREDICTIONS).exists():
        table = tables.read(subject / PREDICTIONS if subject.is_dir() else subject, tables.PREDICTIONS)
    elif (subject / MANIFEST).exists():
        manifest = manifest or subject
        missing["predictions"] = f"{subject.name} holds no {PREDICTIONS}"
    else:
        remedy = "pass a folder that `osteon train`, `osteon split` or `osteon prepare` wrote, or a table"
        raise NotFound(f"{subject} holds neither {PREDICTIONS} nor {MANIFEST}", remedy=remedy)
    record = _arguments(folder)
    manifest = manifest or _named("manifest", record.get("split"), missing)
    known_bank = bank or _named("bank", record.get("features"), missing)
    beside = subject if (folder / "images").is_dir() and table is None else None
    prepared = record.get("images") or _arguments(known_bank).get("prepared") or record.get("prepared") or beside
    known_images = images or _named("images", prepared, missing)
    cases = tables.read(manifest / MANIFEST, tables.MANIFEST) if manifest else None
    opened = _open("bank", FeatureBank.open, known_bank, missing, named=bank is not None)
    shown = _open("images", partial(_shown, cases), known_images, missing, named=images is not None)
    chosen = "" if table is None else choose_model(table, model or None)
    return Evidence(cases, table, chosen, shown, opened, missing)


def sample_of(evidence: Evidence, manifest: pd.DataFrame, folder: Path, *, readings: Path | None = None) -> Sample:
    """The images of a run as `osteon.audit.drift` compares them: tags, image statistics, embeddings and scores.

    Args:
        evidence: of the run.
        manifest: its manifest.
        folder: of the run, whose record names the bundle behind the scores.
        readings: what `read` wrote, whose probabilities are the scores; None takes those of the evidence.
    """
    from osteon.audit.drift import Sample
    from osteon.audit.image_statistics import statistics_table

    names = manifest["image"].astype(str).to_numpy(str)
    missing = {ours: evidence.why_not(theirs) for ours, theirs in (("statistics", "images"), ("embeddings", "bank"))}
    missing["scores"] = evidence.why_not("predictions")
    embeddings = None
    if evidence.bank is not None:
        try:
            embeddings = evidence.bank.array(list(names)).mean(axis=1)
        except OsteonError as error:
            missing["embeddings"] = error.message
    told, by = _read(readings, names) if readings else _predicted(evidence, folder)
    return Sample(
        image=names,
        group=manifest["group" if "group" in manifest else "patient"].astype(str).to_numpy(str),
        tags=manifest,
        statistics=None if evidence.images is None else statistics_table(names, evidence.images),
        embeddings=embeddings,
        embedded_by="" if evidence.bank is None else evidence.bank.trunk.digest,
        scores=manifest["image"].astype(str).map(told).to_numpy(float) if told else None,
        scored_by=by,
        missing=missing,
    )


def _read(readings: Path, images: NDArray[np.str_]) -> tuple[dict[str, float], str]:
    """Image → probability of what `read` found, and the bundle that gave it.

    Raises:
        BadTable: if the file is of something else, or holds readings of several bundles.
        Mismatch: if none of these images was read.
    """
    content = files.read_json(readings / READINGS if readings.is_dir() else readings)
    try:
        bundles = {str(reading["bundle"]) for reading in content}
        found = {str(image["image"]): image["findings"] for reading in content for image in reading["images"]}
        told = {
            name: max(float(one["probability"]) for one in findings) for name, findings in found.items() if findings
        }
    except (TypeError, KeyError, ValueError) as error:
        remedy = "pass the folder that `osteon read` wrote"
        raise BadTable(f"{readings} does not hold readings", remedy=remedy) from error
    if len(bundles) > 1:
        raise BadTable(f"{readings} holds readings of {len(bundles)} bundles", remedy="read the studies with one")
    if not set(told) & set(images):
        remedy = "read the files that were taken in"
        raise Mismatch(f"{readings} tells of none of the {len(images)} images of these studies", remedy=remedy)
    return told, f"bundle {''.join(bundles)[:8]}"


def _predicted(evidence: Evidence, folder: Path) -> tuple[dict[str, float], str]:
    """Image → out-of-fold probability, or score where there is none, and what gave it."""
    if evidence.predictions is None:
        return {}, ""
    rows = evidence.predictions[evidence.predictions["model"] == evidence.model]
    values = rows["probability"] if "probability" in rows and rows["probability"].notna().all() else rows["score"]
    record = (folder if folder.is_dir() else folder.parent) / runs.RECORD
    # A bundle reads new studies: its digest is what their scores and those of its own training have in common.
    bundle = str(runs.read(record.parent).result.get("bundle", "")) if record.exists() else ""
    told = dict(zip(rows["image"].astype(str), values.astype(float), strict=True))
    return told, f"bundle {bundle[:8]}" if bundle else evidence.model


def _arguments(folder: Path | None) -> Mapping[str, Any]:
    """The arguments of the run that wrote a folder; none if it holds no record."""
    if folder is None or not (folder / runs.RECORD).exists():
        return {}
    return runs.read(folder).arguments


def _named(what: str, folder: object, missing: dict[str, str]) -> Path | None:
    """The folder that a run record names, if it is there; else why not, in `missing`."""
    if folder and Path(str(folder)).exists():
        return Path(str(folder))
    told = f"the run record names {folder}, which is not there; pass {OPTIONS[what]}"
    missing[what] = told if folder else f"no {OPTIONS[what]} was given, and no run record names one"
    return None


def _open(
    what: str, opening: Callable[[Path], Opened], folder: Path | None, missing: dict[str, str], *, named: bool
) -> Opened | None:
    """What a folder holds. Where only a record names it, an error becomes the reason why it is missing."""
    if folder is None:
        return None
    try:
        return opening(folder)
    except OsteonError as error:
        if named:
            raise
        missing[what] = error.message
        return None


def _shown(cases: pd.DataFrame | None, folder: Path) -> dict[str, Path]:
    if cases is None or "prepared" not in cases:
        raise NotFound("the manifest names no prepared images", remedy="pass what `osteon split` wrote")
    return pictures(folder, cases)
