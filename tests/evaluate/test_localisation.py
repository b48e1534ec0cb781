"""Boxes and points against the truth: counted pixel by pixel, restated rank by rank, and beside what chance makes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.evaluate import localisation
from osteon.evaluate.intervals import point
from osteon.evaluate.localisation import average_precision, free_response, hits, iou, matched, peak_of
from osteon.evaluate.places import Boxes, Lessons, Places

SIDE = 24
BOX = st.tuples(st.integers(0, 15), st.integers(0, 15), st.integers(1, 9), st.integers(1, 9))


def boxes(rows: list[tuple[float, ...]]) -> Boxes:
    """Rows of image, x, y, width, height and, for found ones, score."""
    rows = sorted(rows)
    values = np.array([(*row, 0.0)[:6] for row in rows]).reshape(-1, 6)
    return Boxes(values[:, 0].astype(int), values[:, 1:5], values[:, 5])


def painted(box: tuple[int, ...]) -> np.ndarray:
    image = np.zeros((SIDE, SIDE), bool)
    x, y, width, height = box
    image[y : y + height, x : x + width] = True
    return image


def figure(made) -> float | np.ndarray:
    statistic, rows = made
    return point(statistic, len(rows))


def some_boxes(seed: int, *, images: int = 8) -> tuple[Boxes, Boxes]:
    """True boxes that keep apart (one in a quarter at most), and found ones near them or anywhere; distinct scores."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for image in range(images):
        for corner in [(0, 0), (60, 0), (0, 60), (60, 60)][: rng.integers(0, 4)]:
            x, y = rng.uniform(5, 15, 2) + corner
            width, height = rng.uniform(10, 25, 2)
            truth.append((image, x, y, width, height))
            for _ in range(rng.integers(0, 3)):
                dx, dy = rng.normal(0, 4, 2)
                found.append((image, x + dx, y + dy, width, height, rng.normal(1, 1)))
        found += [(image, *rng.uniform(0, 80, 2), 15.0, 15.0, rng.normal()) for _ in range(rng.integers(0, 2))]
    truth.append((images - 1, 95.0, 95.0, 5.0, 5.0))  # never none
    return boxes(found), boxes(truth)


def voc(found: Boxes, truth: Boxes, weight: np.ndarray | None = None) -> float:
    """Average precision rank by rank, as the development kit of PASCAL VOC 2010 states it, for distinct scores."""
    times = np.ones(50, int) if weight is None else weight
    free = {(k, copy): True for k, image in enumerate(truth.image) for copy in range(times[image])}
    total, right, wrong, precisions, recalls = len(free), 0, 0, [], []
    for i in np.argsort(-found.score):
        for copy in range(times[found.image[i]]):
            rivals = [
                (overlap_of(found.corners[i], truth.corners[k]), -k)
                for k, image in enumerate(truth.image)
                if image == found.image[i] and free[k, copy]
            ]
            best, k = max(rivals, default=(0.0, 0))
            if best >= 0.5:
                free[-k, copy] = False
                right += 1
            else:
                wrong += 1
        precisions.append(right / (right + wrong) if right + wrong else 0.0)
        recalls.append(right / total)
    area, before = 0.0, 0.0
    for rank, recall in enumerate(recalls):
        area += (recall - before) * max(precisions[rank:])
        before = recall
    return area


def overlap_of(a: np.ndarray, b: np.ndarray) -> float:
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


@given(BOX, BOX)
def test_iou_is_the_share_of_common_pixels(a, b) -> None:
    first, second = painted(a), painted(b)
    wanted = (first & second).sum() / (first | second).sum()
    assert iou(np.array([a], float), np.array([b], float))[0, 0] == pytest.approx(wanted)


@given(*[st.tuples(*[st.floats(0, 300)] * 2, *[st.floats(0.1, 300)] * 2)] * 2)
def test_iou_is_symmetric_and_1_only_for_equal_boxes(a, b) -> None:
    first, second = np.array([a]), np.array([b])
    there, back = iou(first, second)[0, 0], iou(second, first)[0, 0]
    assert there == back
    assert 0 <= there <= 1
    assert iou(first, first)[0, 0] == 1
    if np.abs(first - second).max() > 1e-6:
        assert there < 1


def test_average_precision_of_an_example_done_by_hand() -> None:
    """Three true boxes; in falling scores: found, false, found again (false), found, missed third.

    Precision 1, 1/2, 1/3, 2/4 at recall 1/3, 1/3, 1/3, 2/3: interpolated 1 for the first third, 1/2 for the second.
    """
    truth = boxes([(0, 10, 10, 20, 20), (0, 50, 50, 20, 20), (1, 10, 10, 20, 20)])
    found = boxes(
        [(0, 11, 10, 20, 20, 0.9), (1, 70, 70, 20, 20, 0.8), (0, 10, 12, 20, 20, 0.7), (0, 50, 48, 20, 20, 0.6)]
    )
    assert figure(average_precision(found, truth)) == pytest.approx(1 / 3 + 1 / 3 * 1 / 2)
    # False boxes of four images: 1 of score 0.8, 2 from 0.7 on; at 0.25 an image one is borne with, at 0.2 none.
    assert figure(free_response(found, truth, np.arange(4), [0.2, 0.25, 0.5])) == pytest.approx([1 / 3, 1 / 3, 2 / 3])


