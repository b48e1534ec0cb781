"""What experiments share: what is listed, whose folder it is, finished stages, and answers that are opened once."""

from __future__ import annotations

import inspect
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.cli_experiments import Name, Scale
from osteon.errors import Mismatch, NotFound, UnknownName
from osteon.experiments import EXPERIMENTS
from osteon.experiments.around import Run, answers_of, begin
from osteon.experiments.manifests import named_by_image, views_of
from osteon.experiments.stages import STAGE, Kept, keep, kept, once
from osteon.experiments.trunks import TrunkChoice, slug
from osteon.experiments.words import above, interval
from osteon.tasks import TASKS
from osteon.types import silent
from osteon.verbs.experiments import MAKERS, scales


def a_run(out: Path, **given: object) -> Run:
    whole = Run(
        out=out,
        seed=0,
        open_trunk=lambda choice: pytest.fail("no backbone is needed"),
        open_sealed=None,
        openings=lambda: 0,
        phantom=True,
        workers=3,
        threads=1,
        bars=lambda label: nullcontext(silent),
        tell=lambda line: None,
    )
    return replace(whole, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_that_is_listed_holds_what_the_command_needs(name: str) -> None:
    listed = EXPERIMENTS[name]
    study = listed.study()
    assert listed.task in TASKS and listed.phantom in MAKERS and listed.about
    assert tuple(inspect.signature(study.plan_of).parameters)[2:] == listed.options
    for scale, plan in study.SCALES.items():
        assert plan.scale == scale and 0 <= plan.sealed < 1 and plan.about and plan.size > 0
        assert study.plan_of(scale, []) == plan and study.phantom_of(plan).patients == plan.patients
    for function in (study.cohort_of, study.run, study.figures_of):
        assert callable(function)


def test_the_command_line_offers_every_experiment_and_scale() -> None:
    assert {name.value for name in Name} == set(EXPERIMENTS)
    assert {scale.value for scale in Scale} == {s for e in EXPERIMENTS.values() for s in e.study().SCALES}
    with pytest.raises(UnknownName, match="no experiment named 'kim2019'; choose one of: decid2021"):
        scales("kim2019")


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    around = a_run(tmp_path / "out")
    begin(around, "one", data="abc", settings={"scale": "small", "rates": (0.1, 0.2)})
    begin(around, "one", data="abc", settings={"scale": "small", "rates": (0.1, 0.2)})
    for differs, run, name, data, wanted in (
        ("seed", replace(around, seed=1), "one", "abc", {"scale": "small", "rates": (0.1, 0.2)}),
        ("data", around, "one", "abd", {"scale": "small", "rates": (0.1, 0.2)}),
        ("experiment", around, "two", "abc", {"scale": "small", "rates": (0.1, 0.2)}),
        ("rates, scale", around, "one", "abc", {"scale": "full"}),
    ):
        with pytest.raises(Mismatch, match=rf"differs in {differs}\)"):
            begin(run, name, data=data, settings=wanted)


@settings(max_examples=25)
@given(st.lists(st.floats(allow_infinity=False), min_size=1, max_size=12), st.lists(st.integers(-5, 5), min_size=1))
def test_what_is_kept_comes_back_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], numbers: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("kept")
    table = pd.DataFrame({"part": ["training"] * len(values), "error": values, "at": range(len(values))})
    keep(folder, Kept({"name": "x"}, {"numbers": np.array(numbers)}, {"curves": table}))
    again = kept(folder, "curves")
    assert again is not None and again.told == {"name": "x"}
    np.testing.assert_array_equal(again.arrays["numbers"], numbers)
    found = again.tables["curves"]
    # -0.0 and 0.0 differ in their bytes, and not a number is none other than itself here.
    assert found["error"].to_numpy(float).tobytes() == canonical(values).tobytes()
    assert list(found["at"]) == list(range(len(values))) and set(found["part"]) == {"training"}


def canonical(values: list[float]) -> np.ndarray:
    """The values with one kind of NaN, which is all that text can tell."""
    return np.array([float("nan") if np.isnan(value) else value for value in values])


def test_a_stage_is_made_once_and_not_counted_before_its_end(tmp_path: Path) -> None:
    told: list[str] = []
    made = Kept({"n": 1}, {"a": np.arange(3)})
    for _ in range(2):
        done = once(tmp_path / "stage", lambda: made, lambda kept: f"n is {kept.told['n']}", told.append)
        assert done.arrays["a"].tolist() == [0, 1, 2]
    assert told[0].startswith("stage ") and "n is 1, " in told[0] and told[1].split()[1:] == ["kept:", "n", "is", "1"]
    (tmp_path / "stage" / STAGE).unlink()  # what a kill would leave
    assert kept(tmp_path / "stage") is None
    keep(tmp_path / "stage", made)
    (tmp_path / "stage" / "scores.npz").unlink()
    with pytest.raises(NotFound):
        kept(tmp_path / "stage")


def test_sealed_answers_are_opened_once_and_keep_only_what_is_needed(tmp_path: Path) -> None:
    opened: list[int] = []

    def open_sealed() -> pd.DataFrame:
        opened.append(1)
        return pd.DataFrame({"image": ["007", "b"], "target": [1, pd.NA], "secret": ["x", "y"]})

    around = a_run(tmp_path, open_sealed=open_sealed)
    for _ in range(3):
        answers = answers_of(around, lambda given: given[["image", "target"]])
        assert answers is not None and list(answers.columns) == ["image", "target"]
        assert answers["image"].tolist() == ["007", "b"] and answers["target"].isna().tolist() == [False, True]
    assert len(opened) == 1 and answers_of(a_run(tmp_path), lambda given: given) is None


def test_the_view_is_that_of_the_first_column_that_tells_one() -> None:
    manifest = pd.DataFrame({"view": ["LAT", "OBL", "", ""], "resolved_view": ["AP", "LAT", "", "x"]})
    assert list(views_of(manifest, ("LAT", "AP"))[:2]) == ["LAT", "LAT"]
    assert not views_of(manifest, ("LAT", "AP"))[2:].isin(["LAT", "AP"]).any()


def test_names_after_images_tell_the_same_patients_apart() -> None:
    rows = pd.DataFrame({"image": ["c", "a", "b", "d"], "patient": ["z", "y", "z", "y"]})
    assert list(named_by_image(rows, "patient")) == ["b", "a", "b", "a"]


def test_small_words() -> None:
    assert str(TrunkChoice.parse("resnet18")) == "resnet18=default" and slug("Regime II, β") == "regime-ii"
    assert interval({"value": -0.0312, "low": -0.1, "high": 0.2}) == "−0.031 (−0.100 to 0.200)"
    assert interval({"value": 0.5, "low": None, "high": None}) == "0.500 (no interval)"
    assert interval({"value": None, "low": None, "high": None}) == "not available"
    assert [above({"low": low}) for low in (0.01, -0.01, None)] == [True, False, False]
    assert a_run(Path()).processes(8) == 1 and a_run(Path()).processes(9) == 3
