"""The command that makes radiographs: `osteon phantom`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from osteon.console import Json, Seed, Workers, bars, show, workers_of


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder for the DICOM files, labels.csv and truth.parquet.")],
    hospital: Annotated[bool, typer.Option("--hospital", help="Make a hospital's dirty export of wrists.")] = False,
    healing: Annotated[
        bool, typer.Option("--healing", help="Make broken tibiae that heal from visit to visit.")
    ] = False,
    patients: Annotated[
        int | None, typer.Option(min=1, help="Patients; default 120, healing 1207. Wrists have one study each.")
    ] = None,
    visits: Annotated[
        int | None, typer.Option(min=1, max=4, help="Visits of each patient with --healing; default as in the study.")
    ] = None,
    fractured: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of patients with a fracture; default 0.5, hospital 0.31.")
    ] = None,
    turned: Annotated[
        float | None, typer.Option(min=0, max=1, help="Chance that an image is turned; default 0.2, hospital 0.12.")
    ] = None,
    inverted: Annotated[
        float | None, typer.Option(min=0, max=1, help="Chance of unsaid inversion; default 0.05, hospital 0.2.")
    ] = None,
    marker: Annotated[
        float | None, typer.Option(min=0, max=1, help="Chance of a side marker in an image; default 0.6.")
    ] = None,
    hardware: Annotated[
        float | None, typer.Option(min=0, max=1, help="Chance of metal in a study, in both classes; default 0.05.")
    ] = None,
    cast: Annotated[
        float | None, typer.Option(min=0, max=1, help="Chance of a plaster in a study, in both classes; default 0.05.")
    ] = None,
    seed: Seed = 0,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Make radiographs whose truth is known, as DICOM studies: wrists, or with --healing tibiae."""
    from osteon import verbs

    share: dict[str, Any] = {"fractured": fractured} if fractured is not None else {}
    asked = {"turned": turned, "inverted": inverted, "marker": marker, "hardware": hardware, "cast": cast}
    chances = {name: chance for name, chance in asked.items() if chance is not None}
    wrists = {"--hospital": hospital or None, "--fractured": fractured, "--turned": turned, "--inverted": inverted}
    astray = [name for name, value in (wrists if healing else {"--visits": visits}).items() if value is not None]
    if astray:
        raise typer.BadParameter(f"{astray[0]} means nothing {'with' if healing else 'without'} --healing")
    with bars("phantom", as_json) as progress:
        if healing:
            from osteon.phantom.healing_plan import healing_plan

            healers = healing_plan(patients=patients, visits=visits, marker=marker, nail=hardware, cast=cast)
            done = verbs.healing(out, healers, seed=seed, workers=workers_of(workers), progress=progress)
        elif hospital:
            from osteon.phantom.hospital import Dirt, HospitalPlan

            named: dict[str, Any] = {{"marker": "letter"}.get(n, n): chance for n, chance in chances.items()}
            dirt = Dirt(**named)
            export = HospitalPlan(studies=patients or 120, dirt=dirt, **share)
            done = verbs.hospital(out, export, seed=seed, workers=workers_of(workers), progress=progress)
        else:
            from osteon.phantom.plan import Plan, even

            options: dict[str, Any] = {name: even(chance) for name, chance in chances.items()}
            plan = Plan(patients=patients or 120, **share, **options)
            done = verbs.phantom(out, plan, seed=seed, workers=workers_of(workers), progress=progress)
    show(done.said, done.figures, as_json)
