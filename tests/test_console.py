"""What a command shows while it works."""

from __future__ import annotations

import io
import re
from functools import partial

import pytest
from rich.console import Console

from osteon import console


def test_long_work_is_shown_with_its_rate_and_its_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    terminal = partial(Console, file=told, force_terminal=True, width=120)
    monkeypatch.setattr(console, "Console", lambda stderr: terminal())
    monkeypatch.setattr(console, "SECONDS_BEFORE_A_BAR", 0.0)
    with console.bars("prepare", quiet=False) as watch:
        for done in (40, 41, 60):
            watch(done, 100)
            watch.refused(3)
    assert "60/100" in told.getvalue()
    assert "3 refused" in told.getvalue()
    assert re.search(r"\d+\.\d/s", told.getvalue())


def test_nobody_watches_no_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SECONDS_BEFORE_A_BAR", 0.0)
    with console.bars("prepare", quiet=True) as watch:
        watch(1, 2)
        watch.refused(1)
    assert capsys.readouterr().err == ""
