"""What the survey counts is counted again here by hand; what it must not tell is not in it."""

from __future__ import annotations

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from osteon.dataset import survey_figures
from osteon.dataset.settle import Ingested, Rules, settle
from osteon.dataset.survey import COMMONEST, FEWEST, ages, sizes, spellings, survey
from osteon.dataset.survey_page import page, pictures
from osteon.tasks import FRACTURE
from osteon.types import Refusal
from tests.dataset.seen import a_case, a_label_table, seen

NAMES = ("SMITH WRIST", "García López", "<script>alert(1)</script>")


def an_ingest(folder: Path, studies: int = 40, seed: int = 0) -> Ingested:
    """Studies of two patients each third; names in free text and in ids; one study of 30 images."""
    rng = np.random.default_rng(seed)
    cases, lines = [], ["accession,fracture,cast,referred by"]
    for s in range(studies):
        for i in range(30 if s == 5 else 1 + s % 3):
            part = NAMES[i] if s == 5 and i < len(NAMES) else str(rng.choice(["WRIST", "Muñeca", "hand", ""]))
            header = {"patient": f"Doe^Jane {s // 2}", "study": f"1.2.{s}", "accession": f"ACC{s}", "body_part": part}
            size = (500, 400) if rng.random() < 0.5 else (int(rng.integers(300, 900)), 350)
            path = f"DOE JANE/{s}-{i}.dcm"
            cases.append(
                a_case(path, size=size, modality="DX", sex="FM"[s % 2], age_years=float(s), device="Maker", **header)
            )
        lines.append(f"ACC{s},{'yes' if s % 3 == 0 else 'no'},{int(s == 7)},Dr. Who {s}")
    refusals = [Refusal("letter to DOE.txt", "not_an_image", "none", "leave it out")]
    table = a_label_table(folder, "\n".join(lines))
    return settle(seen(cases), refusals, table, task=FRACTURE, rules=Rules())


def test_the_survey_counts_what_a_loop_counts(tmp_path: Path) -> None:
    taken = an_ingest(tmp_path)
    told, rows = survey(taken, FRACTURE), taken.manifest.to_dict("records")
    per_study = Counter(row["study"] for row in rows)
    positive = {row["study"] for row in rows if row["target"] == 1}
    assert told["cases"]["images"] == len(rows)
    assert told["cases"]["studies"] == len(per_study)
    assert told["cases"]["positive_studies"] == len(positive)
    assert told["cases"]["positive_patients"] == len({row["patient"] for row in rows if row["target"] == 1})
    assert told["cases"]["negative_patients"] == told["cases"]["patients"] - told["cases"]["positive_patients"]
    assert told["instances"]["all"] == dict(sorted(Counter(per_study.values()).items()))
    assert told["instances"]["positive"] == dict(sorted(Counter(per_study[s] for s in positive).items()))
    assert told["outliers"] == {"studies": 1, "instances": [30], "kept": True}
    assert sum(n for _, _, n in told["sizes"]["commonest"]) + told["sizes"]["images_beyond"] == len(rows)
    assert {one["value"]: one["resolved"] for one in told["body_part"]["shown"]} == {
        "WRIST": "wrist",
        "Muñeca": "wrist",
        "hand": "hand",
    }
    assert json.loads(json.dumps(told, allow_nan=False))["cases"] == told["cases"]


def test_a_spelling_that_fewer_than_three_patients_share_is_only_counted() -> None:
    values = pd.Series(["WRIST"] * 5 + ["hand"] * 4 + ["SMITH"] * 9 + ["", pd.NA])
    patient = pd.Series([0, 1, 2, 3, 3, 0, 1, 2, 2, *[4] * 8, 5, 0, 1])
    told = spellings(values, patient)
    assert told["shown"] == [
        {"value": "WRIST", "images": 5, "patients": 4},
        {"value": "hand", "images": 4, "patients": 3},
    ]
    assert told["others"] == {"values": 1, "images": 9}
    assert (told["different"], told["empty"], told["ranks"]) == (3, 2, [9, 5, 4])
    many = pd.Series([f"spelling {n}" for n in range(30)] * FEWEST)
    assert len(spellings(many, pd.Series(range(len(many))))["shown"]) == COMMONEST


def test_sizes_and_ages() -> None:
    told = sizes(pd.Series([10, 10, 30]), pd.Series([5, 5, 7]))
    assert told["commonest"] == [[10, 5, 2], [30, 7, 1]]
    assert told["quartiles"]["rows"] == [10, 10, 10, 20, 30]
    assert ages(pd.Series([9.9, 10, 19.5, None], dtype="Float32")) == {"decades": {0: 1, 10: 2}, "empty": 1}


def test_no_patient_is_named_on_the_page_or_in_the_numbers(tmp_path: Path) -> None:
    taken = an_ingest(tmp_path)
    told = survey(taken, FRACTURE)
    html = page(told, title="Survey", limit=20)
    for text in (json.dumps(told, ensure_ascii=False), html):
        for secret in ("Doe", "DOE", "ACC1", "1.2.3", *NAMES, "SMITH", "López", "Who"):
            assert secret not in text
    assert "Muñeca" in html
    assert "referred by" in html  # the column, not what it says


class Links(HTMLParser):
    """Collects what a page would fetch, the ids on it, and tags left open."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href") and not (value or "").startswith("#"):
                self.fetched.append(value or "")


def test_the_page_stands_alone(tmp_path: Path) -> None:
    html = page(survey(an_ingest(tmp_path), FRACTURE), title='A & "B" <c>', limit=20)
    links = Links()
    links.feed(html)
    assert links.fetched == []
    assert "<script" not in html
    assert len(links.ids) == len(set(links.ids)) > 4
    assert "A &amp; &#34;B&#34; &lt;c&gt;" in html
    assert "mathdefault" not in html


def test_the_flow_diagram_says_every_number_of_the_flow(tmp_path: Path) -> None:
    told = survey(an_ingest(tmp_path), FRACTURE)
    drawn = survey_figures.flow(told)
    text = " ".join(" ".join(e.itertext()) for e in ElementTree.fromstring(drawn.text).iter() if e.tag.endswith("text"))
    for stage in told["flow"]:
        assert re.search(rf"\b{stage['files']} files?\b", text)
        for one in stage["left_out"]:
            assert re.search(rf"\b{one['files']} files?\b", text)
    assert drawn.png.startswith(b"\x89PNG")
    assert survey_figures.flow(told).text == drawn.text  # same numbers, same bytes


def test_an_ingest_of_nothing_has_a_survey_too() -> None:
    refusals = [Refusal("x", "not_an_image", "none", "leave it out")]
    taken = settle(seen([]), refusals, None, task=FRACTURE, rules=Rules())
    told = survey(taken, FRACTURE)
    assert told["cases"]["images"] == 0
    assert list(pictures(told, 20)) == ["flow"]
    assert "Of 1 files, 0 images" in page(told, title="Survey", limit=20)
