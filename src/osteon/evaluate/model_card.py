"""The model card: what a model is for and not for, what it learnt from, its figures beside floors, and what is missing.

After Mitchell et al. 2019, Model Cards for Model Reporting (doi 10.1145/3287560.3287596), of whose parts it keeps those
that records can fill. Every sentence is a fact of `osteon.evaluate.checklists.FACTS`, with the place of each value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osteon import __version__, files, pages
from osteon.evaluate.checklist_page import places
from osteon.evaluate.checklists import FACTS, NO_ANSWERS, Answers, as_json
from osteon.evaluate.quotes import Records, Told, resolve, tell

JSON, HTML, MARKDOWN = "model-card.json", "model-card.html", "model-card.md"
TEMPLATE = "model_card.html.j2"

FOR = "Research: to study how such a model behaves, and as a baseline that others can be compared with."
NOT_FOR = (
    "Research software, not a medical device: it must not decide about a patient, nor stand in for anybody who reads "
    "radiographs."
)
ELSEWHERE = (
    "It knows images like those it learnt from; of other hospitals, devices and body parts no figure here speaks."
)


@dataclass(frozen=True)
class Part:
    """One part of the card.

    Attributes:
        name: under which people may add to it in an answers file.
        title: for readers.
        always: sentences that are true of every model of osteon.
        facts: names in FACTS; those that the records hold are told. Of `a|b`, the first that they hold.
        asked: what people have to supply; "" if the records can tell it all.
    """

    name: str
    title: str
    always: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    asked: str = ""


PARTS = (
    Part("use", "What it is for", (FOR,), ("answers", "question"), "the use that its authors have in mind, and whose"),
    Part("not_for", "What it is not for", (NOT_FOR, ELSEWHERE)),
    Part("model", "The model", facts=("network", "initial_weights", "members", "output")),
    Part("training", "How it was trained", facts=("training", "selection")),
    Part(
        "data",
        "What it learnt from",
        facts=("taken_in|origin_data", "classes", "flow", "demography", "devices", "label_table", "preparation"),
        asked="where the images were made and who labelled them",
    ),
    Part(
        "licence", "Licence of data and weights", asked="under which licences data and weights were given and are given"
    ),
    Part("split", "How it was tested", facts=("partitions", "disjoint", "cases", "intervals", "cut_offs")),
    Part(
        "figures",
        "Figures, beside floors",
        facts=(
            "headline|totals|origin_figures",
            "floors",
            "operating_points",
            "calibration",
            "studies",
            "three_answers",
            "places",
        ),
    ),
    Part("test", "Sealed test set", facts=("test_figures",)),
    Part("subgroups", "Subgroups", facts=("subgroups", "compositions")),
    Part(
        "shortcuts",
        "Known shortcuts",
        facts=("shortcuts",),
        asked="what an audit of shortcuts found: hardware, cast, markers, border, tags",
    ),
    Part("limits", "Limits", facts=("cautions|origin_limits", "prevalence"), asked="limits that only people know of"),
    Part("ethics", "Ethics", asked="approval, consent, and harm that is to be feared"),
    Part("code", "Code and records", facts=("code|origin_code", "packages", "machine", "traces")),
    Part("contact", "Whom to ask", asked="name and address"),
)
"""The parts of every card, in their order."""

NAMES = tuple(part.name for part in PARTS)


def card(records: Records, answers: Answers = NO_ANSWERS) -> dict[str, Any]:
    """The card as plain values: title, label, and of each part what is recorded, added and missing.

    Args:
        records: of the report, or any that hold a bundle or a report.
        answers: of people; `card` holds name of a part → text.
    """
    return {
        "title": f"Model card: {_named(records)}",
        "osteon": __version__,
        "label": _value(records, "report", "/label") or "",
        "parts": [_told(part, records, answers.card.get(part.name, "")) for part in PARTS],
    }


def markdown(content: Mapping[str, Any]) -> str:
    """The card as Markdown, for a README."""
    parts = [f"# {content['title']}", *([f"**{content['label']}**"] if content["label"] else [])]
    for part in content["parts"]:
        lines = [*part["always"], *(one["says"] for one in part["recorded"])]
        lines += [f"By the authors: {part['authors']}"] if part["authors"] else []
        lines += [f"**Missing:** {part['missing']}."] if part["missing"] else []
        parts += [f"## {part['title']}", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def page(content: Mapping[str, Any]) -> str:
    """The card as one HTML page; whatever comes from the data is escaped."""
    environment = pages.environment("osteon.evaluate")
    environment.filters.update(places=places)
    return environment.get_template(TEMPLATE).render(card=content) + "\n"


def write(content: Mapping[str, Any], folder: Path) -> None:
    """Write `model-card.json`, `model-card.md` and `model-card.html` into a folder, all or none.

    Raises:
        CannotWrite: if the folder cannot be written; earlier files are then as they were.
    """
    with files.replacing(folder / HTML) as paper, files.replacing(folder / MARKDOWN) as text:
        paper.write_text(page(content), encoding="utf-8")
        text.write_text(markdown(content), encoding="utf-8")
        files.write_json(folder / JSON, content)


def _told(part: Part, records: Records, given: str) -> dict[str, Any]:
    told = [one for names in part.facts if (one := _first(names, records)) is not None]
    nothing = "" if told or part.always or part.asked else "no record of this run tells it"
    return {
        "name": part.name,
        "title": part.title,
        "always": list(part.always),
        "recorded": [as_json(one) for one in told],
        "authors": given or None,
        "missing": None if given else part.asked or nothing or None,
    }


def _first(names: str, records: Records) -> Told | None:
    return next((one for name in names.split("|") if (one := tell(FACTS[name], records)) is not None), None)


def _named(records: Records) -> str:
    return _value(records, "report", "/model") or _value(records, "bundle", "/task") or "a model without a name"


def _value(records: Records, record: str, key: str) -> str:
    held = records.held.get(record)
    try:
        value = resolve(held.content, key) if held else ""
    except KeyError:
        return ""
    return value if isinstance(value, str) else ""
