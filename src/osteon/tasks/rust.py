"""RUST, the radiographic union score of the tibia: a grade for each of four cortices, and their total per visit.

Grades (Whelan 2010; the fourth is that of the modified score, Litrenta 2015): 1 fracture line, no callus · 2 fracture
line, visible callus · 3 bridging callus, no line · 4 remodelled, no line. The total of a visit is the sum over its four
cortices: 4 to 12, or 4 to 16 modified. An AP (or PA) view shows the medial and the lateral cortex, a lateral view the
anterior and the posterior one, so that a total needs both.

Everywhere grades are int8 (n, 4) in the order of CORTICES: 1..4, NOT_SCOREABLE or NOT_VISIBLE. What is missing stays
missing: nothing here fills a grade in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Grades = NDArray[np.int8]

CORTICES = ("anterior", "posterior", "medial", "lateral")
"""The four cortices, in the order of every array of grades."""

SHOWN: dict[str, tuple[str, str]] = {
    "AP": ("medial", "lateral"),
    "PA": ("medial", "lateral"),
    "LAT": ("anterior", "posterior"),
}
"""View position → the cortices that it shows. Other views show none that could be graded."""

NOT_SCOREABLE = 0
"""The cortex is in the picture, but the rater could not grade it (cast, metal, overlap)."""

NOT_VISIBLE = -1
"""The view does not show the cortex, or no grade was given."""

HIGHEST = 4
"""The highest grade of any score; a one-hot label has this many places per cortex."""

LABELS = (*(f"{cortex}_{grade}" for cortex in CORTICES for grade in range(1, HIGHEST + 1)), "AP", "LAT")
"""Names of the 18 labels of Hong 2023: four grades for each cortex, then the two views."""


@dataclass(frozen=True)
class Score:
    """One form of the score.

    Attributes:
        name: for readers.
        grades: the grades of a cortex, ascending from 1.
        united: total from which a fracture counts as united. The defaults are cuts found in the literature (of which
            15 of 16 is from a rat model), so they are there to be overridden.
    """

    name: str
    grades: tuple[int, ...]
    united: int

    def __post_init__(self) -> None:
        if self.grades not in ((1, 2, 3), (1, 2, 3, 4)):
            raise ValueError(f"the grades of a score are 1..3 or 1..4, not {self.grades}")
        if not self.lowest < self.united <= self.highest:
            raise ValueError(f"united begins above {self.lowest} and at most at {self.highest}, not at {self.united}")

    @property
    def lowest(self) -> int:
        """The smallest total."""
        return len(CORTICES)

    @property
    def highest(self) -> int:
        """The largest total."""
        return len(CORTICES) * self.grades[-1]


RUST = Score("RUST", (1, 2, 3), united=10)
"""The score of Whelan 2010."""

MODIFIED_RUST = Score("modified RUST", (1, 2, 3, 4), united=15)
"""The score of Litrenta 2015, which tells bridged (3) from remodelled (4); the one of Hong 2023."""

SCORES: dict[str, Score] = {"rust": RUST, "modified-rust": MODIFIED_RUST}
"""Name on the command line → score."""

_SHOWS = {view: np.isin(CORTICES, cortices) for view, cortices in SHOWN.items()}


def check(grades: ArrayLike, score: Score = MODIFIED_RUST) -> Grades:
    """The grades as an int8 array (n, 4), if each is one of the score's, NOT_SCOREABLE or NOT_VISIBLE.

    Raises:
        ValueError: for another shape, or a grade that the score does not have.
    """
    given = np.asarray(grades)
    if given.ndim != 2 or given.shape[1] != len(CORTICES):
        raise ValueError(f"grades are (n, {len(CORTICES)}), not {given.shape}")
    wrong = given[~np.isin(given, (NOT_VISIBLE, NOT_SCOREABLE, *score.grades))]
    if wrong.size:
        raise ValueError(f"a grade of {score.name} is one of {score.grades}, not {wrong[0]}")
    return given.astype(np.int8)


def shown(views: Sequence[str] | NDArray[np.str_]) -> NDArray[np.bool_]:
    """Which cortices each of n images shows, (n, 4) bool; none in a view that is not in SHOWN."""
    nothing = np.zeros(len(CORTICES), bool)
    return np.array([_SHOWS.get(str(view), nothing) for view in views], bool).reshape(-1, len(CORTICES))


def masked(grades: ArrayLike, views: Sequence[str] | NDArray[np.str_]) -> Grades:
    """The grades (n, 4) with NOT_VISIBLE for each cortex that its view does not show."""
    return np.where(shown(views), np.asarray(grades), NOT_VISIBLE).astype(np.int8)


def contradicting(grades: ArrayLike, views: Sequence[str] | NDArray[np.str_]) -> NDArray[np.bool_]:
    """Where a grade (n, 4) is given for a cortex that the view cannot show, (n, 4) bool."""
    return (np.asarray(grades) > NOT_SCOREABLE) & ~shown(views)


def one_hot(grades: ArrayLike, views: Sequence[str] | NDArray[np.str_]) -> NDArray[np.float32]:
    """The 18 labels of each image, (n, 18) of 0 and 1, in the order of LABELS.

    A cortex that is not graded has four zeros, whatever the reason; PA counts as AP, another view as neither.
    """
    given = check(grades)
    cells = given[:, :, None] == np.arange(1, HIGHEST + 1)
    is_view = np.array([(view in ("AP", "PA"), view == "LAT") for view in map(str, views)], bool).reshape(-1, 2)
    return np.hstack([cells.reshape(len(given), len(CORTICES) * HIGHEST), is_view]).astype(np.float32)


def from_one_hot(labels: ArrayLike) -> tuple[Grades, NDArray[np.str_]]:
    """Grades (n, 4) and views (n,) of labels (n, 18): the inverse of `one_hot`.

    Four zeros become NOT_VISIBLE, since such labels do not say why there is no grade; two zeros for the view become "".

    Raises:
        ValueError: for another shape, values other than 0 and 1, two grades of one cortex or two views of one image.
    """
    given = np.asarray(labels)
    if given.ndim != 2 or given.shape[1] != len(LABELS):
        raise ValueError(f"one-hot labels are (n, {len(LABELS)}), not {given.shape}")
    if not np.isin(given, (0, 1)).all():
        raise ValueError("one-hot labels are 0 or 1")
    cells, is_view = given[:, :-2].reshape(len(given), len(CORTICES), HIGHEST), given[:, -2:]
    ones = {"two grades of one cortex": cells.sum(axis=2).max(axis=1), "two views": is_view.sum(axis=1)}
    for what, most in ones.items():
        rows = np.flatnonzero(most > 1)
        if rows.size:
            raise ValueError(f"row {rows[0]} of the one-hot labels has {what}")
    grades = np.where(cells.any(axis=2), cells.argmax(axis=2) + 1, NOT_VISIBLE).astype(np.int8)
    views = np.where(is_view[:, 0] == 1, "AP", np.where(is_view[:, 1] == 1, "LAT", ""))
    return grades, views


def joined(grades: ArrayLike, visit: ArrayLike) -> tuple[Grades, NDArray[np.bool_]]:
    """The grades of each visit from those of its images.

    A grade counts before NOT_SCOREABLE, and that before NOT_VISIBLE. A cortex to which two images of a visit give
    different grades is contested: it becomes NOT_VISIBLE, since nothing tells which of them is right.

    Args:
        grades: (n, 4), each image's.
        visit: (n,) 0-based number of each image's visit.

    Returns:
        (visits, 4) grades, and (visits, 4) bool: which are contested.
    """
    given, number = check(grades), np.asarray(visit, np.intp)
    visits = int(number.max()) + 1 if number.size else 0
    highest = np.full((visits, len(CORTICES)), NOT_VISIBLE, np.int8)
    np.maximum.at(highest, number, given)
    lowest = np.full((visits, len(CORTICES)), HIGHEST + 1, np.int8)
    np.minimum.at(lowest, number, np.where(given > NOT_SCOREABLE, given, HIGHEST + 1).astype(np.int8))
    contested = (highest > NOT_SCOREABLE) & (lowest != highest)
    return np.where(contested, NOT_VISIBLE, highest).astype(np.int8), contested


def totals(grades: ArrayLike) -> NDArray[np.float64]:
    """The total of each visit, (n,), from its grades (n, 4); NaN where a cortex has no grade: none is ever guessed."""
    given = check(grades)
    return np.where((given > NOT_SCOREABLE).all(axis=1), given.sum(axis=1, dtype=float), np.nan)


def united(total: ArrayLike, score: Score = MODIFIED_RUST) -> NDArray[np.float64]:
    """1.0 where a total (n,) reaches the score's threshold, 0.0 where it does not, NaN where there is no total."""
    values = np.asarray(total, float)
    return np.where(np.isnan(values), np.nan, (values >= score.united).astype(float))


def bridged(grades: ArrayLike) -> NDArray[np.float64]:
    """1.0 where every graded cortex of (n, 4) has grade 3 or more, 0.0 where one has not, NaN where none is graded.

    The other rule for 'united': it needs no threshold of the total, and gives an answer for a visit with one view.
    """
    given = check(grades)
    graded = given > NOT_SCOREABLE
    answer = ((given >= 3) | ~graded).all(axis=1).astype(float)
    return np.where(graded.any(axis=1), answer, np.nan)
