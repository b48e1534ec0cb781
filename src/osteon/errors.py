"""Every error that osteon raises on purpose, with its remedy and its exit code.

```text
OsteonError              70  something osteon did not foresee but can explain
├── UnknownName          64  a backbone, recipe, task or setting that no table lists
├── BadTable             65  a label table, manifest or predictions table that breaks its contract
├── UnreadableImage      65  a file that is not a radiograph osteon can read (carries a refusal code)
├── TooFewCases          65  one class only, fewer patients than folds, an empty folder
├── Leak                 65  a patient on both sides of a split
├── NotClean             65  a tree that should name nobody, and might
├── NotFound             66  a file or folder that is not there
├── MissingPackage       69  an optional package or system tool that this command needs
├── CannotWrite          73  a full disk, a read-only folder, the results of another command in the way
├── Diverged             74  a training run whose loss stopped being a number
├── GateFailed           77  a release that an audit speaks against
└── Mismatch             78  a bundle of another task, weights with another digest, a foreign checkpoint
```

The exit codes are those of BSD `sysexits.h`. Wrong command-line usage ends with 2, as everywhere else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class OsteonError(Exception):
    """What went wrong and where, in one sentence; `remedy` says what to do about it."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


class UnknownName(OsteonError):
    """A name that its table does not list; the remedy lists the right ones."""

    exit_code = 64


class BadTable(OsteonError):
    """A table whose columns or values break the contract documented in `osteon.tables`."""

    exit_code = 65


class UnreadableImage(OsteonError):
    """A file that is no readable radiograph. `code` is one of `osteon.types.REFUSAL_CODES`."""

    exit_code = 65

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders by their arguments; the default would drop `code`.
        return (_rebuild_unreadable, (self.code, self.message, self.remedy))


def _rebuild_unreadable(code: str, message: str, remedy: str) -> UnreadableImage:
    return UnreadableImage(code, message, remedy=remedy)


class TooFewCases(OsteonError):
    """Not enough cases, classes or patients for what was asked."""

    exit_code = 65


class Leak(OsteonError):
    """A patient (or group) on both sides of a split; the message names them."""

    exit_code = 65


class NotClean(OsteonError):
    """Files that should name nobody, and hold what might."""

    exit_code = 65


class NotFound(OsteonError):
    """A file or folder that does not exist."""

    exit_code = 66


class MissingPackage(OsteonError):
    """A package or system tool that is not installed."""

    exit_code = 69


class CannotWrite(OsteonError):
    """A result could not be written; earlier results are as they were."""

    exit_code = 73


class Diverged(OsteonError):
    """Training stopped because the loss was no longer a number."""

    exit_code = 74


class GateFailed(OsteonError):
    """An audit speaks against a release; its results are written."""

    exit_code = 77


class Mismatch(OsteonError):
    """Two things that do not belong together: bundle and task, weights and digest, checkpoint and settings."""

    exit_code = 78


def unknown_name(kind: str, name: str, known: Iterable[object]) -> UnknownName:
    """The error for a name that a table does not hold; lists those that it does."""
    names = ", ".join(sorted(map(str, known)))
    return UnknownName(f"there is no {kind} named {name!r}", remedy=f"choose one of: {names}")
