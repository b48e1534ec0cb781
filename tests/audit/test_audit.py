"""The whole audit: planted features through out-of-fold scores to the verdict, and what cannot be had says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from osteon.audit.audit import Audit, Evidence, Options, audit
from osteon.audit.copies import copies
from osteon.errors import BadTable
from osteon.learn.nested import as_predictions, lay_out, linear_scores, nested
from osteon.phantom.plan import Chance, even
from tests.make import some_cases, some_predictions, some_split_cases

QUICK = Options(resamples=300)


def a_cohort(hardware: Chance, seed: int, *, patients: int = 120) -> Evidence:
    """Features in which bone and metal both show, and the out-of-fold scores of the heads that learn from them."""
    rng = np.random.default_rng(seed)
    manifest = some_split_cases(patients, images_each=1, fractured=0.5, seed=seed)
    target = manifest["target"].to_numpy(int)
    metal = rng.random(patients) < [hardware.of(bool(sick)) for sick in target]
    features = rng.normal(size=(patients, 1, 10))
    features[:, 0, 0] += target
    features[:, 0, 1] += 3.0 * metal
    manifest = manifest.assign(hardware=metal.astype(int).astype(str))
    layout = lay_out(manifest)
    found = nested(layout, linear_scores(features, layout, [0.1, 1.0])[0])
    table = as_predictions("planted", manifest, layout, found.score, found.probability)
    return Evidence(manifest, table, "planted")


def hardware_of(found: Audit) -> dict[str, object]:
    return next(row for row in found.content["shortcuts"]["rows"] if row["name"] == "hardware")


@pytest.mark.parametrize("seed", [1, 2])
def test_the_gate_fails_a_model_that_was_taught_a_shortcut(seed: int) -> None:
    found = audit(a_cohort(Chance(fractured=0.9, intact=0.1), seed), QUICK)
    assert found.content["gate"]["passed"] is False
    assert found.content["gate"]["findings"]["hardware"] == "shortcut"
    assert "Hardware carries more" in found.content["gate"]["said"]
    assert found.content["shortcuts"]["rows"][0] == hardware_of(found)  # the worst comes first


@pytest.mark.parametrize("seed", [1, 2])
def test_the_gate_passes_the_same_model_where_metal_tells_nothing(seed: int) -> None:
    found = audit(a_cohort(even(0.4), seed), QUICK)
    assert found.content["gate"]["passed"] is True
    assert hardware_of(found)["source"] == "column of the manifest"


def test_what_is_allowed_is_written_down_and_passes() -> None:
    cohort = a_cohort(Chance(fractured=0.9, intact=0.1), 1)
    found = audit(cohort, replace(QUICK, allowed=("hardware",)))
    assert found.content["gate"]["passed"] is True
    assert found.content["gate"]["findings"]["hardware"] == "allowed"
    assert found.content["settings"]["allowed"] == ["hardware"]
    with pytest.raises(BadTable, match="no attribute named hardwear"):
        audit(cohort, replace(QUICK, allowed=("hardwear",)))


def test_the_table_without_hardware_has_the_rows_of_the_study() -> None:
    found = audit(a_cohort(Chance(fractured=0.9, intact=0.1), 1), QUICK)
    (table,) = found.content["shortcuts"]["without"]
    rows = {row["which"]: row for row in table["rows"] if row["what"] == "images"}
    assert rows["without"]["n"] + rows["with"]["n"] == rows["all"]["n"] == 120
    # The shortcut gone, so is a part of the figure.
    assert rows["without"]["auroc"]["value"] < rows["all"]["auroc"]["value"] - 0.05
    assert rows["all less without"]["balanced_accuracy"]["value"] == pytest.approx(
        rows["all"]["balanced_accuracy"]["value"] - rows["without"]["balanced_accuracy"]["value"], abs=1e-6
    )


def test_the_re_reading_list_ranks_every_label_and_names_no_patient() -> None:
    found = audit(a_cohort(even(0.4), 1), QUICK)
    assert list(found.rereading) == ["rank", "image", "label", "probability_of_label", "read_again"]
    assert len(found.rereading) == 120
    assert found.rereading["probability_of_label"].is_monotonic_increasing
    assert (found.rereading["read_again"] == "yes").sum() == found.content["label_noise"]["read_again"]


def test_the_same_evidence_and_seed_give_the_same_audit() -> None:
    cohort = a_cohort(even(0.4), 3)
    assert audit(cohort, QUICK).content == audit(cohort, QUICK).content


def test_a_manifest_alone_says_why_nothing_else_is_there() -> None:
    found = audit(Evidence(some_cases(10), missing={"predictions": "it holds no predictions.parquet"}), QUICK).content
    for part in ("shortcuts", "probes", "label_noise"):
        assert found[part]["reason"] == "no out-of-fold scores: it holds no predictions.parquet"
    assert found["gate"]["passed"] is None
    assert found["duplicates"]["reason"] == "no images given"


def test_scores_without_a_manifest_have_label_noise_and_no_verdict() -> None:
    found = audit(Evidence(None, some_predictions(), "model"), QUICK).content
    assert found["label_noise"]["reason"] == ""
    assert found["gate"]["passed"] is None
    assert {row["reason"] for row in found["shortcuts"]["unavailable"]} == {"no manifest was given", "no images given"}


def test_scores_without_probabilities_have_no_label_noise() -> None:
    table = some_predictions().drop(columns="probability")
    found = audit(Evidence(None, table, "model"), QUICK).content
    assert found["label_noise"]["reason"] == "the model gives no calibrated probability"
    assert found["cases"]["pooled_on"] == "score"


def test_one_class_is_said_and_a_fold_of_one_class_does_no_harm() -> None:
    table = some_predictions()
    sick = audit(Evidence(None, table[table["target"] == 1], "model"), QUICK).content
    assert "are positive" in sick["label_noise"]["reason"]
    one_sided = audit(Evidence(None, table[(table["fold"] != 0) | (table["target"] == 1)], "model"), QUICK).content
    assert one_sided["label_noise"]["reason"] == ""


def test_a_manifest_that_lacks_images_is_an_error() -> None:
    cohort = a_cohort(even(0.4), 1)
    assert cohort.manifest is not None
    with pytest.raises(BadTable, match="1 of 120 predicted images are not in the manifest"):
        audit(replace(cohort, manifest=cohort.manifest.iloc[1:]), QUICK)


def test_a_threshold_that_no_attribute_can_reach_is_refused() -> None:
    with pytest.raises(BadTable, match=r"between 0 and 0\.5"):
        Options(threshold=0.5)


def test_copies_are_counted_with_their_conflicts(tmp_path: Path) -> None:
    manifest = some_split_cases(6, images_each=1).assign(fold=pd.array([0, 1, 0, 0, 1, 1], "Int16"))
    manifest["target"] = pd.array([1, 0, 1, 1, 0, 0], "Int8")
    found = copies(manifest, np.array([0, 0, 1, 1, 2, 3]))
    assert (found.sets, found.images, found.other_label, found.other_fold, found.other_patient) == (2, 4, 1, 1, 2)
    assert list(found.rows) == ["set", "image", "label", "fold"]
    assert list(found.rows["image"][:2]) == sorted(manifest["image"][:2])  # the set with both labels comes first
