"""One study of an export: its plates, their files and what is true of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng

from osteon.phantom import archive
from osteon.phantom.exposures import Subject, draw_subject
from osteon.phantom.free_text import OTHERS, Words, draw_words
from osteon.phantom.hospital_plan import STRAYS, HospitalPlan
from osteon.phantom.limbs import SITES
from osteon.phantom.plates import Plate, draw_plate
from osteon.phantom.syntaxes import SYNTAXES, Stored
from osteon.phantom.write import DEVICES, Device, Tags, dicom_bytes, uid_of

VIEWS = ("PA", "LAT", "OBL")
"""Views of a study of the wrist, in this order, again and again."""


@dataclass(frozen=True, eq=False)
class _Study:
    """What the instances of a study share."""

    plan: HospitalPlan
    number: int
    seed: int
    uid: str
    accession: str
    subject: Subject
    fractured: bool
    device: Device
    syntax: str
    language: str
    date: str
    style: int
    zipped: bool


def accession_of(seed: int, number: int) -> str:
    """Accession number of a study."""
    return f"PH{seed % 1000:03d}{number:06d}"


def make_study(
    plan: HospitalPlan, seed: int, number: int, fractured: bool, folder: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Write the files of a study under `folder`; returns its row of the table of studies, and one row per file."""
    # The class has no part in any draw but that of the fracture itself.
    shared, body, text, accidents, *_ = (default_rng(s) for s in SeedSequence((seed, number)).spawn(4))
    study = _draw_study(plan, seed, number, fractured, shared, body)
    giant = number > plan.studies
    count = plan.giant if giant else 1 + int(shared.choice(len(plan.instances), p=plan.instances))
    rows: list[dict[str, Any]] = []
    for index in range(1, count + 1):
        chance = default_rng(SeedSequence((seed, number, index)))
        size = (plan.rows[0], plan.columns[0]) if giant else None
        plate, site = _draw(study, index, size, chance)
        words, told = _words(study, plate, site, text)
        rows += _write(study, index, plate, words, {"site": site, "text_part": told}, folder, accidents)
    chances = shared.random(4)
    columns = ("inconclusive", "growth_plate", "other_fracture", "unlabelled")
    drawn = {c: bool(v < getattr(plan, c)) for c, v in zip(columns, chances, strict=True)}
    return {
        "accession": study.accession,
        "study": study.uid,
        "instances": count,
        "fractured": int(fractured),
        "labelled": not drawn["unlabelled"],
        "inconclusive": int(drawn["inconclusive"]),
        "cast": int(study.subject.cast),
        "growth_plate": int(drawn["growth_plate"]),
        "other_fracture": int(drawn["other_fracture"]),
        "hardware": study.subject.hardware,
        "language": study.language,
        "giant": giant,
    }, rows


def _draw_study(plan: HospitalPlan, seed: int, number: int, fractured: bool, rng: Generator, body: Generator) -> _Study:
    subject = draw_subject(
        body, "wrist", fractured=fractured, subtle=plan.subtle, hardware=plan.dirt.hardware, cast=plan.dirt.cast
    )
    day = date(2020, 1, 1) + timedelta(days=int(rng.integers(366)))
    return _Study(
        plan=plan,
        number=number,
        seed=seed,
        uid=uid_of("hospital", seed, number, "study"),
        accession=accession_of(seed, number),
        subject=subject,
        fractured=fractured,
        device=DEVICES[int(rng.integers(len(DEVICES)))],
        syntax=plan.syntaxes[int(rng.integers(len(plan.syntaxes)))],
        language=plan.languages[int(rng.integers(len(plan.languages)))],
        date=day.strftime("%Y%m%d"),
        style=int(rng.integers(archive.STYLES)),
        zipped=bool(rng.random() < plan.zipped),
    )


