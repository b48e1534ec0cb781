"""The audit: copies, wrong labels and shortcuts of one model and its data, as one dictionary.

A part that cannot be had says why under `reason`, which is "" for a part that is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from osteon import __version__
from osteon.audit import label_noise, probing, without
from osteon.audit.attributes import attributes_of
from osteon.audit.copies import copies
from osteon.audit.gate import MEANING, THRESHOLD, decide
from osteon.audit.measured import measure
from osteon.audit.shortcuts import Judged, shortcut
from osteon.dataset.duplicates import find_duplicates
from osteon.errors import BadTable, Mismatch, TooFewCases
from osteon.evaluate import judge, metrics, outcomes
from osteon.evaluate.intervals import RESAMPLES, Resamples, bootstrap, draw, estimate, independent_pairs, point
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.report import is_phantom, plain
from osteon.evaluate.words import PHANTOM
from osteon.learn.bank import FeatureBank
from osteon.types import Progress, silent

STAGES = 5


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of a model and its data.

    Attributes:
        manifest: as `osteon split` (or `prepare`) wrote it; None if there is none.
        predictions: columns as `osteon.tables.PREDICTIONS`; None if there are none.
        model: the one of them that is audited.
        images: image id → prepared PNG, of all images of the manifest; None if they are not at hand.
        bank: features that the model was trained on; None if they are not at hand.
        missing: "manifest", "predictions", "images" or "bank" → why it is None.
    """

    manifest: pd.DataFrame | None = None
    predictions: pd.DataFrame | None = None
    model: str = ""
    images: Mapping[str, Path] | None = None
    bank: FeatureBank | None = None
    missing: Mapping[str, str] = field(default_factory=dict)

    def why_not(self, *needed: str) -> str:
        """The reasons why some of these are None; "" if all are there."""
        absent = [name for name in needed if getattr(self, name) is None]
        return "; ".join(dict.fromkeys(self.missing.get(name, f"no {name} given") for name in absent))


