"""Values of DICOM attributes, converted here and nowhere else.

pydicom converts a value when it is first asked for, and a damaged value then raises almost anything. `Attributes`
is the one place where that is caught: a damaged value reads as absent, and a note remembers it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from osteon.errors import UnreadableImage

PARSING_ERRORS = (
    ArithmeticError,  # decimal.InvalidOperation, OverflowError
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,  # KeyError, IndexError, unknown character sets
    MemoryError,  # a declared length of gigabytes
    OSError,
    RuntimeError,  # NotImplementedError, RecursionError (sequences nested by the thousand), decoders
    TypeError,
    ValueError,  # UnicodeError
    struct.error,
    zlib.error,
)
"""What pydicom raises on damaged bytes, found by fuzzing. Nothing else is caught."""


def tags_in(dataset: Dataset) -> list[BaseTag]:
    """The tags of a data set, in order. To iterate over the data set itself would convert every element."""
    return sorted(dataset.keys())


def reason_of(error: Exception) -> str:
    """What an error of foreign code says, in one printable line of bounded length."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # pydicom lists the failures of its decoders by name below a first line of its own; osteon gives it one decoder.
    line = lines[-1].strip().removeprefix("imagecodecs: ")
    return "".join(c for c in line if c.isprintable())[:160]


_LONGEST_TEXT = 256  # LO and UI hold 64 characters; more is damage and would only swell the manifest


@dataclass(frozen=True, eq=False)
class Attributes:
    """A data set whose values can be asked for without fear.

    Attributes:
        dataset: as pydicom parsed it.
        notes: one sentence for each value that could not be read, or that two attributes contradict. They quote no
            text, as a damaged file may hold a name anywhere and notes go where names may not.
    """

    dataset: Dataset
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Remember `sentence`, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def has(self, keyword: str) -> bool:
        """Whether the attribute is there with a value, readable or not."""
        try:
            element = self.dataset.get_item(keyword)
        except PARSING_ERRORS:
            return True
        return element is not None and element.value not in (None, b"", "")

    def value(self, keyword: str) -> Any:
        """The value as pydicom gives it; None where it is absent, empty or damaged."""
        try:
            value = self.dataset.get(keyword)
        except PARSING_ERRORS:
            self.note(f"{keyword} is damaged and was ignored")
            return None
        return None if value is None or value == "" else value

    def text(self, keyword: str) -> str:
        """The value as printable text, several values joined by a backslash; "" where there is none."""
        value = self.value(keyword)
        parts = value if isinstance(value, MultiValue) else () if value is None else (value,)
        text = "\\".join(str(part) for part in parts)
        return "".join(c for c in text if c.isprintable()).strip()[:_LONGEST_TEXT]

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """All values as finite numbers; () where there is none, or where one of them is no number."""
        value = self.value(keyword)
        if value is None:
            return ()
        values: Iterable[Any] = value if isinstance(value, MultiValue | list | tuple) else (value,)
        try:
            numbers = tuple(float(v) for v in values)
        except (OverflowError, TypeError, ValueError):
            numbers = (math.nan,)
        if not all(math.isfinite(n) for n in numbers):
            self.note(f"{keyword} is no number and was ignored")
            return ()
        return numbers

    def number(self, keyword: str) -> float | None:
        """The first value as a finite number, or None."""
        numbers = self.numbers(keyword)
        return numbers[0] if numbers else None

    def items(self, keyword: str) -> tuple[Attributes, ...]:
        """The items of a sequence; their notes join these notes."""
        value = self.value(keyword)
        try:
            return tuple(Attributes(item, self.notes) for item in value or () if isinstance(item, Dataset))
        except PARSING_ERRORS:
            self.note(f"{keyword} is damaged and was ignored")
            return ()

    def required(self, keyword: str, low: int, high: int) -> int:
        """A whole number in low..high that the pixels cannot be read without.

        Raises:
            UnreadableImage: `bad_attributes`, if it is absent, damaged or outside.
        """
        number = self.number(keyword)
        if number is None or number != int(number) or not low <= number <= high:
            state = "missing" if number is None else f"{number:g}, outside {low} to {high}"
            raise UnreadableImage("bad_attributes", f"{keyword} is {state}", remedy="export the image again")
        return int(number)
