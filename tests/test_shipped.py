"""The bundle that comes with osteon lies where the repository, the wheel and `osteon read` look for it."""

from __future__ import annotations

import tomllib
from pathlib import Path

from osteon.learn.detector.bundle import load
from osteon.verbs.reading import SHIPPED

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 12_000_000
"""Bytes that a repository can carry without being a burden."""


def test_the_folder_of_the_repository_is_the_one_that_is_installed() -> None:
    assert SHIPPED.parent.resolve() == ROOT / "bundles"
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["osteon"]
    assert "bundles/*/*" in data


def test_the_bundle_that_comes_with_osteon_is_small_and_says_what_it_is() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= LARGEST
    bundle = load(SHIPPED, "fracture")
    assert "CC BY 4.0" in bundle.origin.data and "Abedeen" in bundle.origin.data
    names = " ".join(figure.name for figure in bundle.origin.figures)
    assert all(what in names for what in ("AUROC", "average precision", "pointing game", "mAP50"))
    assert all(figure.model.low <= figure.model.value <= figure.model.high for figure in bundle.origin.figures[:4])
    assert any("hardware" in limit.lower() for limit in bundle.origin.limits)
    assert bundle.watch is not None
    assert "Research use only" in (SHIPPED / "README.md").read_text()