def _draw(study: _Study, index: int, size: tuple[int, int] | None, rng: Generator) -> tuple[Plate, str]:
    """A plate of the study, and the body part on it: now and then one that does not belong."""
    plan = study.plan
    stray, many, kind = rng.random(3)
    rows, columns = (int(rng.integers(low, high + 1)) for low, high in (plan.rows, plan.columns))
    rows, columns = size or (rows, columns)
    which = str(rng.choice(STRAYS))
    if stray < plan.stray:
        return draw_plate(rng, kind=which, rows=rows, columns=columns, dirt=plan.dirt), which
    several = "two" if many < plan.paired else "joined" if many < plan.paired + plan.joined else "wrist"
    view = VIEWS[(index - 1) % 3] if kind < 0.85 else str(rng.choice(VIEWS))
    made = draw_plate(rng, kind=several, rows=rows, columns=columns, dirt=plan.dirt, subject=study.subject, view=view)
    return made, "wrist"


def _words(study: _Study, plate: Plate, site: str, rng: Generator) -> tuple[Words, str]:
    """Text fields of an image, and the body part that they speak of, which may be the wrong one."""
    wrong, other = rng.random() < study.plan.wrong_part, str(rng.choice((*STRAYS, *OTHERS)))
    # The protocol is chosen before the exposure: a stray image often carries the words of its study.
    told = other if wrong else "wrist" if rng.random() < 0.3 else site
    limb = plate.parts[0]
    words = draw_words(
        rng,
        part=told,
        side=limb.side,
        view=limb.view,
        language=study.language,
        errors=study.plan.misspelt,
        empty=study.plan.empty_part,
    )
    return words, told


def _write(
    study: _Study, index: int, plate: Plate, words: Words, row: dict[str, Any], folder: Path, rng: Generator
) -> list[dict[str, Any]]:
    """Write an instance, and now and then a second file of it; one row each."""
    plan, site = study.plan, row["site"]
    hidden, admits, utf8 = rng.random(3)
    limb = plate.parts[0]
    values, window = _stored(plate, study.device, rng)
    text = any(m.kind == "text" for m in plate.markers)
    tags = Tags(
        patient=f"PH{study.number:06d}",
        sex=study.subject.person.sex,
        age_years=study.subject.person.age_years,
        study_uid=study.uid,
        series_uid=uid_of("hospital", study.seed, study.number, "series", index),
        instance_uid=uid_of("hospital", study.seed, study.number, "instance", index),
        accession=study.accession,
        date=study.date,
        number=index,
        view="" if hidden < plan.no_view else limb.view,
        side="U" if site == "chest" else limb.side,
        orientation=(
            "A" if limb.view == "LAT" else limb.side,
            "F" if SITES[site].usual_deg or site == "chest" else "H",
        ),
        device=study.device,
        spacing_mm=plate.spacing_mm,
        window=window,
        region=SITES[row["text_part"] if row["text_part"] in SITES else site].region,
        body_part=words.body_part,
        study_description=words.study,
        series_description=words.series,
        protocol=words.protocol,
        charset="ISO_IR 192" if utf8 < 0.3 else "ISO_IR 100",
        burned_in="YES" if text and admits < plan.admits_text else "NO",
    )
    row = {**_truth(study, plate, tags, words), **row}
    rows = [_place(study, values, tags, row, index, folder, rng)]
    for name, offset in (("file", 200), ("uid", 400), ("pixels", 600)):
        drawn = rng.random()
        if drawn < getattr(plan, f"same_{name}"):
            copy, changed = _copied(study, tags, index, name)
            again = row | changed | {"duplicate": name, "duplicate_of": rows[0]["path"]}
            rows.append(_place(study, values, copy, again, index + offset, folder, rng))
    return rows


def _copied(study: _Study, tags: Tags, index: int, kind: str) -> tuple[Tags, dict[str, str]]:
    """The header of a copy, and the columns of the truth in which it differs.

    The same file again; the same instance after somebody has edited its description; the same pixels under new UIDs.
    """
    if kind == "file":
        return tags, {}
    if kind == "uid":
        edited = f"{tags.series_description} (2)".strip()
        return replace(tags, series_description=edited), {"series_description": edited}
    uids = {name: uid_of("hospital", study.seed, study.number, name, index, "again") for name in ("series", "instance")}
    return replace(tags, series_uid=uids["series"], instance_uid=uids["instance"]), uids


