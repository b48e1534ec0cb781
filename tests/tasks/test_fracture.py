"""The question, its spellings and its answer."""

from __future__ import annotations

import pytest

from osteon.tasks import FRACTURE, TASKS


@pytest.mark.parametrize(
    ("label", "answer"),
    [("1", 1), (" YES ", 1), ("fracture", 1), ("0", 0), ("no fracture", 0), ("False", 0), ("maybe", None), ("", None)],
)
def test_labels_are_read_as_people_write_them(label: str, answer: int | None) -> None:
    assert FRACTURE.encode(label) == answer


def test_the_decision_is_positive_from_the_threshold_on() -> None:
    assert FRACTURE.decide(0.5, 0.5) == "fracture"
    assert FRACTURE.decide(0.4999, 0.5) == "no fracture"


def test_a_study_is_as_suspect_as_its_most_suspect_image() -> None:
    assert FRACTURE.of_study([0.2, 0.7, 0.1]) == 0.7
    with pytest.raises(ValueError, match="without images"):
        FRACTURE.of_study([])


def test_every_task_is_listed_under_its_name() -> None:
    assert all(task.name == name for name, task in TASKS.items())
