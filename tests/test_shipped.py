"""What comes with osteon lies where the repository, the wheel and `osteon read` look for it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from osteon.verbs.reading import SHIPPED

ROOT = Path(__file__).resolve().parents[1]


def test_the_folder_of_the_repository_is_the_one_that_is_installed() -> None:
    assert SHIPPED.parent.resolve() == ROOT / "bundles"
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["osteon"]
    assert "bundles/*/*" in data
