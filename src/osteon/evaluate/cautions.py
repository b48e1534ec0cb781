"""When a number looks too good, or too thin, the report itself says so. Each rule is stated with its sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from osteon.evaluate.judge import title_of
from osteon.evaluate.words import TOO_GOOD, number
from osteon.types import Estimate

STRONG_TAGS = 0.70
NEAR = 0.05
FEW_POSITIVES = 100
FAR_PREVALENCE = 0.30
SUBGROUP_SIZE = 30

RULES: dict[str, str] = {
    "phantom": "the data are simulated",
    "no_floor": "the table holds no floor",
    "gain_not_shown": "the interval of the gain over the best floor includes 0",
    "floor_near": f"the best floor comes within {NEAR} of the model",
    "too_good": f"the AUROC is above {TOO_GOOD}",
    "strong_tags": f"the tags-only floor reaches {STRONG_TAGS} or more",
    "few_positives": f"fewer than {FEW_POSITIVES} positive images",
    "one_fold": "fewer than 2 folds",
    "one_class_fold": "a fold holds one class only",
    "no_probability": "the model gives no calibrated probability",
    "redrawn": "more than 1 in 20 resamples had to be drawn again, because a fold had lost a class",
    "opened_again": "the test set was opened more than once",
    "far_prevalence": (
        f"a subgroup whose share of positives differs from that of all others by {FAR_PREVALENCE} or more, with "
        f"{SUBGROUP_SIZE} images or more on either side"
    ),
}
"""Rule → when it speaks."""


def cautions(part: Mapping[str, Any], *, phantom: bool, openings: int) -> list[dict[str, str]]:
    """The rules that speak for the validation part, each with a sentence for the reader.

    Args:
        part: `cases`, `discrimination`, `subgroups` of the part, with figures as `Estimate`.
        phantom: whether the data are simulated.
        openings: how often the test set has been opened.
    """
    found = [*_of_origin(phantom, openings), *_of_floors(part["discrimination"]), *_of_size(part)]
    found += _of_subgroups(part["subgroups"], part["cases"]["images"])
    return [{"rule": rule, "text": text} for rule, text in found]


def _of_origin(phantom: bool, openings: int) -> Iterator[tuple[str, str]]:
    if phantom:
        yield (
            "phantom",
            "These radiographs are simulated. The figures show that the path works; they say nothing about patients.",
        )
    if openings > 1:
        yield (
            "opened_again",
            f"The test set has been opened {openings} times. What was learnt from an earlier opening may have shaped "
            "the model, so its test figures are no longer a first look.",
        )


def _of_floors(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    auroc: Estimate = figures["auroc"]
    if auroc.value > TOO_GOOD:
        yield (
            "too_good",
            f"An AUROC of {auroc.value:.3f} is rare on real radiographs. Look for a leak between the folds, or a mark "
            "that gives the answer away, before believing it.",
        )
    best = figures["best_floor"]
    if best is None:
        yield (
            "no_floor",
            "No floor was given, so nobody can tell how much of the figure could be had without looking at the bone.",
        )
        return
    gain: Estimate = best["gain"]
    if gain.low <= 0:
        yield (
            "gain_not_shown",
            f"The gain over the best floor ({best['title']}) may be nil: its interval, {number(gain.low, 3)} to "
            f"{number(gain.high, 3)}, includes 0.",
        )
    elif gain.value < NEAR:
        yield (
            "floor_near",
            f"The best floor ({best['title']}) comes within {gain.value:.3f} of the model: most of the figure can be "
            "had without reading the image.",
        )
    for floor in figures["floors"]:
        if floor["title"] == title_of("floor:tags") and floor["auroc"].value >= STRONG_TAGS:
            yield (
                "strong_tags",
                f"The tags alone, without a pixel, reach an AUROC of {floor['auroc'].value:.2f}: in these data the "
                "label is tied to how and why the image was taken, and a network may learn that tie.",
            )


def _of_size(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    cases, figures = part["cases"], part["discrimination"]
    if cases["positives"] < FEW_POSITIVES:
        yield ("few_positives", f"Only {cases['positives']} images are positive; read the intervals, not the figures.")
    if len(cases["folds"]) < 2:
        yield ("one_fold", "There is one fold only: no spread between folds, and no cut-off chosen on other cases.")
    if figures["folds_counted"] < len(cases["folds"]):
        yield (
            "one_class_fold",
            f"{len(cases['folds']) - figures['folds_counted']} of {len(cases['folds'])} folds hold one class only and "
            "have no AUROC; the headline is the mean of the others.",
        )
    if cases["redrawn"] > cases["resamples"] / 20:
        yield (
            "redrawn",
            f"{cases['redrawn']} resamples were drawn again, because a fold had lost a class: some folds hold very few "
            "patients of one class.",
        )
    if figures["pooled_on"] == "score":
        yield (
            "no_probability",
            "The model gives no calibrated probability. Pooled figures put raw scores of different folds on one scale, "
            "and calibration cannot be judged.",
        )


def _of_subgroups(rows: list[Mapping[str, Any]], images: int) -> Iterator[tuple[str, str]]:
    # Of a column with two values one sentence says it for both: the one about the value with more positives.
    told = set()
    for row in sorted(rows, key=lambda row: -row["prevalence"]):
        # A share among a handful of images, on either side, says nothing.
        if min(row["n"], images - row["n"]) < SUBGROUP_SIZE or row["column"] in told:
            continue
        if abs(row["prevalence"] - row["prevalence_elsewhere"]) < FAR_PREVALENCE:
            continue
        told.add(row["column"])
        yield (
            "far_prevalence",
            f"{row['column']} {row['value']}: {row['prevalence'] * 100:.0f} % of the images are positive, against "
            f"{row['prevalence_elsewhere'] * 100:.0f} % elsewhere. To recognise this subgroup is half the answer; "
            "look at the AUROC within it.",
        )