@given(st.integers(0, 2**31))
@settings(max_examples=60)
def test_average_precision_is_that_of_pascal_voc(seed: int) -> None:
    found, truth = some_boxes(seed)
    assert figure(average_precision(found, truth)) == pytest.approx(voc(found, truth))


@given(st.integers(0, 2**31))
@settings(max_examples=30)
def test_a_weight_of_two_is_the_image_twice(seed: int) -> None:
    found, truth = some_boxes(seed)
    times = np.random.default_rng(seed).integers(0, 3, 8)
    times[7] = 1
    statistic, rows = average_precision(found, truth)
    assert statistic(times[rows][None].astype(float))[0] == pytest.approx(voc(found, truth, times))


@given(st.integers(0, 2**31))
@settings(max_examples=40)
def test_the_free_response_curve_is_counted_threshold_by_threshold(seed: int) -> None:
    found, truth = some_boxes(seed)
    right = matched(found, truth)
    rates = [0.1, 0.5, 1.0, 2.0]
    wanted = []
    for rate in rates:
        borne = [t for t in found.score if (~right & (found.score >= t)).sum() <= rate * 10]
        wanted.append(max((right & (found.score >= t)).sum() for t in [np.inf, *borne]) / len(truth.image))
    assert figure(free_response(found, truth, np.arange(10), rates)) == pytest.approx(wanted)


@given(st.integers(0, 2**31), st.integers(0, 2**31))
@settings(max_examples=60)
def test_a_second_copy_of_a_found_box_can_only_lower_the_average_precision(seed: int, which: int) -> None:
    found, truth = some_boxes(seed)
    if not len(found.image):
        return
    at = which % len(found.image)
    rows = np.insert(np.arange(len(found.image)), at, at)
    twice = Boxes(found.image[rows], found.corners[rows], found.score[rows])
    assert figure(average_precision(twice, truth)) <= figure(average_precision(found, truth)) + 1e-12


@given(st.integers(0, 2**31))
@settings(max_examples=40)
def test_true_boxes_found_exactly_have_an_average_precision_of_1(seed: int) -> None:
    _, truth = some_boxes(seed)
    score = np.random.default_rng(seed).normal(size=len(truth.image))
    found = Boxes(truth.image, truth.corners, score)
    assert figure(average_precision(found, truth)) == 1
    assert figure(free_response(found, truth, np.arange(8), [0.0])) == 1
    lowest = boxes([(0, 70.0, 0.0, 9.0, 9.0, score.min() - 1)])
    more = Boxes(*(np.concatenate(pair) for pair in zip(vars(lowest).values(), vars(found).values(), strict=True)))
    assert figure(average_precision(more, truth)) == 1  # what lies below the last true box costs nothing


@given(st.integers(0, 2**31))
@settings(max_examples=40)
def test_only_the_order_of_the_scores_counts(seed: int) -> None:
    found, truth = some_boxes(seed)
    risen = Boxes(found.image, found.corners, np.exp(found.score))
    assert figure(average_precision(risen, truth)) == figure(average_precision(found, truth))


def test_boxes_of_one_score_enter_together_whatever_their_order() -> None:
    truth = boxes([(0, 10, 10, 20, 20), (1, 10, 10, 20, 20)])
    for order in ([0, 1], [1, 0]):
        images = np.array([0, 1])[order]
        corners = np.array([[10.0, 10, 20, 20], [60, 60, 20, 20]])[order]
        found = Boxes(np.sort(images), corners[np.argsort(images)], np.zeros(2))
        assert figure(average_precision(found, truth)) == pytest.approx(1 / 2 * 1 / 2)


def test_of_equal_scores_the_better_overlap_chooses_first() -> None:
    truth = boxes([(0, 0, 3, 10, 10), (0, 20, 0, 10, 10)])
    found = boxes([(0, 0, 0, 10, 10, 1.0), (0, 0, 3, 10, 10, 1.0)])
    assert iou(found.corners[:1], truth.corners)[0, 0] > 0.5
    assert matched(found, truth).tolist() == [False, True]


def test_a_model_that_finds_nothing_has_an_average_precision_of_0() -> None:
    _, truth = some_boxes(0)
    assert figure(average_precision(boxes([]), truth)) == 0
    assert figure(free_response(boxes([]), truth, np.arange(8))).tolist() == [0, 0, 0]


