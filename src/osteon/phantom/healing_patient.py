"""One phantom patient with a healing tibia: drawn, exposed at every visit, graded, written; and the truth about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from scipy import ndimage

from osteon.phantom import detector, extras, implants
from osteon.phantom.anatomy import Part, Person, draw_person
from osteon.phantom.healing import CORTICES, SHOWN, Grades, Healing, draw_healing, noise_for
from osteon.phantom.healing_plan import HealingPlan
from osteon.phantom.limbs import SITES
from osteon.phantom.picture import box_of, facing, stored_picture
from osteon.phantom.projection import Grain, Shot
from osteon.phantom.space import Floats, Image, view_at
from osteon.phantom.syntaxes import SYNTAXES
from osteon.phantom.tibia import Shank, draw_shank, healed
from osteon.phantom.write import DEVICES, Device, Tags, dicom_bytes, uid_of

SPOILS = ("faint", "moved")
"""Why neither cortex of an image can be scored: hardly any radiation, or a leg that moved."""

FAINT = 1 / 400
"""Dose of a faint image relative to what is usual."""

MOVED_MM = 3.0
"""How far a leg moved: standard deviation."""

NO_GRAIN = Grain(np.zeros((1, 1, 1), np.float32))
"""The middle of a shaft has no spongy bone."""


@dataclass(frozen=True)
class Visit:
    """A visit as the cohort plans it.

    Attributes:
        month: since entry.
        spoilt: view position → "" if its image can be scored, "both", or the cortex that cannot.
    """

    month: int
    spoilt: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Patient:
    """What is true of a patient at all visits.

    Attributes:
        faces: (n, 3) mm, points of both faces of the open gap.
        metal: two numbers drawn from 0..1, below whose chances there is a nail, or a plate.
        entry: date at which the months begin.
    """

    number: int
    person: Person
    side: str
    shank: Shank
    faces: Floats
    healing: Healing
    metal: tuple[float, float]
    device: Device
    entry: date

    @property
    def id(self) -> str:
        """The patient id in all tables."""
        return f"PT{self.number:04d}"


@dataclass(frozen=True, eq=False)
class Scene:
    """A visit as it took place.

    Attributes:
        grades: (4,) true ones. united: whether their total reaches that of the plan.
        parts: all that attenuates. implant: "nail", "plate" or "". cast: whether a plaster is on.
        shots: one for each view position. day: of the visit. syntax: a key of SYNTAXES.
    """

    visit: Visit
    grades: Grades
    united: bool
    parts: tuple[Part, ...]
    implant: str
    cast: bool
    shots: Mapping[str, Shot]
    day: date
    syntax: str


def draw_patient(plan: HealingPlan, seed: int, number: int, months: list[int]) -> Patient:
    """Patient `number` (from 1) of a cohort; body, fracture, healing and all else have each a source of chance."""
    body, breaking, healing, entry = streams(seed, number)[:4]
    person = draw_person(body)
    side, device = "LR"[int(entry.integers(2))], DEVICES[int(entry.integers(len(DEVICES)))]
    shank = draw_shank(person, body, breaking)
    return Patient(
        number=number,
        person=person,
        side=side,
        shank=shank,
        faces=shank.fracture.points(shank.tibia.layers[0].solid),
        healing=draw_healing(months, plan.pace, plan.between, healing),
        metal=(float(entry.random()), float(entry.random())),
        device=device,
        entry=date(2018, 1, 1) + timedelta(days=int(entry.integers(731))),
    )


def make_patient(
    plan: HealingPlan, seed: int, number: int, visits: list[Visit], folder: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Write the images of a patient under `folder`; returns rows of truth, one per image, and of ratings."""
    patient = draw_patient(plan, seed, number, [v.month for v in visits])
    rating, *chances = streams(seed, number, len(visits))[4:]
    seen = [patient.healing.seen(noise_for(plan.icc), rating).grades() for _ in range(plan.raters)]
    truth: list[dict[str, Any]] = []
    ratings: list[dict[str, Any]] = []
    for index, (visit, chance) in enumerate(zip(visits, chances, strict=True)):
        study = uid_of("healing", seed, number, visit.month)
        known = {"study": study, "patient": patient.id, "month": visit.month}
        scene = draw_scene(plan, patient, visit, patient.healing.grades()[index], chance)
        place = folder / patient.id / f"{visit.month:02d}"
        place.mkdir(parents=True)
        for number_of_image, (view, rng) in enumerate(zip(scene.shots, chance.spawn(len(scene.shots)), strict=True), 1):
            path = place / f"{number_of_image}.dcm"
            content, row = _image(plan, patient, scene, (study, number_of_image, view), rng)
            path.write_bytes(content)
            truth.append({"image": path.relative_to(folder).as_posix(), **known, **row})
        ratings += [known | row for row in _ratings(visit, [grades[index] for grades in seen])]
    return truth, ratings


