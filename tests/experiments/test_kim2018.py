"""The pieces of the experiment: how the top layer learns, who is on which side of a split, and what a leak adds."""

from __future__ import annotations

import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from osteon.cli import app
from osteon.errors import BadTable, Diverged, TooFewCases, UnknownName
from osteon.evaluate.report import plain
from osteon.experiments import EXPERIMENTS, beside
from osteon.experiments.kim2018 import judged, pictures, stages
from osteon.experiments.kim2018.cohort import TENTHS, TEST, VALIDATION, Cohort, cohort_of
from osteon.experiments.kim2018.plan import PUBLISHED, SCALES, THE_STUDYS, compared, plan_of
from osteon.experiments.kim2018.protocols import LEAKY, PROTOCOLS, Augmented, Outcome, learn, parts_of, tenths_of, tried
from osteon.experiments.kim2018.toplayer import CURVES, FIRST_SD, Images, Training, train
from osteon.experiments.stages import keep, kept
from osteon.learn.copies import COPY_OF
from osteon.learn.fold_tables import BY_PATIENT
from osteon.learn.log_figures import moving_average
from osteon.verbs.experiments import experiment, scales
from tests.experiments.test_shared import a_run
from tests.make import some_cases

QUICK = Training(iterations=120, batch=16, every=30, points=2)


def some_laterals(patients: int = 60, *, sealed: int = 16, **columns: object) -> pd.DataFrame:
    """A split manifest: one lateral radiograph of each patient, the last ones sealed, the answers taken away."""
    cases = some_cases(patients + sealed, images_each=1, fractured=0.5, **({"view": "LAT"} | columns))
    number = cases["patient"].str[1:].astype(int)
    fold = pd.array(np.where(number < patients, number % 5, -1), dtype="Int16")
    return cases.assign(group=cases["patient"], fold=fold, target=cases["target"].mask(number >= patients))


def a_cohort(patients: int = 60, *, sealed: int = 16) -> Cohort:
    manifest = some_laterals(patients, sealed=sealed)
    return cohort_of(manifest, {image: Path(f"{image}.png") for image in manifest["image"]})


def some_images(
    patients: int = 60, *, sealed: int = 16, each: int = 4, signal: float = 0.0, seed: int = 0
) -> Augmented:
    """Features that tell patients apart, nearly equal in all copies of a radiograph, with `signal` of the fracture."""
    cohort = a_cohort(patients, sealed=sealed)
    originals = cohort.dealt(seed=seed)
    rows = [originals.assign(**{COPY_OF: pd.array([pd.NA] * len(originals), "string")})]
    for number in range(1, each):
        unsealed = originals[originals["fold"] != -1]
        rows.append(unsealed.assign(image=unsealed["image"] + f"-copy{number}", **{COPY_OF: unsealed["image"]}))
    table = pd.concat(rows, ignore_index=True)
    rng = np.random.default_rng(seed)
    of_patient = {patient: rng.normal(size=64) for patient in sorted(set(table["patient"]))}
    features = np.stack([of_patient[patient] for patient in table["patient"]])
    features = features + 0.05 * rng.normal(size=features.shape)
    sick = some_cases(patients + sealed, images_each=1, fractured=0.5).set_index("image")["target"]
    features[:, 0] += signal * sick.loc[table[COPY_OF].fillna(table["image"])].to_numpy(float)
    return Augmented(table, features.astype(np.float32), "a backbone (random, seed 0)")


def answers_of(images: Augmented) -> pd.DataFrame:
    """The answers of the final set."""
    whole = some_cases(76, images_each=1, fractured=0.5)
    return whole.loc[whole["image"].isin(images.table.loc[images.tenth == -1, "image"]), ["image", "target"]]


def some_floors(images: Augmented) -> pd.DataFrame:
    """A floor that says the same of all."""
    table = images.table[images.original & np.isin(images.tenth, (VALIDATION, TEST, -1))]
    part = np.where(table["fold"] == -1, "test", "validation")
    return table[["image", "study", "group", "fold", "target"]].assign(
        model="floor:majority", part=part, score=0.0, probability=0.5
    )


def test_the_learning_rate_falls_in_steps_as_the_study_states() -> None:
    assert [THE_STUDYS.rate(i) for i in (0, 1799)] == [0.02, 0.02]
    assert THE_STUDYS.rate(1800) == pytest.approx(0.0134) and THE_STUDYS.rate(3599) == THE_STUDYS.rate(1800)
    assert THE_STUDYS.rate(19_999) == pytest.approx(0.02 * 0.67**11)
    steps = {THE_STUDYS.rate(i) for i in range(THE_STUDYS.iterations)}
    assert len(steps) == 12 and THE_STUDYS.iterations == 20_000
    small = SCALES["small"].training
    assert len({small.rate(i) for i in range(small.iterations)}) == 12  # the small scale takes all the steps too


