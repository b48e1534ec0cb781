"""Every figure, stated again by another road."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from osteon.evaluate import metrics

few_scores = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
    lambda cases: 0 < sum(positive for _, positive in cases) < len(cases)
)


def share_of_ordered_pairs(score, target) -> float:
    pairs = [
        (p, n) for p, t in zip(score, target, strict=True) if t for n, u in zip(score, target, strict=True) if not u
    ]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)


def some_scores(n: int = 300, *, decimals: int = 1, seed: int = 0):
    """Scores with many ties, one standard deviation apart by class."""
    rng = np.random.default_rng(seed)
    target = rng.random(n) < 0.3
    return np.round(rng.normal(size=n) + target, decimals), target


@given(few_scores)
def test_auroc_is_the_share_of_rightly_ordered_pairs(cases):
    score, target = zip(*cases, strict=True)
    assert metrics.auroc(score, target) == pytest.approx(share_of_ordered_pairs(score, target), abs=1e-12)
    assert metrics.auroc(score, target) == pytest.approx(roc_auc_score(target, score), abs=1e-12)


@given(few_scores)
def test_average_precision_is_that_of_scikit_learn(cases):
    score, target = zip(*cases, strict=True)
    assert metrics.average_precision(score, target) == pytest.approx(average_precision_score(target, score), abs=1e-12)


@given(few_scores, st.floats(0.1, 5), st.floats(-3, 3))
def test_ranking_figures_do_not_know_the_scale_of_the_score(cases, factor, shift):
    score, target = np.array([s for s, _ in cases], float), [t for _, t in cases]
    bent = np.exp(factor * score) + shift
    assert metrics.auroc(bent, target) == metrics.auroc(score, target)
    assert metrics.average_precision(bent, target) == metrics.average_precision(score, target)


@given(few_scores)
def test_turning_the_score_round_turns_the_auroc_round(cases):
    score, target = np.array([s for s, _ in cases], float), [t for _, t in cases]
    assert metrics.auroc(-score, target) == pytest.approx(1 - metrics.auroc(score, target), abs=1e-12)


def test_separated_classes_have_an_auroc_of_exactly_one():
    assert metrics.auroc([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == 1.0
    assert metrics.average_precision([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]) == 1.0


def test_one_class_has_no_auroc():
    assert np.isnan(metrics.auroc([0.1, 0.2], [1, 1]))
    assert np.isnan(metrics.average_precision([0.1, 0.2], [0, 0]))


@pytest.mark.parametrize("figure", [metrics.auroc_of, metrics.average_precision_of])
def test_a_weight_of_three_is_the_case_three_times(figure):
    score, target = some_scores(80)
    times = np.random.default_rng(1).integers(0, 4, 80)
    weighted = figure(metrics.rank(score, target), times[None].astype(float))[0]
    repeated = figure(metrics.rank(np.repeat(score, times), np.repeat(target, times)), np.ones((1, times.sum())))[0]
    assert weighted == pytest.approx(repeated, abs=1e-12)


def test_the_headline_is_the_mean_of_the_folds_that_have_both_classes():
    score, target = some_scores(200)
    fold = np.arange(200) % 4
    target[fold == 3] = False
    figures = metrics.mean_over_folds(score, target, fold)(np.ones((1, 200)))[0]
    each = [roc_auc_score(target[fold == f], score[fold == f]) for f in range(3)]
    np.testing.assert_allclose(figures, [np.mean(each), *each, np.nan])


def test_rates_are_counted_from_the_four_cells():
    called = np.array([1, 1, 1, 0, 0, 0, 0, 0], bool)
    target = np.array([1, 1, 0, 1, 0, 0, 0, 0], bool)
    rates = {name: float(values[0]) for name, values in metrics.rates_of(called, target, np.ones((1, 8))).items()}
    assert rates == pytest.approx(
        {"sensitivity": 2 / 3, "specificity": 4 / 5, "ppv": 2 / 3, "npv": 4 / 5, "accuracy": 6 / 8}
    )


def test_rates_without_a_base_are_not_numbers():
    rates = metrics.rates_of(np.zeros(3, bool), np.array([True, False, False]), np.ones((1, 3)))
    assert np.isnan(rates["ppv"][0])
    assert rates["npv"][0] == pytest.approx(2 / 3)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_predictive_values_are_shares_of_a_large_crowd(sensitivity, specificity, prevalence):
    crowd = 1e6
    sick, well = prevalence * crowd, (1 - prevalence) * crowd
    ppv, npv = metrics.predictive_values(np.array([sensitivity]), np.array([specificity]), prevalence)
    assert ppv[0] == pytest.approx(sick * sensitivity / (sick * sensitivity + well * (1 - specificity)))
    assert npv[0] == pytest.approx(well * specificity / (well * specificity + sick * (1 - sensitivity)))


def test_brier_is_that_of_scikit_learn():
    score, target = some_scores()
    probability = 1 / (1 + np.exp(-score))
    assert metrics.brier_of(probability, target, np.ones((1, 300)))[0] == pytest.approx(
        brier_score_loss(target, probability)
    )


def test_net_benefit_is_true_less_weighted_false_positives():
    score, target = some_scores()
    probability = 1 / (1 + np.exp(-score))
    cuts = np.array([0.05, 0.3, 0.5, 0.9])
    found = metrics.net_benefit_of(metrics.rank(probability, target), np.ones((1, 300)), cuts)[0]
    for cut, value in zip(cuts, found, strict=True):
        called = probability >= cut
        wanted = (called & target).sum() / 300 - (called & ~target).sum() / 300 * cut / (1 - cut)
        assert value == pytest.approx(wanted)


def test_calling_everyone_has_its_closed_form():
    """One probability for everyone calls all at lower cut-offs; to treat all gains nothing at the prevalence."""
    target = np.arange(100) < 20
    cuts = np.array([0.05, 0.1, 0.2, 0.25])
    everyone = metrics.net_benefit_of(metrics.rank(np.full(100, 0.3), target), np.ones((1, 100)), cuts)[0]
    np.testing.assert_allclose(metrics.treat_all(0.2, cuts), everyone, atol=1e-12)
    assert metrics.treat_all(0.2, np.array([0.2]))[0] == pytest.approx(0)


def test_sensitivity_at_a_rate_is_the_best_that_the_rate_allows():
    score, target = some_scores()
    rates = np.array([0.0, 0.1, 0.33, 1.0])
    found = metrics.sensitivity_at(metrics.rank(score, target), np.ones((1, 300)), rates)[0]
    for rate, value in zip(rates, found, strict=True):
        allowed = [(score >= cut)[target].mean() for cut in np.unique(score) if (score >= cut)[~target].mean() <= rate]
        assert value == pytest.approx(max(allowed, default=0.0))


def test_precision_at_a_recall_is_that_of_the_highest_cut_that_reaches_it():
    score, target = some_scores()
    found = metrics.precision_at(metrics.rank(score, target), np.ones((1, 300)), np.array([0.2, 0.5, 1.0]))[0]
    for recall, value in zip((0.2, 0.5, 1.0), found, strict=True):
        cut = max(c for c in np.unique(score) if (score >= c)[target].mean() >= recall)
        assert value == pytest.approx(target[score >= cut].mean())


@given(few_scores)
def test_the_area_under_the_drawn_curve_is_the_auroc(cases):
    score, target = zip(*cases, strict=True)
    rate, sensitivity = metrics.roc_points(score, target)
    assert (rate[0], sensitivity[0], rate[-1], sensitivity[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(sensitivity, rate) == pytest.approx(metrics.auroc(score, target), abs=1e-12)