def draw_scene(plan: HealingPlan, patient: Patient, visit: Visit, grades: Grades, rng: Generator) -> Scene:
    """How a leg lies at a visit, and what is in or about it. Every draw is made whatever the grades are."""
    united, shank = bool(grades.sum() >= plan.united), patient.shank
    plaster = rng.random()
    nail, plate, cast = implants.nail(shank, rng), implants.plate(shank, rng), implants.leg_cast(shank, rng)
    shots = {view: draw_shot(plan, patient, view, rng) for view in SHOWN}
    parts = healed(shank, grades)
    implant = ""
    if patient.metal[0] < plan.nail.of(united):
        implant = "nail"
    elif patient.metal[1] < plan.plate.of(united):
        implant = "plate"
    parts += {"nail": [nail], "plate": [plate], "": []}[implant]
    if on := bool(plaster < plan.cast.of(united)):
        parts.append(cast)
    for view, cortex in visit.spoilt.items():
        if cortex in CORTICES:
            parts.append(implants.bar(shank, CORTICES.index(cortex), shots[view].view))
    return Scene(
        visit=visit,
        grades=grades,
        united=united,
        parts=tuple(parts),
        implant=implant,
        cast=on,
        shots={view: shots[view] for view in visit.spoilt},
        day=patient.entry + timedelta(days=round(visit.month * 365.25 / 12) + int(rng.integers(-10, 11))),
        syntax=plan.syntaxes[int(rng.integers(len(plan.syntaxes)))],
    )


def draw_shot(plan: HealingPlan, patient: Patient, view: str, rng: Generator) -> Shot:
    """How the leg lies: toes down, some degrees and millimetres off, a little nearer to the tube or farther."""
    angle = SITES["leg"].views[view] + float(np.clip(rng.normal(0, 3), -7, 7))
    height = float(patient.shank.fracture.centre[2] + rng.uniform(-36, 36))
    return Shot(
        view=view_at(angle, mirrored=patient.side == "R"),
        centre=(float(np.clip(rng.normal(0, 9), -20, 20)), height),
        turn_deg=float(180 + rng.uniform(-plan.turn_deg, plan.turn_deg)),
        size=(plan.rows, plan.columns),
        spacing_mm=plan.field_mm / plan.rows * float(rng.uniform(0.92, 1.08)),
    )


def exposed(plan: HealingPlan, scene: Scene, shot: Shot, spoil: str, cover: Image, rng: Generator) -> Image:
    """The negative logarithm of what the detector takes in; `spoil` is one of SPOILS or "", `cover` lead on it."""
    dose = plan.quanta_per_mm2 * float(np.exp(rng.normal(0, 0.3))) * (FAINT if spoil == "faint" else 1)
    depth = shot.depth(scene.parts, NO_GRAIN)
    if spoil == "moved":
        depth = ndimage.gaussian_filter(depth, MOVED_MM / shot.spacing_mm, mode="nearest")
    return detector.expose(depth, cover, detector.Exposure(dose, plan.scatter), shot.spacing_mm, rng)


