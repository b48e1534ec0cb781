"""Shared switches: what is not here is skipped by name."""

from __future__ import annotations

import matplotlib
import pytest

from tests.make import SHARED

matplotlib.use("Agg")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not SHARED.exists():
        for item in items:
            if "shared" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="shared: the development data beside the repository is absent"))
