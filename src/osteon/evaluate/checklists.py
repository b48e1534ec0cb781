"""Reporting guidelines filled from the records of a run: what is recorded, what its authors add, what is missing.

The items are tables in `guidelines/`: numbers and sections are those of the guideline, topics are our own short words.
An answer is a sentence made of recorded values, each with the file and key where it stands; where the records do not
hold one, the item is missing, and the table says who has to supply it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from osteon import __version__, files
from osteon.errors import BadTable, unknown_name
from osteon.evaluate import facts_of_data, facts_of_groups, facts_of_model, facts_of_report
from osteon.evaluate.quotes import Fact, Records, Told, tell

RECORDED, IN_PART, AUTHORS, MISSING = "recorded", "in part", "authors", "missing"
STATES: Mapping[str, str] = {
    RECORDED: "the records tell it",
    IN_PART: "the records tell some of it, and people have to add the rest",
    AUTHORS: "the authors tell it",
    MISSING: "nobody has told it yet",
}
"""State of an item → what it means."""

WHO: Mapping[str, str] = {
    "authors": "the authors",
    "owner": "whoever holds the data",
    "readers": "those who labelled",
}
"""Who has to supply what records cannot know."""

GUIDELINES = ("claim-2024", "stard-ai-2025", "tripod-ai-2024")
CARD, SHARED = "card", "shared"
"""Tables of an answers file beside those of the guidelines: for the model card, and for items of several guidelines."""

FACTS: Mapping[str, Fact] = {
    **facts_of_data.FACTS,
    **facts_of_model.FACTS,
    **facts_of_report.FACTS,
    **facts_of_groups.FACTS,
}
"""Every sentence that records may tell."""


@dataclass(frozen=True)
class Item:
    """One row of a guideline.

    Attributes:
        number: of the guideline, with the letter of a divided item.
        section: of a paper.
        topic: what is asked for, in our words.
        facts: names in FACTS; `a|b` is one or the other.
        still: what people have to add whatever the records hold; "" if the records can tell it all.
        who: a key of WHO.
        shared: name under which an answer serves this item in every guideline, "" if it has none.
    """

    number: str
    section: str
    topic: str
    facts: tuple[str, ...]
    still: str = ""
    who: str = "authors"
    shared: str = ""


@dataclass(frozen=True)
class Guideline:
    """A guideline with its items.

    Attributes:
        key: of GUIDELINES. name, version, title: as published. use: which studies it is for.
        citation, doi: of the publication.
        numbered, rows: how many numbers and how many rows it has.
        confirmed: whether two sources that do not depend on each other hold the same list.
        sources: public lists that were compared.
        disagreements: where they differ.
        items: one per row.
    """

    key: str
    name: str
    version: str
    title: str
    use: str
    citation: str
    doi: str
    numbered: int
    rows: int
    confirmed: bool
    sources: tuple[str, ...]
    disagreements: tuple[str, ...]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Answers:
    """What people add to the records.

    Attributes:
        items: guideline → number of an item → answer. shared: name → answer.
        card: part of the model card → text.
    """

    items: Mapping[str, Mapping[str, str]]
    shared: Mapping[str, str]
    card: Mapping[str, str]


NO_ANSWERS = Answers({}, {}, {})


@cache
def guideline(key: str) -> Guideline:
    """A guideline of GUIDELINES.

    Raises:
        UnknownName: if it is none of them.
    """
    if key not in GUIDELINES:
        raise unknown_name("guideline", key, GUIDELINES)
    text = resources.files("osteon.evaluate").joinpath("guidelines", f"{key}.toml").read_text(encoding="utf-8")
    content: dict[str, Any] = tomllib.loads(text)
    content["items"] = tuple(Item(**{**item, "facts": tuple(item["facts"])}) for item in content.pop("item"))
    content |= {name: tuple(content[name]) for name in ("sources", "disagreements")}
    return Guideline(key=key, **content)


def read_answers(path: Path, *, card: Sequence[str] = ()) -> Answers:
    """The answers of people, from a TOML file.

    A table for each guideline (number = "answer"), `[shared]` for items of several guidelines, `[card]` for the card.

    Args:
        path: the file.
        card: names that `[card]` may hold.

    Raises:
        NotFound: if there is no such file.
        BadTable: if it is not TOML, names an item that its guideline does not have, or holds no text for one.
    """
    try:
        content = tomllib.loads(files.must_exist(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadTable(f"{path} is not readable TOML ({error})", remedy="see docs/reference/checklists.md") from error
    known: dict[str, Callable[[], set[str]]] = {key: partial(_numbers, key) for key in GUIDELINES}
    known |= {SHARED: _shared_names, CARD: lambda: set(card)}
    for table, answers in content.items():
        if table not in known:
            raise BadTable(f"{path} has a table [{table}]", remedy=f"tables are {', '.join(known)}")
        _must_answer(path, table, answers, known[table]())
    told = {table: {name: text.strip() for name, text in answers.items()} for table, answers in content.items()}
    items = {key: told.get(key, {}) for key in GUIDELINES}
    return Answers(items, shared=told.get(SHARED, {}), card=told.get(CARD, {}))


def fill(key: str, records: Records, answers: Answers = NO_ANSWERS) -> dict[str, Any]:
    """One guideline, filled.

    Args:
        key: of GUIDELINES.
        records: of the report.
        answers: of people; they stand beside what is recorded, and are never mixed with it.

    Returns:
        What checklist.json holds of it: the guideline, `counts` of its items by state, and its `items`.

    Raises:
        UnknownName: as `guideline`.
    """
    asked = guideline(key)
    told = {name: tell(fact, records) for name, fact in FACTS.items()}
    items = [_filled(item, told, answers.items.get(key, {}).get(item.number, ""), answers) for item in asked.items]
    counts = {state: sum(item["state"] == state for item in items) for state in STATES}
    about = {name: list(v) if isinstance(v, tuple) else v for name, v in vars(asked).items() if name != "items"}
    return {**about, "counts": counts, "items": items}


def fill_all(keys: Sequence[str], records: Records, answers: Answers = NO_ANSWERS) -> dict[str, Any]:
    """What checklist.json holds: the guidelines filled, the records that were read, and which of them are wanting."""
    return {
        "title": "Reporting checklists",
        "osteon": __version__,
        "phantom": _flag(records),
        "files": "all paths are as seen from the folder of the report",
        "records": {name: _about(record.file, record.content) for name, record in records.held.items()},
        "unfound": list(records.unfound),
        "states": dict(STATES),
        "who": dict(WHO),
        "guidelines": [fill(key, records, answers) for key in keys],
    }


def as_json(told: Told) -> dict[str, Any]:
    """A sentence and the places of its values, as JSON holds them."""
    return {"says": told.says, "quotes": [asdict(quote) for quote in told.quotes]}


def _filled(item: Item, told: Mapping[str, Told | None], given: str, answers: Answers) -> dict[str, Any]:
    found = [[told[name] for name in one.split("|") if told[name] is not None] for one in item.facts]
    sentences = [one for one in dict.fromkeys(one for some in found for one in some) if one is not None]
    given = given or answers.shared.get(item.shared, "")
    whole = bool(sentences) and all(found) and not item.still
    with_records, without = (RECORDED, AUTHORS) if given else (RECORDED if whole else IN_PART, MISSING)
    return {
        "number": item.number,
        "section": item.section,
        "topic": item.topic,
        "state": with_records if sentences else without,
        "recorded": [as_json(one) for one in sentences],
        "authors": given or None,
        "still": None if whole or given else item.still or "what no record of this run holds",
        "who": item.who,
        "shared": item.shared or None,
    }


def _must_answer(path: Path, table: str, answers: object, known: set[str]) -> None:
    if not isinstance(answers, dict):
        raise BadTable(f"{table} in {path} is no table", remedy=f"begin it with [{table}]")
    foreign = [name for name in answers if name not in known]
    if foreign:
        raise BadTable(
            f"{path} answers {', '.join(foreign)} in [{table}], which has no such item",
            remedy=f"there are: {', '.join(sorted(known, key=_natural))}",
        )
    empty = [name for name, text in answers.items() if not isinstance(text, str) or not text.strip()]
    if empty:
        raise BadTable(
            f"{', '.join(empty)} in [{table}] of {path} holds no text", remedy="write a sentence, or leave it out"
        )


def _numbers(key: str) -> set[str]:
    return {item.number for item in guideline(key).items}


def _shared_names() -> set[str]:
    return {item.shared for key in GUIDELINES for item in guideline(key).items if item.shared}


def _natural(name: str) -> tuple[int, str]:
    digits = "".join(letter for letter in name if letter.isdigit())
    return int(digits or 0), name


def _about(file: str, content: Any) -> dict[str, str]:
    return {"file": file, "id": str(content.get("id", "")) if isinstance(content, dict) else ""}


def _flag(records: Records) -> bool:
    report = records.held.get("report")
    return bool(report and isinstance(report.content, dict) and report.content.get("phantom"))
