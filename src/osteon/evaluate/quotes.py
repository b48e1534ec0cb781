"""Sentences made of recorded values, each value with the place where it stands."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from osteon.evaluate.words import number

REPORT, BUNDLE = "report", "bundle"


class Absent(Exception):
    """The records do not hold a value that a sentence needs. It never leaves `tell`: the sentence is then missing."""


@dataclass(frozen=True)
class Record:
    """One JSON file.

    Attributes:
        file: its path from the folder of the report, with forward slashes.
        content: what it holds.
    """

    file: str
    content: Any


@dataclass(frozen=True)
class Records:
    """The records of one report.

    Attributes:
        held: name → record. A run record has the name of its command, further ones of the same command a number behind
            it; what lies beside them has the names of BESIDE.
        unfound: ids of the run records that others name as parents, and that are not among these.
    """

    held: Mapping[str, Record]
    unfound: tuple[str, ...] = ()


@dataclass(frozen=True)
class Quote:
    """A value that a sentence rests on: where it is recorded, and how the sentence shows it.

    Attributes:
        file: as in `Record`.
        key: JSON pointer (RFC 6901) to the value in that file.
        shown: the words of the sentence that tell the value; "" where the sentence rests on it and does not show it.
    """

    file: str
    key: str
    shown: str


@dataclass(frozen=True)
class Told:
    """A sentence, and what it rests on."""

    says: str
    quotes: tuple[Quote, ...]


def resolve(content: Any, pointer: str) -> Any:
    """The value that a JSON pointer (RFC 6901) leads to.

    Raises:
        KeyError: if it leads nowhere.
    """
    for step in pointer.split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        try:
            content = content[int(step)] if isinstance(content, list) else content[step]
        except (TypeError, ValueError, IndexError) as error:
            raise KeyError(pointer) from error
    return content


@dataclass
class Quotes:
    """Takes values from records for one sentence, and keeps where each came from.

    Every method raises Absent where the value is not there, is null, or is not of the kind asked for.
    """

    records: Records
    taken: list[Quote] = field(default_factory=list)

    def text(self, record: str, *keys: str | int) -> str:
        """A text that is not empty, as it stands."""
        value = self._value(record, keys)
        return self._quote(record, keys, _if(isinstance(value, str) and value.strip(), value).strip())

    def count(self, record: str, *keys: str | int) -> int:
        """A whole number of things, not below 0."""
        value = self._value(record, keys)
        whole: int = _if(isinstance(value, int) and not isinstance(value, bool) and value >= 0, value)
        self._quote(record, keys, str(whole))
        return whole

    def number(self, record: str, *keys: str | int, form: str = "g") -> str:
        """A number, in the form given."""
        value = self._value(record, keys)
        plain = _if(isinstance(value, int | float) and not isinstance(value, bool), value)
        return self._quote(record, keys, f"{plain:{form}}".replace("-", "−"))

    def share(self, record: str, *keys: str | int) -> str:
        """A share between 0 and 1, in per cent."""
        value = self._value(record, keys)
        part = _if(isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1, value)
        return self._quote(record, keys, f"{100 * part:.1f}".removesuffix(".0") + " %")

    def figure(self, record: str, *keys: str | int, digits: int = 3) -> str:
        """A figure with its interval: 0.881 (0.853 to 0.907)."""
        value = self._value(record, keys)
        _if(isinstance(value, Mapping) and isinstance(value.get("value"), int | float), value)
        ends = [value.get("low"), value.get("high")]
        known = all(isinstance(end, int | float) for end in ends)
        told = "{} to {}".format(*(number(end, digits) for end in ends)) if known else "no interval"
        return self._quote(record, keys, f"{number(value['value'], digits)} ({told})")

    def flag(self, record: str, *keys: str | int) -> bool:
        """True or false; the sentence rests on it and need not show it."""
        value: bool = _if(isinstance(flag := self._value(record, keys), bool), flag)
        self._quote(record, keys, "")
        return value

    def known(self, record: str, *keys: str | int) -> bool:
        """Whether there is a value; a sentence cannot rest on this alone."""
        try:
            self._value(record, keys)
        except Absent:
            return False
        return True

    def has(self, record: str, *keys: str | int) -> None:
        """Nothing, if there is a value; the sentence rests on its being there."""
        self._value(record, keys)
        self._quote(record, keys, "")

    def equals(self, record: str, *keys: str | int, to: Container[str]) -> bool:
        """Whether a text is one of those; if it is, the sentence rests on it and need not show it."""
        value = self._value(record, keys)
        same = isinstance(value, str) and value in to
        if same:
            self._quote(record, keys, "")
        return same

    def rows(self, record: str, *keys: str | int) -> range:
        """The places in a list that is not empty."""
        value = self._value(record, keys)
        return range(len(_if(isinstance(value, list) and value, value)))

    def names(self, record: str, *keys: str | int) -> list[str]:
        """The keys of an object that is not empty."""
        value = self._value(record, keys)
        return list(_if(isinstance(value, Mapping) and value, value))

    def is_empty(self, record: str, *keys: str | int) -> bool:
        """Whether a list or an object holds nothing."""
        value = self._value(record, keys)
        empty = not _if(isinstance(value, list | Mapping), value)
        if empty:
            self._quote(record, keys, "")
        return empty

    def if_known(self, clause: Callable[[], str]) -> str:
        """A clause of the sentence, or "" if the records do not hold what it needs."""
        before = len(self.taken)
        try:
            return clause()
        except Absent:
            del self.taken[before:]
            return ""

    def _value(self, record: str, keys: tuple[str | int, ...]) -> Any:
        held = self.records.held.get(record)
        try:
            value = resolve(held.content if held else None, _pointer(keys))
        except KeyError as error:
            raise Absent(f"{record} {_pointer(keys)}") from error
        return _if(value is not None, value)

    def _quote(self, record: str, keys: tuple[str | int, ...], shown: str) -> str:
        self.taken.append(Quote(self.records.held[record].file, _pointer(keys), shown))
        return shown


Fact = Callable[[Quotes], str]
"""What makes a sentence of the records; it raises Absent if they do not hold what the sentence needs."""


def tell(fact: Fact, records: Records) -> Told | None:
    """The sentence of a fact and what it rests on; None if the records do not hold it."""
    quotes = Quotes(records)
    try:
        says = fact(quotes)
    except Absent:
        return None
    return Told(says, tuple(dict.fromkeys(quotes.taken))) if says else None


def _if(holds: object, value: Any) -> Any:
    if not holds:
        raise Absent
    return value


def _pointer(keys: tuple[str | int, ...]) -> str:
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in keys)
