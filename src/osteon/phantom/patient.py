"""One phantom patient: drawn, put together, exposed, written; and the truth about every image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from scipy import ndimage

from osteon.phantom import detector, extras
from osteon.phantom.anatomy import Part, Person, draw_person
from osteon.phantom.draw import draw_fracture
from osteon.phantom.fracture import Fracture
from osteon.phantom.picture import box_of, facing, stored_picture
from osteon.phantom.plan import ANGLES_DEG, Plan
from osteon.phantom.projection import Grain, Shot, draw_grain
from osteon.phantom.space import view_at
from osteon.phantom.syntaxes import SYNTAXES
from osteon.phantom.wrist import break_radius, radius_of, wrist
from osteon.phantom.write import DEVICES, Device, Tags, dicom_bytes, uid_of

VISIBLE = 0.05
"""A fracture counts as visible in a view if, averaged over some square millimetre, it changes the depth of attenuation
by this much: a little more than the standard deviation of the trabecular pattern (0.03 to 0.05)."""


FINE_MM = 0.25
"""Spacing at which that change is computed, whatever the spacing of the image."""


@dataclass(frozen=True, eq=False)
class Patient:
    """What is true of a patient before any image is taken.

    Attributes:
        parts: all that attenuates. whole: the same before the radius broke.
        hardware: "plate", "wires" or "". cast: whether a plaster is on.
    """

    number: int
    person: Person
    side: str
    parts: tuple[Part, ...]
    grain: Grain
    whole: tuple[Part, ...]
    fracture: Fracture | None
    hardware: str
    cast: bool
    device: Device
    syntax: str
    date: str

    @property
    def id(self) -> str:
        """The patient id in all tables."""
        return f"PH{self.number:04d}"

    @property
    def intact(self) -> Part:
        """The radius before it broke."""
        return radius_of(self.whole)

    @property
    def unbroken(self) -> Patient:
        """The same before the radius broke, as a view shows the patient that does not show the fracture."""
        return replace(self, parts=self.whole, fracture=None)


def streams(seed: int, number: int, views: int) -> list[Generator]:
    """Sources of chance of a patient: body, fracture, study, then pose and noise of each view.

    Each has its own, so that a patient with and without a fracture is otherwise the same to the last screw, and nothing
    that is drawn elsewhere can tell the classes apart.
    """
    return [default_rng(s) for s in SeedSequence((seed, number)).spawn(3 + 2 * views)]


def draw_patient(plan: Plan, seed: int, number: int, fractured: bool) -> Patient:
    """Patient `number` (from 1) of a cohort; the same numbers, the same patient."""
    body, breaking, study = streams(seed, number, 0)
    person = draw_person(body)
    whole = wrist(person, body)
    grain = draw_grain(body)
    # Every draw is made whatever the class and the chances are, so that options do not shift each other.
    metal, plaster = study.random(2)
    kind = str(study.choice(extras.HARDWARE))
    side, device = "LR"[int(study.integers(2))], DEVICES[int(study.integers(len(DEVICES)))]
    syntax = plan.syntaxes[int(study.integers(len(plan.syntaxes)))]
    day = date(2020, 1, 1) + timedelta(days=int(study.integers(366)))
    shell, steel = extras.cast(person.size, study), extras.hardware(kind, person.size, study)
    has_cast, has_metal = bool(plaster < plan.cast.of(fractured)), bool(metal < plan.hardware.of(fractured))
    if has_cast:
        whole = [*whole, shell]
    parts, fracture, metals = whole, None, [steel] if has_metal else []
    if fractured:
        subtle = bool(breaking.random() < plan.subtle)
        fracture = draw_fracture(breaking, subtle=subtle, gap_mm=plan.gap_mm)
        parts = break_radius(whole, fracture)
    return Patient(
        number=number,
        person=person,
        side=side,
        parts=(*parts, *metals),
        whole=(*whole, *metals),
        grain=grain,
        fracture=fracture,
        hardware=kind if has_metal else "",
        cast=has_cast,
        device=device,
        syntax=syntax,
        date=day.strftime("%Y%m%d"),
    )


def views_of(plan: Plan, seed: int, number: int) -> tuple[str, ...]:
    """The views of a patient's study: all of the plan's, or the first few."""
    if not plan.instances:
        return plan.views
    rng = default_rng(SeedSequence((seed, number, 1)))  # three numbers, so that this is the stream of nothing else
    return plan.views[: 1 + int(rng.choice(len(plan.instances), p=plan.instances))]


def views_showing(plan: Plan, seed: int, number: int, views: int) -> NDArray[np.bool_]:
    """(views,) which views of a study show the fracture, if there is one: all, half or a third, never none."""
    rng = default_rng(SeedSequence((seed, number, 2)))  # a stream of its own, likewise
    kind = int(rng.choice(3, p=plan.shown))
    order = rng.permutation(views)
    return np.asarray(order < max(1, round(views / (1 + kind))))


def make_patient(plan: Plan, seed: int, number: int, fractured: bool, folder: Path) -> list[dict[str, Any]]:
    """Write the images of a patient under `folder`; returns one row of the truth table per image."""
    patient = draw_patient(plan, seed, number, fractured)
    chance = streams(seed, number, len(plan.views))[3:]
    exposure = detector.Exposure(plan.quanta_per_mm2, plan.scatter)
    rows = []
    views = views_of(plan, seed, number)
    shows = views_showing(plan, seed, number, len(views))
    for index, view in enumerate(views, start=1):
        seen = patient if shows[index - 1] else patient.unbroken
        path = folder / patient.id / f"{index}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        pose, noise = chance[2 * index - 2 : 2 * index]
        shot = draw_shot(plan, patient, view, fractured, pose)
        letter = pose.random() < plan.marker.of(fractured)
        inverted = bool(pose.random() < plan.inverted.of(fractured))
        depth = shot.depth(seen.parts, patient.grain)
        lead = extras.letter(patient.side, shot.size, shot.spacing_mm, pose)
        cover = lead if letter else np.zeros_like(lead)
        logged = detector.expose(depth, cover, exposure, plan.spacing_mm, noise)
        values, window = stored_picture(logged, patient.device, inverted=inverted)
        tags = _tags(plan, patient, seed, index, view, shot, window)
        path.write_bytes(dicom_bytes(values, tags, patient.syntax))
        rows.append(
            {
                "path": path.relative_to(folder).as_posix(),
                "study": tags.study_uid,
                "patient": patient.id,
                "instance": tags.instance_uid,
                "view": view,
                "side": patient.side,
                "fractured": int(fractured),
                **truth_of(seen, shot),
                "turn_deg": shot.turn_deg,
                "inverted": inverted,
                "marker": patient.side if letter else "",
                "hardware": patient.hardware,
                "cast": patient.cast,
                "photometric": patient.device.photometric,
                "transfer_syntax": str(SYNTAXES[patient.syntax].uid),
            }
        )
    return rows


def draw_shot(plan: Plan, patient: Patient, view: str, fractured: bool, rng: Generator) -> Shot:
    """How the limb lies: a few degrees and millimetres off, sometimes turned in the plane of the image."""
    angle = ANGLES_DEG[view] + float(np.clip(rng.normal(0, 4), -9, 9))
    slight, far = rng.uniform(-3, 3), rng.uniform(-plan.turn_deg, plan.turn_deg)
    turn = far if rng.random() < plan.turned.of(fractured) else slight
    return Shot(
        view=view_at(angle, mirrored=patient.side == "R"),
        centre=(float(rng.normal(0, 2.5)), float(rng.normal(-5, 4))),
        turn_deg=float(turn),
        size=(plan.rows, plan.columns),
        spacing_mm=plan.spacing_mm,
    )


def truth_of(patient: Patient, shot: Shot) -> dict[str, Any]:
    """What is to be seen of the fracture in an image: columns documented in `docs/reference/phantom.md`."""
    names = ("x", "y", "width", "height", "centre_x", "centre_y")
    fracture = patient.fracture
    if fracture is None:
        nothing = {"kind": "", "gap_mm": 0.0, "partial": False, "displacement_mm": 0.0, "angulation_deg": 0.0}
        return {"visible": False, "contrast": 0.0, **nothing, **{f"box_{n}": float("nan") for n in names}}
    box = box_of(shot.pixels_of(fracture.points(patient.intact.layers[0].solid)))
    contrast = contrast_of(patient, shot)
    return {
        "visible": contrast >= VISIBLE,
        "contrast": contrast,
        "kind": fracture.kind,
        "gap_mm": fracture.gap_mm,
        "partial": fracture.opening is not None,
        "displacement_mm": fracture.displacement_mm,
        "angulation_deg": fracture.angulation_deg,
        **{f"box_{n}": v for n, v in zip(names, box, strict=True)},
    }


def contrast_of(patient: Patient, shot: Shot) -> float:
    """Largest change of the depth of attenuation that the fracture makes, averaged over 1 mm²."""
    size = (round(shot.size[0] * shot.spacing_mm / FINE_MM), round(shot.size[1] * shot.spacing_mm / FINE_MM))
    upright = Shot(shot.view, shot.centre, 0.0, size, FINE_MM)
    broken = [p for p in patient.parts if p.fragment is not None]
    change = upright.depth(broken, patient.grain) - upright.depth([patient.intact], patient.grain)
    return float(np.abs(ndimage.uniform_filter(change, round(1 / FINE_MM))).max())


def _tags(plan: Plan, patient: Patient, seed: int, index: int, view: str, shot: Shot, window: tuple[int, int]) -> Tags:
    study = uid_of(seed, patient.number, "study")
    return Tags(
        patient=patient.id,
        sex=patient.person.sex,
        age_years=patient.person.age_years,
        study_uid=study,
        series_uid=uid_of(seed, patient.number, "series", index),
        instance_uid=uid_of(seed, patient.number, "instance", index),
        accession=f"PH{seed % 1000:03d}{patient.number:06d}",
        date=patient.date,
        number=index,
        view=view,
        side=patient.side,
        # The arm hangs with the palm forward, as anatomy names directions: the thumb points away from the body.
        orientation=(facing(shot.view.across, "LR" if patient.side == "L" else "RL", "PA"), "H"),
        device=patient.device,
        spacing_mm=plan.spacing_mm,
        window=window,
    )
