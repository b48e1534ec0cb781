"""One text of a header → what its words say: parts, regions, a side, projections, and how sure each is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from osteon.dataset import spelling
from osteon.dataset.lexicon import LONGEST, Lexicon, Sense, lexicon
from osteon.dataset.spelling import Word

Votes = dict[str, tuple[float, str]]
"""Part → (how sure, the words)."""

OUTSIDE = "outside"
"""The part of what is none of the parts: abdomen, teeth, a film of many parts, a contrast study."""

_WITHIN = (
    *(("finger", "finger", "hand"), ("toe", "toe", "foot"), ("toe", "finger", "foot"), ("toe", "toe", "finger")),
    ("face", "face", "skull"),
)  # (what is meant, by one, and the other): a digit and a foot are a toe
_UPPER = ("clavicle", "shoulder", "humerus", "elbow", "forearm", "wrist", "hand", "finger")
_LOWER = ("pelvis", "hip", "femur", "knee", "lower leg", "ankle", "foot", "toe")
_REGIONS = {
    "upper": _UPPER,
    "lower": _LOWER,
    "limb": _UPPER + _LOWER,
    "spine": ("cervical spine", "thoracic spine", "lumbar spine"),
    "neck": ("cervical spine",),
}
_JOINS = frozenset(("y", "i", "e", "et", "und", "and", "u", "o", "ou", "oder", "or"))
_TIMID = frozenset(("d", "e", "g", "i", "s", "sin", "der"))  # letters and words that are a side only behind a part
_CUT = 15  # characters of a text that may have been cut at sixteen
_UNKNOWN = 3  # unknown words of a sentence, in which slips are not guessed at
_DESTROYED, _GLUED, _ABBREVIATED, _CLIPPED = 0.97, 0.95, 0.95, 0.85  # how sure words are that are not as spelt


@dataclass(frozen=True)
class Found:
    """Words of a text that the tables know, or one that they do not.

    Attributes:
        senses: what they may say; () if nothing.
        text: the words as they stand, less accents.
        sure: 0..1.
        known: the first of them, as the tables know it.
        place: its number in the text.
        joined: a sign such as `/` or a word such as *and* ties it to what stands before.
    """

    senses: tuple[Sense, ...]
    text: str
    sure: float
    known: str
    place: int
    joined: bool

    def values(self, *kinds: str) -> set[str]:
        return {sense.value for sense in self.senses if sense.kind in kinds}

    @property
    def names(self) -> bool:
        return bool(self.values("part", "rib", "weak", "first", "region"))


@dataclass(frozen=True)
class Reading:
    """What one text says.

    Attributes:
        firm: votes of words that mean a part, or OUTSIDE, wherever they stand.
        weak: votes of words that mean a part only if nothing else is named.
        torn: a region was named that the part does not lie in, so that this text names two.
        side: "L", "R", "B" or "".
        views: projections named.
        ribs: ribs were named, the paired part of the chest.
    """

    firm: Votes = field(default_factory=dict)
    weak: Votes = field(default_factory=dict)
    torn: bool = False
    side: str = ""
    views: frozenset[str] = frozenset()
    ribs: bool = False

    def parts(self, firm: bool) -> set[str]:
        return set(self.firm if firm else self.weak)

    def sure(self, part: str) -> float:
        return (self.firm if part in self.firm else self.weak)[part][0]

    def said(self, part: str) -> str:
        return f"“{(self.firm if part in self.firm else self.weak)[part][1]}”"

    @property
    def only(self) -> str:
        """The one part that its words name at all, or ""."""
        parts = set(self.firm) | set(self.weak)
        return min(parts) if len(parts) == 1 else ""


@lru_cache(maxsize=65536)
def read(text: str) -> Reading:
    """What the text says; any text gives a reading, which may be empty."""
    if not text or text.isspace():
        return Reading()
    found, rest = _before_with(_phrases(_known(spelling.words(text), lexicon()), lexicon()))
    firm, weak, torn = _voted(found)
    views = frozenset(_views_of(found) | _views_of(rest))
    return Reading(firm, weak, torn, _side_of(found), views, any(entry.values("rib") for entry in found))


@dataclass(frozen=True)
class Token:
    """A word, the known word that it is taken for ("" if none), and how sure that is."""

    word: Word
    known: str
    sure: float


def _known(words: Sequence[Word], table: Lexicon) -> list[Token]:
    """Each word as the tables know it; a word in which two are glued together becomes two."""
    cut = sum(len(word.plain) + 1 for word in words) >= _CUT
    tokens: list[Token] = []
    for word in words:
        tokens += (
            _as_spelt(word, table)
            or _glued(word, table)
            or _shortened(word, table, cut and word.last)
            or [Token(word, "", 0.0)]
        )
    if sum(not token.known and not token.word.plain[:1].isdigit() for token in tokens) > _UNKNOWN:
        return tokens
    tokens = [token if token.known else _mended(token.word, table) for token in tokens]
    for at, token in enumerate(tokens):
        if not token.known:  # “ate brazo”: beside the other half of a name, three letters are enough
            beside = [near.known for near in (*tokens[max(at - 1, 0) : at], *tokens[at + 1 : at + 2])]
            halves = {half for known in beside for half in table.partners.get(known, ())}
            near = spelling.nearest(token.word.plain, sorted(halves), shortest=3)
            tokens[at] = Token(token.word, *near[0]) if near else token
    return tokens


def _as_spelt(word: Word, table: Lexicon) -> list[Token]:
    forms = (word.wild, word.plain) if word.lost else (word.plain, word.wild)
    for form in (*forms, word.wild.strip(spelling.WILD)):
        if form in table.spelt:
            known, exact = table.spelt[form]
            return [Token(word, known, 1.0 if exact and form == word.plain else _DESTROYED)]
    return []


def _glued(word: Word, table: Lexicon) -> list[Token]:
    """`RHAND`, `WRISTLT`, `Femurschaft`: a part with a side or a projection, a number or a German ending."""
    for ending in table.endings:
        stem = word.plain.removesuffix(ending)
        if stem != word.plain and _is_part(stem, table):
            return [Token(word, table.spelt[stem][0], _GLUED)]
    plain = re.sub(r"^\d+|\d+[a-z]{0,2}$", "", word.plain)
    if plain != word.plain and _is_part(plain, table):
        return [Token(word, table.spelt[plain][0], _GLUED)]
    for middle in range(1, len(plain)):
        halves = plain[:middle], plain[middle:]
        for part, other in (halves, halves[::-1]):
            if _is_part(part, table) and _tells(other, table):
                return [Token(word, table.spelt[half][0], _GLUED) for half in halves]
    return []


def _is_part(form: str, table: Lexicon) -> bool:
    """Whether it is, of at least four letters, a word that means a part by itself."""
    if len(form) < 4 or form not in table.spelt:
        return False
    return any(sense.kind == "part" for sense in table.phrase((table.spelt[form][0],)))


def _tells(form: str, table: Lexicon) -> bool:
    """Whether it is a side or a projection that may be glued to a part."""
    if form not in table.spelt or form in _TIMID:
        return False
    return any(sense.kind in ("side", "view") for sense in table.phrase((table.spelt[form][0],)))


def _shortened(word: Word, table: Lexicon, cut: bool) -> list[Token]:
    """The word of which this is the beginning, if all words that begin so say the same."""
    marked = word.dotted or cut
    if len(word.plain) < (3 if marked else 4):
        return []
    longer = [known for known in table.beginning(word.plain) if table.phrase((known,))]
    meanings = {frozenset((sense.kind, sense.value) for sense in table.phrase((known,))) for known in longer}
    return [Token(word, min(longer, key=len), _ABBREVIATED if marked else _CLIPPED)] if len(meanings) == 1 else []


def _mended(word: Word, table: Lexicon) -> Token:
    """The nearest known word, unless two that say different things are as near."""
    near = _nearest(word.plain)
    best = {table.spelt[form][0]: table.phrase((table.spelt[form][0],)) for form, sure in near if sure == near[0][1]}
    meanings = {frozenset((s.kind, s.value) for s in senses) or known for known, senses in best.items()}
    if len(meanings) != 1:
        return Token(word, "", 0.0)
    return Token(word, min(best, key=lambda known: any(sense.both for sense in best[known])), near[0][1])


@lru_cache(maxsize=65536)
def _nearest(form: str) -> tuple[tuple[str, float], ...]:
    return tuple(spelling.nearest(form, lexicon().guessed))


def _phrases(tokens: Sequence[Token], table: Lexicon) -> list[Found]:
    """The longest phrases from left to right; words that say nothing are left out, but tie what follows them."""
    found: list[Found] = []
    at, joined = 0, False
    while at < len(tokens):
        for end in range(min(len(tokens), at + LONGEST), at, -1):
            window = tokens[at:end]
            senses = table.phrase(tuple(token.known for token in window)) if all(t.known for t in window) else ()
            if senses:
                break
        joined = joined or any(sign in tokens[at].word.before for sign in "/+&-,")
        if senses:
            text = " ".join(token.word.plain for token in window)
            entry = Found(senses, text, min(token.sure for token in window), window[0].known, len(found), joined)
            found.append(entry)
            joined = len(window) == 1 and window[0].known in _JOINS
            at = end
        else:
            found.append(Found((), tokens[at].word.plain, 0.0, tokens[at].known, len(found), joined))
            joined = tokens[at].known in _JOINS
            at += 1
    return found


def _before_with(found: list[Found]) -> tuple[list[Found], list[Found]]:
    """*X with Y* is X: (what stands before the *with*, what stands behind it)."""
    for index, entry in enumerate(found):
        before, behind = found[:index], found[index + 1 :]
        if entry.values("with") and any(e.names for e in before) and any(e.names for e in behind):
            return before, [replace(entry, place=place) for place, entry in enumerate(behind)]
    return found, []


def _voted(found: Sequence[Found]) -> tuple[Votes, Votes, bool]:
    """(firm votes, weak votes, whether a region was named that the part does not lie in)."""
    firm, weak = _votes(found, "part", "rib"), _votes(found, "weak")
    firm = _votes(found, "first") or firm
    outside = [entry for entry in found if entry.values("outside")]
    if outside:
        return {OUTSIDE: (outside[0].sure, outside[0].text)}, {}, False
    listed = any(entry.joined for entry in found if entry.values("part", "weak"))
    for meant, one, other in _WITHIN:
        if not listed and one in firm and other in firm:
            firm = {part: vote for part, vote in firm.items() if part not in (one, other)} | {meant: firm[one]}
    regions = {region for entry in found for region in entry.values("region")}
    torn = any(part not in _REGIONS[region] for part in firm for region in regions)
    return firm, weak, torn


def _votes(found: Sequence[Found], *kinds: str) -> Votes:
    votes: Votes = {}
    for entry in found:
        for part in entry.values(*kinds):
            if entry.sure > votes.get(part, (0.0, ""))[0]:
                votes[part] = (entry.sure, entry.text)
    return votes


def _side_of(found: Sequence[Found]) -> str:
    sides = {side for entry in found for side in entry.values("side") if _is_side(entry, found)}
    if len(sides) == 1:
        return sides.pop()
    both = any(_is_plural(entry) for entry in found)
    return "B" if sides or both else ""


def _is_plural(entry: Found) -> bool:
    """Whether it is a plural that means both sides, and the singular in no other language."""
    named = [sense.both for sense in entry.senses if sense.kind in ("part", "rib", "weak")]
    return bool(named) and all(named)


def _is_side(entry: Found, found: Sequence[Found]) -> bool:
    """Whether a word that may be a side is one here: `DX` opens an English text, `E` joins two views."""
    before = found[entry.place - 1] if entry.place else None
    behind = found[entry.place + 1] if entry.place + 1 < len(found) else None
    if entry.known == "l" and entry.joined and before and _views(found[: entry.place]):
        return False  # AP/L: anteroposterior and lateral
    if entry.known == "dx" and before is None:
        return behind is None
    if entry.known not in _TIMID or len(found) == 1:
        return True
    if before is None or not (before.names or before.values("side", "view")):
        return False
    if behind is None or entry.known == "s":
        return behind is None
    if entry.known in _JOINS:
        return before.names and not behind.names and not behind.values("side")
    return not behind.names


def _views_of(found: Sequence[Found]) -> set[str]:
    views = _views(found)
    if "AP" in views or "PA" in views or "front" in views:
        for entry in found:
            if entry.known == "l" and entry.joined and not _is_side(entry, found):
                views.add("LAT")
    return views


def _views(found: Sequence[Found]) -> set[str]:
    return {view for entry in found for view in entry.values("view")}
