"""Shared switches: what is not here is skipped by name; properties are tried on the same examples in every run."""

from __future__ import annotations

import shutil

import matplotlib
import pytest
from hypothesis import settings

from tests.make import SHARED

matplotlib.use("Agg")

# A red run means a change broke something, not that this run drew a rare example; `--hypothesis-profile=explore` looks
# for those. No deadline: two busy cores say nothing about the code.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("fixed")


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
