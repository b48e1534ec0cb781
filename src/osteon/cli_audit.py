"""The command that looks for what data and models hide: `osteon audit`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from osteon import settings
from osteon.console import Json, Out, Seed, bars, show
from osteon.errors import GateFailed, TooFewCases


def audit(
    subject: Annotated[
        Path, typer.Argument(help="Folder that `osteon train`, `split` or `prepare` wrote, or a table of predictions.")
    ],
    out: Out,
    manifest: Annotated[
        Path | None, typer.Option(help="Folder that `osteon split` wrote; default: the one that the run record names.")
    ] = None,
    features: Annotated[Path | None, typer.Option(help="Feature bank of the model; default: likewise.")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that `osteon prepare` wrote; default: likewise.")] = None,
    gate: Annotated[bool, typer.Option("--gate", help="End with 77 if the audit speaks against a release.")] = False,
    allow: Annotated[
        list[str] | None, typer.Option(help="Attribute that may carry more than the threshold; repeatable, recorded.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="AUROC that an attribute may carry, 0 to 0.5; default: 0.05.")
    ] = None,
    drift: Annotated[
        Path | None, typer.Option(help="An earlier run: compare tags, images, embeddings and scores with it.")
    ] = None,
    readings: Annotated[
        Path | None, typer.Option(help="What `osteon read` said of these studies: their scores, for --drift.")
    ] = None,
    probes: Annotated[bool, typer.Option(help="Cover and plant marks on some images, and ask the model again.")] = True,
    model: Annotated[str, typer.Option(help="Which model of the table, if it holds several.")] = "",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Look for what data and models hide: shortcuts, wrong labels, copies, drift; with a verdict on a release."""
    from osteon import verbs

    with bars("audit", as_json) as progress:
        done = verbs.audit(
            subject,
            out,
            manifest=manifest,
            bank=features,
            images=images,
            model=model,
            allowed=allow or (),
            threshold=threshold,
            reference=drift,
            readings=readings,
            probes=probes,
            seed=seed,
            settings=settings.load(),
            progress=progress,
        )
    show(done.said, done.figures, as_json)
    if gate and done.figures["passed"] is None:
        raise TooFewCases(
            "the gate has nothing to decide on", remedy=f"see under shortcuts in {out / 'audit.html'} why not"
        )
    if gate and not done.figures["passed"]:
        raise GateFailed(
            "the audit speaks against a release", remedy=f"see {out / 'audit.html'}, and mend the data or the model"
        )
