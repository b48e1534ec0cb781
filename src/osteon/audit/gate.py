"""The verdict: may a model be released, as far as shortcuts go?

The effect is the AUROC that an attribute carries (`osteon.audit.shortcuts`). The gate fails if for any attribute the
lower end of its interval, corrected for the number of attributes, lies above the threshold: then there is a shortcut of
that size, at an error rate of 2.5 % for the whole audit. A wide interval never fails a model by itself, and never
clears it: such an attribute is called undecided, and the verdict names it. An attribute that goes together with the
label so closely that no class holds it in two forms fails the gate: what the model reads then cannot be known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from osteon.audit.attributes import Unavailable
from osteon.audit.shortcuts import Shortcut

THRESHOLD = 0.05
"""AUROC that an attribute may carry. Half of the gain over the best floor that osteon's first model had on real
radiographs (0.10): a figure of which an attribute carries more is no longer mostly about bone."""

SHORTCUT, RULED_OUT, UNDECIDED, CONFOUNDED, ALLOWED = "shortcut", "ruled out", "undecided", "confounded", "allowed"

MEANING = {
    SHORTCUT: "carries more than the threshold, beyond chance",
    CONFOUNDED: "goes together with the label: what the model reads cannot be known from these cases",
    UNDECIDED: "may carry more than the threshold or less: the interval holds both",
    RULED_OUT: "carries less than the threshold, beyond chance",
    ALLOWED: "carries more than the threshold, and whoever ran the audit allowed it",
}
"""Finding → what it means for one attribute."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says.

    Attributes:
        passed: None if there was nothing to decide on.
        findings: attribute → one of MEANING.
        threshold: AUROC that an attribute may carry.
        tests: attributes that the intervals are corrected for.
        said: the verdict in a sentence or two.
    """

    passed: bool | None
    findings: dict[str, str]
    threshold: float
    tests: int
    said: str


def decide(
    shortcuts: Sequence[Shortcut],
    unavailable: Sequence[Unavailable] = (),
    *,
    allowed: Collection[str] = (),
    threshold: float = THRESHOLD,
) -> Verdict:
    """The verdict on all attributes together.

    Args:
        shortcuts: all that were examined.
        unavailable: what could not be; the verdict says how many.
        allowed: names of attributes that do not fail the gate, such as a body part that a model may well tell.
        threshold: AUROC that an attribute may carry.
    """
    findings = {s.name: _finding(s, s.name in allowed, threshold) for s in shortcuts}
    titles = {s.name: s.title for s in shortcuts}
    of = {kind: [titles[name] for name, finding in findings.items() if finding == kind] for kind in MEANING}
    left = f" {_count(len(unavailable), 'attribute')} could not be audited." if unavailable else ""
    if not shortcuts:
        said = f"No verdict: there was no attribute to audit.{left}"
        return Verdict(None, findings, threshold, 0, said)
    passed = not (of[SHORTCUT] or of[CONFOUNDED])
    parts = [
        f"{_count(len(shortcuts), 'attribute')} examined; none may carry more than {threshold:g} of the AUROC.",
        _told(of[SHORTCUT], "carries more", "carry more"),
        _told(of[CONFOUNDED], "cannot be told from the label", "cannot be told from the label"),
        _told(of[ALLOWED], "carries more and was allowed", "carry more and were allowed"),
        _told(of[UNDECIDED], "is undecided", "are undecided"),
    ]
    return Verdict(
        passed,
        findings,
        threshold,
        len(shortcuts),
        f"{'Pass' if passed else 'Fail'}. {' '.join(filter(None, parts))}{left}",
    )


def _finding(shortcut: Shortcut, allowed: bool, threshold: float) -> str:
    found = shortcut.carried
    if np.isnan(found.low):
        return ALLOWED if allowed else CONFOUNDED
    if found.low > threshold:
        return ALLOWED if allowed else SHORTCUT
    return RULED_OUT if found.high < threshold else UNDECIDED


def _told(titles: Sequence[str], one: str, many: str) -> str:
    if not titles:
        return ""
    names = " and ".join(filter(None, (", ".join(titles[:-1]), titles[-1])))
    return f"{names} {one if len(titles) == 1 else many}."


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"
