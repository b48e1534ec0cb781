"""What the report says in words, and what the study had published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osteon.evaluate.words import PHANTOM
from osteon.experiments.hong2023.models import INCEPTION, LENET
from osteon.experiments.hong2023.outcomes import Outcome
from osteon.experiments.hong2023.stages import FINAL
from osteon.experiments.words import above, first_cautions, interval
from osteon.learn.fold_tables import BY_IMAGE

PUBLISHED: dict[str, dict[str, Any]] = {
    "lenet": {"auroc": 0.608, "network": "LeNet-1998"},
    "inception": {"auroc": 0.692, "network": "InceptionV3 end to end"},
    "imagenet": {"auroc": 0.784, "network": "InceptionV3, ImageNet"},
    "radimagenet": {"auroc": 0.706, "network": "InceptionV3, RadImageNet"},
    "tuned": {"auroc": 0.821, "network": "InceptionV3, ImageNet"},
}
"""AUROC of the 18 labels in the study's cross-validations, on its own data, and the network that it is of."""

REGIMES = {"one": 0.811, "two": 0.797}
"""The best trial of each regime in the study."""

TEST = {"macro_auroc": 0.891, "micro_precision": 0.880, "micro_recall": 0.409}
"""The study's final test; its view-only floor, computed from its label file: 0.806, 1.00 and 0.364."""


def sentence(report: Mapping[str, Any]) -> str:
    """The result in plain words: the 18-label figure beside the view alone, then what the honest protocol says."""
    final = report["final"]["kfold"]["eighteen"]
    opening = f"{PHANTOM[0].upper()}{PHANTOM[1:]}. " if report["phantom"] else ""
    told = (
        f"{opening}Tuned and judged as the study did it, the model reaches a mean AUROC of "
        f"{interval(final['model']['macro_auroc'])} over 18 labels; knowing the view and nothing else reaches "
        f"{interval(final['view_only']['macro_auroc'])}."
    )
    totals = report["nested"]["validation"]["totals"]
    if not totals["judged"]:
        return f"{told} Too few visits are complete to say how well it totals healing on patients that it has not seen."
    line = totals["icc"]
    best = line["best_floor"]
    floor = f"the best floor, {best['title']}, reaches {interval(best['figure'])}" if best else "floor not available"
    ours = report["ours"]["validation"]["totals"]["icc"]["figure"]
    return (
        f"{told} On patients that neither it nor its search has seen, its totals agree with the rater's at ICC(2,1) "
        f"{interval(line['figure'])}; {floor}. On the same folds osteon's own model reaches {interval(ours)}."
    )


def cautions(report: Mapping[str, Any]) -> list[str]:
    """What the reader must know before the figures."""
    told = first_cautions(report, "Networks see a few dozen images for a few epochs")
    kfold = report["final"]["kfold"]["eighteen"]
    if not above(kfold["gain"]["macro_auroc"]):
        told.append("The tuned model is not shown to be better over the 18 labels than the view alone.")
    shown = [row for row in report["leak"] if above(row["added"])]
    if shown:
        told.append(
            f"Folds by image flatter: for {len(shown)} of {len(report['leak'])} figures the interval of what they add "
            "lies above 0. All figures under the name leaky-by-image are too high."
        )
    if report["final"]["test"] is None:
        told.append("There is no sealed test set, so the study's last step was not run.")
    elif report["openings"] > 1:
        told.append(f"The sealed test set was opened {report['openings']} times: only the first look is free.")
    return told


def counterpart(outcome: Outcome) -> dict[str, Any] | None:
    """What the study reports of the model that this one stands for; None where it has none."""
    if outcome.protocol != BY_IMAGE:
        return None
    said = outcome.network.lower()
    named = {LENET: "lenet", INCEPTION: "inception", FINAL: "tuned"}.get(outcome.name)
    weights = next((name for name in ("radimagenet", "imagenet") if name in said), "")
    return PUBLISHED.get(named or weights)
