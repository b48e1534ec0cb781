"""The same figures per study, for every rule side by side: how well it orders studies, and what it calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from osteon.errors import TooFewCases
from osteon.evaluate import judge, metrics, thresholds
from osteon.evaluate.intervals import Resamples, bootstrap, difference, draw, estimate, point
from osteon.evaluate.metrics import Floats
from osteon.evaluate.outcomes import Outcomes
from osteon.evaluate.study_rules import STUDY_RULES, Studies, by_rule, studies_of, ties

IMAGE_CUT = "image_youden"
POINTS: dict[str, str] = {
    IMAGE_CUT: "the Youden cut-off of single images: votes are counted as in de Cid 2021, other values cut there",
    **{name: f"{rule}, over studies" for name, rule in thresholds.OPERATING_POINTS.items()},
}
"""Operating point of a rule → how its cut-off is chosen."""

CELLS = ("true_positives", "false_positives", "false_negatives", "true_negatives")


def judge_studies(
    images: Outcomes,
    model: str,
    rng: np.random.Generator,
    *,
    resamples: int,
    chosen_on: Outcomes | None = None,
    manifest: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Every figure per study: how many there are and of which kind, and a row for each rule of STUDY_RULES.

    Args:
        images: all models on the images of one part; those whose names are not `model` are the floors.
        model: the model judged.
        rng: of the bootstrap, which resamples whole patients; all rules and models share the samples.
        resamples: number of samples.
        chosen_on: other images to choose cut-offs on, all at once; None chooses those of a fold on the other folds.
        manifest: tells of studies without any judged image, if it has folds.

    Returns:
        `reason` why there is nothing per study, or ""; how many studies there are, and of which kind, in numbers and
        as sentences (`told`); `constant_accuracy`, what the commoner answer reaches for every study; and `rules`.

    Raises:
        Leak, BadTable: as `studies_of`.
    """
    studies = studies_of(images)
    if reason := _why_not(studies):
        return {"reason": reason, "rules": []}
    cuts = {name: _image_cuts(images, name, chosen_on) for name in images.scores}
    first = by_rule(images, studies, next(iter(STUDY_RULES.values())))
    sample = draw(first.group, first.fold, first.target, rng, resamples=resamples)
    cut, share = cuts[model], float(studies.target.mean())
    tied = None if cut is None else int(ties(images.pooled(model), cut, studies).sum())
    counted = _counted(images, studies, manifest, tied)
    return {
        "reason": "",
        "studies": len(studies.names),
        "groups": first.groups,
        "positives": int(studies.target.sum()),
        "prevalence": share,
        "images_each": _distribution(studies),
        **counted,
        "told": [*_told(counted)],
        "constant_accuracy": max(share, 1 - share),
        "operating_points": POINTS,
        "rules": _rules(images, studies, model, cuts, chosen_on, sample),
    }


def _rules(
    images: Outcomes,
    studies: Studies,
    model: str,
    image_cuts: Mapping[str, Floats | None],
    chosen_on: Outcomes | None,
    sample: Resamples,
) -> list[dict[str, Any]]:
    """What each rule makes of every model, the first rule being the one that the others are compared with."""
    others = None if chosen_on is None else (chosen_on, studies_of(chosen_on))
    rules = [rule for rule in STUDY_RULES.values() if not rule.on_probabilities or model in images.probabilities]
    views = [by_rule(images, studies, rule) for rule in rules]
    rows: list[dict[str, Any]] = []
    for rule, cases in zip(rules, views, strict=True):
        found = judge.discrimination(cases, model, [name for name in cases.scores if name != model], sample)
        over = difference(found["auroc"], rows[0]["auroc"], _gain(cases, views[0], model, sample)) if rows else None
        on, points = others and by_rule(*others, rule), []
        for name in (model, *(line["model"] for line in found["floors"])):
            cut = image_cuts[name]
            called = _points(cases, name, None if cut is None else cut[studies.first], on, sample)
            points.append({"model": name, "title": judge.title_of(name), **called})
        about = {"name": rule.name, "title": rule.title, "about": rule.about}
        rows.append({**about, **found, "over_first": over, "points": points})
    return rows


def _why_not(studies: Studies) -> str:
    if not studies.rows.size:
        return "the table names no studies"
    if studies.images.max() == 1:
        return "each study has one image, so the figures per image are those per study"
    if studies.target.all() or not studies.target.any():
        return f"all {len(studies.target)} studies are {'positive' if studies.target.all() else 'negative'}"
    return ""


def _points(
    cases: Outcomes, model: str, image_cut: Floats | None, others: Outcomes | None, sample: Resamples
) -> dict[str, Any]:
    """What one model calls the studies, at every operating point of which there is a cut-off."""
    cuts, reason = {} if image_cut is None else {IMAGE_CUT: image_cut}, ""
    try:
        cuts |= _chosen(cases, model, others)
    except TooFewCases as error:
        reason = error.message
    rows = []
    for name, cut in cuts.items():
        shown = [{"fold": f, "cut": float(cut[cases.fold == f][0])} for f in cases.folds]
        rows.append({"name": name, "rule": POINTS[name], "cuts": shown, **_calls(cases, model, cut, sample)})
    return {"reason": reason, "rows": rows}


