"""The pages on the healing score: their examples run, and what they state is what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from osteon.errors import BadTable
from osteon.evaluate.healing_words import RULES
from osteon.tasks.rust import SCORES

DOCS = Path(__file__).resolve().parents[2] / "docs"
REFERENCE = (DOCS / "reference" / "rust.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to" / "rust-labels.md").read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page, re.M | re.S)


def test_the_examples_of_the_reference_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for code in blocks(REFERENCE, "python"):
        exec(compile(code, "rust.md", "exec"), {})
    said = capsys.readouterr().out
    assert "(3, 18)" in said and "[ 9. nan]" in said and "ICC(2,1)" in said
    assert (tmp_path / "report" / "report.html").exists()


def test_the_how_to_can_be_followed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    osteon: Callable[..., tuple[int, str, str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    labels, ratings = blocks(HOW_TO, "text")
    Path("rust-labels.csv").write_text(labels, encoding="utf-8")
    more = [f"s0{v},p0{v},{rater},{v},2,{v},3\n" for v in (2, 3, 4) for rater in "AB"]
    Path("ratings.csv").write_text(ratings + "".join(more), encoding="utf-8")
    look, again = blocks(HOW_TO, "python")
    told: dict[str, object] = {}
    exec(compile(look, "rust-labels.md", "exec"), told)
    assert "'incomplete: one view': 1" in capsys.readouterr().out
    with pytest.raises(BadTable, match=r"no grade of rust-labels\.csv is left"):
        exec(compile(again, "rust-labels.md", "exec"), told)  # these labels are not swapped
    code, _, err = osteon("agreement", "ratings.csv", "--out", "agreement")
    assert code == 0, err
    assert Path("agreement/agreement.html").exists()


def test_the_page_lists_every_rule_and_both_scores() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| ", REFERENCE.partition("cautions its reader")[2], re.M)) == set(RULES)
    for score in SCORES.values():
        assert re.search(rf"^\| {score.name} .*\| 4 to {score.highest} \| {score.united} \|$", REFERENCE, re.M)
