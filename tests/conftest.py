"""Shared switches: what is not here is skipped by name."""

from __future__ import annotations

import shutil

import matplotlib
import pytest

from tests.make import SHARED

matplotlib.use("Agg")


PROGRAMS = {"dcmtk": ("dcm2pnm", "dcmj2pnm", "dcml2pnm"), "dicom3tools": ("dciodvfy",), "libgdcm-tools": ("gdcmconv",)}
"""Debian package of `make system` → what tests call of it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("shared") and not SHARED.exists():
            item.add_marker(pytest.mark.skip(reason="shared: the development data beside the repository is absent"))
        needed = item.get_closest_marker("system")
        for package in needed.args if needed else ():
            if not all(map(shutil.which, PROGRAMS[package])):
                item.add_marker(pytest.mark.skip(reason=f"system: needs the package {package}: make system"))
