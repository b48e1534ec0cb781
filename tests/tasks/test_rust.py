"""Grades in and out of their codes, what a view shows, and totals that are never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, LABELS, MODIFIED_RUST, RUST, Score

VIEWS = ("AP", "PA", "LAT", "OBL", "")
images = st.lists(st.tuples(st.lists(st.integers(-1, 4), min_size=4, max_size=4), st.sampled_from(VIEWS)), max_size=30)


def arrays(rows) -> tuple[np.ndarray, list[str]]:
    return np.array([grades for grades, _ in rows], np.int8).reshape(-1, 4), [view for _, view in rows]


def test_the_eighteen_labels_of_an_image_by_hand() -> None:
    labels = rust.one_hot([[-1, -1, 3, 1]], ["AP"])
    assert [name for name, one in zip(LABELS, labels[0], strict=True) if one] == ["medial_3", "lateral_1", "AP"]
    assert len(LABELS) == 18 and LABELS[:5] == ("anterior_1", "anterior_2", "anterior_3", "anterior_4", "posterior_1")


@given(images)
def test_one_hot_labels_come_back_but_for_what_they_cannot_say(rows) -> None:
    grades, views = arrays(rows)
    back, seen = rust.from_one_hot(rust.one_hot(grades, views))
    assert (back == np.where(grades == rust.NOT_SCOREABLE, rust.NOT_VISIBLE, grades)).all()
    assert list(seen) == [{"PA": "AP", "OBL": ""}.get(view, view) for view in views]


@given(images)
def test_a_view_shows_its_two_cortices_and_hides_the_rest(rows) -> None:
    grades, views = arrays(rows)
    masked = rust.masked(grades, views)
    for image, view in enumerate(views):
        for place, cortex in enumerate(CORTICES):
            seen = cortex in rust.SHOWN.get(view, ())
            assert masked[image, place] == (grades[image, place] if seen else rust.NOT_VISIBLE)
            assert rust.contradicting(grades, views)[image, place] == (not seen and grades[image, place] >= 1)
    assert not rust.contradicting(masked, views).any()


def test_labels_that_say_two_things_at_once_are_refused() -> None:
    twice = np.zeros((2, 18))
    twice[1, :2] = 1
    with pytest.raises(ValueError, match="row 1 of the one-hot labels has two grades of one cortex"):
        rust.from_one_hot(twice)
    both = np.zeros((1, 18))
    both[0, -2:] = 1
    with pytest.raises(ValueError, match="two views"):
        rust.from_one_hot(both)
    with pytest.raises(ValueError, match="0 or 1"):
        rust.from_one_hot(np.full((1, 18), 0.5))
    with pytest.raises(ValueError, match=r"\(n, 18\)"):
        rust.from_one_hot(np.zeros((3, 16)))


def test_grades_that_a_score_does_not_have_are_refused() -> None:
    assert rust.check([[1, 2, 4, 0]]).dtype == np.int8
    with pytest.raises(ValueError, match="of RUST is one of"):
        rust.check([[1, 2, 4, 0]], RUST)
    for wrong in (5, -2, 2.5):
        with pytest.raises(ValueError, match="modified RUST"):
            rust.check([[1, 2, wrong, 0]])
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        rust.check([1, 2, 3, 4])


def test_a_visit_joins_its_views() -> None:
    grades, contested = rust.joined([[-1, -1, 3, 1], [2, 0, -1, -1], [4, 4, -1, -1]], [0, 0, 1])
    assert grades.tolist() == [[2, 0, 3, 1], [4, 4, -1, -1]]
    assert not contested.any()


def test_a_cortex_with_two_grades_in_one_visit_is_contested_and_has_none() -> None:
    grades, contested = rust.joined([[-1, -1, 3, 1], [2, 2, 2, 1], [2, 0, -1, -1]], [0, 0, 0])
    assert contested.tolist() == [[False, False, True, False]]
    assert grades.tolist() == [[2, 2, rust.NOT_VISIBLE, 1]]
    assert np.isnan(rust.totals(grades)).all()


@given(images, st.randoms(use_true_random=False))
def test_joining_does_not_depend_on_the_order_of_images(rows, random) -> None:
    grades, _ = arrays(rows)
    visit = np.array([i // 3 for i in range(len(rows))], int)
    order = list(range(len(rows)))
    random.shuffle(order)
    first, second = rust.joined(grades, visit), rust.joined(grades[order], visit[order])
    assert (first[0] == second[0]).all() and (first[1] == second[1]).all()


def test_a_total_needs_all_four_cortices() -> None:
    found = rust.totals([[1, 2, 3, 4], [4, 4, 4, 0], [4, 4, -1, -1], [1, 1, 1, 1]])
    assert found[[0, 3]].tolist() == [10, 4]
    assert np.isnan(found[1:3]).all()


def test_united_begins_at_the_threshold_and_is_unknown_without_a_total() -> None:
    assert rust.united([9, 10, 12], RUST).tolist() == [0, 1, 1]
    assert rust.united([14, 15, 16]).tolist() == [0, 1, 1]
    assert np.isnan(rust.united([np.nan])).all()
    assert rust.united([14], Score("own", (1, 2, 3, 4), united=14)).tolist() == [1]


def test_bridged_asks_every_cortex_that_is_graded() -> None:
    found = rust.bridged([[3, 4, -1, -1], [3, 4, 2, 3], [3, 3, 0, 3], [0, -1, -1, -1]])
    assert found[:3].tolist() == [1, 0, 1]
    assert np.isnan(found[3])


def test_a_score_knows_its_range_and_refuses_a_threshold_outside_it() -> None:
    assert (RUST.lowest, RUST.highest, RUST.united) == (4, 12, 10)
    assert (MODIFIED_RUST.lowest, MODIFIED_RUST.highest, MODIFIED_RUST.united) == (4, 16, 15)
    with pytest.raises(ValueError, match="at most at 12"):
        Score("RUST", (1, 2, 3), united=13)
    with pytest.raises(ValueError, match=r"1\.\.3 or 1\.\.4"):
        Score("odd", (1, 2), united=6)
