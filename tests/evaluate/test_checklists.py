"""Checklists: the tables are those of the guidelines, every answer leads to its value, and what is gone is missing."""

from __future__ import annotations

import copy
import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon import files, runs, tables, verbs
from osteon.errors import BadTable, Mismatch, NotFound, UnknownName
from osteon.evaluate import checklist_page, healing_report, model_card, outcomes, records, report
from osteon.evaluate.checklists import (
    AUTHORS,
    FACTS,
    GUIDELINES,
    IN_PART,
    MISSING,
    RECORDED,
    STATES,
    WHO,
    fill,
    fill_all,
    guideline,
    read_answers,
)
from osteon.evaluate.quotes import Record, Records, resolve, tell
from osteon.phantom.plan import Plan
from osteon.verbs.checklists import checklist
from tests.evaluate.test_places import judged, some_places
from tests.make import some_grades, some_predictions, with_floors, with_grade_floors

PUBLISHED = {"claim-2024": (44, 44), "stard-ai-2025": (40, 48), "tripod-ai-2024": (27, 52)}
"""Guideline → numbers and rows, as its publication counts them."""


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real runs from phantom to report, with a made-up model in place of the training."""
    out = tmp_path_factory.mktemp("chain")
    verbs.phantom(out / "cohort", Plan(patients=15, rows=250, columns=250), seed=1)
    verbs.ingest(out / "cohort", out / "ingest", labels=out / "cohort" / "labels.csv")
    verbs.prepare(out / "ingest", out / "prepared", size=64)
    verbs.split(out / "prepared", out / "split", folds=3, test=0.2, duplicates=False, seed=2)
    split = tables.read(out / "split" / "manifest.parquet", tables.MANIFEST)
    rng = np.random.default_rng(0)
    score = split["target"].astype(float).fillna(0.5).to_numpy() + rng.normal(size=len(split))
    ours = split[["image", "study", "group", "fold", "target"]].assign(
        model="made-up <model>",
        part=np.where(split["fold"] == -1, "test", "validation"),
        score=score,
        probability=1 / (1 + np.exp(0.5 - score)),
    )
    floor = ours.assign(model="floor:majority", score=0.0, probability=0.5)
    with runs.recording("train", out / "model", {"split": out / "split"}, inputs=[out / "split"], seeds={"seed": 3}):
        whole = pd.concat([ours, floor], ignore_index=True)
        tables.write(out / "model" / "predictions.parquet", whole, tables.PREDICTIONS)
    judge(out, whole, split)
    return out


def judge(out: Path, predictions: pd.DataFrame, split: pd.DataFrame) -> None:
    """What `evaluate` does, with the test set opened, but few resamples and no drawings."""
    answers = tables.read(
        out / "split" / "sealed.parquet", {name: tables.MANIFEST[name] for name in ("image", "target")}
    )
    files.write_json(out / "split" / "openings.json", [{"opened": "2026-01-01T00:00:00+00:00", "predictions": "0"}])
    inputs = [out / "model", out / "split"]
    with runs.recording("evaluate", out / "report", {"predictions": out / "model"}, inputs=inputs, seeds={"seed": 4}):
        opened = outcomes.unseal(predictions, answers)
        content = report.evaluate(opened, split, seed=4, prevalence=0.2, openings=1, resamples=60)
        files.write_json(out / "report" / "report.json", content)


def filled(folder: Path) -> dict[str, Any]:
    return fill_all(GUIDELINES, records.find(folder / "report"))


def items_of(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in content["guidelines"]:
        yield from ((f"{one['key']} {item['number']}", item) for item in one["items"])


@pytest.mark.parametrize("key", GUIDELINES)
def test_every_list_has_the_items_that_its_guideline_counts(key: str) -> None:
    asked = guideline(key)
    numbers = [item.number for item in asked.items]
    assert (asked.numbered, asked.rows) == PUBLISHED[key]
    assert len(numbers) == len(set(numbers)) == asked.rows
    assert sorted({int(re.match(r"\d+", number)[0]) for number in numbers}) == [*range(1, asked.numbered + 1)]  # type: ignore[index]
    assert numbers == sorted(numbers, key=lambda n: (int(re.sub(r"\D", "", n)), n))
    for number in {re.sub(r"\D", "", n) for n in numbers}:  # a divided item begins with a and leaves no letter out
        letters = [n[len(number) :] for n in numbers if re.sub(r"\D", "", n) == number]
        assert letters in ([""], list("abcdefg"[: len(letters)]))
    assert asked.doi.startswith("10.") and len(asked.sources) >= 2


@pytest.mark.parametrize("key", GUIDELINES)
def test_every_item_says_who_can_answer_it(key: str) -> None:
    for item in guideline(key).items:
        assert item.facts or item.still, item.number
        assert item.who in WHO, item.number
        assert item.topic and len(item.topic) < 80, item.number
        assert {name for one in item.facts for name in one.split("|")} <= FACTS.keys(), item.number


def test_every_fact_is_told_somewhere() -> None:
    asked = {
        name for key in GUIDELINES for item in guideline(key).items for one in item.facts for name in one.split("|")
    }
    told = {name for part in model_card.PARTS for one in part.facts for name in one.split("|")}
    assert asked | told == FACTS.keys()


def test_a_chain_of_runs_fills_what_it_must(chain: Path) -> None:
    content = filled(chain)
    assert content["unfound"] == []
    state = {name: item["state"] for name, item in items_of(content)}
    for name in ("claim-2024 9", "claim-2024 10", "claim-2024 19", "claim-2024 20", "claim-2024 29", "claim-2024 32"):
        assert state[name] == RECORDED, name
    for name in ("stard-ai-2025 24", "stard-ai-2025 30", "stard-ai-2025 40b", "tripod-ai-2024 21"):
        assert state[name] == RECORDED, name
    for name in ("claim-2024 44", "stard-ai-2025 6", "tripod-ai-2024 17", "claim-2024 22", "claim-2024 25"):
        assert state[name] == MISSING, name  # nobody told who paid; and there is no bundle
    assert state["claim-2024 7"] == IN_PART
    for one in content["guidelines"]:
        assert sum(one["counts"].values()) == len(one["items"])
        assert one["counts"] == {name: [i["state"] for i in one["items"]].count(name) for name in STATES}


def test_the_headline_is_told_with_its_floor_and_as_a_phantom_figure(chain: Path) -> None:
    found = json.loads((chain / "report" / "report.json").read_text())["validation"]["discrimination"]
    (item,) = [item for name, item in items_of(filled(chain)) if name == "stard-ai-2025 1"]
    says = item["recorded"][0]["says"]
    for figure in (found["auroc"], found["best_floor"]["auroc"], found["gain"]):
        assert f"{figure['value']:.3f}".replace("-", "−") in says
    assert "phantom figure, not clinical" in says


def test_every_answer_leads_to_its_value(chain: Path) -> None:
    seen = 0
    for name, item in items_of(filled(chain)):
        assert bool(item["recorded"]) == (item["state"] in (RECORDED, IN_PART)), name
        for sentence in item["recorded"]:
            assert sentence["quotes"], name
            for quote in sentence["quotes"]:
                value = resolve(json.loads((chain / "report" / quote["file"]).read_text()), quote["key"])
                assert quote["shown"] in sentence["says"], (name, quote)
                assert tells(quote["shown"], value), (name, quote, value)
                seen += 1
    assert seen > 500


def tells(shown: str, value: Any) -> bool:
    """Whether words tell a value: the same text; the same number, as exactly as it is shown; the figure in front."""
    if not shown:
        return value is not None
    if isinstance(value, str):
        return shown == value.strip()
    value = value["value"] if isinstance(value, dict) else value
    number = re.match(r"−?\d+(\.(\d+))?(e-?\d+)?", shown)
    assert number is not None
    unit = 100 if shown.endswith(" %") else 1
    half = 0.5 * 10.0 ** -len(number[2] or "") if "." in shown or unit == 100 else 0
    return abs(float(number[0].replace("−", "-")) - unit * value) <= half + 1e-9


LOST = (
    "ingest/survey.json",
    "ingest/run.json",
    "split/run.json",
    "split/openings.json",
    "model/run.json",
    "cohort/run.json",
)


@pytest.mark.parametrize("lost", LOST)
def test_without_a_record_exactly_its_answers_are_missing(chain: Path, tmp_path: Path, lost: str) -> None:
    shutil.copytree(chain, tmp_path / "chain", ignore=shutil.ignore_patterns("*.dcm", "*.png"))
    folder = tmp_path / "chain"
    point_into(folder, chain)
    before, whole = filled(folder), records.find(folder / "report")
    (folder / lost).unlink()
    after, rest = filled(folder), records.find(folder / "report")
    gone = {record.file for record in whole.held.values()} - {record.file for record in rest.held.values()}
    assert f"../{lost}" in gone
    for (name, was), (_, now) in zip(items_of(before), items_of(after), strict=True):
        kept = [one for one in was["recorded"] if not rests_on(one, gone)]
        cut = [one for one in was["recorded"] if rests_on(one, gone)]
        assert [one for one in now["recorded"] if one in was["recorded"]] == kept, name
        for new in (one for one in now["recorded"] if one not in was["recorded"]):
            # A clause fell out of a sentence; the rest of it stands on what is left.
            assert not rests_on(new, gone)
            assert any({str(q) for q in new["quotes"]} < {str(q) for q in old["quotes"]} for old in cut), (name, new)
        assert (now["state"] == MISSING) == (not now["recorded"]), name
        assert now["state"] == was["state"] or cut, name
    assert any(
        now["state"] != was["state"] for (_, was), (_, now) in zip(items_of(before), items_of(after), strict=True)
    ) or (lost in ("cohort/run.json", "split/openings.json"))


def rests_on(sentence: dict[str, Any], files: set[str]) -> bool:
    return any(quote["file"] in files for quote in sentence["quotes"])


def point_into(folder: Path, old: Path) -> None:
    """Make the records of a copied chain name the copy, as if it had been run there: the old one is not to be found."""
    for record in folder.glob("*/run.json"):
        content = json.loads(record.read_text())
        content["inputs"] = {path.replace(str(old), str(folder)): value for path, value in content["inputs"].items()}
        record.write_text(json.dumps(content))


def test_a_run_that_was_moved_is_found_again_among_the_folders_named(chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    shutil.copytree(chain, folder, ignore=shutil.ignore_patterns("*.dcm", "*.png"))
    point_into(folder, chain)
    shutil.move(folder / "ingest", tmp_path / "elsewhere")
    (folder / "notes").mkdir()
    (folder / "notes" / "run.json").write_text("{")  # a broken record of something else is in nobody's way
    alone = records.find(folder / "report")
    wanted = json.loads((tmp_path / "elsewhere" / "run.json").read_text())["id"]
    assert alone.unfound == (wanted,)
    assert "survey" not in alone.held
    named = records.find(folder / "report", among=[tmp_path / "elsewhere"])
    assert named.unfound == ()
    assert named.held["survey"].file == "../../elsewhere/survey.json"


def test_a_report_alone_tells_its_figures(tmp_path: Path) -> None:
    content = report.evaluate(with_floors(some_predictions(), view=0.3), seed=0, resamples=100)
    files.write_json(tmp_path / "report.json", content)
    claim = fill("claim-2024", records.find(tmp_path))
    state = {item["number"]: item["state"] for item in claim["items"]}
    assert state["29"] == state["38"] == RECORDED
    assert state["9"] == state["20"] == state["23"] == MISSING
    assert not any("phantom" in one["says"] for item in claim["items"] for one in item["recorded"])


def test_a_report_on_grades_tells_its_totals() -> None:
    content = healing_report.evaluate(with_grade_floors(some_grades()), seed=0, resamples=60, phantom=True)
    held = Records({"report": Record("report.json", content)})
    says = tell(FACTS["totals"], held)
    assert says is not None and "ICC(2,1)" in says.says and "best floor" in says.says
    assert "phantom figure, not clinical" in says.says
    assert tell(FACTS["headline"], held) is None


def test_places_are_told_beside_their_floors_and_missing_where_nobody_measured_them() -> None:
    def told(places: dict[str, Any]) -> str:
        content = report.plain({"phantom": False, "validation": {"places": places}})
        found = tell(FACTS["places"], Records({"report": Record("report.json", content)}))
        return found.says if found else ""

    found = judged(some_places())
    says = told({"reason": "", **found})
    for figure in (found["pointing"]["rate"], found["pointing"]["best_floor"]["rate"]):
        assert f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})" in says
    boxes = found["boxes"]
    assert f"by 0.5: average precision {boxes['average_precision'].value:.3f}" in says
    assert boxes["best_floor"]["title"] in says and found["pointing"]["best_floor"]["title"] in says
    assert told({"reason": "no boxes were given"}) == ""


def test_people_answer_beside_the_records(chain: Path, tmp_path: Path) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(
        '[claim-2024]\n"44" = "Nobody paid."\n"7" = " From one hospital. "\n'
        '[shared]\nregistration = "Not a trial."\nfunding = "A trust."\n[card]\ncontact = "a.b@example.org"\n'
    )
    answers = read_answers(path, card=model_card.NAMES)
    claim, stard, _ = (
        one["items"] for one in fill_all(GUIDELINES, records.find(chain / "report"), answers)["guidelines"]
    )
    told = {item["number"]: item for item in claim}
    assert (told["44"]["state"], told["44"]["authors"], told["44"]["recorded"]) == (AUTHORS, "Nobody paid.", [])
    assert told["7"]["state"] == RECORDED and told["7"]["authors"] == "From one hospital." and told["7"]["recorded"]
    assert told["34"]["authors"] == "Not a trial."
    assert {item["number"]: item["authors"] for item in stard}["38"] == "A trust."
    assert told["3"]["state"] == MISSING
    parts = {part["name"]: part for part in model_card.card(records.find(chain / "report"), answers)["parts"]}
    assert parts["contact"]["authors"] == "a.b@example.org" and parts["contact"]["missing"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[claim-2024]\n"45" = "no"', "answers 45"),
        ('[tripod-ai-2024]\n"3" = "no"', "answers 3"),
        ('[claim]\n"1" = "no"', "table [claim]"),
        ('[claim-2024]\n"1" = ""', "holds no text"),
        ('[claim-2024]\n"1" = 3', "holds no text"),
        ('claim-2024 = "yes"', "no table"),
        ('[shared]\nmoney = "no"', "answers money"),
        ('[card]\nprice = "no"', "answers price"),
        ("[claim-2024", "not readable TOML"),
    ],
)
def test_wrong_answers_are_errors(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "answers.toml"
    path.write_text(text)
    with pytest.raises(BadTable, match=re.escape(said)):
        read_answers(path, card=model_card.NAMES)


def test_broken_records_are_errors(chain: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="osteon evaluate"):
        records.find(tmp_path)
    folder = tmp_path / "chain"
    shutil.copytree(chain / "report", folder / "report")
    for text in ("{", "[]", "3"):
        (folder / "report" / "report.json").write_text(text)
        with pytest.raises(BadTable):
            records.find(folder / "report")
    with pytest.raises(UnknownName, match="claim-2024"):
        fill("claim", Records({}))


def test_a_bundle_of_another_run_is_refused(chain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "chain"
    shutil.copytree(chain, folder, ignore=shutil.ignore_patterns("*.dcm", "*.png"))
    point_into(folder, chain)
    record = folder / "model" / "run.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "result": {"bundle": "0" * 64}}))
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "bundle.json").write_text('{"task": "fracture"}')
    with pytest.raises(Mismatch, match="not the bundle"):
        records.find(folder / "report", bundle=tmp_path / "bundle")


@pytest.fixture(scope="module")
def held(chain: Path) -> Records:
    found = records.find(chain / "report")
    for part in ("validation", "test"):  # no sentence rests on curves, which are most of the report
        del found.held["report"].content[part]["curves"]
    return found


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), wounds=st.integers(1, 6))
def test_whatever_the_records_lack_nothing_is_made_up(held: Records, seed: int, wounds: int) -> None:
    rng = np.random.default_rng(seed)
    name = sorted(held.held)[rng.integers(len(held.held))]
    content = copy.deepcopy(held.held[name].content)
    for _ in range(wounds):
        spoil(content, rng)
    spoilt = Records({**held.held, name: Record(held.held[name].file, content)})
    by_file = {record.file: record.content for record in spoilt.held.values()}
    for fact in FACTS.values():
        told = tell(fact, spoilt)
        for quote in told.quotes if told else ():
            assert tells(quote.shown, resolve(by_file[quote.file], quote.key))
            assert told and quote.shown in told.says


def spoil(content: Any, rng: np.random.Generator) -> None:
    """Take a value out somewhere, or put one of another kind in its place."""
    while isinstance(content, dict | list) and content:
        steps = sorted(content) if isinstance(content, dict) else [*range(len(content))]
        step = steps[rng.integers(len(steps))]
        if rng.random() < 0.3 or not isinstance(content[step], dict | list):
            if rng.random() < 0.5:
                del content[step]
            else:
                others: list[Any] = [None, "", "x", -1, 0.5, [], {}, [{}], True]
                content[step] = others[rng.integers(len(others))]
            return
        content = content[step]


def test_the_page_and_the_table_hold_every_item(chain: Path, tmp_path: Path) -> None:
    content = filled(chain)
    checklist_page.write(content, tmp_path)
    page = (tmp_path / "checklist.html").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "checklist.csv").read_text(encoding="utf-8-sig"))))
    items = list(items_of(content))
    assert len(rows) == len(items) == sum(rows for _, rows in PUBLISHED.values())
    for (name, item), row in zip(items, rows, strict=True):
        assert f'id="{name.replace(" ", "-")}"' in page
        assert (row["item"], row["state"]) == (item["number"], item["state"])
        assert all(one["says"] in row["answer"] for one in item["recorded"])
        assert bool(row["missing"]) == bool(item["still"])
    assert json.loads((tmp_path / "checklist.json").read_text(encoding="utf-8")) == content
    assert "phantom figures, not clinical" in page
    assert not re.search(r"(src|href)=\"http(?!s://doi\.org/)", page)


def test_the_card_says_what_the_model_is_not_for_and_what_is_missing(chain: Path, tmp_path: Path) -> None:
    content = model_card.card(records.find(chain / "report"))
    text, page = model_card.markdown(content), model_card.page(content)
    assert "not a medical device" in text and "Model card: made-up <model>" in text
    assert "made-up &lt;model&gt;" in page and "<model>" not in page
    found = json.loads((chain / "report" / "report.json").read_text())["validation"]["discrimination"]
    assert f"{found['best_floor']['auroc']['value']:.3f}" in text.partition("## Figures")[2]
    assert "**phantom figure, not clinical**" in text
    for part in content["parts"]:
        assert part["always"] or part["recorded"] or part["missing"], part["name"]
        assert f"## {part['title']}\n" in text
    missing = {part["name"] for part in content["parts"] if part["missing"]}
    assert {"licence", "ethics", "contact", "model", "training"} <= missing
    assert "figures" not in missing


def test_a_bundle_alone_has_a_card_of_the_same_form() -> None:
    figure = {"value": 0.81, "low": 0.7, "high": 0.9, "n": 50, "note": ""}
    floor = {"value": None, "low": None, "high": None, "n": 0, "note": "no floor was measured"}
    origin = {"data": "Fifty wrists.", "commit": "abc", "how": "By hand.", "limits": ["Not in casts."]}
    content = {"task": "fracture", "weights_sha256": "0" * 64, "origin": {**origin, "figures": []}}
    content["origin"]["figures"] = [{"name": "AUROC", "model": figure, "floor": floor, "floor_name": ""}]  # type: ignore[index]
    text = model_card.markdown(model_card.card(Records({"bundle": Record("bundle.json", content)})))
    assert "- Fifty wrists.\n" in text and "- By hand.\n" in text and "- Not in casts.\n" in text
    assert "- AUROC: 0.810 (0.700 to 0.900); no floor is told.\n" in text
    assert text.count("\n## ") == len(model_card.PARTS)


def test_the_verb_writes_all_and_names_no_place_on_this_machine(chain: Path, tmp_path: Path) -> None:
    done = checklist(chain / "report", tmp_path / "a", guidelines=["stard-ai-2025"])
    checklist(chain / "report", tmp_path / "b", guidelines=["stard-ai-2025"])
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted(
        f"{name}.{kind}"
        for name, kinds in (
            ("checklist", ("csv", "html", "json")),
            ("model-card", ("html", "json", "md")),
            ("run", ["json"]),
        )
        for kind in kinds
    )
    for name in set(names) - {"run.json"}:
        text = (tmp_path / "a" / name).read_bytes()
        assert text == (tmp_path / "b" / name).read_bytes()
        assert str(chain.parent).encode() not in text, name
    assert runs.read(tmp_path / "a").parents == (runs.read(chain / "report").id,)
    assert "STARD-AI" in done.said and "by the authors" in done.said and "CLAIM" not in done.said
    with pytest.raises(UnknownName, match="guideline"):
        checklist(chain / "report", tmp_path / "c", guidelines=["consort"])
    assert not (tmp_path / "c").exists()
