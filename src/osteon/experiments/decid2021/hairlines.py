"""The probe: phantom wrists with and without a hairline of a stated width, of bodies that nobody learns from.

Every patient is exposed once intact, and once with the same fracture at each width of the gap: pose, body and course of
the fracture are equal, and nothing is displaced. So the width of the gap is all that differs. The images go the way of
all others: written as DICOM, read again, and prepared in each form.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osteon.dataset import steps
from osteon.dataset.frame import render
from osteon.dataset.preparation import write_png
from osteon.dicom.read import read
from osteon.experiments.around import Run
from osteon.experiments.decid2021.arms import Form
from osteon.experiments.decid2021.plan import Plan
from osteon.experiments.stages import Kept, once
from osteon.phantom import plan as wrists
from osteon.phantom.mapping import mapping
from osteon.phantom.patient import make_patient
from osteon.types import Progress

STAGE = "hairlines"
TABLE = "probe"

OTHER_PEOPLE = 2**20
"""Added to the seed for the bodies of the probe, so that none of them is learnt from."""

INTACT = 0.0
"""In place of the width of a gap."""


@dataclass(frozen=True)
class Body:
    """A patient of the probe, to be exposed intact and with a gap of each width, and prepared in each form."""

    plan: Plan
    number: int
    seed: int
    forms: tuple[Form, ...]
    folder: Path


def probe(plan: Plan, around: Run) -> pd.DataFrame:
    """One row per image, made first if they are not there: `image`, `patient`, `gap_mm` (0 intact), `visible`.

    Images lie in `stages/hairlines/<form>/<image>.png`.
    """
    forms = tuple({arm.form.name: arm.form for arm in plan.arms if arm.probed}.values())
    with around.bars(STAGE) as progress:

        def make() -> Kept:
            return Kept({"patients": plan.probe.patients}, tables={TABLE: _made(plan, forms, around, progress)})

        done = once(around.stages / STAGE, make, _said, around.tell, tables=(TABLE,))
    return done.tables[TABLE]


def wrist_plan(plan: Plan, gap_mm: float) -> wrists.Plan:
    """Wrists that lie straight, in one view, with nothing on them but a fracture without displacement."""
    nothing = wrists.even(0)
    return wrists.Plan(
        patients=plan.probe.patients,
        fractured=1,
        subtle=1,
        gap_mm=(gap_mm, gap_mm),
        views=("PA",),
        rows=plan.rows,
        columns=plan.columns,
        field_mm=plan.field_mm,
        turned=nothing,
        inverted=nothing,
        marker=nothing,
        hardware=nothing,
        cast=nothing,
    )


def _made(plan: Plan, forms: Sequence[Form], around: Run, progress: Progress) -> pd.DataFrame:
    bodies = [
        Body(plan, number, around.seed + OTHER_PEOPLE, tuple(forms), around.stages / STAGE)
        for number in range(1, plan.probe.patients + 1)
    ]
    rows: list[dict[str, Any]] = []
    with mapping(around.processes(len(bodies))) as mapped:
        for done, of_body in enumerate(mapped(_exposed, bodies), start=1):
            rows += of_body
            progress(done, len(bodies))
    return pd.DataFrame(rows)


def _exposed(body: Body) -> list[dict[str, Any]]:
    rows = []
    for gap in (INTACT, *body.plan.probe.gaps_mm):
        wanted = wrist_plan(body.plan, gap or body.plan.probe.gaps_mm[0])
        image = f"{body.number:04d}-{round(1000 * gap):04d}"
        with tempfile.TemporaryDirectory() as folder:
            (row,) = make_patient(wanted, body.seed, body.number, gap > INTACT, Path(folder))
            content = (Path(folder) / row["path"]).read_bytes()
        for form in body.forms:
            (placed,) = steps.apply(form.recipe, read(content))
            write_png(body.folder / form.name / f"{image}.png", render(placed))
        rows.append({"image": image, "patient": body.number, "gap_mm": gap, "visible": bool(row["visible"])})
    return rows


def paths(probe: pd.DataFrame, form: Form, around: Run) -> dict[str, Path]:
    """Image → PNG in a form."""
    return {str(name): around.stages / STAGE / form.name / f"{name}.png" for name in probe["image"]}


def widths(probe: pd.DataFrame) -> list[float]:
    """The widths of the gap, ascending."""
    return [float(gap) for gap in np.unique(probe["gap_mm"]) if gap > INTACT]


def _said(done: Kept) -> str:
    table = done.tables[TABLE]
    gaps = ", ".join(f"{gap:g}" for gap in widths(table))
    return f"{done.told['patients']} further phantom wrists, intact and with a gap of {gaps} mm"
