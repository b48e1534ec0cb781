"""Each rule speaks when its condition holds, and is silent just before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from osteon.evaluate.cautions import RULES, cautions
from osteon.types import Estimate


def spoken(
    *, phantom: bool = False, openings: int = 1, subgroups: tuple[dict[str, Any], ...] = (), **changes: Any
) -> set[str]:
    """The rules that speak for a sound evaluation with `changes`."""
    sound: dict[str, Any] = {
        "auroc": 0.85, "gain": (0.1, 0.05, 0.15), "tags": 0.6, "floors": True, "positives": 100, "folds": 5,
        "folds_counted": None, "redrawn": 0, "pooled_on": "probability",
    }  # fmt: skip
    assert set(changes) <= set(sound)
    made = sound | changes
    floors = [
        {"title": "thumbnail", "auroc": Estimate(0.75), "gain": Estimate(*made["gain"])},
        {"title": "tags only", "auroc": Estimate(made["tags"]), "gain": Estimate(0.25, 0.2, 0.3)},
    ]
    part = {
        "cases": {
            "images": 950,
            "positives": made["positives"],
            "folds": [{}] * made["folds"],
            "redrawn": made["redrawn"],
            "resamples": 2000,
        },
        "discrimination": {
            "auroc": Estimate(made["auroc"]),
            "floors": floors if made["floors"] else [],
            "best_floor": floors[0] if made["floors"] else None,
            "folds_counted": made["folds_counted"] or made["folds"],
            "pooled_on": made["pooled_on"],
        },
        "subgroups": list(subgroups),
    }
    found = cautions(part, phantom=phantom, openings=openings)
    assert all(caution["text"].endswith(".") for caution in found)
    return {caution["rule"] for caution in found}


def a_subgroup(prevalence: float, n: int = 30) -> dict[str, Any]:
    return {"column": "Hardware", "value": "1", "n": n, "prevalence": prevalence, "prevalence_elsewhere": 0.2}


def test_a_sound_evaluation_needs_no_caution():
    assert spoken() == set()


@pytest.mark.parametrize(
    ("rule", "below", "above"),
    [
        ("phantom", {"phantom": False}, {"phantom": True}),
        ("no_floor", {}, {"floors": False}),
        ("gain_not_shown", {"gain": (0.1, 0.001, 0.2)}, {"gain": (0.1, 0.0, 0.2)}),
        ("floor_near", {"gain": (0.051, 0.04, 0.06)}, {"gain": (0.049, 0.04, 0.06)}),
        ("too_good", {"auroc": 0.99}, {"auroc": 0.991}),
        ("strong_tags", {"tags": 0.69}, {"tags": 0.7}),
        ("few_positives", {"positives": 100}, {"positives": 99}),
        ("one_fold", {"folds": 2}, {"folds": 1}),
        ("one_class_fold", {"folds_counted": 5}, {"folds_counted": 4}),
        ("no_probability", {}, {"pooled_on": "score"}),
        ("redrawn", {"redrawn": 100}, {"redrawn": 101}),
        ("opened_again", {"openings": 1}, {"openings": 2}),
        ("far_prevalence", {"subgroups": (a_subgroup(0.49),)}, {"subgroups": (a_subgroup(0.51),)}),
        ("far_prevalence", {"subgroups": (a_subgroup(0.9, n=29),)}, {"subgroups": (a_subgroup(0.9),)}),
        ("far_prevalence", {"subgroups": (a_subgroup(0.9, n=921),)}, {"subgroups": (a_subgroup(0.9, n=920),)}),
    ],
)
def test_a_rule_speaks_from_its_limit_on(rule, below, above):
    assert rule in RULES
    assert rule not in spoken(**below)
    assert spoken(**above) == {rule}


def test_a_column_is_told_once_by_its_more_positive_value():
    rows = [
        {"column": "Hardware", "value": "0", "n": 900, "prevalence": 0.1, "prevalence_elsewhere": 0.9},
        {"column": "Hardware", "value": "1", "n": 50, "prevalence": 0.9, "prevalence_elsewhere": 0.1},
    ]
    assert spoken(subgroups=tuple(rows)) == {"far_prevalence"}


def test_the_page_of_the_room_lists_every_rule():
    written = (Path(__file__).parents[2] / "docs" / "reference" / "evaluate.md").read_text(encoding="utf-8")
    for rule, condition in RULES.items():
        assert f"| `{rule}` | {condition} |" in written
