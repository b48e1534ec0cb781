"""What the report knows of subgroups: how many images each holds, and the AUROC in it; a sentence for each function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from osteon.evaluate.facts_of_data import several
from osteon.evaluate.facts_of_report import TEST, VALIDATION, labelled, titled
from osteon.evaluate.quotes import REPORT, Absent, Fact, Quotes

PEOPLE, DEVICE = ("Sex", "Age"), "Device"


def subgroups(q: Quotes) -> str:
    """AUROC in every subgroup."""
    return f"{labelled(q)}{_by_column(q, VALIDATION, lambda column: True, _auroc)}"


def people(q: Quotes) -> str:
    """AUROC by sex and age."""
    return f"{labelled(q)}{_by_column(q, VALIDATION, lambda column: column in PEOPLE, _auroc)}"


def elsewhere(q: Quotes) -> str:
    """AUROC by everything but sex and age: view, side, device and what the label table told."""
    return f"{labelled(q)}{_by_column(q, VALIDATION, lambda column: column not in PEOPLE, _auroc)}"


def by_device(q: Quotes) -> str:
    """AUROC by device."""
    return f"{labelled(q)}{_by_column(q, VALIDATION, lambda column: column == DEVICE, _auroc)}"


def composition(q: Quotes, part: str = VALIDATION) -> str:
    """How many images of each subgroup a part holds, and how many are positive."""
    return _by_column(q, part, lambda column: True, _positives)


def compositions(q: Quotes) -> str:
    """The composition of the folds, and of the test part where it is known."""
    return f"{composition(q)}{q.if_known(lambda: f' {composition(q, TEST)}')}"


def _by_column(q: Quotes, part: str, wanted: Callable[[str], bool], of: Callable[[Quotes, str, int], str]) -> str:
    """What `of` says of each subgroup of a part, column by column."""
    at = (REPORT, part, "subgroups")
    told: dict[str, list[str]] = {}
    for k in q.rows(*at):
        column = q.if_known(partial(_wanted, q, at, k, wanted))
        if column:
            told.setdefault(column, []).append(f"{q.text(*at, k, 'value')} {of(q, part, k)}")
    if not told:
        raise Absent
    columns = [f"{column}: {', '.join(rows)}" for column, rows in told.items()]
    return f"{titled(part)}. {'; '.join(columns)}."


def _wanted(q: Quotes, at: tuple[str, ...], k: int, wanted: Callable[[str], bool]) -> str:
    column = q.text(*at, k, "column")
    if not wanted(column):
        raise Absent
    return column


def _auroc(q: Quotes, part: str, k: int) -> str:
    at = (REPORT, part, "subgroups", k)
    images = several(q.count(*at, "n"), "image")
    figure = q.if_known(lambda: f"AUROC {q.figure(*at, 'auroc', digits=2)}")
    if figure:
        return f"({images}) {figure}"
    return f"({images}) AUROC not available, {q.text(*at, 'auroc', 'note')}"


def _positives(q: Quotes, part: str, k: int) -> str:
    at = (REPORT, part, "subgroups", k)
    return f"({several(q.count(*at, 'n'), 'image')}, {q.count(*at, 'positives')} positive)"


FACTS: Mapping[str, Fact] = {fact.__name__: fact for fact in (subgroups, people, elsewhere, by_device, compositions)}
"""Name, as the tables of items use it → fact."""
