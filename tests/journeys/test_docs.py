"""The examples of the pages run, in the order in which a reader would type them."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Osteon = Callable[..., tuple[int, str, str]]
DOCS = Path(__file__).resolve().parents[2] / "docs"


def commands_of(page: str) -> list[list[str]]:
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [shlex.split(line)[1:] for line in lines if line.startswith("osteon ")]


@pytest.fixture
def workplace(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the pages assume: an export with its labels, two files of a study, and somebody's predictions."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(path / "cohort", "export")
    shutil.copy(path / "cohort" / "labels.csv", "labels.csv")
    pd.read_csv("labels.csv").to_excel("reports.xlsx", index=False)
    study = path / "unseen" / "dicom" / "PH0001"
    shutil.copy(study / "1.dcm", "wrist-ap.dcm")
    shutil.copy(study / "2.dcm", "wrist-lat.dcm")
    lines = [f"ours,{i}.png,p{i // 2},validation,{i // 2 % 3},{i % 2},{i % 2 + i % 5 - 2}" for i in range(60)]
    Path("predictions.csv").write_text("\n".join(["model,image,group,part,fold,target,score", *lines]) + "\n")
    return tmp_path


def test_a_reader_can_type_what_the_pages_say(workplace: Path, osteon: Osteon) -> None:
    pages = ("how-to/own-data.md", "how-to/read-a-study.md", "how-to/own-model.md", "how-to/deidentify.md")
    pages += ("how-to/hospital-export.md",)
    for words in [w for page in pages for w in commands_of(page)]:
        code, _, err = osteon(*words)
        assert code == 0, f"osteon {shlex.join(words)}: {err}"
    assert (workplace / "work" / "report" / "report.html").exists()
    assert (workplace / "report" / "report.html").exists()


def test_the_readme_types_what_the_pages_type() -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    typed = re.findall(r"^\$ osteon (.*)$", readme, re.M)
    assert [shlex.split(line)[0] for line in typed] == [
        *("ingest", "prepare", "split", "features", "train", "evaluate", "read"),
        "read",  # with the bundle that comes with osteon
    ]
