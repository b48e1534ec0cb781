"""What is asked of an image. TASKS lists the questions; a bundle names the one it answers."""

from osteon.tasks.fracture import FRACTURE, Task
from osteon.tasks.rust import CORTICES, SCORES


def _bridged(name: str) -> Task:
    """The yes or no behind a healing score, which deals patients to folds: are all cortices in the image bridged?"""
    return Task(name, label_columns=("bridged",), positive="bridged", negative="not bridged", score=SCORES[name])


TASKS: dict[str, Task] = {"fracture": FRACTURE, **{name: _bridged(name) for name in SCORES}}
"""Task name → task."""

INCONCLUSIVE = "inconclusive"
"""Column of a manifest that says of an image whether people could not tell, yes or no; it is an answer."""

ANSWERS = frozenset(
    (*(column for task in TASKS.values() for column in task.label_columns), *CORTICES, "total", INCONCLUSIVE)
)
"""Columns of a label table that say the answer, or from which it follows: no model, floor or subgroup may see them."""

__all__ = ["ANSWERS", "FRACTURE", "INCONCLUSIVE", "TASKS", "Task"]
