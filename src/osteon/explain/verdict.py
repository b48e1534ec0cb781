"""Which methods may be shown to readers for a bundle: a rule on what `osteon.explain.checks` measured, kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from osteon.errors import BadTable
from osteon.explain.checks import FIGURES, Check
from osteon.types import Estimate


@dataclass(frozen=True)
class Rule:
    """What a method must show. All limits are on the end of a 95 % interval that is worse for the method.

    Attributes:
        images: cases on which it has a map, at least. With fewer, an interval says little.
        without: share of cases without a map, at most.
        likeness: to the maps of the shuffled network, less than this. At 0.5 a quarter of the variance of the ranks is
            shared with a network that knows nothing.
        pointing_gain: share of hits over the better of chance and centre, more than this.
        deletion_gain: fall of the logit over the better of random order and brightest first, more than this.
    """

    images: int = 30
    without: float = 0.1
    likeness: float = 0.5
    pointing_gain: float = 0.0
    deletion_gain: float = 0.0


RULE = Rule()

UNCHECKED = "grad-cam"
"""What is drawn for a bundle whose methods nobody has checked."""


@dataclass(frozen=True)
class Verdict:
    """Whether a method may be shown, and what speaks against it.

    Attributes:
        method: its name.
        reasons: one phrase for each condition that it does not meet; none if it may be shown.
    """

    method: str
    reasons: tuple[str, ...] = ()

    @property
    def shown(self) -> bool:
        """Whether it may be shown to readers."""
        return not self.reasons


def passes(checks: Mapping[str, Check], rule: Rule = RULE) -> dict[str, Verdict]:
    """Method → verdict. What could not be measured does not pass."""
    return {method: Verdict(method, tuple(_against(check, rule))) for method, check in checks.items()}


def _against(check: Check, rule: Rule) -> list[str]:
    if check.images == check.without:
        return [f"not available: {check.missing}"]
    measured = check.images - check.without
    if measured < rule.images:  # too few to say which of the conditions it would not meet
        return [f"measured on {measured} image{'s' * (measured > 1)}, fewer than {rule.images}"]
    against = []
    if check.without > rule.without * check.images:
        against.append(f"no map on {check.without} of {check.images} images ({check.missing})")
    if not check.likeness.high < rule.likeness:  # NaN compares as false, so it does not pass
        against.append(f"too like the map of a shuffled network: {check.likeness}")
    if not check.pointing_gain.low > rule.pointing_gain:
        against.append(f"points no better than a place that knows nothing of the lesion: {check.pointing_gain}")
    if not check.deletion_gain.low > rule.deletion_gain:
        against.append(f"the score falls no faster in its order than in one without a map: {check.deletion_gain}")
    return against


def to_json(checks: Mapping[str, Check], data: str, rule: Rule = RULE) -> dict[str, Any]:
    """What a bundle keeps of the checks: data, rule, and for each method verdict and figures.

    Args:
        checks: of `summed_up`.
        data: what they were measured on, in words.
        rule: that decided.
    """
    verdicts = passes(checks, rule)
    return {
        "data": data,
        "rule": asdict(rule),
        "methods": {
            method: {
                "shown": verdicts[method].shown,
                "reasons": list(verdicts[method].reasons),
                "images": check.images,
                "without": check.without,
                "figures": {name: _numbers(getattr(check, name)) for name in FIGURES},
            }
            for method, check in checks.items()
        },
    }


def methods_shown(record: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The methods that a bundle's record lets a reader see, in its order; none without a record.

    Raises:
        BadTable: if the record is damaged.
    """
    if record is None:
        return ()
    try:
        return tuple(str(method) for method, kept in record["methods"].items() if _yes_or_no(kept["shown"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise BadTable(
            f"the record of checked explanations is damaged ({type(error).__name__}: {error})",
            remedy="check the methods of the bundle again",
        ) from error


def for_readers(record: Mapping[str, Any] | None) -> tuple[str, str]:
    """The method whose map a reader sees for a bundle with this record, and what the reader should know of it.

    Of those that may be shown it is the one that points best. Without a record it is Grad-CAM, and the note says that
    nobody has checked it; if none may be shown, the method is "".

    Raises:
        BadTable: as `methods_shown`.
    """
    if record is None:
        return UNCHECKED, f"overlay by {UNCHECKED}, which has not been checked for this bundle"
    shown = methods_shown(record)
    if not shown:
        return "", "no overlay, since no method of explanation has passed the checks for this bundle"
    best = max(
        shown, key=lambda method: record["methods"][method].get("figures", {}).get("pointing", {}).get("value", 0)
    )
    return best, f"overlay by {best}"


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"shown is yes or no, not {value!r}")
    return value


def _numbers(figure: Estimate) -> dict[str, Any]:
    """JSON has no NaN: what is not known is null."""
    known = {key: getattr(figure, key) for key in ("value", "low", "high")}
    numbers: dict[str, Any] = {key: None if np.isnan(number) else round(number, 6) for key, number in known.items()}
    return {**numbers, "n": figure.n, "note": figure.note}
