"""The pieces of the experiment: its trainings, its parts, who chooses what, and what is judged, by another road."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn

from osteon.cli import app
from osteon.errors import BadTable, Diverged, Leak, TooFewCases, UnknownName
from osteon.experiments.crew import in_threads, train_all
from osteon.experiments.decid2021 import hairlines, judged, phantom_of
from osteon.experiments.decid2021.arms import (
    BASELINE,
    BY_SIZE,
    OPTIMISERS,
    PAD,
    PADDED,
    RESIZE,
    RX_LARGE,
    WATCHED,
    Epochs,
    Form,
    accuracy,
)
from osteon.experiments.decid2021.cohort import LEARNT, VALIDATION, Cohort, cohort_of
from osteon.experiments.decid2021.levels import BY_ONE, INSTANCE, MAJORITY, Part
from osteon.experiments.decid2021.page import write
from osteon.experiments.decid2021.plan import PUBLISHED, SCALES, Plan, Probe, compared, plan_of
from osteon.experiments.decid2021.report import report_of
from osteon.experiments.decid2021.training import layer_gradients, moments_of
from osteon.experiments.stages import Kept, keep
from osteon.learn.networks.rx import FORMS
from osteon.learn.samplers import OppositeClass
from osteon.types import Progress
from tests.experiments.made_up import some_found
from tests.experiments.test_shared import a_run
from tests.make import some_split_cases


def a_cohort(patients: int = 60, *, sealed: int = 15, images_each: int = 2, **columns: object) -> Cohort:
    manifest = some_split_cases(patients, sealed=sealed, images_each=images_each, fractured=0.3, **columns)
    return cohort_of(manifest, {image: Path(f"{image}.png") for image in manifest["image"]})


def a_part(seed: int = 0, patients: int = 40) -> tuple[Part, np.ndarray, pd.DataFrame]:
    """A part of studies of one to three images, with scores, and the same as a table."""
    rng = np.random.default_rng(seed)
    each = rng.integers(1, 4, patients)
    study = np.repeat(np.arange(patients), each)
    table = pd.DataFrame({"study": study.astype(str), "group": study.astype(str)})
    target = (study % 3 == 0).astype(np.intp)
    score = target + rng.normal(size=len(study))
    part = Part.of(table, np.ones(len(study), bool), target, rng, resamples=50)
    return part, score, table.assign(target=target, score=score)


def test_every_arm_has_a_name_and_a_label_of_its_own_at_every_scale() -> None:
    for plan in SCALES.values():
        names, labels = [arm.name for arm in plan.arms], [arm.label for arm in plan.arms]
        assert len(set(names)) == len(names) == len(set(labels))
        for arm in plan.arms:
            assert arm.optimiser in OPTIMISERS and arm.options(plan.bf16).sampler == OppositeClass()
            own = FORMS.get(arm.trunk.backbone)
            if own is not None:  # the image is large enough for the network
                assert min(arm.form.width, arm.form.height) >= own.smallest_side, (plan.scale, arm.name)


def test_the_full_plan_is_the_study_s() -> None:
    arms = {arm.name: arm for arm in SCALES["full"].arms}
    assert [arms[name].form.size for name in BY_SIZE] == [row["size"] for row in PUBLISHED["sizes"]]
    assert [arms[name].form.fit for name in BY_SIZE] == [RESIZE] * 3 and arms[PADDED].form.fit == PAD
    assert [arms[name].epochs for name in (BY_SIZE[0], PADDED, "resnet18-batch-64", BASELINE)] == [10, 10, 13, 24]
    assert [arms[name].batch for name in (PADDED, BASELINE)] == [16, 32]
    assert arms[RX_LARGE].trunk.backbone == "rx_large" and arms[RX_LARGE].form.size == "768 × 1152"
    assert arms["resnet18-inverted"].options(False).augmentation.invert == 0.5
    assert [arms[name].options(False).objective.chooses for name in (PADDED, BASELINE)] == ["last", "accuracy"]
    assert all(arm.trunk.weights == "random" for name, arm in arms.items() if name.startswith(("resnet18", "rx")))


def test_the_study_s_confusions_add_up_to_its_accuracies() -> None:
    for name in ("baseline", "rx_lite"):
        (right_not, wrong), (missed, right) = PUBLISHED[name]["confusion"]
        assert right_not + right == pytest.approx(PUBLISHED[name]["at_least_one"], abs=0.01)
        assert right_not + wrong == pytest.approx(50) and missed + right == pytest.approx(50)


def test_an_image_is_padded_or_stretched_to_its_form() -> None:
    pad, stretch = Form(PAD, 100, 150), Form(RESIZE, 100, 150)
    # 96 mm high and 80 wide: padded to 120 mm of height, stretched none.
    assert pad.mm_per_pixel(96, 80) == pytest.approx(120 / 150)
    assert stretch.mm_per_pixel(96, 80) == pytest.approx(96 / 150)
    assert pad.mm_per_pixel(96, 40) == pytest.approx(96 / 150)
    assert [str(form.recipe[-1]) for form in (pad, stretch)] == [
        "pad and scale to 100 × 150 px",
        "stretch to 100 × 150 px",
    ]
    assert (pad.name, pad.size) == ("pad-100x150", "100 × 150")


def test_the_parts_are_of_whole_patients_and_the_last_fold_chooses() -> None:
    cohort = a_cohort()
    who = [set(cohort.table.loc[cohort.part == part, "patient"]) for part in (LEARNT, VALIDATION, -1)]
    assert not who[0] & who[1] and not (who[0] | who[1]) & who[2] and len(set().union(*who)) == 60
    manifest = some_split_cases(60, sealed=15, fractured=0.3)
    assert who[1] == set(manifest.loc[manifest["fold"] == 4, "image"].groupby(manifest["patient"]).min())
    assert len(who[2]) == 15 and len(who[0]) > 3 * len(who[1])
    assert cohort.table.loc[cohort.part == -1, "target"].isna().all() and not cohort.target[cohort.part == -1].any()


def test_the_study_s_validation_set_has_as_many_studies_of_either_class() -> None:
    cohort = a_cohort(images_each=3)
    chosen = cohort.balanced(seed=4)
    rows = cohort.table[chosen]
    studies = rows.drop_duplicates("study")["target"].astype(int)
    validation = cohort.table[cohort.part == VALIDATION].drop_duplicates("study")["target"].astype(int)
    assert set(cohort.part[chosen]) == {VALIDATION} and studies.mean() == 0.5
    assert (studies == 1).sum() == min((validation == 1).sum(), (validation == 0).sum())
    assert (rows.groupby("study").size() == 3).all()  # whole studies
    assert (cohort.balanced(seed=4) == chosen).all() and (cohort.balanced(seed=5) != chosen).any()


def test_a_cohort_that_cannot_be_judged_is_refused() -> None:
    manifest = some_split_cases(40, sealed=10, fractured=0.3)
    images = {image: Path(image) for image in manifest["image"]}
    with pytest.raises(TooFewCases, match="no image is sealed"):
        cohort_of(manifest[manifest["fold"] != -1], images)
    with pytest.raises(BadTable, match="2 images name no study"):
        cohort_of(manifest.assign(study=manifest["study"].mask(manifest["patient"] == "p000", "")), images)
    with pytest.raises(TooFewCases, match="validation images are not of both classes"):
        cohort_of(manifest.assign(target=manifest["target"].mask(manifest["fold"] == 4, 0)), images)
    with pytest.raises(Leak, match="1 patients are in two parts"):
        fold = manifest["fold"].mask((manifest["patient"] == "p000") & (manifest["view"] == "AP"), 4)
        cohort_of(
            manifest.assign(fold=fold.mask((manifest["patient"] == "p000") & (manifest["view"] == "LAT"), 0)), images
        )
    some = manifest.assign(target=manifest["target"].mask(manifest["patient"] == "p000"))
    assert cohort_of(some, images).unlabelled == 2


def test_hardware_is_what_the_label_table_says() -> None:
    assert a_cohort().hardware is None
    known = a_cohort(hardware="1").hardware
    assert known is not None and known[0].all() and not known[1].any()
    unknown = a_cohort(hardware="perhaps").hardware
    assert unknown is not None and not unknown[0].any() and not unknown[1].any()


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_accuracies_of_images_and_studies_by_counting_votes(seed: int) -> None:
    part, score, table = a_part(seed)
    levels = part.levels(score)
    votes = table.assign(yes=score >= 0).groupby("study", sort=False).agg(yes=("yes", "mean"), target=("target", "max"))
    wanted = {
        INSTANCE: np.mean((score >= 0) == (table["target"] == 1)),
        BY_ONE: np.mean((votes["yes"] > 0) == (votes["target"] == 1)),
        MAJORITY: np.mean((votes["yes"] > 0.5) == (votes["target"] == 1)),
    }
    for name, share in wanted.items():
        assert levels[name].accuracy()[0].value == pytest.approx(share)
    assert levels[INSTANCE].auroc()[0].value == pytest.approx(roc_auc_score(table["target"], score))
    best = table.groupby("study", sort=False).agg(score=("score", "max"), target=("target", "max"))
    assert levels[BY_ONE].auroc()[0].value == pytest.approx(roc_auc_score(best["target"], best["score"]))
    sick = best["target"] == 1
    for cut in (0.0, 0.7):
        rates = levels[BY_ONE].rates(cut)
        assert rates["sensitivity"].value == pytest.approx((best["score"][sick] >= cut).mean())
        assert rates["specificity"].value == pytest.approx((best["score"][~sick] < cut).mean())
        balanced = levels[BY_ONE].balanced_accuracy(cut)[0].value
        assert balanced == pytest.approx((rates["sensitivity"].value + rates["specificity"].value) / 2)
    cells = np.array([[cell.value for cell in row] for row in levels[BY_ONE].confusion()])
    assert cells.sum() == pytest.approx(1) and np.trace(cells) == pytest.approx(wanted[BY_ONE])


def test_what_chooses_flatters_by_the_difference_of_the_two_sets() -> None:
    one, score, _ = a_part(1)
    parts = {"train": one, "validation": one, "inner": one, "test": one}
    told, honest = judged.as_study(score, parts), judged.honest(score, parts)
    gap = told["validation"][BY_ONE].value - honest["balanced_accuracy"][BY_ONE].value
    assert honest["flattered"].value == pytest.approx(gap)
    level = one.level(score, BY_ONE)
    assert honest["chosen"]["cut"] == level.youden()
    best = max(level.balanced_accuracy(cut)[0].value for cut in level.score)
    assert honest["chosen"]["balanced_accuracy"].value == pytest.approx(best)


def test_hardware_that_gives_the_fracture_away_is_missed_without_it() -> None:
    part, _, table = a_part(3, patients=90)
    rng = np.random.default_rng(0)
    metal = (table["target"] == 1).to_numpy(bool) & (np.arange(len(table)) % 2 == 0)
    score = metal * 3.0 + rng.normal(size=len(table)) * 0.1
    found = judged.without_hardware(score, part, ~metal)[INSTANCE]["auroc"]
    clean = ~metal
    assert found["without"].value == pytest.approx(roc_auc_score(table["target"][clean], score[clean]))
    assert found["lost"].value == pytest.approx(found["all"].value - found["without"].value) and found["lost"].low > 0


def a_probe(patients: int = 30, gaps: tuple[float, ...] = (0.2, 0.5, 2.0)) -> pd.DataFrame:
    rows = [(f"{p:04d}-{gap}", p, gap, gap > 0) for p in range(patients) for gap in (0.0, *gaps)]
    return pd.DataFrame(rows, columns=["image", "patient", "gap_mm", "visible"])


def test_a_hairline_is_seen_from_the_width_on_at_which_it_is_told_from_none() -> None:
    probe = a_probe()
    rng = np.random.default_rng(0)
    score = np.where(probe["gap_mm"] >= 0.5, 2.0, 0.0) + rng.normal(size=len(probe)) * 0.7
    found = judged.seen_hairlines(score, probe, seed=0, resamples=200)
    assert [row["gap_mm"] for row in found["rows"]] == [0.2, 0.5, 2.0]
    for row in found["rows"]:
        mine = probe["gap_mm"].isin([0.0, row["gap_mm"]])
        assert row["auroc"].value == pytest.approx(roc_auc_score(probe["gap_mm"][mine] > 0, score[mine]))
        assert row["auroc"].low < row["auroc"].value < row["auroc"].high or row["auroc"].value == 1
    assert judged.smallest_seen(found["rows"]) == 0.5
    assert found["mean"][0].value == pytest.approx(np.mean([row["auroc"].value for row in found["rows"]]))
    nothing = judged.seen_hairlines(rng.normal(size=len(probe)) * 0, probe, seed=0, resamples=50)
    assert judged.smallest_seen(nothing["rows"]) is None


def test_the_same_wrists_are_judged_at_every_width_and_only_the_gap_differs() -> None:
    plan = SCALES["small"]
    from osteon.phantom.patient import draw_patient

    wide, narrow = (
        draw_patient(hairlines.wrist_plan(plan, gap), hairlines.OTHER_PEOPLE, 3, fractured=True) for gap in (2.0, 0.3)
    )
    assert (wide.person, wide.side, wide.device) == (narrow.person, narrow.side, narrow.device)
    assert wide.fracture is not None and narrow.fracture is not None
    assert (wide.fracture.gap_mm, narrow.fracture.gap_mm) == (2.0, 0.3)
    assert wide.fracture.displacement_mm == narrow.fracture.displacement_mm == 0
    np.testing.assert_array_equal(wide.fracture.normal, narrow.fracture.normal)
    np.testing.assert_array_equal(wide.fracture.waves, narrow.fracture.waves)
    assert wide.fracture.opening == narrow.fracture.opening
    learnt = draw_patient(phantom_of(plan), 0, 3, fractured=True)
    assert learnt.person != wide.person  # another body than the one of this number that is learnt from


def test_the_label_of_a_study_is_wrong_for_an_image_that_shows_nothing() -> None:
    truth = pd.DataFrame({"image": list("abcd"), "visible": [True, False, False, True]})
    told = judged.label_noise(truth, ["a", "b", "c"], np.array([1.0, 1.0, 0.0]))
    assert told == {"images": 3, "wrong": 1, "of_fractured": 0.5, "of_all": pytest.approx(1 / 3)}


def test_the_accuracy_of_an_epoch_and_what_chooses_it() -> None:
    score, target = np.array([-1.0, 0.0, 2.0, 3.0]), np.array([0.0, 1.0, 0.0, 1.0])
    assert accuracy(score, target) == 0.75 and WATCHED.chooses == "accuracy"
    epochs = [WATCHED.judge([0.5], (score, target), (unseen, target)) for unseen in (score, np.abs(score))]
    assert not WATCHED.is_better(epochs[1], epochs[0]) and WATCHED.is_better(epochs[0], epochs[1])


def test_moments_are_those_of_the_images_that_are_learnt_from() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 8, 6)).astype(np.uint8)
    mean, sd = moments_of(pixels, np.array([0, 3]))
    chosen = pixels[[0, 3]] / 255
    assert (mean, sd) == (pytest.approx(chosen.mean()), pytest.approx(chosen.std()))


def test_the_gradient_of_a_layer_by_finite_differences_and_nothing_is_left_behind() -> None:
    torch.manual_seed(0)
    inner = nn.Linear(12, 1)
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), inner, nn.Flatten(0)).double()
    images, target = torch.rand(4, 1, 4, 4).double(), torch.tensor([0.0, 1.0, 1.0, 0.0]).double()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    norms = layer_gradients(network, images, target)
    assert list(norms) == ["0", "3"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    slopes = []
    for place in range(12):
        both = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                network.load_state_dict(before)
                inner.weight[0, place] += step
                logits = network(images)
                both.append(nn.functional.binary_cross_entropy_with_logits(logits, target).item())
        slopes.append((both[0] - both[1]) / 2e-6)
    assert norms["3"] == pytest.approx(np.linalg.norm(slopes), rel=1e-5)


@dataclass(frozen=True)
class Stub:
    """A training that writes down that it was begun, or fails."""

    name: str
    cost: float
    folder: Path
    fails: bool = False

    def __call__(self, progress: Progress) -> Kept:
        with (self.folder / "order.txt").open("a") as stream:
            stream.write(f"{self.name}\n")
        if self.fails:
            raise Diverged("the loss is no number any more in epoch 2, batch 3", remedy="train more slowly")
        progress(1, 2)
        return Kept({"name": self.name}, {"scores": np.arange(3.0)})


@pytest.mark.parametrize("workers", [1, 2])
def test_trainings_are_shared_once_each_and_the_longest_come_first(tmp_path: Path, workers: int) -> None:
    told: list[str] = []
    around = a_run(tmp_path, workers=workers, tell=told.append)
    jobs = [Stub(name, cost, tmp_path) for name, cost in (("a", 1), ("b", 3), ("c", 2))]
    keep(around.stages / "d", Kept({"name": "d"}))
    done = train_all([*jobs, Stub("d", 9, tmp_path)], around, lambda kept: f"is {kept.told['name']}")
    begun = (tmp_path / "order.txt").read_text().split()
    assert sorted(begun) == ["a", "b", "c"] and (workers > 1 or begun == ["b", "c", "a"])
    assert list(done) == ["a", "b", "c", "d"] and done["a"].arrays["scores"].tolist() == [0, 1, 2]
    assert sorted(told)[3].split() == ["d", "kept:", "is", "d"] and len(told) == 4
    train_all(jobs, around, lambda kept: "")
    assert (tmp_path / "order.txt").read_text().split() == begun  # nothing is trained twice


def test_a_training_that_fails_says_so_and_the_others_are_kept(tmp_path: Path) -> None:
    around = a_run(tmp_path, workers=1)
    jobs = [Stub("good", 2, tmp_path), Stub("bad", 1, tmp_path, fails=True)]
    with pytest.raises(Diverged, match="epoch 2, batch 3"):
        train_all(jobs, around, lambda kept: "")
    assert (around.stages / "good" / "stage.json").exists() and not (around.stages / "bad").exists()


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with in_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(UnknownName, match="full, medium, small"):
        plan_of("large")
    with pytest.raises(BadTable, match="named twice"):
        plan_of("small", ["resnet18", "resnet18=random"])
    for change in ({"resamples": 0}, {"batches": (16,)}):
        with pytest.raises(BadTable):
            replace(SCALES["small"], **change)
    for gaps in ((), (0.5, 0.2), (0.5, 0.5)):
        with pytest.raises(BadTable, match="ascending"):
            Probe(gaps_mm=gaps)
    with pytest.raises(BadTable, match="no epochs"):
        Epochs(tables=0)
    named = plan_of("small", ["resnet18=weights.pt"])
    assert len({arm.name for arm in named.arms}) == len({arm.label for arm in named.arms}) == len(named.arms)
    assert [arm.trunk.weights for arm in named.arms if arm.name.startswith("ours-resnet18-")] == ["weights.pt"] * 3


def test_what_differs_from_the_study_is_marked() -> None:
    data = {"studies": 13_538, "radiographs": 21_372, "fractured": PUBLISHED["broken"] / PUBLISHED["studies"]}
    rows = {row["what"]: row for row in compared(SCALES["full"], data, ["resnet18 (random, seed 0)"])}
    same = {what for what, row in rows.items() if row["same"]}
    assert {"studies", "sizes compared, pixels", "epochs: baseline, at most", "batches compared"} <= same
    assert not {"weights at the start", "learning rates", "validation set"} & same
    small = {row["what"] for row in compared(SCALES["small"], data, []) if row["same"]}
    assert "sizes compared, pixels" not in small


def test_the_phantom_has_studies_of_one_to_four_images_as_many_fractured_as_the_study_s() -> None:
    plan = phantom_of(SCALES["medium"])
    assert plan.fractured == pytest.approx(PUBLISHED["broken"] / PUBLISHED["studies"], abs=1e-3)
    mean = sum(share * images for images, share in enumerate(plan.instances, start=1))
    assert mean == pytest.approx(PUBLISHED["radiographs"] / PUBLISHED["studies"], abs=0.05)
    assert len(plan.instances) == 4 and plan.rows >= 1200 and plan.planted == ("hardware",)


def test_the_commands_of_its_page_are_those_of_the_command_line() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "study-experiment.md").read_text(encoding="utf-8")
    typed = re.findall(r"^\$ (?:nohup )?osteon experiment (.*?)(?: &)?$", page, re.M)
    command = typer.main.get_command(app).commands["experiment"]  # type: ignore[attr-defined]
    seen = set()
    for line in typed:
        asked = command.make_context("experiment", shlex.split(line)).params
        assert str(asked["name"]) == "decid2021" and asked["out"]
        seen.add(plan_of(str(asked["scale"]), asked["backbone"] or []).scale)
    assert len(typed) == 4 and seen == set(SCALES)
    medium, small, said = SCALES["medium"], SCALES["small"], " ".join(page.split())
    assert f"{medium.patients} phantom studies whose radiographs have {medium.rows:,} × {medium.columns:,}" in said
    assert f"{small.patients} phantom studies, images of {small.arms[0].form.size} pixels" in said
    assert f"{len(medium.arms)} trainings" in said and isinstance(medium, Plan)


def test_of_data_that_are_no_phantoms_nothing_is_said_of_gaps_and_places(tmp_path: Path) -> None:
    plan = replace(SCALES["small"], resamples=40)
    found = replace(some_found(plan), probe=None, truth=None)
    content = report_of(found, plan, seed=0, phantom=False, openings=1)
    write(content, {}, found, tmp_path)
    assert content["hairlines"]["paragraph"] == "" and content["data"]["noise"] is None
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("Not available: ") == 2 and "nobody knows how wide the gap" in text
    assert "phantom" not in content["sentence"] and not any("planted" in caution for caution in content["cautions"])
    assert {path.stem for path in (tmp_path / "figures").glob("*.svg")} & {"hairlines", "pointing"} == set()
    assert not (tmp_path / "tables" / "hairlines.csv").exists()
    without = replace(found.cohort, table=found.cohort.table.drop(columns="hardware"))
    again = report_of(replace(found, cohort=without), plan, seed=0, phantom=False, openings=2)
    assert again["hardware"]["reason"] == "the label table has no column hardware"
    assert "The test set was opened 2 times: only the first look is free." in again["cautions"]


def test_the_words_follow_from_the_figures() -> None:
    plan = replace(SCALES["small"], resamples=60, probe=Probe(patients=40, gaps_mm=(0.5, 2.0)))
    found = some_found(plan, strength=3.0)
    content = report_of(found, plan, seed=0, phantom=True, openings=1)
    arms = content["arms"]
    best = max(arm["study"]["validation"]["at_least_one"]["value"] for arm in arms.values())
    chosen = arms[content["chosen"]["of_all"]]
    assert chosen["study"]["validation"]["at_least_one"]["value"] == best and chosen["label"] in content["sentence"]
    for row in content["hairlines"]["sizes"]:
        gained = row["gained"]
        small, large = (content["hairlines"]["arms"][row["names"][place]]["mean"]["value"] for place in (0, -1))
        assert gained["value"] == pytest.approx(large - small, abs=2e-6)
        told = "a larger image sees more" if gained["low"] > 0 else "a larger image sees less"
        if gained["low"] > 0 or gained["high"] < 0:
            assert told in content["hairlines"]["paragraph"]
    for arm in content["hairlines"]["arms"].values():
        wide = [row for row in arm["rows"] if arm["smallest"] is not None and row["gap_mm"] >= arm["smallest"]]
        assert all(row["auroc"]["low"] > 0.5 for row in wide)
    chance = report_of(some_found(plan, strength=0.0), plan, seed=0, phantom=True, openings=1)
    assert sum("is not shown to be better on the test set than the best floor" in c for c in chance["cautions"]) >= 2