@dataclass(frozen=True)
class Options:
    """How an audit is made.

    Attributes:
        seed: of resamples, and of the images that are changed.
        allowed: attributes that do not fail the gate.
        threshold: AUROC that an attribute may carry.
        resamples: bootstrap samples.
        probes: folder for changed images and their features; None changes none.
        threads: of the network that sees them.
    """

    seed: int = 0
    allowed: tuple[str, ...] = ()
    threshold: float = THRESHOLD
    resamples: int = RESAMPLES
    probes: Path | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 0.5:
            raise BadTable(
                f"an attribute can carry between 0 and 0.5 of an AUROC, and the threshold is {self.threshold:g}",
                remedy=f"give a threshold between them, such as {THRESHOLD:g}",
            )


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found.

    Attributes:
        content: what audit.json holds: plain dictionaries, lists, text and numbers.
        rereading: every label, the most suspect first: rank, image, label, probability of the label, read_again.
        duplicates: the images that have copies: set, image, label, fold.
    """

    content: dict[str, Any]
    rereading: pd.DataFrame
    duplicates: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Scored:
    """The cases of a model, ready for all figures."""

    cases: Outcomes
    judged: Judged
    resamples: Resamples
    model: str


def audit(evidence: Evidence, options: Options, *, progress: Progress = silent) -> Audit:
    """Look for copies, wrong labels and shortcuts.

    Args:
        evidence: what is known. The less it is, the more parts are not available.
        options: how.
        progress: told of stages done.

    Raises:
        BadTable, Leak: if the tables break their contract, or the manifest lacks images of the predictions.
    """
    progress(0, STAGES)
    same = _copies(evidence)
    progress(1, STAGES)
    scored = _scored(evidence, options)
    shortcuts = _shortcuts(evidence, scored, options)
    progress(3, STAGES)
    noise, ranking = _label_noise(scored)
    progress(4, STAGES)
    probes = _probes(evidence, scored, options)
    progress(STAGES, STAGES)
    phantom = is_phantom(evidence.manifest)
    content = {
        "title": f"Audit of {evidence.model or 'a data set'}",
        "model": evidence.model,
        "phantom": phantom,
        "label": PHANTOM if phantom else "",
        "cases": _cases(evidence, scored),
        "gate": shortcuts["gate"],
        "shortcuts": shortcuts,
        "probes": probes,
        "label_noise": noise,
        "duplicates": {key: value for key, value in same.items() if key != "table"},
        "settings": {
            "seed": options.seed,
            "resamples": options.resamples,
            "threshold": options.threshold,
            "allowed": options.allowed,
            "osteon": __version__,
        },
    }
    return Audit(plain(content), ranking, same["table"])


def _scored(evidence: Evidence, options: Options) -> _Scored | str:
    """The out-of-fold scores of the model, or why there are none."""
    reason = evidence.why_not("predictions")
    if reason or evidence.predictions is None:
        return f"no out-of-fold scores: {reason}"
    table = outcomes.check(evidence.predictions)
    try:
        cases = outcomes.collect(table, "validation", [evidence.model])
    except TooFewCases as error:
        return error.message
    values = cases.pooled(evidence.model)
    resamples = draw(
        cases.group, cases.fold, cases.target, np.random.default_rng(options.seed), resamples=options.resamples
    )
    return _Scored(cases, Judged(values, cases.target, cases.group, cases.fold), resamples, evidence.model)


def _cases(evidence: Evidence, scored: _Scored | str) -> dict[str, Any]:
    if isinstance(scored, str):
        count = None if evidence.manifest is None else len(evidence.manifest)
        return {"reason": scored, "images": count}
    ranked = metrics.rank(scored.judged.score, scored.judged.target)
    value, samples = (
        float(point(lambda w: metrics.auroc_of(ranked, w), len(scored.cases.name))),
        bootstrap(lambda w: metrics.auroc_of(ranked, w), scored.resamples),
    )
    trials = independent_pairs(scored.cases.group, scored.cases.fold, scored.cases.target)
    pooled = estimate(value, samples, len(scored.cases.name), trials=trials)
    on = "probability" if scored.model in scored.cases.probabilities else "score"
    return {"reason": "", **judge.cases_of(scored.cases, scored.resamples), "auroc_pooled": pooled, "pooled_on": on}


def _copies(evidence: Evidence) -> dict[str, Any]:
    empty = pd.DataFrame(columns=["set", "image", "label", "fold"])
    reason = evidence.why_not("manifest", "images")
    if reason or evidence.manifest is None or evidence.images is None:
        return {"reason": reason, "table": empty}
    found = copies(evidence.manifest, find_duplicates(evidence.images))
    kept = ("sets", "images", "other_patient", "other_label", "other_fold")
    return {"reason": "", "of": len(evidence.images), **{k: getattr(found, k) for k in kept}, "table": found.rows}


def _shortcuts(evidence: Evidence, scored: _Scored | str, options: Options) -> dict[str, Any]:
    """Every attribute, the verdict on all of them, and the tables without hardware, cast and marker."""
    if isinstance(scored, str):
        verdict = decide([], allowed=options.allowed, threshold=options.threshold)
        return {"reason": scored, "rows": [], "unavailable": [], "without": [], "gate": verdict}
    found, unavailable = attributes_of(evidence.manifest, _measured(evidence, scored), list(scored.cases.name))
    _must_know(options.allowed, [a.name for a in found] + [a.name for a in unavailable])
    rows = [shortcut(scored.judged, each, scored.resamples, tests=len(found)) for each in found]
    rows.sort(key=lambda row: (-np.nan_to_num(row.carried.value, nan=np.inf), row.name))
    verdict = decide(rows, unavailable, allowed=options.allowed, threshold=options.threshold)
    tables = without.tables(scored.cases, scored.model, found, scored.resamples)
    return {
        "reason": "",
        "rows": rows,
        "unavailable": unavailable,
        "without": tables,
        "gate": verdict,
        "meaning": MEANING,
    }


def _measured(evidence: Evidence, scored: _Scored) -> pd.DataFrame | str:
    if evidence.images is None:
        return evidence.why_not("images")
    absent = [name for name in scored.cases.name if name not in evidence.images]
    if absent:
        return f"{len(absent)} of {len(scored.cases.name)} images have no prepared picture"
    return measure(list(scored.cases.name), evidence.images)


def _must_know(allowed: Collection[str], known: Collection[str]) -> None:
    strange = sorted(set(allowed) - set(known))
    if strange:
        raise BadTable(
            f"there is no attribute named {', '.join(strange)} to allow", remedy=f"there are {', '.join(sorted(known))}"
        )


def _label_noise(scored: _Scored | str) -> tuple[dict[str, Any], pd.DataFrame]:
    empty = pd.DataFrame(columns=["rank", "image", "label", "probability_of_label", "read_again"])
    if isinstance(scored, str):
        return {"reason": scored}, empty
    probability = scored.cases.probabilities.get(scored.model)
    if probability is None:
        return {"reason": "the model gives no calibrated probability"}, empty
    target = scored.cases.target
    found = label_noise.suspects(probability, target, scored.resamples)
    ranking = pd.DataFrame(
        {
            "rank": np.arange(1, len(target) + 1),
            "image": scored.cases.name[found.order],
            "label": target[found.order].astype(int),
            "probability_of_label": found.confidence[found.order].round(4),
            "read_again": np.where(np.arange(len(target)) < found.read_again, "yes", "no"),
        }
    )
    figures = {
        "wrong": found.wrong,
        "wrong_positive": found.wrong_positive,
        "wrong_negative": found.wrong_negative,
        "read_again": found.read_again,
        "positives_to_read": int(target[found.order[: found.read_again]].sum()),
        "auroc": label_noise.if_wrong(scored.judged.score, target, found),
    }
    return {"reason": "", **figures}, ranking


def _probes(evidence: Evidence, scored: _Scored | str, options: Options) -> dict[str, Any]:
    if isinstance(scored, str):
        return {"reason": scored, "rows": []}
    if options.probes is None:
        return {"reason": "not asked for", "rows": []}
    reason = evidence.why_not("manifest", "images", "bank")
    probability = scored.cases.probabilities.get(scored.model)
    reason = reason or ("" if probability is not None else "the model gives no calibrated probability")
    if reason or evidence.manifest is None or evidence.images is None or evidence.bank is None or probability is None:
        return {"reason": reason, "rows": []}
    manifest = evidence.manifest.assign(image=evidence.manifest["image"].astype(str)).set_index("image", drop=False)
    try:
        rows = manifest.loc[list(scored.cases.name)].reset_index(drop=True)
        heads = probing.heads_of(evidence.bank, rows, probability)
    except (Mismatch, TooFewCases) as error:
        return {"reason": error.message, "rows": []}
    images = {image: evidence.images[image] for image in scored.cases.name}
    found = probing.probe(
        heads, scored.judged, images, options.probes, scored.resamples, seed=options.seed, threads=options.threads
    )
    return {"reason": "", "rows": found}
