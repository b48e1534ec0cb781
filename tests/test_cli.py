"""Every command has its page, its options are on it, and its example there is the one of its help."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from osteon.cli import app

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def section(name: str) -> str:
    found = re.search(rf"^## osteon {name}$(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    assert found, f"docs/reference/commands.md has no section on osteon {name}"
    return found[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_its_page_with_every_option(name: str) -> None:
    options = {o for p in COMMANDS[name].params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    assert {o for o in options if o not in section(name)} == {"--help"} & options


@pytest.mark.parametrize("name", COMMANDS)
def test_its_help_shows_an_example_of_that_command(name: str) -> None:
    example = re.search(r"`(.*)`", COMMANDS[name].epilog)
    assert example
    assert example[1].startswith(f"osteon {name} ")


def test_the_stairs_are_in_order() -> None:
    assert re.findall(r"^## osteon (\w+)$", PAGE, re.M) == list(COMMANDS)


def test_the_version_is_printed() -> None:
    done = subprocess.run([sys.executable, "-m", "osteon", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"osteon \d+\.\d+\.\d+", done.stdout.strip())


def test_wrong_usage_ends_with_2() -> None:
    done = subprocess.run([sys.executable, "-m", "osteon", "split"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Missing argument" in done.stderr
