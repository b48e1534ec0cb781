"""Fracture or none: one probability per image, one decision per study."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from osteon.tasks.rust import Score


@dataclass(frozen=True)
class Task:
    """A yes-or-no question to an image.

    Attributes:
        name: as in TASKS and in a bundle.
        label_columns: names under which label tables carry the answer, the first that is there counts.
        positive, negative: what the answer is called.
        yes, no: spellings accepted in a label table, in lower case.
        score: of the grades that a label table holds instead of an answer; None for a plain yes or no.
    """

    name: str
    label_columns: tuple[str, ...]
    positive: str
    negative: str
    yes: tuple[str, ...] = ("1", "yes", "true", "y", "positive", "1.0")
    no: tuple[str, ...] = ("0", "no", "false", "n", "negative", "0.0")
    score: Score | None = None

    def encode(self, label: str) -> int | None:
        """1 or 0 for a spelling of yes or no, None for anything else."""
        text = label.strip().lower()
        if text in self.yes or text == self.positive:
            return 1
        return 0 if text in self.no or text == self.negative else None

    def decide(self, probability: float, threshold: float) -> str:
        """The answer in words: positive from the threshold on."""
        return self.positive if probability >= threshold else self.negative

    def of_study(self, probabilities: ArrayLike) -> float:
        """Probability of a study from those of its images, (n,) in 0..1: the largest.

        This is the rule "at least one" of de Cid 2021, chapter 6.

        Raises:
            ValueError: for a study without images.
        """
        values = np.asarray(probabilities, float)
        if values.size == 0:
            raise ValueError("a study without images has no probability")
        return float(values.max())


FRACTURE = Task(
    name="fracture",
    label_columns=("fractured", "fracture", "target", "label"),
    positive="fracture",
    negative="no fracture",
)
