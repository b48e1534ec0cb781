"""The tables of words, read once: which words and phrases say what, in seven languages.

The tables are `words/*.toml`, one a language; `docs/reference/bodypart.md` tells how to extend them.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

from osteon.dataset import spelling

LONGEST = 5
"""Words in the longest phrase that is looked for."""

Key = tuple[str, ...]


@dataclass(frozen=True)
class Sense:
    """One thing that a word may say.

    Attributes:
        kind: the section of the table: part, rib, weak, first, region, side, view, outside, with, known or small.
        value: the name within the section.
        both: a plural that means both sides.
    """

    kind: str
    value: str
    both: bool = False


@dataclass(frozen=True, eq=False)
class Lexicon:
    """All tables together.

    Attributes:
        senses: words of a phrase in alphabetical order, without accents → what it may say.
        spelt: rendering → the known word, and whether it is spelt as meant.
        partners: word → the words that make a name of a part with it, and with it alone.
        small: words that phrases do without (of, de, der).
        guessed: the renderings, in order, that a slip may have turned into something else.
        endings: what German compounds end in without changing the part.
    """

    senses: dict[Key, tuple[Sense, ...]]
    spelt: dict[str, tuple[str, bool]]
    guessed: tuple[str, ...]
    partners: dict[str, frozenset[str]]
    small: frozenset[str]
    endings: tuple[str, ...]

    def phrase(self, words: Key) -> tuple[Sense, ...]:
        """What these words say together, small words counted first and then left out; () if nothing."""
        found = self.senses.get(tuple(sorted(words)))
        if found is None and len(words) > 1:
            found = self.senses.get(tuple(sorted(word for word in words if word not in self.small)))
            # A phrase less its small words must still be one: “en cama” is not the “cama” that is a leg.
            if found is not None and (words[0] in self.small or words[-1] in self.small):
                found = None
        return found or ()

    def beginning(self, form: str) -> list[str]:
        """The known words with a rendering that begins so."""
        start, end = bisect_left(self.guessed, form), bisect_left(self.guessed, form + "~")
        return list(dict.fromkeys(self.spelt[rendering][0] for rendering in self.guessed[start:end]))


@cache
def lexicon() -> Lexicon:
    """The tables of all languages as one."""
    senses: dict[Key, tuple[Sense, ...]] = {}
    spelt: dict[str, tuple[str, bool]] = {}
    broken: dict[str, str] = {}
    small: set[str] = set()
    endings: list[str] = []
    for sense, name in _entries():
        if sense.kind == "ending":
            endings.append(spelling.plain_of(name))
            continue
        parts = [word for word in _split(name) if word]
        plain = [spelling.plain_of(word) for word in parts]
        for word, known in zip(parts, plain, strict=True):
            exact, others = spelling.renderings(word)
            spelt.update({form: (known, True) for form in exact if form not in spelt})
            broken.update({form: known for form in others if form not in broken})
        if sense.kind == "small":
            small.update(plain)
        key = tuple(sorted(plain))
        if sense not in senses.get(key, ()):
            senses[key] = (*senses.get(key, ()), sense)
    spelt |= {form: (known, False) for form, known in broken.items() if form not in spelt}
    guessed = sorted(form for form, (_, exact) in spelt.items() if exact and len(form) >= 4)
    return Lexicon(
        senses,
        spelt,
        tuple(guessed),
        _partners(senses),
        frozenset(small),
        tuple(sorted(endings, key=len, reverse=True)),
    )


def _partners(senses: dict[Key, tuple[Sense, ...]]) -> dict[str, frozenset[str]]:
    pairs = [key for key, found in senses.items() if len(key) == 2 and any(sense.kind == "part" for sense in found)]
    partners: dict[str, set[str]] = {}
    for one, other in pairs:
        partners.setdefault(one, set()).add(other)
        partners.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in partners.items()}


def _entries() -> Iterator[tuple[Sense, str]]:
    """Every name of every table with its sense, alternatives and plurals written out."""
    tables = sorted((entry for entry in files("osteon.dataset").joinpath("words").iterdir()), key=lambda e: e.name)
    for table in tables:
        for kind, lines in tomllib.loads(table.read_text(encoding="utf-8")).items():
            for value, names in lines.items():
                for name in (name.strip() for name in names.split(",")):
                    one, slash, many = name.partition("/") if kind in ("part", "rib") else (name, "", "")
                    yield from ((Sense(kind, value), form) for form in _alternatives(one) if form)
                    yield from ((Sense(kind, value, both=True), form) for form in _alternatives(many) if slash)


def _alternatives(name: str) -> list[str]:
    """`radius distal|inférieur` → the two phrases."""
    return [" ".join(choice) for choice in product(*(word.split("|") for word in name.split()))]


def _split(name: str) -> list[str]:
    return name.replace("-", " ").replace("/", " ").replace("+", " ").replace(".", "").replace("'", " ").split()
