"""Free text as it stands in a header → words that a table knows: encodings repaired, accents set aside, slips mended.

A word of a table is known under several *renderings*: `Schädel` as `schadel` and `schaedel`, and, since an accented
letter is what a wrong encoding destroys, with that letter gone (`schdel`) or as a wildcard (`sch*del`). A text is
rendered in the same way: whatever stands where an accented letter may have stood is `*`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

WILD = "*"
"""Stands for a run of letters that an encoding has destroyed."""

_ENCODINGS = ("cp1252", "cp437", "cp850", "mac_roman")
_EXPANDED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "œ": "oe", "æ": "ae", "ø": "o"}
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_DOTTED = re.compile(r"\b[^\W\d_](?:\.-?[^\W\d_])+(?![^\W_])\.?")
_ELIDED = re.compile(r"\b(?:d|l|dell|dall|all|nell|sull|qu)['’´`](?=\w)", re.IGNORECASE)
_THREE_QUARTERS = re.compile(r"(?<!\d)3/4(?!\d)(?!\s*v)|(?<![^\W\d_])¾|¾(?![^\W\d_])", re.IGNORECASE)
_WITH = re.compile(r"(?<!\S)([cw])/(?=\s*\w{3})", re.IGNORECASE)
_CAMEL = re.compile(r"(?<=[a-zß-ÿ])(?=[A-Z][a-z])")
_WORD = re.compile(r"(?:[a-zA-Z0-9?]|[^\x00-\x7f\s]|[\x00-\x08\x0e-\x1f\x7f])+")
_SIGNS = str.maketrans({"–": "-", "—": "-", "’": "'", "‐": "-", "−": "-", "\u00a0": " "})
_SHORTEST_DROPPED = 4  # letters left of a word whose accented letter is gone; fewer would be any word


@dataclass(frozen=True)
class Word:
    """A run of letters and digits.

    Attributes:
        plain: lower case without accents, `?` and signs left out.
        wild: the same with `*` for every run that may have been an accented letter.
        before: the signs between it and the word before it.
        dotted: a full stop follows, so that it may be an abbreviation.
        lost: a sign stands where a letter may have stood.
        last: it ends the text, so that it may be cut off.
    """

    plain: str
    wild: str
    before: str = ""
    lost: bool = False
    dotted: bool = False
    last: bool = False


def repaired(text: str) -> str:
    """The text with UTF-8 that was read as a one-byte code page (Windows, DOS, Macintosh) read as UTF-8.

    Runs of foreign characters are taken each for itself, since a text cut to sixteen characters may end in half a
    letter. A run is changed only if it becomes letters of Western European languages.
    """
    return _FOREIGN.sub(lambda run: _reread(run.group()), text)


def words(text: str) -> list[Word]:
    """The words of a text, after repair; `a.p.` is one word, `C-Spine` are two, `l'épaule` is one."""
    text = _THREE_QUARTERS.sub(" oblique ", repaired(text))
    text = _ELIDED.sub("", text).translate(_SIGNS)
    text = _WITH.sub(r" \1 ", _DOTTED.sub(lambda run: re.sub(r"[.-]", "", run.group()) + " ", text))
    text = _CAMEL.sub(" ", text).rstrip()
    found, end = [], 0
    for match in _WORD.finditer(text):
        raw = match.group()
        plain, wild = plain_of(raw), wild_of(raw)
        if plain or wild.strip(WILD):
            after = text[match.end() : match.end() + 1]
            lost = not raw.isalnum()
            last = match.end() == len(text)
            found.append(Word(plain, wild, text[end : match.start()], lost, after == ".", last))
            end = match.end()
    return found


def plain_of(text: str) -> str:
    """Lower case, accents set aside (ß → ss, œ → oe), only a–z and 0–9 kept: `Muñeca` → `muneca`."""
    letters = "".join(_EXPANDED[c] if c in "ßœæø" else c for c in text.lower())
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFD", letters))


def wild_of(text: str) -> str:
    """Lower case, each run of other characters than a–z and 0–9 as one `*`: `MU├æECA` → `mu*eca`."""
    return re.sub(r"[^a-z0-9]+", WILD, text.lower())


def renderings(word: str) -> tuple[list[str], list[str]]:
    """How a correctly spelt word may be written: (as meant, with its accented letters destroyed)."""
    letters = unicodedata.normalize("NFC", word.lower())
    exact = [plain_of(word)]
    if any(c in "äöü" for c in letters):
        exact.append(plain_of("".join(_EXPANDED.get(c, c) for c in letters)))
    if word.isascii():
        return exact, []
    choices = [(c,) if c.isascii() else (plain_of(c), "", WILD) for c in letters]
    broken = {re.sub(r"\*+", WILD, "".join(choice)) for choice in product(*choices)}
    long_enough = (form for form in broken if WILD in form or len(form) >= _SHORTEST_DROPPED)
    return exact, sorted(set(long_enough) - set(exact))


def nearest(word: str, choices: Iterable[str], *, shortest: int = 4) -> list[tuple[str, float]]:
    """The known words that a slip of the keyboard may have turned into this one, with how sure that is, best first.

    One letter doubled, left out, swapped with its neighbour or mistaken, two in words of nine letters. Words of four
    letters may only be swapped, doubled or short of one letter, and those of three are never guessed at: *Rand* is no
    *Hand*. `shortest` is the length from which a word is guessed at.
    """
    letters = len(word)
    if letters < shortest or word.isdigit():
        return []
    limit = 2 if letters >= 9 else 1
    scorer: Any = OSA.distance  # the hints of RapidFuzz do not let its own scorers pass
    close = process.extract(word, choices, scorer=scorer, score_cutoff=limit, limit=None)
    rated = [(known, _likeness(word, known, round(distance))) for known, distance, _ in close]
    return sorted(((known, sure) for known, sure in rated if sure), key=lambda pair: (-pair[1], pair[0]))


def _likeness(word: str, known: str, distance: int) -> float:
    """How sure it is that `word` is `known` with that many slips; 0 for what is not to be guessed."""
    if len(known) < 4 or WILD in known:
        return 0.0
    if distance == 2:
        return 0.75 if word[0] == known[0] else 0.0
    short = 0.05 * max(0, 6 - len(word))
    if sorted(word) == sorted(known):
        return 0.95 - short  # two neighbours swapped
    if len(word) == len(known) + 1:
        doubled = any(word[:i] + word[i + 1 :] == known and word[i] in word[i - 1 : i] for i in range(1, len(word)))
        return (0.95 if doubled else 0.85 if len(word) >= 6 else 0.0) - short
    if len(word) == len(known) - 1:
        return 0.9 - short
    return 0.85 - short if len(word) >= 5 and (word[0] == known[0] or len(word) >= 6) else 0.0


def _reread(run: str) -> str:
    for encoding in _ENCODINGS:
        try:
            read = b"".join(_byte(c, encoding) for c in run).decode("utf-8")
        except UnicodeError:
            continue
        if all("\u00a0" <= c <= "\u017f" or "\u2010" <= c <= "\u2026" for c in read):
            return read
    return run


def _byte(character: str, encoding: str) -> bytes:
    try:
        return character.encode(encoding)
    except UnicodeEncodeError:
        if "\x80" <= character <= "\x9f":  # the five bytes that cp1252 leaves undefined come through as controls
            return character.encode("latin-1")
        raise