@settings(max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60), st.integers(1, 45))
def test_the_moving_average_is_that_of_a_point_and_those_before_it(values: list[float], over: int) -> None:
    found = moving_average(np.array(values), over, least=over)
    for place in range(len(values)):
        if place + 1 < over:
            assert np.isnan(found[place])
        else:
            assert found[place] == pytest.approx(sum(values[place + 1 - over : place + 1]) / over, abs=1e-12)


def some_learnt(n: int = 90, d: int = 6, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, n)
    features = rng.normal(size=(n, d)) + 1.5 * target[:, None]
    return Images(features.astype(np.float32), target.astype(np.intp))


def test_the_top_layer_is_what_torch_learns_from_the_same_batches() -> None:
    learnt, held_out = some_learnt(), some_learnt(40, seed=1)
    layer, curves = train(learnt, held_out, QUICK, seed=(4, 2))
    rng = np.random.default_rng((4, 2))
    linear = torch.nn.Linear(6, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(rng.normal(0, FIRST_SD, (6, 2)).T))
        linear.bias.zero_()
    optimiser = torch.optim.SGD(linear.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.StepLR(optimiser, step_size=30, gamma=0.67)
    errors = []
    for _ in range(QUICK.iterations):
        drawn = rng.integers(0, 90, 16)
        logits = linear(torch.from_numpy(learnt.features[drawn]))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(learnt.target[drawn]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        errors.append(loss.item())
    np.testing.assert_allclose(layer.weight, linear.weight.detach().numpy().T, atol=1e-5)
    np.testing.assert_allclose(layer.bias, linear.bias.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(curves["training_error"], errors[1::2], atol=1e-5)
    scores = torch.softmax(linear(torch.from_numpy(held_out.features)), 1)[:, 1].detach().numpy()
    np.testing.assert_allclose(layer(held_out.features), scores, atol=1e-5)
    assert list(curves.columns) == list(CURVES) and list(curves["iteration"]) == list(range(2, 121, 2))


def test_nothing_is_chosen_by_the_validation_part_and_the_same_seed_gives_the_same_bytes() -> None:
    learnt = some_learnt()
    one, _ = train(learnt, some_learnt(40, seed=1), QUICK, seed=(0,))
    two, _ = train(learnt, some_learnt(7, seed=9), QUICK, seed=(0,))
    other, _ = train(learnt, some_learnt(40, seed=1), QUICK, seed=(1,))
    assert one.weight.tobytes() == two.weight.tobytes() != other.weight.tobytes()


def test_an_error_that_is_no_number_ends_the_training() -> None:
    learnt = some_learnt()
    broken = Images(np.where(learnt.features > 2, np.float32("inf"), learnt.features), learnt.target)
    with pytest.raises(Diverged, match="no number at iteration 2"):
        train(broken, learnt, QUICK, seed=(0,))


def test_a_training_without_steps_is_refused() -> None:
    for change in ({"iterations": 0}, {"batch": 0}, {"learning_rate": 0.0}, {"decay": 1.5}, {"every": 0}):
        with pytest.raises(BadTable):
            replace(THE_STUDYS, **change)


@pytest.mark.parametrize("test", range(TENTHS))
def test_by_patient_no_patient_is_on_two_sides_and_copies_are_only_learnt_from(test: int) -> None:
    images = some_images()
    parts = parts_of(images, tenths_of(images, BY_PATIENT, seed=3), BY_PATIENT, test)
    patients = {name: set(images.table.loc[rows, "patient"]) for name, rows in parts.items()}
    assert not patients["learnt"] & patients["validation"]
    assert not (patients["learnt"] | patients["validation"]) & patients["test"]
    copies = images.table[COPY_OF].notna().to_numpy(bool)
    assert not copies[parts["validation"] | parts["test"]].any()
    assert copies[parts["learnt"]].mean() == pytest.approx(0.75)
    assert sum(len(who) for who in patients.values()) == 60
    assert [len(patients[name]) for name in ("learnt", "validation", "test")] == [48, 6, 6]
    assert not set(images.table.loc[images.tenth == -1, "patient"]) & set().union(*patients.values())


def test_by_copy_nearly_every_image_of_the_test_part_has_a_sibling_among_those_learnt_from() -> None:
    images = some_images(each=8)
    tenth = tenths_of(images, LEAKY, seed=3)
    parts = parts_of(images, tenth, LEAKY)
    learnt = set(images.table.loc[parts["learnt"], "patient"])
    assert np.mean([patient in learnt for patient in images.table.loc[parts["test"], "patient"]]) > 0.95
    assert [int(parts[name].sum()) for name in ("learnt", "validation", "test")] == [384, 48, 48]
    assert (tenth == -1).sum() == 16 and LEAKY in PROTOCOLS and LEAKY.startswith("leaky")


def test_copies_on_both_sides_turn_noise_into_accuracy() -> None:
    """Features that know the patient and nothing of the fracture: by patient a coin, by copy nearly always right."""
    images = some_images()
    longer = replace(QUICK, iterations=600, learning_rate=0.1, every=10_000)
    leaky, honest = (learn(images, protocol, longer, seed=0) for protocol in (LEAKY, BY_PATIENT))
    rows = judged.added(images, leaky, honest, seed=0, resamples=100)
    assert rows[1]["leaky"].value > 0.85 and rows[1]["honest"].value < 0.65
    for place, row in enumerate(rows):
        assert 0 < row["added"].low < row["added"].value < row["added"].high
        for outcome, key in ((leaky, "leaky"), (honest, "honest")):
            assert row[key].value == pytest.approx(by_hand(images, outcome)[place])
    assert [row["added"].value for row in judged.added(images, honest, honest, seed=0, resamples=20)] == [0, 0]


def by_hand(images: Augmented, outcome: Outcome) -> tuple[float, float]:
    """Mean AUROC of the ten test parts, and the accuracy in all of them."""
    areas, right = [], []
    for tenth in range(TENTHS):
        rows = outcome.tenth == tenth
        areas.append(roc_auc_score(images.target[rows], outcome.score[rows]))
        right += list((outcome.score[rows] >= 0.5) == images.target[rows])
    return float(np.mean(areas)), float(np.mean(right))


def test_every_image_is_judged_by_the_run_whose_test_part_it_is_in() -> None:
    images = some_images(signal=3)
    outcome = learn(images, BY_PATIENT, QUICK, seed=5)
    for test in (0, TEST):
        parts = parts_of(images, images.tenth, BY_PATIENT, test)
        layer, curves = train(images.images(parts["learnt"]), images.images(parts["validation"]), QUICK, seed=(5, test))
        own = images.tenth == test
        np.testing.assert_array_equal(outcome.score[own], layer(images.features[own]))
    pd.testing.assert_frame_equal(curves, outcome.curves)
    sealed = images.tenth == -1
    np.testing.assert_array_equal(outcome.score[sealed], layer(images.features[sealed]))
    assert np.isnan(outcome.study[parts["learnt"]]).all() and np.isfinite(outcome.study[~parts["learnt"]]).all()


def test_a_kept_outcome_is_the_one_that_was_made(tmp_path: Path) -> None:
    made = learn(some_images(), LEAKY, QUICK, seed=0)
    keep(tmp_path / "one", made.kept())
    found = kept(tmp_path / "one", "curves")
    assert found is not None
    again = Outcome.of(found)
    for field in fields(Outcome):
        one, two = getattr(made, field.name), getattr(again, field.name)
        if isinstance(one, pd.DataFrame):
            pd.testing.assert_frame_equal(one, two, check_exact=True)
        else:
            np.testing.assert_array_equal(one, two)


def test_the_rates_looked_at_contain_the_study_s_own_run() -> None:
    images = some_images(signal=3)
    table = tried(images, {0.001: replace(QUICK, learning_rate=0.001), 0.02: QUICK}, seed=2)
    assert list(table["rate"]) == [0.001, 0.001, 0.02, 0.02] and list(table["protocol"][:2]) == list(PROTOCOLS)
    for protocol in PROTOCOLS:
        outcome = learn(images, protocol, QUICK, seed=2)
        part = judged.test_part(images, outcome, seed=0, resamples=50)
        row = table[(table["rate"] == 0.02) & (table["protocol"] == protocol)].iloc[0]
        assert row["accuracy"] == part["accuracy"].value and row["images"] == part["images"]


def a_judged_table(signal: float = 1.5) -> tuple[Augmented, pd.DataFrame]:
    images = some_images(signal=signal)
    done = {protocol: learn(images, protocol, QUICK, seed=0) for protocol in PROTOCOLS}
    return images, beside.opened(judged.predictions(images, done, some_floors(images)), answers_of(images))


def test_the_figures_of_the_final_set_by_another_road() -> None:
    _, table = a_judged_table()
    mine = table[(table["model"] == judged.NAMES[BY_PATIENT])].set_index("image")
    final, held_out = mine[mine["part"] == "test"], mine[mine["part"] == "validation"]
    assert len(final) == 16 and len(held_out) == 12 and set(held_out["fold"]) == {VALIDATION, TEST}
    best = max(
        (np.mean(held_out["score"][held_out["target"] == 1] >= cut), cut)
        for cut in held_out["score"]
        if youden(held_out, cut) == max(youden(held_out, at) for at in held_out["score"])
    )[1]
    assert judged.cut_elsewhere(table) == best
    found = judged.final(table, BY_PATIENT, cut=best, seed=0, resamples=100)
    assert found["discrimination"]["auroc"].value == pytest.approx(roc_auc_score(final["target"], final["score"]))
    for key in ("chosen_here", "chosen_elsewhere"):
        point = found[key]
        assert point["sensitivity"].value == np.mean(final["score"][final["target"] == 1] >= point["cut"])
        assert point["specificity"].value == np.mean(final["score"][final["target"] == 0] < point["cut"])
    assert youden(final, found["chosen_here"]["cut"]) == max(youden(final, cut) for cut in final["score"])
    counts = found["curves"]["histogram"]
    assert counts["positives"].sum() == (final["target"] == 1).sum() and counts["edges"][[0, -1]].tolist() == [0, 1]


def youden(cases: pd.DataFrame, cut: float) -> float:
    score, target = cases["score"].to_numpy(float), cases["target"].to_numpy(int)
    return round(float(np.mean(score[target == 1] >= cut) + np.mean(score[target == 0] < cut)), 9)


def test_the_two_models_are_compared_on_the_same_patients() -> None:
    _, table = a_judged_table()
    gap = judged.gap_on_final(table, seed=0, resamples=100)
    areas = []
    for name in judged.NAMES.values():
        rows = table[(table["model"] == name) & (table["part"] == "test")]
        areas.append(roc_auc_score(rows["target"].astype(int), rows["score"]))
    assert gap.value == pytest.approx(areas[0] - areas[1])


def test_by_copy_there_are_no_validation_rows_and_an_image_without_answer_is_left_out() -> None:
    images, table = a_judged_table()
    assert set(table.loc[table["model"] == judged.NAMES[LEAKY], "part"]) == {"test"}
    answers = answers_of(images).reset_index(drop=True)
    answers.loc[0, "target"] = pd.NA
    done = {protocol: learn(images, protocol, QUICK, seed=0) for protocol in PROTOCOLS}
    fewer = beside.opened(judged.predictions(images, done, some_floors(images)), answers)
    assert len(table) - len(fewer) == 3  # of both models and the floor
    with pytest.raises(BadTable, match="no sealed target"):
        beside.opened(judged.predictions(images, done, some_floors(images)), answers.iloc[1:])


def test_the_floors_never_see_what_the_model_does_not_learn_from(tmp_path: Path) -> None:
    images = some_images(40, sealed=8)
    rng = np.random.default_rng(0)
    paths = {}
    for image in images.table.loc[images.original, "image"]:
        paths[image] = tmp_path / f"{image}.png"
        cv2.imwrite(str(paths[image]), rng.integers(0, 255, (32, 32), np.uint8))
    cohort = Cohort(images.table[images.original], paths)
    held_out = np.isin(images.tenth, (VALIDATION, TEST))
    flipped = images.table.assign(target=images.table["target"].mask(held_out, 1 - images.table["target"]))
    found = [
        stages.beside(cohort, replace(images, table=table), a_run(tmp_path / name)).set_index(["model", "image"])
        for name, table in (("one", images.table), ("two", flipped))
    ]
    pd.testing.assert_series_equal(found[0]["score"], found[1]["score"])
    assert (found[0]["target"].dropna() != found[1]["target"].dropna()).all()
    parts = found[0].loc["floor:thumbnail"]
    assert (parts["part"] == "validation").sum() == (held_out & images.original).sum()
    assert parts.loc[parts["part"] == "test", "target"].isna().all() and (parts["part"] == "test").sum() == 8


def test_the_cohort_is_lateral_labelled_and_sealed() -> None:
    manifest = some_laterals().assign(resolved_view="")
    manifest.loc[0, "view"] = "PA"
    manifest.loc[1, ["view", "resolved_view"]] = ["", "LAT"]
    manifest.loc[2, "target"] = pd.NA
    images = {image: Path(image) for image in manifest["image"]}
    cohort = cohort_of(manifest, images)
    assert (cohort.other_views, cohort.unlabelled, len(cohort.table)) == (1, 1, 74)
    assert cohort.sealed.sum() == 16 and set(cohort.images) == set(cohort.table["image"])
    with pytest.raises(BadTable, match="no image is known to be lateral"):
        cohort_of(manifest.assign(view="PA", resolved_view=""), images)
    with pytest.raises(TooFewCases, match="no lateral image is sealed"):
        cohort_of(manifest.assign(fold=0), images)
    with pytest.raises(TooFewCases, match="has a label"):
        cohort_of(manifest.assign(target=pd.NA), images)


def test_other_pseudonyms_make_no_other_split() -> None:
    manifest = some_laterals()
    renamed = manifest.assign(**{name: manifest[name].str.replace("p", "z") for name in ("patient", "group")})
    images = {image: Path(image) for image in manifest["image"]}
    one, two = (cohort_of(table, images) for table in (manifest, renamed))
    assert one.dealt(seed=1)["fold"].tolist() == two.dealt(seed=1)["fold"].tolist() and one.digest == two.digest


def test_classes_that_are_apart_have_no_binormal_fit_and_the_figure_is_drawn_without() -> None:
    for signal, fitted in ((60.0, 0), (1.0, 1)):
        _, table = a_judged_table(signal)
        found = plain(judged.final(table, BY_PATIENT, cut=0.5, seed=0, resamples=60))
        svg = pictures.roc(found, "roc")
        assert bool(found["curves"]["binormal"]["note"]) == (not fitted)
        assert svg.count(">binormal fit<") == fitted == svg.count(">95 % band<") and ">empirical<" in svg


def test_what_differs_from_the_study_is_marked() -> None:
    data = {"classes": [695, 694], "final_classes": [50, 50], "augmented": 11_112}
    rows = {row["what"]: row for row in compared(SCALES["full"], data, "tf_efficientnet_lite0 (ImageNet)")}
    same = {what for what, row in rows.items() if row["same"]}
    assert {"images after that", "iterations", "learning rate", "final set, with + without"} <= same
    assert "backbone, frozen" not in same and "split 80:10:10" not in same
    assert rows["images of an iteration"]["study"] == "not stated"
    assert PUBLISHED["images"] == 8 * (PUBLISHED["fracture"] + PUBLISHED["no_fracture"])
    full = SCALES["full"]
    assert round(full.sealed * full.patients) == 100 and full.patients == 1489


def test_a_scale_or_an_option_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="full, medium, small"):
        plan_of("large")
    with pytest.raises(BadTable, match="one backbone"):
        plan_of("small", ["resnet18", "inception_v3"])
    assert str(plan_of("small", ["inception_v3=weights.h5"]).trunk) == "inception_v3=weights.h5"
    for option, said in (("inception", "--inception"), ("network_epochs", "--network-epochs")):
        with pytest.raises(UnknownName, match=f"{said} means nothing to kim2018; leave it out"):
            experiment("kim2018", tmp_path / "out", options={option: 1})
    assert not (tmp_path / "out").exists()


def test_an_experiment_tells_its_scales() -> None:
    for name, wanted in (("hong2023", ["small", "full"]), ("kim2018", ["small", "medium", "full"])):
        told = scales(name)
        assert list(told.figures["scales"]) == wanted and EXPERIMENTS[name].about in told.said
        assert all(f"--scale {scale} " in told.said for scale in wanted)


def test_the_commands_of_its_page_are_those_of_the_command_line() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "wrist-experiment.md").read_text(encoding="utf-8")
    typed = re.findall(r"^\$ (?:nohup )?osteon experiment (.*?)(?: &)?$", page, re.M)
    command = typer.main.get_command(app).commands["experiment"]  # type: ignore[attr-defined]
    seen = set()
    for line in typed:
        asked = command.make_context("experiment", shlex.split(line)).params
        plan = plan_of(str(asked["scale"]), asked["backbone"] or [])
        assert str(asked["name"]) == "kim2018" and asked["out"]
        seen.add(plan.scale)
    assert len(typed) == 4 and seen == set(SCALES)
    medium, small = SCALES["medium"], SCALES["small"]
    said = " ".join(page.split())
    assert f"{medium.patients} phantom patients whose radiographs have {medium.rows:,} × {medium.columns:,}" in said
    told = f"{small.patients} phantom patients, {small.size} pixels, {small.training.iterations} iterations"
    assert told in said and f"100 of {SCALES['full'].patients:,} are sealed" in said
