"""What the report on the healing score says in words, and when it cautions its reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from osteon.evaluate.healing import BAND
from osteon.evaluate.words import PHANTOM, number
from osteon.tasks.rust import Score
from osteon.types import Estimate

ONE_RATER = 0.93
"""The ICC at which one rater agrees with the truth if two raters agree at 0.86: the square root of that."""

FEW_VISITS = 100
INCOMPLETE = 0.20
NEAR = 0.05

RULES: dict[str, str] = {
    "phantom": "the data are simulated",
    "no_floor": "the table holds no floor",
    "gain_not_shown": "the interval of the gain of the ICC over the best floor includes 0",
    "floor_near": f"the best floor comes within {NEAR} of the ICC",
    "too_good": f"the ICC with the rater is above {ONE_RATER}, and the data are real",
    "few_visits": f"fewer than {FEW_VISITS} complete visits",
    "incomplete": f"more than {INCOMPLETE * 100:.0f} % of the visits are incomplete",
    "contested": "two images of a visit have different grades of one cortex",
    "one_fold": "fewer than 2 folds",
    "interval_too_narrow": "the intervals of the total hold the rater's total in fewer than 9 of 10 visits",
    "eighteen": "the 18-label AUROC is above 0.5: always, since the view alone lifts it",
    "opened_again": "the test set was opened more than once",
}
"""Rule → when it speaks."""


def sentence(part: Mapping[str, Any], score: Score, *, phantom: bool) -> str:
    """The result in plain words: agreement of the total, the human band, the best floor, the gain, the cortices.

    Args:
        part: figures of the part, as `Estimate`.
        score: names the score.
        phantom: whether the data are simulated.
    """
    opening = f"{PHANTOM[0].upper()}{PHANTOM[1:]}. " if phantom else ""
    kappa = part["overall"]["kappa"]
    if not part["totals"]["judged"]:
        return (
            f"{opening}Too few visits are complete for a figure of the total; within a view, the model's grades of a "
            f"cortex agree with the rater's at a quadratic kappa of {_interval(kappa['figure'])}. {_floor(kappa)}"
        )
    icc = part["totals"]["icc"]
    return (
        f"{opening}The model's total of {score.name} agrees with the rater's at ICC(2,1) {_interval(icc['figure'])}, "
        f"where human raters agree with each other at {BAND[0]:.2f} to {BAND[1]:.2f} in the literature. {_floor(icc)}"
    )


def cautions(part: Mapping[str, Any], *, phantom: bool, openings: int) -> list[dict[str, str]]:
    """The rules that speak for a part, each with a sentence for the reader; figures are `Estimate`."""
    found = [*_of_origin(phantom, openings), *_of_floors(part, phantom), *_of_visits(part), *_of_labels(part)]
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


def _of_floors(part: Mapping[str, Any], phantom: bool) -> Iterator[tuple[str, str]]:
    totals = part["totals"]
    line = totals["icc"] if totals["judged"] else part["overall"]["kappa"]
    name = "ICC" if totals["judged"] else "kappa"
    if line["best_floor"] is None:
        yield (
            "no_floor",
            "No floor was given, so nobody can tell how much of the figures could be had without looking at the bone.",
        )
    else:
        gain, title = line["gain"], line["best_floor"]["title"]
        if not gain.low > 0:
            yield (
                "gain_not_shown",
                f"The gain of the {name} over the best floor ({title}) may be nil: its interval, "
                f"{number(gain.low, 3)} to {number(gain.high, 3)}, includes 0.",
            )
        elif gain.value < NEAR:
            yield (
                "floor_near",
                f"The best floor ({title}) comes within {gain.value:.3f} of the model's {name}: most of it can be had "
                "without reading the image.",
            )
    if totals["judged"] and not phantom and totals["icc"]["figure"].value > ONE_RATER:
        yield (
            "too_good",
            f"An ICC of {totals['icc']['figure'].value:.3f} with one rater is above what two raters reach, and above "
            f"the {ONE_RATER} at which one of them could agree with the truth. Look for a leak before believing it.",
        )


def _of_visits(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    totals = part["totals"]
    complete, visits = totals["states"]["complete"], totals["visits"]
    if complete < FEW_VISITS:
        yield ("few_visits", f"Only {complete} visits are complete; read the intervals, not the figures.")
    if visits - complete > INCOMPLETE * visits:
        yield (
            "incomplete",
            f"{visits - complete} of {visits} visits have no total, because a view or a grade is missing. The figures "
            "of the total are of the others, which need not be like them.",
        )
    if totals["states"]["contested"]:
        yield (
            "contested",
            f"In {totals['states']['contested']} visits two images have different grades of one cortex; these visits "
            "have no total.",
        )
    if len(part["cases"]["folds"]) < 2:
        yield ("one_fold", "There is one fold only: no spread between models trained on other patients.")
    if totals["judged"]:
        holds: Estimate = totals["interval"]["probabilities"]["holds"]
        if holds.value < 0.9:
            yield (
                "interval_too_narrow",
                f"The 95 % intervals that follow from the model's probabilities hold the rater's total in "
                f"{holds.value * 100:.0f} of 100 visits. Use those from its errors, ± "
                f"{number(totals['interval']['errors']['half_width'], 1)} points.",
            )


def _of_labels(part: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    floor: Estimate = part["eighteen"]["view_only"]["macro_auroc"]
    if floor.value > 0.5:
        yield (
            "eighteen",
            f"On the 18 labels of Hong 2023, a predictor that knows only the view reaches a macro AUROC of "
            f"{floor.value:.2f} on these images. Compare such figures with that study alone, beside this floor.",
        )


def _floor(line: Mapping[str, Any]) -> str:
    best = line["best_floor"]
    if best is None:
        return "Floor not available: how much of this could be had without reading the image is not known."
    return (
        f"The best floor, {best['title']}, reaches {number(best['figure'].value, 2)}; "
        f"the gain over it is {_interval(line['gain'], named=False)}."
    )


def _interval(figure: Estimate, *, named: bool = True) -> str:
    value = number(figure.value, 2)
    if np.isnan(figure.low) or np.isnan(figure.high):
        return f"{value}, no interval"
    ends = f"{number(figure.low, 2)} to {number(figure.high, 2)}"
    return f"{value}, 95 % interval {ends}" if named else f"{value} ({ends})"
