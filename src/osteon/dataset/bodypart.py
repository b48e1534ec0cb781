"""Free text of a header → body part, side and view, with a confidence.

Each of the four texts is repaired and cut into words; the words and phrases that the tables know (`osteon.dataset.
lexicon`) vote for parts, sides and views; the text nearest to the image that says one thing decides, each field for
itself; the answer comes with how sure its words were. `docs/reference/bodypart.md` states the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from osteon.dataset.reading import OUTSIDE, Reading, read
from osteon.types import LATERALITIES, VIEWS

PARTS = (
    *("skull", "face", "cervical spine", "thoracic spine", "lumbar spine", "chest", "clavicle", "shoulder", "humerus"),
    *("elbow", "forearm", "wrist", "hand", "finger", "pelvis", "hip", "femur", "knee", "lower leg", "ankle", "foot"),
    "toe",
)
"""The parts that are told apart, from head to toe."""

UNPAIRED = ("skull", "cervical spine", "thoracic spine", "lumbar spine", "chest", "pelvis")
"""Parts without a side; ribs are the paired part of the chest."""

LEAST = 0.5
"""The confidence below which no part is given, unless the caller says otherwise."""

_SOURCES = ("series description", "study description", "protocol name", "body part examined")  # nearest first
_WEAK = 0.85  # of a word that means the part only if nothing else is named, such as “head” or “US”
_DISSENT = 0.95  # of an answer that another text contradicts
_KEPT = 65536  # distinct sets of texts that are remembered


@dataclass(frozen=True)
class BodyPart:
    """What the texts of a header say.

    Attributes:
        part: one of PARTS; "" if the texts name none, several, or one outside the list.
        side: one of `osteon.types.LATERALITIES`, or "".
        view: one of `osteon.types.VIEWS`, or "".
        confidence: of the part, 0..1: 1 for words as the tables spell them. 0 where there is no part.
        evidence: what each field rests on, a phrase each.
        outside: whether the texts name something that is none of the parts (abdomen, a film of many parts).
    """

    part: str = ""
    side: str = ""
    view: str = ""
    confidence: float = 0.0
    evidence: tuple[str, ...] = ()
    outside: bool = False

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("part", self.part, PARTS),
            ("side", self.side, LATERALITIES),
            ("view", self.view, VIEWS),
        ):
            if value and value not in allowed:
                raise ValueError(f"{name} is one of {', '.join(allowed)} or empty, not {value!r}")


def resolve(
    body_part: str,
    study_description: str = "",
    series_description: str = "",
    protocol_name: str = "",
    *,
    least: float = LEAST,
) -> BodyPart:
    """Body part, side and view as the texts of a header state them.

    Args:
        body_part: BodyPartExamined (0018,0015), as it stands.
        study_description: StudyDescription (0008,1030), the order.
        series_description: SeriesDescription (0008,103E), nearest to the image.
        protocol_name: ProtocolName (0018,1030).
        least: the confidence below which no part is given, 0..1. A lower one answers more and errs more.

    Returns:
        The answer; any text at all gives one, which may be empty.
    """
    found = _resolved(series_description, study_description, protocol_name, body_part)
    if found.part and found.confidence < least:
        return BodyPart("", found.side, found.view, found.confidence, found.evidence)
    return found


def spellings(tags: Iterable[str]) -> Mapping[str, Counter[str]]:
    """How often each raw spelling of a tag occurs, by the part that it is resolved to ("" for none).

    The table behind the seed's histogram of BodyPartExamined: `{"wrist": Counter({"MUÑECA": 12, "WRIST": 3})}`.
    """
    counts: dict[str, Counter[str]] = {}
    for tag, count in Counter(tags).items():
        counts.setdefault(resolve(tag).part, Counter())[tag] += count
    return counts


@lru_cache(maxsize=_KEPT)
def _resolved(*texts: str) -> BodyPart:
    """The answer to the four texts, nearest to the image first."""
    readings = [(source, read(text)) for source, text in zip(_SOURCES, texts, strict=True)]
    named, confidence, why = _part(readings)
    part = named if named in PARTS else ""
    side, side_why = _side(readings, part)
    view, view_why = _view(readings, part)
    evidence = tuple(phrase for phrase in (why, side_why, view_why) if phrase)
    return BodyPart(part, side, view, confidence, evidence, outside=named == OUTSIDE)


def _part(readings: list[tuple[str, Reading]]) -> tuple[str, float, str]:
    """(part, confidence, evidence): the first text that names one part or something outside the list decides."""
    for firm in (True, False):
        choice: frozenset[str] = frozenset()
        for source, reading in readings:
            named = reading.parts(firm)
            if not named:
                continue
            if not choice and (len(named) > 1 or reading.torn):
                choice = frozenset(named)
            elif not choice or (len(named) == 1 and min(named) in choice):
                return _answer(min(named), reading, source, readings, firm)
        if choice:
            return "", 0.0, ""
    return "", 0.0, ""


def _answer(
    part: str, reading: Reading, source: str, readings: list[tuple[str, Reading]], firm: bool
) -> tuple[str, float, str]:
    if part not in PARTS:
        return part, 0.0, f"none of the parts: {reading.said(part)} in the {source}"
    confidence = reading.sure(part) * (1.0 if firm else _WEAK)
    if any(other.parts(firm) - {part} for _, other in readings if other is not reading):
        confidence *= _DISSENT
    return part, round(confidence, 3), f"{part}: {reading.said(part)} in the {source}"


def _side(readings: list[tuple[str, Reading]], part: str) -> tuple[str, str]:
    if part in UNPAIRED and not any(reading.ribs for _, reading in readings if part == "chest"):
        return "", ""
    for source, reading in readings:
        if reading.side:
            return reading.side, f"{reading.side}: {source}"
    return "", ""


def _view(readings: list[tuple[str, Reading]], part: str) -> tuple[str, str]:
    """The first text that names a projection decides; two of them, or a special one, are no view."""
    for source, reading in readings:
        views = {_named(view, part) for view in reading.views if not (view == "AP" and part == "face" == reading.only)}
        if views:
            view = views.pop() if len(views) == 1 else ""
            return (view, f"{view}: {source}") if view in VIEWS else ("", "")
    return "", ""


def _named(view: str, part: str) -> str:
    """The view by its name: from the dorsum is postero-anterior of a hand, but antero-posterior of a foot."""
    if view == "dorsal":
        return "AP" if part in ("foot", "toe", "ankle") else "PA"
    return {"front": "AP", "profile": "LAT", "plantar": "AP"}.get(view, view)
