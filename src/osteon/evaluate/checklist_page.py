"""checklist.html, for people to read, and checklist.csv, to be pasted into a manuscript."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from osteon import files, pages

JSON, HTML, CSV = "checklist.json", "checklist.html", "checklist.csv"
TEMPLATE = "checklist.html.j2"
COLUMNS = (
    "guideline",
    "item",
    "section",
    "topic",
    "state",
    "answer",
    "recorded in",
    "by the authors",
    "missing",
    "who",
)


def page(filled: Mapping[str, Any]) -> str:
    """The checklists as one HTML page; whatever comes from the data is escaped.

    Args:
        filled: as `osteon.evaluate.checklists.fill_all` returned it, or as it was read back from checklist.json.
    """
    sections = {
        one["key"]: [(name, list(items)) for name, items in groupby(one["items"], key=lambda item: item["section"])]
        for one in filled["guidelines"]
    }
    environment = pages.environment("osteon.evaluate")
    environment.filters.update(places=places)
    return environment.get_template(TEMPLATE).render(filled=filled, sections=sections) + "\n"


def table(filled: Mapping[str, Any]) -> str:
    """The checklists as CSV, a row for each item."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for one in filled["guidelines"]:
        for item in one["items"]:
            told = " ".join(sentence["says"] for sentence in item["recorded"])
            where = "; ".join(f"{file} {', '.join(keys)}" for file, keys in places(item["recorded"]).items())
            asked = (item["still"], filled["who"][item["who"]]) if item["still"] else ("", "")
            about = (f"{one['name']} {one['version']}", item["number"], item["section"], item["topic"], item["state"])
            rows.writerow((*about, told, where, item["authors"] or "", *asked))
    return text.getvalue()


def places(sentences: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """File → keys that the sentences of an item rest on, in their order, each once.

    Of several values of one list or object its key is told once.
    """
    found: dict[str, list[str]] = {}
    for sentence in sentences:
        for quote in sentence["quotes"]:
            keys = found.setdefault(quote["file"], [])
            key = _whole(quote["key"])
            if key not in keys:
                keys.append(key)
    return found


def write(filled: Mapping[str, Any], folder: Path) -> None:
    """Write `checklist.json`, `checklist.html` and `checklist.csv` into a folder, all or none.

    Raises:
        CannotWrite: if the folder cannot be written; earlier files are then as they were.
    """
    with files.replacing(folder / HTML) as paper, files.replacing(folder / CSV) as sheet:
        paper.write_text(page(filled), encoding="utf-8")
        # With a mark in front, spreadsheet programs read the signs beyond ASCII rightly.
        sheet.write_text(table(filled), encoding="utf-8-sig", newline="")
        files.write_json(folder / JSON, filled)


def _whole(key: str) -> str:
    """A key up to the first place in a list: of a list, readers want to know which it is, not its every value."""
    steps = key.split("/")
    cut = next((k for k, step in enumerate(steps) if step.isdigit()), len(steps))
    return "/".join(steps[:cut]) or "/"
