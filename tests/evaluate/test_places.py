"""Tables of places: what they must keep, which images count, and the figures that come of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from osteon.errors import BadTable, Leak, NotFound, TooFewCases
from osteon.evaluate import places
from osteon.evaluate.judge_places import judge_places
from osteon.evaluate.page import page
from osteon.evaluate.places import PlaceTables, collect, must_agree
from osteon.evaluate.report import evaluate, plain
from tests.make import some_predictions, with_floors

HEIGHT, WIDTH = 120, 200


def some_places(patients: int = 30, *, folds: int = 3, sealed: int = 0, seed: int = 0) -> PlaceTables:
    """Two images a patient, every second patient fractured, a box in each such image; a model that is often right."""
    rng = np.random.default_rng(seed)
    n = 2 * patients
    patient = np.arange(n) // 2
    prepared = pd.DataFrame(
        {
            "image": [f"{p:04d}{i % 2:028d}" for i, p in enumerate(patient)],
            "group": [f"p{p:03d}" for p in patient],
            "fold": np.where(patient < patients - sealed, patient // 2 % folds, -1),
            "target": patient % 2,
            "height": HEIGHT,
            "width": WIDTH,
        }
    )
    sick = prepared.loc[prepared["target"] == 1, "image"].to_numpy()
    k = len(sick)
    truth = pd.DataFrame(
        {"image": sick, "x": rng.uniform(20, 120, k), "y": rng.uniform(10, 70, k), "width": 40.0, "height": 30.0}
    )
    found = truth.assign(x=truth["x"] + rng.normal(0, 6, k), score=rng.normal(1, 1, k))
    stray = {"x": rng.uniform(0, 150, n), "y": rng.uniform(0, 80, n), "width": 40.0, "height": 30.0}
    stray = pd.DataFrame({"image": prepared["image"], **stray, "score": rng.normal(0, 1, n)})
    points = pd.DataFrame({"image": sick, "x": truth["x"] + 20, "y": truth["y"] + rng.normal(15, 12, k), "score": 1.0})
    points = points.assign(y=points["y"].clip(0, HEIGHT))
    return PlaceTables(prepared, truth, pd.concat([found, stray], ignore_index=True), points)


def judged(given: PlaceTables, part: str = "validation", **options) -> dict:
    return judge_places(given, part, rng=np.random.default_rng(0), **{"resamples": 60, **options})


def with_row(frame: pd.DataFrame | None, **values) -> pd.DataFrame:
    assert frame is not None
    changed = frame.copy()
    for column, value in values.items():
        changed[column] = changed[column].astype(object)
        changed.loc[changed.index[0], column] = value
    return changed


@pytest.mark.parametrize(
    ("table", "values", "said"),
    [
        ("prepared", {"image": "0001" + "0" * 28}, "an image is there for a second time"),
        ("prepared", {"height": 0}, "the image has no size"),
        ("prepared", {"target": 2}, "the target is neither 0 nor 1"),
        ("prepared", {"target": None}, "the target is missing in the validation part"),
        ("prepared", {"group": None}, "the column group is empty"),
        ("truth", {"image": "0000" + "0" * 28}, "the image is one without the finding"),
        ("truth", {"image": "fa0023e4c9.jpg"}, "the image is not among the prepared ones"),
        ("truth", {"width": 0.0}, "the box has no size"),
        ("truth", {"x": 900.0}, "lies outside its image; give it in pixels of the prepared image, not of the source"),
        ("truth", {"y": None}, "a number is missing"),
        ("boxes", {"score": np.inf}, "a number is missing"),
        ("boxes", {"height": -3.0}, "the box has no size"),
        ("boxes", {"y": -40.0}, "lies outside its image"),
        ("points", {"x": 200.5}, "lies outside its image"),
        ("points", {"image": "nobody"}, "the image is not among the prepared ones"),
    ],
)
def test_a_broken_row_is_counted_and_named(table: str, values: dict, said: str) -> None:
    given = some_places()
    broken = dataclasses.replace(given, **{table: with_row(getattr(given, table), **values)})
    with pytest.raises(BadTable, match=rf"in \d+ rows? of the .*{said}"):
        collect(broken, "validation")


@pytest.mark.parametrize("table", ["prepared", "truth", "boxes", "points"])
def test_a_missing_column_is_named(table: str) -> None:
    given = some_places()
    column = getattr(given, table).columns[-1]
    broken = dataclasses.replace(given, **{table: getattr(given, table).drop(columns=column)})
    with pytest.raises(BadTable, match=f"lacks the column {column}"):
        collect(broken, "validation")


def test_a_patient_in_two_folds_is_a_leak() -> None:
    given = some_places()
    with pytest.raises(Leak, match=r"1 group is in several folds \(p000\)"):
        collect(dataclasses.replace(given, prepared=with_row(given.prepared, fold=2)), "validation")


def test_without_true_boxes_there_is_nothing_to_judge() -> None:
    given = some_places()
    with pytest.raises(TooFewCases, match="no image of the validation part has a true box"):
        collect(dataclasses.replace(given, truth=given.truth.iloc[:0]), "validation")
    with pytest.raises(TooFewCases, match="test part"):
        collect(given, "test")


def test_tables_of_places_are_written_and_read(tmp_path) -> None:
    given = some_places()
    places.write(given, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file for file, _ in places.FILES.values())
    back = places.read(tmp_path)
    for name, (_, columns) in places.FILES.items():
        first, second = (getattr(each, name)[list(columns)] for each in (back, given))
        pd.testing.assert_frame_equal(first, second, check_dtype=False)
    places.write(dataclasses.replace(given, points=None), tmp_path)
    assert places.read(tmp_path).points is None
    assert places.read(tmp_path).boxes is not None
    (tmp_path / "true_boxes.parquet").unlink()
    with pytest.raises(NotFound):
        places.read(tmp_path)


def test_the_order_of_the_rows_is_no_matter() -> None:
    given = some_places()
    mixed = PlaceTables(*(frame.sample(frac=1, random_state=3) for frame in vars(given).values()))
    assert plain(judged(mixed)) == plain(judged(given))


def test_the_figures_are_shares_that_can_be_counted() -> None:
    given = some_places()
    found = judged(given)
    assert found["cases"] == {
        "images": 60,
        "groups": 30,
        "positives": 30,
        "with_boxes": 30,
        "without_box": 0,
        "true_boxes": 30,
    }
    boxed = given.truth.merge(given.points, on="image", suffixes=("", "_point"))
    inside = boxed["x_point"].between(boxed["x"], boxed["x"] + 40) & boxed["y_point"].between(
        boxed["y"], boxed["y"] + 30
    )
    assert found["pointing"]["rate"].value == pytest.approx(inside.mean())
    chance = next(line["rate"] for line in found["pointing"]["floors"] if line["name"] == "random")
    assert chance.value == pytest.approx(40 * 30 / (HEIGHT * WIDTH), abs=0.002)
    for name, part in (("rate", found["pointing"]), ("average_precision", found["boxes"])):
        assert part["gain"].value == pytest.approx(part[name].value - part["best_floor"][name].value)
        assert part[name].low < part[name].value < part[name].high
        assert part["floors"][0] == part["best_floor"]
    at = [row["sensitivity"].value for row in found["boxes"]["sensitivity_at"]]
    assert at == sorted(at)
    assert found["boxes"]["free_response"]["sensitivity"][10] == at[1]  # both at one false box per image


def test_images_with_the_finding_and_without_a_box_are_left_out_and_counted() -> None:
    given = some_places()
    lost = given.truth["image"].iloc[:4]
    kept = dataclasses.replace(given, truth=given.truth.iloc[4:])
    found = judged(kept)
    assert (found["cases"]["with_boxes"], found["cases"]["without_box"]) == (26, 4)
    without = PlaceTables(
        *(frame[~frame["image"].isin(lost)] for frame in (given.prepared, given.truth, given.boxes, given.points))
    )
    same = judged(without)
    for name, figure in (("pointing", "rate"), ("boxes", "average_precision")):
        assert found[name][figure].value == same[name][figure].value
    assert found["boxes"]["images"] == 56


def test_a_model_that_points_nowhere_misses() -> None:
    given = some_places()
    silent = judged(dataclasses.replace(given, points=given.points.iloc[::2]))["pointing"]
    assert silent["without_point"] == 15
    assert silent["rate"].value < judged(given)["pointing"]["rate"].value
    assert silent["rate"].n == 30


def test_the_highest_of_several_points_counts() -> None:
    given = some_places()
    lower = given.points.assign(x=0.5, y=0.5, score=0.2)
    twice = dataclasses.replace(given, points=pd.concat([lower, given.points]))
    assert plain(judged(twice)["pointing"]) == plain(judged(given)["pointing"])


def test_the_tolerance_can_only_add_hits() -> None:
    given = some_places()
    rates = [judged(given, tolerance=tolerance)["pointing"]["rate"].value for tolerance in (0, 5, 15, 300)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1] == 1


def test_boxes_and_points_are_judged_each_by_itself() -> None:
    given = some_places()
    both = judged(given)
    assert judged(dataclasses.replace(given, boxes=None))["boxes"] is None
    assert plain(judged(dataclasses.replace(given, boxes=None))["pointing"]) == plain(both["pointing"])
    assert judged(dataclasses.replace(given, points=None))["pointing"] is None
    assert plain(judged(dataclasses.replace(given, points=None))["boxes"]) == plain(both["boxes"])


def test_a_model_without_boxes_found_reaches_nothing() -> None:
    given = some_places()
    found = judged(dataclasses.replace(given, boxes=given.boxes.iloc[:0]))["boxes"]
    assert (found["average_precision"].value, found["found"]) == (0, 0)
    assert found["average_precision"].note.startswith("no box was found")


def test_with_one_fold_the_learnt_floors_are_missing_and_the_others_stand() -> None:
    found = judged(some_places(folds=1))
    floors = {line["name"]: line["rate"] for line in found["pointing"]["floors"]}
    assert np.isnan(floors["where_boxes_lie"].value)
    assert "no other fold" in floors["where_boxes_lie"].note
    assert found["pointing"]["best_floor"]["name"] in ("centre", "random")
    assert found["boxes"]["best_floor"] is None
    assert found["boxes"]["gain"].note == "floor not available"
    assert [row["floor"] for row in found["boxes"]["sensitivity_at"]] == [None] * 3


def test_the_test_part_learns_its_floors_from_the_open_folds() -> None:
    given = some_places(sealed=8)
    found = judged(given, "test")
    assert found["cases"]["images"] == 16
    assert found["boxes"]["best_floor"]["name"] == "mean_box"
    sealed = given.prepared["fold"] == -1
    alone = dataclasses.replace(
        given,
        **{
            name: frame[frame["image"].isin(given.prepared.loc[sealed, "image"])] for name, frame in vars(given).items()
        },
    )
    assert judged(alone, "test")["boxes"]["best_floor"] is None


def test_targets_that_are_sealed_are_asked_for_only_when_they_are_judged() -> None:
    given = some_places(sealed=8)
    hidden = given.prepared.assign(target=given.prepared["target"].where(given.prepared["fold"] >= 0))
    sealed = dataclasses.replace(given, prepared=hidden)
    assert judged(sealed)["cases"]["images"] == 44
    with pytest.raises(BadTable, match="the target is missing in the test part"):
        judged(sealed, "test")


def predictions_of(given: PlaceTables) -> pd.DataFrame:
    """What a model said of the same images, in the same folds."""
    rows = some_predictions(patients=30, strength=1.0).sort_values("image").reset_index(drop=True)
    same = given.prepared.sort_values("image").reset_index(drop=True)
    shift = same["target"] - rows["target"].astype(int)
    rows = rows.assign(target=same["target"], fold=same["fold"], score=rows["score"] + shift)
    return with_floors(rows.drop(columns="probability"), tags=0.4).drop(columns="probability")


def test_the_report_shows_where_the_model_looks_and_nothing_else_changes() -> None:
    given = some_places()
    table = predictions_of(given)
    bare = evaluate(table, seed=0, resamples=60)
    full = evaluate(table, seed=0, resamples=60, places=given)
    assert bare["validation"]["places"] == {"reason": "no boxes were given"}
    part = full["validation"].pop("places")
    assert part["reason"] == ""
    assert part["pointing"]["rate"] == plain(judged(given)["pointing"]["rate"]) | {
        key: part["pointing"]["rate"][key] for key in ("low", "high")
    }
    bare["validation"].pop("places")
    assert full == bare
    text = page({**full, "validation": {**full["validation"], "places": part}})
    for words in ("Pointing game", "Free-response curve", "the mean box", "30 true boxes in 30 of 30 positive images"):
        assert words in text


def test_places_of_another_split_are_refused() -> None:
    given = some_places()
    table = predictions_of(given)
    for column, value in (("fold", 7), ("target", 0)):
        other = table.copy()
        mine = other["group"] == "p001"
        other.loc[mine, column] = value
        with pytest.raises(BadTable, match=f"disagree about the {column} of 2 images"):
            must_agree(given, other)


def test_a_test_part_without_boxes_says_so() -> None:
    given = some_places(sealed=8)
    table = predictions_of(given)
    table = table.assign(part=np.where(table["fold"] < 0, "test", "validation"))
    shown = given.truth["image"].isin(given.prepared.loc[given.prepared["fold"] >= 0, "image"])
    report = evaluate(table, seed=0, resamples=60, places=dataclasses.replace(given, truth=given.truth[shown]))
    assert report["validation"]["places"]["reason"] == ""
    assert report["test"]["places"] == {"reason": "no image of the test part has a true box"}
    assert "Not available: no image of the test part has a true box" in page(report)
