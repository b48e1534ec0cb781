"""What the report says in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osteon.evaluate.words import PHANTOM
from osteon.experiments.kim2018.plan import PUBLISHED
from osteon.experiments.words import above, first_cautions, interval

ON_FINAL = "AUROC on the final set"

SHORT = ("test parts: AUROC", "test parts: accuracy", "final set: AUROC")
"""Of what the leak adds, as labels of a figure; the first two are of images that the leak touches."""

INCEPTION = "inception_v3"
"""The study's network begins so in timm's names."""


def sentence(report: Mapping[str, Any]) -> str:
    """The result in plain words: the honest figure with floor and gain, the study's way, and what the leak adds."""
    honest, as_study = (report[name]["final"]["discrimination"] for name in ("by_patient", "as_study"))
    positive, negative = report["data"]["final_classes"]
    opening = f"{PHANTOM[0].upper()}{PHANTOM[1:]}. " if report["phantom"] else ""
    best = honest["best_floor"]
    floor = (
        f"the best floor, {best['title']}, reaches {interval(best['auroc'])}, so the gain over it is "
        f"{interval(honest['gain'])}"
        if best
        else "floor not available"
    )
    accuracy = report["leak"][1]["added"]
    return (
        f"{opening}With patients split first, the retrained top layer reaches an AUROC of {interval(honest['auroc'])} "
        f"on the final set of {positive} radiographs with a fracture and {negative} without; {floor}. Split after "
        f"copying, as the study split, it reaches {interval(as_study['auroc'])} there (the study, on its own "
        f"radiographs: {PUBLISHED['auroc']}); that copies are on both sides adds {interval(accuracy)} to the accuracy "
        "in the test parts."
    )


def cautions(report: Mapping[str, Any]) -> list[str]:
    """What the reader must know before the figures."""
    told = first_cautions(report, "The top layer sees a few dozen radiographs")
    if not report["backbone"].startswith(INCEPTION) or "(random" in report["backbone"]:
        told.append(f"The weights of Inception v3 were not used: {report['backbone']} stands in for it.")
    positive, negative = report["data"]["final_classes"]
    if (positive, negative) != (PUBLISHED["final_fracture"], PUBLISHED["final_no_fracture"]):
        told.append(
            f"The final set has {positive} radiographs with a fracture and {negative} without; the study's had "
            f"{PUBLISHED['final_fracture']} and {PUBLISHED['final_no_fracture']}."
        )
    found = report["by_patient"]["final"]["discrimination"]
    if found["best_floor"] and not above(found["gain"]):
        told.append("Split by patient, the model is not shown to be better on the final set than the best floor.")
    if any(above(row["added"]) for row in report["leak"][:2]):
        told.append(
            "Copies on both sides of the split flatter: curves and test parts named leaky-by-copy are too high."
        )
    told.append(
        "A cut-off that is chosen on the final set, as the study chose its own, makes sensitivity and specificity "
        "there too high."
    )
    if report["openings"] > 1:
        told.append(f"The final set was opened {report['openings']} times: only the first look is free.")
    return told
