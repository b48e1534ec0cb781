"""Dates and times moved by whole days, so that order and intervals stay (PS3.15 section E.3.6).

Times of day stay as they are: a shift by whole days keeps them true to each other, and the order of images in a study
hangs on them. What is no date by the grammar of PS3.5 section 6.2 could be anything, and nothing is left of it.
"""

from __future__ import annotations

import re
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})[.]?(\d{2})[.]?(\d{2})", re.ASCII)  # with points: the form of ACR-NEMA
_TIME = re.compile(r"([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d|60)?(\.\d{1,6})?|([01]\d|2[0-3])", re.ASCII)
_DATETIME = re.compile(r"(\d{8})(\d{2,6}(?:\.\d{1,6})?)?([+-]\d{4})?", re.ASCII)


def shifted(text: str, vr: str, days: int) -> str:
    """A value `days` earlier.

    Args:
        text: one value of the attribute.
        vr: DA, DT or TM. The offset from UTC in a DT, which tells a region, is left out.
        days: at least 1; no effect on TM.

    Returns:
        The new value, "" where `text` is no whole date or no time: a year alone cannot be moved by days.
    """
    text = text.strip(" \0")
    if vr == "TM":
        return text if _TIME.fullmatch(text) else ""
    if vr == "DA":
        return _earlier(text, days)
    match = _DATETIME.fullmatch(text)
    if match is None or (match[2] and not _TIME.fullmatch(match[2])):
        return ""
    day = _earlier(match[1], days)
    return day and day + (match[2] or "")


def age_between(birth: str, then: str) -> str:
    """The age at a date, as an AS of PS3.5 section 6.2: months below two years, whole years above; "" if unknown.

    Args:
        birth, then: dates (DA).
    """
    first, second = _day(birth), _day(then)
    if first is None or second is None or second < first:
        return ""
    months = 12 * (second.year - first.year) + second.month - first.month - (second.day < first.day)
    return f"{months:03d}M" if months < 24 else f"{min(months // 12, 999):03d}Y"


def _day(text: str) -> date | None:
    match = _DATE.fullmatch(text.strip(" \0"))
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _earlier(text: str, days: int) -> str:
    day = _day(text)
    try:
        return f"{day - timedelta(days=days):%Y%m%d}".rjust(8, "0") if day else ""
    except OverflowError:
        return ""