def _stored(plate: Plate, device: Device, rng: Generator) -> tuple[Stored, tuple[int, int]]:
    """Stored values that a window, and the photometric interpretation, turn back into what the plate shows."""
    white = 2**device.bits - 1
    low, high = (int(v * white) for v in rng.uniform((0.0, 0.7), (0.2, 1.0)))
    high -= 1 - (low + high) % 2  # an odd sum, for a whole window centre (PS3.3 C.11.2.1.2)
    share = plate.values.astype(np.float32) / np.float32(plate.white)
    values = np.rint(low + share * (high - low)).astype(np.uint16)
    centre, width = (low + high + 1) // 2, high - low + 1
    if device.photometric == "MONOCHROME1":
        return (white - values).astype(np.uint16), (white - centre + 1, width)
    return values, (centre, width)


def _place(
    study: _Study, values: Stored, tags: Tags, row: dict[str, Any], number: int, folder: Path, rng: Generator
) -> dict[str, Any]:
    """Write one file; its row with path and fate."""
    data = dicom_bytes(values, tags, study.syntax)
    broken, how = rng.random() < study.plan.corrupt, str(rng.choice(archive.SPOILS))
    if broken:
        data = archive.spoiled(data, how, rng)
    name = archive.name_of(study.style, study.accession, number, f"{tags.instance_uid}.{number}", tags.body_part)
    path = folder / ("staged" if study.zipped else "export") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    fate = {"path": name, "content": "spoiled" if broken else "image", "spoiled": how if broken else ""}
    return {**fate, "zipped": study.zipped, **row, "valid": row["valid"] and not broken}


def _truth(study: _Study, plate: Plate, tags: Tags, words: Words) -> dict[str, Any]:
    """Columns of the truth table, documented in `docs/reference/phantom.md`."""
    syntax, subject = SYNTAXES[study.syntax], study.subject
    in_field = plate.collimation or (0, 0, plate.values.shape[1], plate.values.shape[0])
    own = plate.subject is subject
    return {
        "study": study.uid,
        "series": tags.series_uid,
        "instance": tags.instance_uid,
        "accession": study.accession,
        "patient": tags.patient,
        "duplicate": "",
        "duplicate_of": "",
        "kind": plate.kind,
        "fractured": int(own and study.fractured),
        "study_fractured": int(study.fractured),
        "hardware": plate.subject.hardware,
        "cast": plate.subject.cast,
        "inverted": plate.inverted,
        "parts": len(plate.parts),
        "boxes": [list(limb.box) for limb in plate.parts],
        "turns_deg": [limb.turn_deg for limb in plate.parts],
        "views": [limb.view for limb in plate.parts],
        "sides": [limb.side for limb in plate.parts],
        "upright": [limb.upright for limb in plate.parts],
        "fracture_boxes": [list(limb.fracture) for limb in plate.parts if limb.fracture],
        "markers": [{"kind": m.kind, "text": m.text, "box": list(m.box)} for m in plate.markers],
        "collimated": plate.collimation is not None,
        "collimation": list(in_field),
        "border": plate.border,
        "divided": plate.divided,
        "noisy": plate.noisy,
        "fogged": plate.fogged,
        "view_tag": tags.view,
        "body_part_tag": words.body_part,
        "study_description": words.study,
        "series_description": words.series,
        "protocol_name": words.protocol,
        "language": words.language,
        "text_errors": list(words.errors),
        "burned_in_tag": tags.burned_in,
        "photometric": tags.device.photometric,
        "transfer_syntax": str(syntax.uid),
        "lossy": bool(syntax.method),
        "bits": min(tags.device.bits, syntax.bits),
        "rows": plate.values.shape[0],
        "columns": plate.values.shape[1],
        "spacing_mm": plate.spacing_mm,
        "valid": _is_standard(tags),
    }


_CODE_STRING = re.compile(r"[A-Z0-9_ ]{0,16}")


def _is_standard(tags: Tags) -> bool:
    """Whether the header keeps to the standard: code strings, no control characters, a view for DX (C.8.11.5)."""
    texts = (tags.study_description, tags.series_description, tags.protocol)
    printable = all(c.isprintable() for text in texts for c in text)
    return (
        bool(_CODE_STRING.fullmatch(tags.body_part))
        and printable
        and all(len(t) <= 64 for t in texts)
        and (bool(tags.view) or tags.device.modality != "DX")
    )
