"""Text fields: every language can say every part and side, and every error does what it is called."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import default_rng

from osteon.phantom.free_text import ERRORS, LANGUAGES, OTHERS, draw_words, spoil
from osteon.phantom.limbs import SITES

PARTS = (*SITES, *OTHERS)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("part", PARTS)
def test_every_language_speaks_of_every_part(language, part):
    for view in ("PA", "AP", "LAT", "OBL"):
        words = draw_words(default_rng(1), part=part, side="L", view=view, language=language, errors=0, empty=0)
        assert words.body_part and words.study and words.errors == () and words.part == part
        assert "{" not in words.study + words.series + words.protocol


def test_a_part_has_many_spellings_and_errors_make_more():
    def spellings(errors: float) -> set[str]:
        return {
            draw_words(default_rng(s), part="wrist", side="R", view="PA", language=x, errors=errors).body_part
            for s in range(60)
            for x in LANGUAGES
        }

    assert len(spellings(0)) > 30 and len(spellings(0.5)) > 1.5 * len(spellings(0))


@given(st.text(min_size=1, max_size=30), st.sampled_from(ERRORS), st.integers(0, 1000))
def test_an_error_does_what_it_is_called(text, kind, seed):
    wrong = spoil(text, kind, default_rng(seed))
    length = {"dropped": -1, "doubled": 1, "swapped": 0, "unaccented": 0}.get(kind)
    if wrong != text and length is not None:
        assert len(wrong) == len(text) + length
    if kind == "swapped":
        assert sorted(wrong) == sorted(text)
    if kind == "mojibake":
        assert wrong.encode("latin-1").decode("utf-8") == text
    if kind == "cut":
        assert text.startswith(wrong)
    if kind == "padded":
        assert text in wrong


def test_empty_and_wrong_shares_are_those_asked_for():
    drawn = [
        draw_words(default_rng(s), part="hand", side="L", view="PA", language="es", errors=0.25, empty=0.2)
        for s in range(600)
    ]
    assert sum(w.body_part == "" for w in drawn) / 600 == pytest.approx(0.2, abs=0.05)
    assert 0.05 < sum(bool(w.errors) for w in drawn) / 600 < 0.25
