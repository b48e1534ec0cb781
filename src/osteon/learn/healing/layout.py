"""Which cortex of which image plays which part: the folds of a healing cohort, and what each model may learn from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from osteon import tables
from osteon.dataset import grades as grade_tables
from osteon.dataset.splits import SEALED, folds_of
from osteon.errors import BadTable, TooFewCases
from osteon.learn.logistic import Array
from osteon.learn.nested import UNUSED, Layout
from osteon.learn.ordinal import log_loss
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, MODIFIED_RUST, NOT_SCOREABLE, NOT_VISIBLE, Score


@dataclass(frozen=True, eq=False)
class Cells:
    """The cortices of n images; a cell is a cortex that its image shows.

    Attributes:
        layout: parts of the images, as for a yes or no: folds, and which rows each of the models may learn from. An
            image whose view shows no cortex is UNUSED.
        grades: (n, 4) int8: 1..4, NOT_SCOREABLE, or NOT_VISIBLE: hidden, not given, or sealed.
        shown: (n, 4) bool.
        study: (n,) 0-based number of the visit.
        score: which grades there are.
    """

    layout: Layout
    grades: rust.Grades
    shown: NDArray[np.bool_]
    study: NDArray[np.intp]
    score: Score

    @property
    def highest(self) -> int:
        """The highest grade."""
        return self.score.grades[-1]

    def graded(self, rows: NDArray[np.bool_], place: int) -> NDArray[np.intp]:
        """Which of the rows (n,) bool have a grade of a cortex."""
        return np.flatnonzero(rows & (self.grades[:, place] > NOT_SCOREABLE))

    def model(self, *left_out: int) -> int:
        """Number of the model that has not seen these folds."""
        return self.layout.left_out.index(tuple(sorted(left_out)))

    def inner(self, outer: int | None) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The rows outside fold `outer` (None: of all folds), and the model for each that saw neither it nor its fold.

        What these models say of these rows may choose and calibrate for fold `outer`.
        """
        fold = self.layout.fold
        rows = np.flatnonzero((fold >= 0) & (fold != outer))
        without = () if outer is None else (outer,)
        of = {k: self.model(k, *without) for k in self.layout.folds if k != outer}
        return rows, np.array([of[int(k)] for k in fold[rows]], np.intp)

    def outer(self) -> list[tuple[int | None, int, NDArray[np.intp]]]:
        """Each fold with the model that has not seen it and its rows, and last (None, final model, sealed rows)."""
        fold = self.layout.fold
        parts: list[tuple[int | None, int, NDArray[np.intp]]] = [
            (k, self.model(k), np.flatnonzero(fold == k)) for k in self.layout.folds
        ]
        return [*parts, (None, self.model(), np.flatnonzero(fold == SEALED))]


def views_of(manifest: pd.DataFrame) -> NDArray[np.str_]:
    """(n,) view of each image: the file's, or where it has none the label table's."""
    view = manifest["view"].astype("string").fillna("")
    if "label_view" in manifest:
        view = view.where(view != "", manifest["label_view"].astype("string").fillna(""))
    return np.asarray(view.to_numpy(str))


def lay_out(manifest: pd.DataFrame, score: Score = MODIFIED_RUST) -> Cells:
    """The parts that the images of a split manifest play.

    Raises:
        BadTable: if there are no columns of grades, or a grade is none of the score's.
        TooFewCases: for fewer than three folds, or a training part in which a cortex has fewer than two grades.
        Leak: as `dataset.splits.folds_of`.
    """
    folds_of(manifest)
    views = views_of(manifest)
    given, _ = grade_tables.arrays(manifest, score)
    shown = rust.shown(views)
    fold = np.where(shown.any(axis=1), manifest["fold"].to_numpy(int), UNUSED).astype(np.intp)
    given = rust.masked(given, views)
    given[fold < 0] = NOT_VISIBLE  # whatever a table may still say of the sealed part, nothing here sees it
    numbers = [int(k) for k in np.unique(fold[fold >= 0])]
    if len(numbers) < 3:
        raise TooFewCases(
            f"{len(numbers)} folds leave no inner folds to calibrate on", remedy="split with --folds 3 or more"
        )
    left_out = (*combinations(numbers, 2), *((k,) for k in numbers), ())
    training = np.array([(fold >= 0) & ~np.isin(fold, out) for out in left_out])
    layout = Layout(fold, np.zeros(len(fold)), left_out, training)
    cells = Cells(layout, given, shown, pd.factorize(manifest["study"])[0].astype(np.intp), score)
    for out, rows in zip(left_out, training, strict=True):
        for place, cortex in enumerate(CORTICES):
            if len(np.unique(given[cells.graded(rows, place), place])) < 2:
                raise TooFewCases(
                    f"outside fold {' and '.join(map(str, out)) or '-'} the {cortex} cortex has fewer than two grades",
                    remedy="grade more images, or split with fewer folds",
                )
    return cells


def out_of_fold(cells: Cells, told: Array) -> tuple[Array, tuple[int, ...]]:
    """What each row is told by a model that has not seen it, at the setting of least inner log loss.

    Args:
        cells: the parts of n images.
        told: (c, models, n, 4, g) probabilities at c settings, the least flexible first: it wins ties.

    Returns:
        (n, 4, g) probabilities, and the number of the setting that each fold chose, and last the final model.
    """
    found, chosen = np.full(told.shape[2:], np.nan), []
    for fold, model, own in cells.outer():
        rows, inner = cells.inner(fold)
        known = cells.grades[rows] > NOT_SCOREABLE
        losses = [log_loss(one[inner, rows][known], cells.grades[rows][known]) for one in told]
        chosen.append(int(np.argmin(losses)))
        found[own] = told[chosen[-1], model, own]
    return found, tuple(chosen)


def as_grades(
    model: str, manifest: pd.DataFrame, cells: Cells, probabilities: Array, scoreable: Array | None = None
) -> pd.DataFrame:
    """Rows of the table of grades: one for each cortex that an image shows; targets of the sealed part stay missing.

    Args:
        model: its name.
        manifest: n rows. cells: of it.
        probabilities: (n, 4, g) of the grades, given that the cortex can be scored.
        scoreable: (n, 4) probability that it can.
    """
    if not np.isfinite(probabilities[(cells.layout.fold != UNUSED)[:, None] & cells.shown]).all():
        raise BadTable(f"{model} gives no probability for some cortices", remedy="look at the features of these images")
    row, place = np.nonzero(cells.shown & (cells.layout.fold != UNUSED)[:, None])
    target = pd.Series(cells.grades[row, place], dtype="Int8")
    fold = cells.layout.fold[row]
    content = {
        "model": model,
        **{name: manifest[name].to_numpy()[row] for name in ("image", "study", "group")},
        "part": np.where(fold == SEALED, "test", "validation"),
        "fold": fold,
        "view": views_of(manifest)[row],
        "cortex": np.array(CORTICES)[place],
        "target": target.mask(target == NOT_VISIBLE),
        **{f"p{k}": probabilities[row, place, k - 1] for k in cells.score.grades},
    }
    if scoreable is not None:
        content["scoreable"] = scoreable[row, place]
    if (months := months_of(manifest)) is not None:
        content["month"] = months.to_numpy()[row]
    return tables.check(pd.DataFrame(content), tables.GRADES, f"the grades of {model}")


def months_of(manifest: pd.DataFrame) -> pd.Series | None:
    """(n,) months since the injury as numbers, or None if the manifest has none."""
    if "month" not in manifest:
        return None
    return pd.to_numeric(manifest["month"].astype("string").replace("", None)).astype("Float32")
