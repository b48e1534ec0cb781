"""What the report says in words: every sentence is made of its figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from osteon.evaluate.words import PHANTOM, number
from osteon.experiments.decid2021.arms import BASELINE, BY_SIZE, RX_LARGE
from osteon.experiments.words import above, first_cautions, interval

Report = Mapping[str, Any]


def chosen(report: Report) -> dict[str, Any]:
    """What the study's way of choosing takes: of the three sizes, and of all arms, by studies of its validation set."""

    def best(names: list[str]) -> str:
        # Of equals the first, as a reader of the table would take it.
        return max(names, key=lambda name: report["arms"][name]["study"]["validation"]["at_least_one"]["value"])

    return {"size": best(list(BY_SIZE)), "of_all": best(list(report["arms"]))}


def sentence(report: Report) -> str:
    """The result in plain words: the study's figure and ours, and what is left of the best on the test set."""
    opening = f"{PHANTOM[0].upper()}{PHANTOM[1:]}. " if report["phantom"] else ""
    best = report["arms"][report["chosen"]["of_all"]]
    validation, test = report["data"]["parts"]["validation"], report["data"]["parts"]["test"]
    baseline = report["arms"][BASELINE]
    floor = report["floors"][BASELINE]["best_floor"]
    beside = (
        f"the best floor, {floor['title']}, {interval(floor['auroc'])}, so that the gain over it is "
        f"{interval(report['floors'][BASELINE]['gain'])}"
        if floor
        else "floor not available"
    )
    return (
        f"{opening}On the class-balanced validation set of {validation['studies']} studies that chooses everything, "
        f"the best of {len(report['arms'])} trainings ({best['label']}) calls "
        f"{interval(best['study']['validation']['at_least_one'])} of the studies rightly; on the {test['studies']} "
        f"studies of the sealed test set its balanced accuracy is "
        f"{interval(best['honest']['balanced_accuracy']['at_least_one'])}, "
        f"{interval(best['honest']['flattered'])} less. The study's baseline reaches there an AUROC of "
        f"{interval(baseline['honest']['auroc']['instance'])} per image; {beside}. (The study, on its own radiographs "
        f"and its validation set: an accuracy of {number(report['published']['baseline']['at_least_one'] / 100, 2)}.)"
    )


def hairlines(report: Report) -> str:
    """How small an image may be, from the figures of the probe alone; "" where there is no probe."""
    found = report["hairlines"]
    if found["reason"]:
        return ""
    told = [
        f"{found['patients']} wrists were judged intact, and with the same fracture, undisplaced, at each width of "
        "its gap."
    ]
    told += [_of_sizes(report, row) for row in found["sizes"]]
    return " ".join(told)


def cautions(report: Report) -> list[str]:
    """What the reader must know before the figures."""
    told = first_cautions(report, "Networks see a few dozen radiographs for an epoch or two")
    told.append(
        "Weights at the start: "
        + "; ".join(report["weights"])
        + ". No ImageNet weights of ResNet18 can be had offline."
        if any("resnet18 (random" in text for text in report["weights"])
        else "Weights at the start: " + "; ".join(report["weights"]) + "."
    )
    told.append(
        "Figures of the validation set are of the images that chose size, batch, optimiser and epoch, as in the study. "
        "Only the sealed test set says how a model does on new patients."
    )
    noise = report["data"]["noise"]
    if noise:
        told.append(
            f"Images inherit the label of their study: {noise['wrong']} of {noise['images']} images outside the test "
            f"set ({100 * noise['of_all']:.1f} %) are labelled fractured and show no fracture, "
            f"{100 * noise['of_fractured']:.1f} % of those labelled so. The study supposes about "
            f"{report['published']['wrong_labels']} % of wrong labels in its own."
        )
    planted = report["hardware"].get("planted")
    if planted and report["phantom"]:
        told.append(
            f"Hardware is planted as a shortcut: {100 * planted['fractured']:.0f} % of the fractured images that are "
            f"learnt from show it, and {100 * planted['intact']:.0f} % of the others."
        )
    for name in report["main"]:
        line = report["floors"][name]
        if line["best_floor"] and not above(line["gain"]):
            told.append(
                f"{report['arms'][name]['label']} is not shown to be better on the test set than the best floor "
                f"({line['best_floor']['title']}): {interval(line['gain'])}."
            )
    large = report["arms"][RX_LARGE]
    if not _learns(large):
        told.append(f"{large['title']} is not shown to have learnt anything: see the gradients of its layers.")
    if report["openings"] > 1:
        told.append(f"The test set was opened {report['openings']} times: only the first look is free.")
    return told


def _learns(arm: Report) -> bool:
    auroc = arm["honest"]["auroc"]["instance"]
    return auroc["low"] is not None and auroc["low"] > 0.5


def _of_sizes(report: Report, row: Report) -> str:
    """From which width on each size of a network sees a gap, and what the largest adds to the smallest."""
    found, arms = report["hairlines"]["arms"], report["arms"]
    seen = [(arms[name], found[name]["smallest"]) for name in row["names"]]
    told = ", ".join(
        f"{'at no width' if gap is None else f'from {gap:g} mm on'} at {arm['size']} pixels{_mm(arm)}"
        for arm, gap in seen
    )
    small, large = (arms[row["names"][place]]["size"] for place in (0, -1))
    gained = row["gained"]
    if above(gained):
        verdict = "a larger image sees more"
    elif gained["high"] is not None and gained["high"] < 0:
        verdict = "a larger image sees less"
    else:
        verdict = "it is not shown that a larger image sees more or less"
    return (
        f"{seen[0][0]['title']} tells a gap from none {told}; from {small} to {large} pixels its mean AUROC over all "
        f"widths changes by {interval(gained)}: {verdict}."
    )


def _mm(arm: Report) -> str:
    return "" if arm["mm"] is None else f" ({number(arm['mm'], 2)} mm a pixel)"
