"""The whole path on a phantom cohort: the commands, one after the other, in one folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd

from osteon import verbs
from osteon.dicom.pseudonyms import Key
from osteon.phantom.plan import Plan
from osteon.settings import Settings
from osteon.types import Progress

Bars = Callable[[str], AbstractContextManager[Progress]]


# One keyword for each thing that the command line hands over.
def demo(out: Path, plan: Plan, *, seed: int, workers: int, bars: Bars, tell: Callable[[str], None]) -> verbs.Done:
    """Run every command on phantom radiographs.

    Args:
        out: each command writes into its own folder there.
        plan: what the cohort is like.
        seed: same seed, same bytes (run records aside).
        workers: worker processes.
        bars: makes a progress bar for a stage.
        tell: is given one sentence after each stage.

    Returns:
        The headline with its floor and interval, and where the report lies.
    """
    settings = Settings(workers=workers)
    cohort, unseen, bundle = out / "cohort", out / "unseen", out / "model" / "bundle"
    # The cohort is made anew, and with it its sealed test set: the record of earlier openings goes with the old one.
    shutil.rmtree(out / "split", ignore_errors=True)
    # Phantoms have no secrets: a key from the seed keeps the promise of the same bytes.
    key = out / "phantom.key"
    key.unlink(missing_ok=True)
    Key(hashlib.sha256(f"osteon demo {seed}".encode()).digest()).save(key)

    def stage(name: str, verb: Callable[[Progress], verbs.Done]) -> verbs.Done:
        with bars(name) as progress:
            done = verb(progress)
        tell(f"{name:<9} {done.said}")
        return done

    stage("phantom", lambda p: verbs.phantom(cohort, plan, seed=seed, workers=workers, progress=p))
    stage(
        "ingest",
        lambda p: verbs.ingest(
            cohort, out / "ingest", labels=cohort / "labels.csv", key=key, workers=workers, progress=p
        ),
    )
    stage("prepare", lambda p: verbs.prepare(out / "ingest", out / "prepared", workers=workers, progress=p))
    stage("split", lambda p: verbs.split(out / "prepared", out / "split", test=0.2, seed=seed, progress=p))
    stage("features", lambda p: verbs.features(out / "prepared", out / "features", settings=settings, progress=p))
    stage("train", lambda p: verbs.train(out / "split", out / "model", bank=out / "features", seed=seed, progress=p))
    report = stage(
        "evaluate",
        lambda p: verbs.evaluate(
            out / "model", out / "report", manifest=out / "split", unseal=True, seed=seed, progress=p
        ),
    )
    # Studies of another seed: nothing of the path has seen them. Three studies of two images give six overlays.
    few = Plan(patients=3, fractured=1 / 3, syntaxes=plan.syntaxes)
    stage("phantom", lambda p: verbs.phantom(unseen, few, seed=seed + 1, progress=p))
    reading = stage("read", lambda p: verbs.read([unseen], out / "reading", bundle=bundle, progress=p))
    answers = pd.read_csv(unseen / "labels.csv")["fractured"].map({0: "no fracture", 1: "fracture"})
    tell(f"{'truth':<9} {', '.join(answers)}")
    said = f"\n{report.said}\nReport:   {out / 'report' / 'report.html'}\nOverlays: {out / 'reading' / 'overlays'}"
    return verbs.Done(said, {"report": report.figures, "reading": reading.figures})
