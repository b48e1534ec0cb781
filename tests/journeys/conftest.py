"""One small demo, run once; the journeys look at what it left."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from osteon.demo import demo
from osteon.phantom.plan import Plan
from osteon.types import silent
from osteon.verbs import Done

SMALL = Plan(patients=30, rows=320, columns=256)


def run_demo(out: Path) -> Done:
    return demo(out, SMALL, seed=3, workers=2, bars=lambda _: nullcontext(silent), tell=lambda _: None)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished demo; read it, do not write into it."""
    out = tmp_path_factory.mktemp("path") / "demo"
    run_demo(out)
    return out


@pytest.fixture
def osteon(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """The command line, as a function from words to (exit code, stdout, stderr)."""
    from osteon.cli import main

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["osteon", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
            raise SystemExit(0)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run
