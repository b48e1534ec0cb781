"""Settings are read once, and a wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from osteon import settings
from osteon.errors import BadTable, UnknownName


def test_environment_wins_over_file_and_file_over_default(tmp_path: Path) -> None:
    file = tmp_path / "osteon.toml"
    file.write_text('workers = 3\nthreads = 1\nweights = "here"\n')
    got = settings.load(file, {"OSTEON_WORKERS": "5"})
    assert got == settings.Settings(workers=5, threads=1, weights="here")
    assert got.worker_count == 5


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("worker = 3", UnknownName, "threads, weights, workers"),
        ("workers = 'many'", BadTable, "whole number"),
        ("workers = -1", BadTable, "negative"),
        ("workers = ", BadTable, "TOML"),
    ],
)
def test_wrong_settings_say_what_is_right(tmp_path: Path, text: str, error: type[Exception], words: str) -> None:
    file = tmp_path / "osteon.toml"
    file.write_text(text)
    with pytest.raises(error, match=words):
        settings.load(file, {})


def test_one_worker_per_core_unless_told(tmp_path: Path) -> None:
    assert settings.load(None, {}).worker_count >= 1