@given(st.lists(BOX, min_size=1, max_size=3), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1))
def test_a_hit_is_a_painted_pixel(truth, row: int, column: int) -> None:
    covered = np.any([painted(box) for box in truth], axis=0)
    at = np.array([[column + 0.5, row + 0.5]])
    assert hits(at, boxes([(0, *box) for box in truth]))[0] == covered[row, column]


def test_the_border_is_inside_and_the_tolerance_is_a_distance() -> None:
    truth = boxes([(0, 10, 10, 5, 5), (1, 10, 10, 5, 5), (2, 10, 10, 5, 5)])
    at = np.array([[15.0, 10.0], [18.0, 19.0], [np.nan, np.nan], [0.0, 0.0]])
    assert hits(at, truth).tolist() == [True, False, False, False]
    assert hits(at, truth, 4.99).tolist() == [True, False, False, False]
    assert hits(at, truth, 5.0).tolist() == [True, True, False, False]  # 3 to the right, 4 below


def a_place(truth: list[tuple[float, ...]], size: tuple[int, int] = (SIDE, SIDE), folds: int = 2) -> Places:
    """Images of one size, in folds by turns, whose lessons are their own boxes."""
    true = boxes(truth)
    n = int(true.image.max()) + 1
    fold = np.arange(n) % folds
    height, width = size
    return Places(
        name=np.array([f"i{k}" for k in range(n)]),
        group=np.arange(n),
        fold=fold,
        target=np.bincount(true.image, minlength=n) > 0,
        size=np.full((n, 2), size),
        truth=true,
        found=None,
        points=None,
        lessons=Lessons(true.image, fold[true.image], true.corners / [width, height, width, height]),
    )


@given(st.lists(BOX, min_size=1, max_size=3), st.sampled_from([0.0, 1.5]))
@settings(max_examples=30)
def test_chance_is_the_share_of_pixels_that_hit(truth, tolerance: float) -> None:
    places = a_place([(0, *box) for box in truth])
    pixels = np.array([[c + 0.5, r + 0.5] for r in range(SIDE) for c in range(SIDE)])
    hit = [hits(at[None], places.truth, tolerance)[0] for at in pixels]
    assert localisation.share_hit_by_chance(places, tolerance)[0] == pytest.approx(np.mean(hit))


def test_the_place_of_most_boxes_and_the_mean_box_come_from_other_folds() -> None:
    """Even images have their boxes at the left, odd ones at the right; each fold is told of the other."""
    rows = [(k, 10.0 + 100 * (k % 2), 20.0, 20.0, 10.0) for k in range(8)]
    places = a_place(rows, size=(50, 200))
    most = localisation.where_boxes_lie(places)
    assert (most[::2, 0] > 100).all()
    assert (most[1::2, 0] < 100).all()
    assert not hits(most, places.truth).any()
    mean = localisation.mean_boxes(places)
    np.testing.assert_allclose(mean.corners[0], [110, 20, 20, 10])
    np.testing.assert_allclose(mean.corners[1], [10, 20, 20, 10])
    assert figure(average_precision(mean, places.truth)) == 0
    np.testing.assert_allclose(localisation.centres(places)[0], [100, 25])


def test_where_boxes_lie_alike_both_floors_are_perfect() -> None:
    places = a_place([(k, 10.0, 20.0, 20.0, 10.0) for k in range(8)], size=(50, 200))
    assert hits(localisation.where_boxes_lie(places), places.truth).all()
    assert figure(average_precision(localisation.mean_boxes(places), places.truth)) == 1


def test_a_single_fold_has_no_other_to_learn_from() -> None:
    places = a_place([(k, 10.0, 2.0, 5.0, 5.0) for k in range(4)], folds=1)
    assert np.isnan(localisation.where_boxes_lie(places)).all()
    assert not len(localisation.mean_boxes(places).image)


def test_a_peak_is_the_centre_of_the_highest_cell() -> None:
    heat = np.zeros((4, 8))
    heat[1, 6] = 0.7
    assert peak_of(heat, (100, 80)) == (65.0, 37.5, 0.7)
    heat[1, 4:7] = 0.7  # a plateau: its middle
    assert peak_of(heat, (100, 80)) == (55.0, 37.5, 0.7)
    assert peak_of(np.full((4, 8), 0.3), (100, 80)) is None


@pytest.mark.parametrize("heat", [np.zeros((0, 4)), np.zeros(4), np.array([[0.0, np.nan]])])
def test_a_map_that_is_none_is_refused(heat: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite values"):
        peak_of(heat, (10, 10))


@given(st.integers(0, 19), st.integers(0, 29))
def test_the_peak_of_a_pixel_is_that_pixel(row: int, column: int) -> None:
    heat = np.zeros((20, 30))
    heat[row, column] = 1
    assert peak_of(heat, (20, 30)) == pytest.approx((column + 0.5, row + 0.5, 1.0))
