"""Checklists after the whole path: what the training and the bundle tell, and that every value is where they say."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from osteon import files
from osteon.errors import Mismatch
from osteon.evaluate import model_card, records
from osteon.evaluate.checklists import AUTHORS, GUIDELINES, RECORDED, fill_all, guideline, read_answers
from osteon.evaluate.quotes import resolve
from osteon.verbs.checklists import checklist

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "checklists.md").read_text(encoding="utf-8")


def items(content: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(one["key"], item["number"]): item for one in content["guidelines"] for item in one["items"]}


def test_the_training_and_the_bundle_are_told(path: Path) -> None:
    found = records.find(path / "report")
    assert found.unfound == ()
    told = items(fill_all(GUIDELINES, found))
    bundle = json.loads((path / "model" / "bundle" / "bundle.json").read_text())
    for number in ("22", "23", "24", "25", "26", "27", "29", "32", "38"):
        assert told["claim-2024", number]["state"] == RECORDED, number
    (weights,) = told["claim-2024", "24"]["recorded"]
    assert bundle["trunk"]["digest"] in weights["says"]
    (three,) = told["stard-ai-2025", "19"]["recorded"]
    assert "inconclusive" in three["says"] or "not available" in three["says"]
    for item in told.values():
        for sentence in item["recorded"]:
            for quote in sentence["quotes"]:
                assert resolve(json.loads((path / "report" / quote["file"]).read_text()), quote["key"]) is not None
                assert quote["shown"] in sentence["says"]


def test_the_verb_knows_a_bundle_that_is_not_the_runs(path: Path, tmp_path: Path) -> None:
    done = checklist(path / "report", tmp_path / "out", bundle=path / "model" / "bundle")
    assert done.figures["unfound"] == []
    text = (tmp_path / "out" / "model-card.md").read_text(encoding="utf-8")
    assert files.digest_of(path / "model" / "bundle" / "weights.safetensors") in text
    assert {part["name"] for part in json.loads((tmp_path / "out" / "model-card.json").read_text())["parts"]} == set(
        model_card.NAMES
    )
    other = shutil.copytree(path / "model" / "bundle", tmp_path / "other")
    (other / "bundle.json").write_text((other / "bundle.json").read_text() + "\n")
    with pytest.raises(Mismatch):
        checklist(path / "report", tmp_path / "again", bundle=other)
    assert not (tmp_path / "again").exists()


def test_the_page_names_every_guideline_its_source_and_its_counts() -> None:
    for key in GUIDELINES:
        one = guideline(key)
        doi = f"[{one.doi}](https://doi.org/{one.doi})"
        row = f"| `{key}` | {one.name} {one.version} | {one.rows} | {one.numbered} | {doi} |"
        assert row in PAGE
        for text in (*one.sources, *one.disagreements):
            assert text in PAGE, text
    shared = {item.shared for key in GUIDELINES for item in guideline(key).items if item.shared}
    assert shared == set(re.findall(r"`(\w+)`", PAGE.partition("names of `[shared]`")[2].partition("\n\n")[0]))
    assert set(model_card.NAMES) == set(
        re.findall(r"`(\w+)`", PAGE.partition("names of `[card]`")[2].partition("\n\n")[0])
    )


def test_the_examples_of_the_page_run(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(path, tmp_path / "demo", ignore=shutil.ignore_patterns("*.dcm", "*.png"))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S):
        exec(compile(code, "page", "exec"), names)
    said = capsys.readouterr().out
    assert re.search(r"CLAIM: \d+ recorded, \d+ in part, 0 by the authors, \d+ missing", said)
    assert "# Model card: fracture" in said
    (example,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.M | re.S)
    (tmp_path / "answers.toml").write_text(example, encoding="utf-8")
    answers = read_answers(tmp_path / "answers.toml", card=model_card.NAMES)
    told = items(fill_all(GUIDELINES, records.find(tmp_path / "demo" / "report"), answers))
    assert told["stard-ai-2025", "6"]["state"] == told["claim-2024", "33"]["state"] == AUTHORS