def _image(
    plan: HealingPlan, patient: Patient, scene: Scene, named: tuple[str, int, str], rng: Generator
) -> tuple[bytes, dict[str, Any]]:
    """A file and its row of truth; `named` are study, number and view position."""
    view = named[2]
    shot, reason = scene.shots[view], scene.visit.spoilt[view]
    spoil, letter = SPOILS[int(rng.integers(len(SPOILS)))], rng.random() < plan.marker.of(scene.united)
    spoil = spoil if reason == "both" else ""
    lead = extras.letter(patient.side, shot.size, shot.spacing_mm, rng)
    logged = exposed(plan, scene, shot, spoil, lead if letter else np.zeros_like(lead), rng)
    values, window = stored_picture(logged, patient.device)
    tags = _tags(patient, scene, named, window)
    row = {
        "instance": tags.instance_uid,
        "view": view,
        "side": patient.side,
        **{cortex: int(g) for cortex, g in zip(CORTICES, scene.grades, strict=True)},
        "total": int(scene.grades.sum()),
        "united": scene.united,
        "spoilt": spoil,
        "hidden": reason if reason in CORTICES else "",
        **_truth_of(patient, shot),
        "implant": scene.implant,
        "cast": scene.cast,
        "marker": patient.side if letter else "",
        "photometric": patient.device.photometric,
        "transfer_syntax": str(SYNTAXES[scene.syntax].uid),
    }
    return dicom_bytes(values, tags, scene.syntax), row


def _tags(patient: Patient, scene: Scene, named: tuple[str, int, str], window: tuple[int, int]) -> Tags:
    study, number, view = named
    shot = scene.shots[view]
    return Tags(
        patient=patient.id,
        sex=patient.person.sex,
        age_years=patient.person.age_years,
        study_uid=study,
        series_uid=uid_of("healing", study, "series", view),
        instance_uid=uid_of("healing", study, "instance", view),
        accession=f"PT{patient.number:06d}{scene.visit.month:02d}",
        date=scene.day.strftime("%Y%m%d"),
        number=number,
        view=view,
        side=patient.side,
        # The toes are down: what is right in the image is left on the canvas. The big toe points to the other leg.
        orientation=(facing(-shot.view.across, "RL" if patient.side == "L" else "LR", "PA"), "F"),
        device=patient.device,
        spacing_mm=shot.spacing_mm,
        window=window,
        region=SITES["leg"].region,
        body_part="LEG",
        study_description="Tibia phantom",
    )


def _truth_of(patient: Patient, shot: Shot) -> dict[str, Any]:
    fracture = patient.shank.fracture
    box = box_of(shot.pixels_of(patient.faces))
    return {
        "kind": fracture.kind,
        "gap_mm": fracture.gap_mm,
        "displacement_mm": fracture.displacement_mm,
        **{f"box_{n}": v for n, v in zip(("x", "y", "width", "height", "centre_x", "centre_y"), box, strict=True)},
        "turn_deg": shot.turn_deg,
        "spacing_mm": shot.spacing_mm,
    }


def _ratings(visit: Visit, seen: list[Grades]) -> list[dict[str, Any]]:
    """What each rater writes down: grades, and their total if there are four; `seen` is what each makes of the bone."""
    rows: list[dict[str, Any]] = []
    for rater, grades in enumerate(seen):
        given = [None if h is None else int(not h) * int(g) for h, g in zip(_hidden(visit), grades, strict=True)]
        total = sum(g or 0 for g in given) if all(given) else None
        rows.append({"rater": chr(ord("A") + rater), **dict(zip(CORTICES, given, strict=True)), "total": total})
    return rows


def _hidden(visit: Visit) -> list[bool | None]:
    """For each cortex whether it cannot be graded; None if no image shows it."""
    hidden: list[bool | None] = [None] * len(CORTICES)
    for view, spoilt in visit.spoilt.items():
        for cortex in SHOWN[view]:
            hidden[cortex] = spoilt in ("both", CORTICES[cortex])
    return hidden


def streams(seed: int, number: int, visits: int = 0) -> list[Generator]:
    """Sources of chance of a patient: body, fracture, healing, entry, raters, then one for each visit."""
    return [default_rng(s) for s in SeedSequence((seed, number)).spawn(5 + visits)]