def _calls(cases: Outcomes, model: str, cut: Floats, sample: Resamples) -> dict[str, Any]:
    """Sensitivity, specificity, accuracy, and the cells of the confusion as counts and as shares of all studies."""
    called, target = cases.pooled(model) >= cut, cases.target
    cells = np.stack([called & target, called & ~target, ~called & target, ~called & ~target], axis=1).astype(float)

    def statistic(weights: Floats) -> Floats:
        rates = metrics.rates_of(called, target, weights)
        shares = weights @ cells / weights.sum(axis=1, keepdims=True)
        return np.column_stack([rates["sensitivity"], rates["specificity"], rates["accuracy"], shares])

    values, samples = point(statistic, len(target)), bootstrap(statistic, sample)
    everyone = np.ones(len(target), bool)
    bases = {"sensitivity": target, "specificity": ~target, "accuracy": everyone, **dict.fromkeys(CELLS, everyone)}
    figures = {
        name: estimate(float(values[i]), samples[:, i], int(base.sum()), trials=len(np.unique(cases.group[base])))
        for i, (name, base) in enumerate(bases.items())
    }
    rates = {name: figures[name] for name in figures if name not in CELLS}
    counts = dict(zip(CELLS, (int(n) for n in cells.sum(axis=0)), strict=True))
    return {**rates, "counts": counts, "confusion": {name: figures[name] for name in CELLS}}


def _chosen(cases: Outcomes, model: str, others: Outcomes | None) -> dict[str, Floats]:
    """Operating point → (n,) cut-off of each case: of its own fold, or the one chosen on other cases.

    Raises:
        TooFewCases: as `thresholds.cross_fitted` and `thresholds.choose`; or if the others lack the model.
    """
    if others is None:
        return thresholds.cross_fitted(cases.pooled(model), cases.target, cases.fold)
    if model not in others.scores:
        raise TooFewCases(f"{model} has no validation cases to choose a cut-off on")
    cuts = thresholds.choose(others.pooled(model), others.target)
    return {name: np.full(len(cases.name), cut) for name, cut in cuts.items()}


def _image_cuts(images: Outcomes, model: str, others: Outcomes | None) -> Floats | None:
    """(n,) the Youden cut-off of single images that applies to each; None where none can be chosen."""
    try:
        return _chosen(images, model, others)["youden"]
    except TooFewCases:
        return None


def _gain(cases: Outcomes, first: Outcomes, model: str, sample: Resamples) -> Floats:
    """(resamples,) headline AUROC of a rule less that of the first."""
    mine, theirs = (
        bootstrap(metrics.mean_over_folds(each.scores[model], each.target, each.fold), sample)[:, 0]
        for each in (cases, first)
    )
    return np.asarray(mine - theirs)


def _distribution(studies: Studies) -> list[dict[str, int]]:
    images, number = np.unique(studies.images, return_counts=True)
    return [{"images": int(i), "studies": int(n)} for i, n in zip(images, number, strict=True)]


def _counted(
    images: Outcomes, studies: Studies, manifest: pd.DataFrame | None, tied: int | None
) -> dict[str, int | None]:
    return {
        "one_image": int((studies.images == 1).sum()),
        "mixed": int(studies.mixed.sum()),
        "ties": tied,
        "images_without_study": len(images.study) - len(studies.rows),
        "without_judged_image": _unjudged(images, studies, manifest),
    }


def _unjudged(images: Outcomes, studies: Studies, manifest: pd.DataFrame | None) -> int | None:
    """Studies that the manifest deals to these folds and of which no image was judged; None where it cannot tell."""
    if manifest is None or not {"study", "fold"} <= set(manifest):
        return None
    here = manifest["fold"].isin(images.folds).to_numpy(bool)
    dealt = {str(name) for name in manifest.loc[here, "study"].dropna()} - {""}
    return len(dealt - set(studies.names.tolist()))


def _told(counted: Mapping[str, int | None]) -> Iterator[str]:
    """What a reader must know of these studies, in sentences."""
    if n := counted["one_image"]:
        yield f"{_studies(n)} one image, on which all rules agree."
    if n := counted["mixed"]:
        yield (
            f"{_studies(n)} images with different labels; a study counts as positive if any of its images is. Where "
            "labels were given to whole studies, this contradicts itself."
        )
    if n := counted["ties"]:
        yield (
            f"{_studies(n)} as many images at or above the image cut-off as below it: positive by at least one, "
            "negative by majority, since a tie is no majority."
        )
    if n := counted["images_without_study"]:
        yield f"{n} {'image names no study and is' if n == 1 else 'images name no study and are'} not counted here."
    if n := counted["without_judged_image"]:
        yield f"{_studies(n)} no judged image (refused, unlabelled or not predicted); no rule says anything of them."


def _studies(number: int) -> str:
    return f"{number} {'study has' if number == 1 else 'studies have'}"
