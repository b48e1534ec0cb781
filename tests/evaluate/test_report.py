"""The report: right, honest about what it lacks, the same bytes each time, and safe to open."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from osteon import files
from osteon.errors import BadTable, CannotWrite, TooFewCases, UnknownName
from osteon.evaluate.page import page
from osteon.evaluate.report import HTML, JSON, evaluate, is_phantom, write
from osteon.evaluate.words import sentence
from osteon.tasks import FRACTURE
from osteon.types import Estimate
from tests.make import some_cases, some_predictions, with_floors

RESAMPLES = 100
VOID = {"meta", "br", "link", "img", "hr", "input"}


def a_table(**options) -> pd.DataFrame:
    return with_floors(some_predictions(**options), tags=0.6, majority=0.0)


def a_report(table: pd.DataFrame | None = None, manifest: pd.DataFrame | None = None, **options) -> dict:
    table = a_table() if table is None else table
    return evaluate(table, manifest, **{"seed": 0, "resamples": RESAMPLES, **options})


def partly_tested(sealed: bool) -> pd.DataFrame:
    """Fold 2 as the test part."""
    table = a_table()
    test = table["fold"] == 2
    table["part"] = table["part"].where(~test, "test")
    table["fold"] = table["fold"].where(~test, -1)
    return table.assign(target=table["target"].where(~test)) if sealed else table


def rules(report: dict) -> set[str]:
    return {caution["rule"] for caution in report["cautions"]}


class Page(HTMLParser):
    """Reads a page and complains where a tag is not closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [v for n, v in attributes if n in ("src", "href", "xlink:href", "action", "data")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def full() -> dict:
    """A report with everything in it: floors, subgroups, an opened test set, a stated prevalence."""
    manifest = some_cases(60, device="Siemens Ysio")
    return a_report(partly_tested(sealed=False), manifest, openings=1, prevalence=0.1)


@pytest.fixture(scope="module")
def full_page(full) -> str:
    return page(full)


@pytest.fixture(scope="module")
def bare() -> dict:
    """A report on someone else's table: no floors, no probabilities, one fold."""
    return a_report(some_predictions().drop(columns="probability").assign(fold=0))


@pytest.fixture(scope="module")
def bare_page(bare) -> str:
    return page(bare)


def test_the_headline_is_the_mean_of_the_folds_and_the_gain_its_distance_from_the_best_floor():
    table = a_table()
    found = a_report(table)["validation"]["discrimination"]

    def mean_of_folds(model: str) -> float:
        mine = table[table["model"] == model]
        return np.mean([roc_auc_score(f["target"].to_numpy(int), f["score"]) for _, f in mine.groupby("fold")])

    assert found["auroc"]["value"] == pytest.approx(mean_of_folds("model"), abs=1e-6)
    assert found["best_floor"]["model"] == "floor:tags"
    assert found["gain"]["value"] == pytest.approx(mean_of_folds("model") - mean_of_folds("floor:tags"), abs=2e-6)
    pooled = table[table["model"] == "model"]
    assert found["auroc_pooled"]["value"] == pytest.approx(
        roc_auc_score(pooled["target"].to_numpy(int), pooled["probability"]), abs=1e-6
    )
    assert found["pooled_on"] == "probability"


def test_a_model_compared_with_itself_gains_exactly_nothing():
    table = some_predictions()
    report = a_report(pd.concat([table, table.assign(model="floor:copy")]))
    gain = report["validation"]["discrimination"]["gain"]
    assert gain["value"] == 0
    assert gain["low"] is None  # no resample tells the two apart


def test_operating_points_count_what_the_other_folds_cut():
    report, table = a_report(), some_predictions()
    for row in report["validation"]["operating_points"]["rows"]:
        cut = table["fold"].map({entry["fold"]: entry["cut"] for entry in row["cuts"]})
        # The report rounds cut-offs; no probability lies between a cut-off and its rounding.
        called = table["probability"] >= cut - 1e-6
        assert row["sensitivity"]["value"] == pytest.approx(called[table["target"] == 1].mean(), abs=1e-6)
        assert row["specificity"]["value"] == pytest.approx((~called)[table["target"] == 0].mean(), abs=1e-6)


def test_predictive_values_at_a_stated_prevalence_stand_beside_the_observed_ones():
    row = a_report(prevalence=0.05)["validation"]["operating_points"]["rows"][0]
    sensitivity, specificity = row["sensitivity"]["value"], row["specificity"]["value"]
    wanted = sensitivity * 0.05 / (sensitivity * 0.05 + (1 - specificity) * 0.95)
    assert row["ppv_at_prevalence"]["value"] == pytest.approx(wanted, abs=1e-5)
    assert row["ppv_at_prevalence"]["value"] < row["ppv"]["value"]
    with pytest.raises(BadTable, match="not between 0 and 1"):
        a_report(prevalence=15)


def test_same_table_and_seed_same_bytes_whatever_the_order_of_the_rows(tmp_path):
    manifest = some_cases(60)
    write(a_report(manifest=manifest), tmp_path / "one")
    shuffled = a_table().sample(frac=1, random_state=3)
    write(a_report(shuffled, manifest.sample(frac=1, random_state=4)), tmp_path / "two")
    for name in (JSON, HTML):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_moves_intervals_and_no_figure():
    first, second = (a_report(seed=seed)["validation"]["discrimination"] for seed in (0, 1))
    assert first["auroc"]["value"] == second["auroc"]["value"]
    assert first["auroc"]["low"] != second["auroc"]["low"]


def test_without_floors_the_report_says_so(bare, bare_page):
    assert "Floor not available" in bare["sentence"]
    assert "no_floor" in rules(bare)
    assert "floor not available" in bare_page


def test_without_probabilities_scores_are_pooled_and_calibration_is_missing(bare, bare_page):
    assert bare["validation"]["discrimination"]["pooled_on"] == "score"
    assert bare["validation"]["calibration"]["brier"]["value"] is None
    assert bare["validation"]["curves"]["decision"] is None
    assert "no_probability" in rules(bare)
    ids = Page(bare_page).ids
    assert "validation-roc" in ids
    assert "validation-reliability" not in ids


def test_one_fold_has_no_operating_points_and_gives_the_reason(bare, bare_page):
    points = bare["validation"]["operating_points"]
    assert points["rows"] == []
    assert "one fold" in points["reason"]
    assert "one_fold" in rules(bare)
    assert "Operating points are not available" in bare_page


def test_a_fold_of_one_class_is_left_out_and_owned_up_to():
    table = a_table()
    report = a_report(table[(table["fold"] != 1) | (table["target"] == 0)])
    assert report["validation"]["discrimination"]["folds_counted"] == 2
    assert "mean of 2 folds" in report["sentence"]
    assert "one_class_fold" in rules(report)


def test_a_sealed_test_set_stays_sealed():
    report = a_report(partly_tested(sealed=True))
    assert report["test"] == {"state": "sealed", "openings": 0, "images": 40}
    assert "Sealed, not opened" in page(report)


def test_an_opened_test_set_is_cut_where_validation_said(full, full_page):
    table = partly_tested(sealed=False)
    assert full["test"]["state"] == "opened"
    test = table[(table["part"] == "test") & (table["model"] == "model")]
    found = full["test"]["discrimination"]["auroc"]["value"]
    assert found == pytest.approx(roc_auc_score(test["target"].to_numpy(int), test["score"]), abs=1e-6)
    cuts = {row["name"]: row["cuts"][0]["cut"] for row in full["test"]["operating_points"]["rows"]}
    assert cuts == full["validation"]["cut"]
    assert "opened_again" not in rules(full)
    assert "Opened once" in full_page
    assert full["test"]["sentence"] in full_page
    assert f"AUROC {found:.2f}" in full["test"]["sentence"]
    assert "test-roc" in Page(full_page).ids


def test_each_further_opening_is_told():
    report = a_report(partly_tested(sealed=False), openings=3)
    assert "opened_again" in rules(report)
    assert any("opened 3 times" in c["text"] for c in report["cautions"])


def test_phantom_figures_are_called_phantom_figures(full, full_page):
    manifest = some_cases(60)
    assert is_phantom(manifest)  # the factory's device says so
    assert not is_phantom(manifest.assign(device="Siemens Ysio"))
    assert not is_phantom(None)
    report = a_report(manifest=manifest)
    assert report["phantom"]
    assert report["sentence"].startswith("Phantom figure, not clinical.")
    # At top and foot and at each of the three key figures.
    assert page(report).count("phantom figure, not clinical") == 5
    assert "phantom" not in rules(full)
    assert "phantom figure" not in full_page
    assert not a_report(manifest=manifest, phantom=False)["phantom"]


def test_what_looks_too_good_is_said_aloud():
    table = a_table()
    mine = table["model"] == "model"
    perfect = table.assign(score=table["score"].where(~mine, table["target"].astype(float)))
    report = a_report(perfect)
    assert {"too_good", "few_positives"} <= rules(report)
    headline = report["validation"]["discrimination"]["auroc"]
    assert headline["value"] == headline["high"] == 1
    assert 0.5 < headline["low"] < 1
    assert "100 times out of 100" in report["sentence"]


def test_a_strong_tags_floor_and_an_unproven_gain_are_said_aloud():
    report = a_report(with_floors(some_predictions(), tags=3.0))
    assert {"strong_tags", "gain_not_shown"} <= rules(report)


def test_a_subgroup_that_gives_the_answer_away_is_said_aloud():
    manifest = some_cases(60)
    report = a_report(manifest=manifest.assign(hardware=manifest["target"].astype(int)))
    (told,) = (c["text"] for c in report["cautions"] if c["rule"] == "far_prevalence")
    assert told.startswith("Hardware 1: 100 % of the images are positive, against 0 % elsewhere")


def test_delong_stands_beside_the_bootstrap_only_for_one_case_a_patient():
    many, one = (a_report(some_predictions(images_each=k))["validation"]["discrimination"] for k in (2, 1))
    assert many["auroc_delong"]["value"] is None
    assert one["auroc_delong"]["low"] == pytest.approx(one["auroc_pooled"]["low"], abs=0.03)


def test_the_model_is_named_where_there_are_several():
    table = pd.concat([a_table(), some_predictions(model="other", strength=0.5)])
    with pytest.raises(UnknownName, match=r"2 models.*model, other"):
        a_report(table)
    assert a_report(table, model="other")["model"] == "other"
    with pytest.raises(UnknownName, match=r"no model .* named 'third'"):
        a_report(table, model="third")
    floors = table[table["model"].str.startswith("floor:")]
    with pytest.raises(TooFewCases, match="floors alone"):
        a_report(floors)
    assert (
        a_report(floors, model="floor:tags")["validation"]["discrimination"]["best_floor"]["model"] == "floor:majority"
    )


def test_the_json_is_the_report_and_draws_the_same_page(full, full_page, tmp_path):
    write(full, tmp_path)
    again = files.read_json(tmp_path / JSON)
    assert again == full
    assert page(again) == full_page == (tmp_path / HTML).read_text(encoding="utf-8")


def test_the_page_is_whole_and_asks_nothing_of_the_network(full_page):
    found = Page(full_page)
    assert all(link.startswith("#") for link in found.links)
    assert "url(http" not in full_page
    assert "@import" not in full_page
    assert not {"script", "link", "img", "iframe", "object"} & set(found.tags)
    shown = (
        "floors",
        "roc",
        "precision-recall",
        "histogram",
        "studies",
        "reliability",
        "decision",
        "subgroups",
        "limits",
        "coverage",
    )
    assert {f"{part}-{name}" for part in ("validation", "test") for name in shown} <= set(found.ids)
    assert found.tags.count("svg") == 20
    assert full_page.count("research software, not a medical device") == 2


def test_every_id_is_there_once_and_every_reference_finds_it(full_page):
    found = Page(full_page)
    assert len(found.ids) == len(set(found.ids))
    clips = set(re.findall(r"url\(#([^)]+)\)", full_page))
    assert clips
    assert clips | {link.removeprefix("#") for link in found.links} <= set(found.ids)


def test_no_patient_is_in_the_report():
    table = a_table()
    table["group"] = "patient-" + table["group"]
    table["study"] = "study-" + table["study"]
    report = a_report(table, some_cases(60))
    written = page(report) + json.dumps(report)
    assert "patient-p" not in written
    assert "study-s" not in written
    assert not any(image in written for image in table["image"].unique())


def test_names_from_the_data_are_text_and_never_markup():
    evil = '<script>alert("$x^2$")</script>&'
    manifest = some_cases(60).assign(
        device=lambda m: np.where(m["sex"] == "F", evil, "b$_$"), **{"<i>ward</i>": [1, 2] * 60}
    )
    text = page(a_report(some_predictions(model=evil), manifest))
    found = Page(text)
    assert not {"script", "i"} & set(found.tags)
    assert "<script" not in text
    assert evil in "".join(found.texts)


def test_a_report_that_cannot_be_written_is_refused_with_a_remedy(bare, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CannotWrite, match="earlier results are as they were"):
        write(bare, tmp_path / "file" / "report")


def test_the_sentence_in_full():
    best = {"title": "tags only", "auroc": Estimate(0.75, 0.7, 0.8), "gain": Estimate(0.13, 0.1, 0.16)}
    figures = {"auroc": Estimate(0.88, 0.85, 0.91), "folds_counted": 5, "best_floor": best, "gain": best["gain"]}
    assert sentence(figures, FRACTURE, False) == (
        "The model ranks an image with fracture above one without it 88 times out of 100 "
        "(AUROC 0.88, 95 % interval 0.85 to 0.91, mean of 5 folds). "
        "The best floor, tags only, reaches 0.75; the gain over it is 0.13 (0.10 to 0.16)."
    )


def test_progress_ends_where_it_said():
    calls: list[tuple[int, int]] = []
    a_report(progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (5, 5)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_the_expected_calibration_error_claims_no_interval_and_says_why() -> None:
    figures = a_report()["validation"]["calibration"]
    error = figures["expected_calibration_error"]
    assert error["value"] > 0
    assert (error["low"], error["high"]) == (None, None)
    assert "chance alone lifts" in error["note"]
    assert figures["slope"]["low"] < figures["slope"]["value"] < figures["slope"]["high"]
