"""From features to answers for whole studies: what `train --studies` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from osteon import runs, tables
from osteon.errors import unknown_name
from osteon.types import Progress, silent
from osteon.verbs.folders import PREDICTIONS, Done, argument, manifest_of, pictures

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from osteon.learn.studies.bags import Bags
    from osteon.types import Estimate

SINGLE = "single images"
LSE = "lse"
"""Pooling of single views' answers, not of their features: `osteon.learn.studies.lse`."""


def train_studies(
    split: Path, out: Path, *, bank: Path, pooling: str = "attention", seed: int = 0, progress: Progress = silent
) -> Done:
    """Cross-validate an aggregator by patient, taught by labels of studies, beside floors and study rules.

    Args:
        split: what `split` wrote.
        out: folder for `predictions.parquet`: one row per study and model, the floors being those of single images
            under the rule of at least one.
        bank: what `features` wrote.
        pooling: of the views: `lse`, or a name of `osteon.learn.studies.pooling.POOLINGS`.
        seed: of the aggregator, and of the bootstrap.
        progress: told of thousandths of all trainings.

    Raises:
        UnknownName: for a pooling that there is not.
        BadTable, TooFewCases, Leak: as `osteon.learn.studies.bags.bags_of`.
    """
    import pandas as pd

    from osteon.evaluate.report import evaluate, is_phantom
    from osteon.learn.bank import FeatureBank
    from osteon.learn.crossval import cross_validate
    from osteon.learn.studies.bags import bags_of
    from osteon.learn.studies.pooling import POOLINGS

    if pooling not in (known := [LSE, *POOLINGS]):
        raise unknown_name("pooling of views", pooling, known)
    manifest = manifest_of(split, "split", needs=["prepared", "group", "fold"])
    shown = pictures(
        Path(argument(bank, "prepared", "features")),
        manifest,
        remedy="run `osteon prepare`, and `osteon features` on what was split",
    )
    arguments = {"split": split, "features": bank, "studies": pooling}
    with runs.recording("train", out, arguments, inputs=[split, bank], seeds={"seed": seed}) as result:
        features, bags = FeatureBank.open(bank), bags_of(manifest)
        values = features.array(list(manifest["image"]))
        features.check_fresh(shown)
        model = f"{features.trunk.name}, frozen, + {pooling} over views"
        predictions, chosen = _learnt(values, manifest, bags, pooling, model, seed, progress)
        single = cross_validate(values, manifest, model=SINGLE, images=shown).predictions
        judged = single[single["study"].isin(predictions["study"])]
        beside = _of_studies(judged[judged["model"].str.startswith(tables.FLOOR)])
        table = pd.concat([predictions, beside], ignore_index=True)
        simulated = is_phantom(manifest)
        report = evaluate(table, seed=seed, phantom=simulated)
        rules = _over_rules(predictions, judged[judged["model"] == SINGLE], seed)
        tables.write(out / PREDICTIONS, table, tables.PREDICTIONS)
        result |= {"model": model, "auroc": report["validation"]["discrimination"]["auroc"], "phantom": simulated}
        result |= {"studies": len(bags), **chosen, "over": {n: vars(e) for n, e in rules.items()}}
    told = "; ".join(f"over {name} {gain}" for name, gain in rules.items())
    return Done(f"{report['sentence']} AUROC over rules on single images: {told}.", result)


def _learnt(
    values: NDArray[np.float32],
    manifest: pd.DataFrame,
    bags: Bags,
    pooling: str,
    model: str,
    seed: int,
    progress: Progress,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Predictions of studies, and what the folds chose."""
    from osteon.learn.studies.aggregator import aggregator
    from osteon.learn.studies.crossval import cross_validate_studies
    from osteon.learn.studies.lse import cross_validate_lse
    from osteon.learn.studies.training import USUAL
    from osteon.learn.studies.views import Features

    if pooling == LSE:
        smooth = cross_validate_lse(values, manifest, bags, model=model)
        return smooth.predictions, {"sharpness": [str(each) for each in smooth.sharpnesses]}
    fresh = lambda: aggregator(values.shape[2], pooling, seed=seed)  # noqa: E731
    found = cross_validate_studies(Features(values), bags, fresh, USUAL, seed=seed, model=model, progress=progress)
    return found.predictions, {"epochs": list(found.epochs)}


def _of_studies(images: pd.DataFrame) -> pd.DataFrame:
    """Predictions of images as predictions of their studies: at least one, of scores and of probabilities."""
    first = dict.fromkeys(("group", "part", "fold"), "first")
    largest = dict.fromkeys(("target", "score", "probability"), "max")
    whole = images.groupby(["model", "study"], sort=False).agg({**first, **largest}).reset_index()
    return whole.assign(image=whole["study"])


def _over_rules(studies: pd.DataFrame, images: pd.DataFrame, seed: int) -> dict[str, Estimate]:
    """By how much the AUROC of the studies' model exceeds that of every rule on single images, paired."""
    import numpy as np

    from osteon.evaluate import judge, outcomes
    from osteon.evaluate.intervals import draw
    from osteon.evaluate.study_rules import STUDY_RULES, by_rule, studies_of

    (model,) = set(studies["model"])
    whole = outcomes.collect(studies, "validation", [model])
    cases = outcomes.collect(images, "validation", [SINGLE])
    bags = studies_of(cases)
    place = np.argsort(bags.names)  # `collect` sorts by name
    scores = {model: whole.scores[model]}
    for rule in STUDY_RULES.values():
        scores[rule.title.lower()] = by_rule(cases, bags, rule).scores[SINGLE][place]
    both = outcomes.Outcomes(whole.name, whole.study, whole.group, whole.fold, whole.target, scores, {})
    sample = draw(both.group, both.fold, both.target, np.random.default_rng(seed))
    found = judge.discrimination(both, model, [name for name in scores if name != model], sample)
    return {line["model"]: line["gain"] for line in found["floors"]}
