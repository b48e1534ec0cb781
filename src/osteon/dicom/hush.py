"""pydicom quotes the values that it warns of, and a damaged file may hold a name anywhere: no warning leaves here."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed() -> Iterator[list[warnings.WarningMessage]]:
    """Collect the warnings of a block, and keep pydicom from writing them to a log that the caller has set up.

    Warnings and logs belong to the whole process, so that this is not safe between threads: read in processes.

    Yields:
        The warnings, as they come.
    """
    log = logging.getLogger("pydicom")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    finally:
        log.disabled = before
