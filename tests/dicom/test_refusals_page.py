"""The page of refusals and the table in the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

from osteon.types import REFUSAL_CODES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "refusals.md"


def test_the_page_lists_every_code_in_order_with_its_meaning_and_a_remedy() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert {code: meaning for code, meaning, _ in rows} == REFUSAL_CODES
    assert [code for code, _, _ in rows] == list(REFUSAL_CODES)
    assert all(remedy.strip() for _, _, remedy in rows)
