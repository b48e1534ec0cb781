"""Answers for whole studies: any number of views, in any order, learnt from labels of studies alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from osteon import tables
from osteon.dataset.splits import SEALED
from osteon.errors import BadTable, Diverged, Leak, TooFewCases, UnknownName
from osteon.evaluate.metrics import auroc
from osteon.evaluate.report import evaluate
from osteon.learn.averaging import Averaging
from osteon.learn.backbones import open_backbone
from osteon.learn.heads import HeadForm, pooled
from osteon.learn.optimisers import AdamW
from osteon.learn.studies.aggregator import Aggregator, Standard, aggregator, published
from osteon.learn.studies.bags import bags_of
from osteon.learn.studies.crossval import cross_validate_studies
from osteon.learn.studies.pooling import POOLINGS, GatedAttention, ViewMax, ViewMean
from osteon.learn.studies.training import StudyOptions, laid_out, study_scores, train_aggregator
from osteon.learn.studies.views import Features
from tests.learn.studies import some_bars, some_studies

SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=5)
QUICK = StudyOptions(epochs=(4, 8), batch=8, optimiser=AdamW(1e-2))


def numbered(sizes: list[int]) -> torch.Tensor:
    return torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))


def pooling(name: str, features: int = 5) -> nn.Module:
    torch.manual_seed(0)
    return POOLINGS[name](features).double()


@given(SIZES, st.integers(0, 2**31))
def test_max_and_mean_are_those_of_the_views_of_each_study(sizes: list[int], seed: int) -> None:
    views = torch.randn(sum(sizes), 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    study = numbered(sizes)
    for place, ends in enumerate(np.cumsum(sizes)):
        mine = views[ends - sizes[place] : ends]
        torch.testing.assert_close(ViewMax()(views, study)[place], mine.amax(dim=0))
        torch.testing.assert_close(ViewMean()(views, study)[place], mine.mean(dim=0))


@given(SIZES, st.integers(0, 2**31))
def test_attention_is_the_gated_one_of_ilse(sizes: list[int], seed: int) -> None:
    """Equations 7 and 9, study by study with a softmax over its views."""
    views = torch.randn(sum(sizes), 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    layer = pooling("attention")
    assert isinstance(layer, GatedAttention)
    pooled_views = layer(views, numbered(sizes))
    for place, ends in enumerate(np.cumsum(sizes)):
        mine = views[ends - sizes[place] : ends]
        gate = torch.tanh(mine @ layer.content.weight.T + layer.content.bias) * torch.sigmoid(
            mine @ layer.gate.weight.T + layer.gate.bias
        )
        share = torch.softmax(gate @ layer.weigh.weight[0], dim=0)
        torch.testing.assert_close(pooled_views[place], share @ mine)
        torch.testing.assert_close(layer.weights(views, numbered(sizes))[ends - sizes[place] : ends], share)


@pytest.mark.parametrize("name", POOLINGS)
@given(SIZES, st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_neither_the_order_of_views_nor_the_other_studies_matter(name: str, sizes: list[int], random) -> None:
    views = torch.randn(sum(sizes), 5, generator=torch.Generator().manual_seed(len(sizes)), dtype=torch.float64)
    study, layer = numbered(sizes), pooling(name)
    found = layer(views, study)
    order = list(range(sum(sizes)))
    random.shuffle(order)
    torch.testing.assert_close(layer(views[order], study[order]), found)
    alone = [layer(views[study == k], torch.zeros(n, dtype=torch.int64)) for k, n in enumerate(sizes)]
    torch.testing.assert_close(torch.cat(alone), found)


@pytest.mark.parametrize("name", POOLINGS)
def test_of_one_view_pooling_is_that_view_and_a_view_seen_twice_changes_nothing(name: str) -> None:
    views, layer = torch.randn(3, 5, dtype=torch.float64), pooling(name)
    torch.testing.assert_close(layer(views, torch.arange(3)), views)
    torch.testing.assert_close(layer(views.repeat(2, 1), torch.arange(3).repeat(2)), views)


@pytest.mark.parametrize("name", POOLINGS)
def test_a_study_without_views_is_refused(name: str) -> None:
    with pytest.raises(TooFewCases, match=r"1 of 3 studies have no image.*nothing can be said"):
        pooling(name)(torch.randn(2, 5, dtype=torch.float64), torch.tensor([0, 2]))
    with pytest.raises(TooFewCases, match="have no image"):
        pooling(name)(torch.randn(0, 5, dtype=torch.float64), torch.empty(0, dtype=torch.int64))


def test_a_pooling_that_there_is_not_lists_those_there_are() -> None:
    with pytest.raises(UnknownName, match="attention"):
        aggregator(4, "median")


def test_the_published_aggregator_takes_the_maximum_of_maps_before_anything_else() -> None:
    """Section 5.3: the maximum over views of the maps, a grid of averages, fully connected layers."""
    form = HeadForm(grid=2, hidden=(3,))
    network = published(4, form).eval()
    maps = torch.randn(5, 4, 6, 6)
    study = torch.tensor([0, 0, 1, 1, 1])
    largest = torch.stack([maps[:2].amax(dim=0), maps[2:].amax(dim=0)])
    fields = torch.stack([largest[:, :, i : i + 3, j : j + 3].mean(dim=(2, 3)) for i in (0, 3) for j in (0, 3)], dim=2)
    first, last = (layer for layer in network.whole.modules() if isinstance(layer, nn.Linear))
    by_hand = last(torch.relu(first(fields.flatten(1)))).squeeze(1)
    torch.testing.assert_close(network(maps, study), by_hand)


def test_a_frozen_trunk_stays_as_it_is() -> None:
    bags, pictures = some_bars()
    trunk = open_backbone("rx_lite", "random")
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    network = aggregator(2 * trunk.spec.d, "max", trunk=trunk, frozen=True)
    head = network.whole[1].weight.clone()
    for _ in train_aggregator(
        network, pictures, bags, np.arange(len(bags)), StudyOptions(epochs=(1,), batch=4), seed=0
    ):
        pass
    assert not torch.equal(network.whole[1].weight, head)
    for name, value in trunk.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_from_nothing_a_whole_network_learns_studies_of_pictures() -> None:
    bags, pictures = some_bars(24)
    trunk = open_backbone("rx_lite", "random")
    before = trunk.state_dict()["net.blocks.block1.conv.weight"].clone()
    network = aggregator(2 * trunk.spec.d, "max", trunk=trunk, frozen=False, dropout=0.0)
    everyone = np.arange(len(bags))
    options = StudyOptions(epochs=(12,), batch=6, optimiser=AdamW(3e-3), averaging=Averaging(0.0))
    (found,) = train_aggregator(network, pictures, bags, everyone, options, seed=0)
    assert not torch.equal(trunk.state_dict()["net.blocks.block1.conv.weight"], before)
    target = bags.table["target"].to_numpy(int)
    assert auroc(study_scores(found.aggregator, pictures, bags, everyone), target) > 0.95


@dataclass
class Watched:
    """Features, and how often each row was asked for."""

    features: Features
    asked: Counter[int] = field(default_factory=Counter)

    def of(self, rows: np.ndarray, flip: np.ndarray) -> torch.Tensor:
        self.asked.update(rows.tolist())
        return self.features.of(rows, flip)


@pytest.mark.parametrize("left_out", [0.0, 0.5, 0.9])
def test_views_are_left_out_by_chance_and_of_each_study_one_always_stays(left_out: float) -> None:
    manifest, features = some_studies(40, shown=0.5, strength=5.0)
    bags = bags_of(manifest)
    watched, epochs = Watched(features), 200
    options = StudyOptions(epochs=(epochs,), batch=20, left_out=left_out)
    for _ in train_aggregator(aggregator(6, "mean"), watched, bags, np.arange(len(bags)), options, seed=0):
        pass
    for rows in bags.rows:
        seen = np.array([watched.asked[row] for row in rows]) - 1  # once they are looked at to standardise them
        assert seen.sum() >= epochs
        # A view stays if it drew no less than `left_out`, or if it drew the highest number of its study, and that less.
        stays = 1 - left_out + left_out ** len(rows) / len(rows)
        assert seen / epochs == pytest.approx(np.full(len(rows), stays), abs=0.16)
        if left_out == 0 or len(rows) == 1:
            assert (seen == epochs).all()


def test_a_chance_of_leaving_all_views_out_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to less than 1"):
        StudyOptions(left_out=1.0)


@pytest.mark.parametrize("name", POOLINGS)
def test_what_is_learnt_on_some_studies_holds_on_others(name: str) -> None:
    manifest, features = some_studies(120, shown=0.5, strength=5.0)
    bags = bags_of(manifest)
    learnt, asked = np.arange(60), np.arange(60, 120)
    network = aggregator(6, name, width=8, dropout=0.0)
    *_, last = train_aggregator(network, features, bags, learnt, QUICK, seed=0)
    unseen = auroc(study_scores(last.aggregator, features, bags, asked), bags.table["target"].iloc[asked])
    assert unseen > 0.9


def test_attention_looks_where_the_finding_is() -> None:
    manifest, features = some_studies(120, shown=0.0, strength=6.0)
    bags = bags_of(manifest)
    network = aggregator(6, "attention", width=8, dropout=0.0)
    *_, last = train_aggregator(network, features, bags, np.arange(120), QUICK, seed=0)
    several = np.flatnonzero((bags.sizes > 1) & (bags.table["target"] == 1).to_numpy(bool))
    rows, study = laid_out(bags, several)
    weights = last.aggregator.attention(features.of(rows, np.zeros(len(rows), np.intp)), study)
    assert weights is not None
    shows = features.values[rows, 0, 0] > 3
    fair = 1 / bags.sizes[several][study.numpy()]
    assert (weights.detach().numpy() - fair)[shows].mean() > 0.2
    assert aggregator(6, "max").attention(features.of(rows, np.zeros(len(rows), np.intp)), study) is None


def test_same_seed_same_weights_and_torchs_generator_is_left_alone() -> None:
    manifest, features = some_studies(30)
    bags = bags_of(manifest)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    found = []
    for _ in range(2):
        *_, last = train_aggregator(aggregator(6), features, bags, np.arange(30), QUICK, seed=3)
        found.append(last.aggregator.state_dict())
    assert torch.equal(torch.rand(3), wanted)
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_features_are_standardised_on_what_is_learnt_from_alone() -> None:
    manifest, features = some_studies(30)
    bags = bags_of(manifest)
    network = aggregator(6)
    learnt = np.arange(0, 30, 2)
    next(iter(train_aggregator(network, features, bags, learnt, QUICK, seed=0)))
    (standard,) = (part for part in network.each if isinstance(part, Standard))
    mine = features.values[np.concatenate([bags.rows[k] for k in learnt]), 0]
    np.testing.assert_allclose(standard.mean.numpy(), mine.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(standard.deviation.numpy(), mine.std(axis=0), rtol=1e-4)


def test_bags_hold_every_image_once_beside_the_label_of_the_study() -> None:
    manifest, _ = some_studies(40)
    bags = bags_of(manifest.sample(frac=1, random_state=0).reset_index(drop=True))
    shuffled = manifest.sample(frac=1, random_state=0).reset_index(drop=True)
    assert sorted(np.concatenate(bags.rows)) == list(range(len(manifest)))
    for study, rows in zip(bags.table["study"], bags.rows, strict=True):
        mine = shuffled.iloc[rows]
        assert set(mine["study"]) == {study}
        (told,) = bags.table.loc[bags.table["study"] == study, ["target", "fold", "group"]].to_numpy()
        assert list(told) == [mine["target"].max(), mine["fold"].iloc[0], mine["group"].iloc[0]]


def test_a_study_with_an_unlabelled_image_has_no_label_and_is_not_learnt_from() -> None:
    manifest, features = some_studies(20)
    manifest.loc[0, "target"] = pd.NA
    bags = bags_of(manifest)
    assert bags.table["target"].isna().tolist() == [True] + [False] * 19
    with pytest.raises(TooFewCases, match="1 of 20 studies to learn from have no label"):
        next(iter(train_aggregator(aggregator(6), features, bags, np.arange(20), QUICK, seed=0)))


def test_impossible_studies_are_refused_with_a_remedy() -> None:
    manifest, _ = some_studies(20)
    with pytest.raises(BadTable, match=r"images name no study.*column of study ids"):
        bags_of(manifest.assign(study=manifest["study"].mask(manifest.index == 3, "")))
    giant = pd.concat([manifest] + [manifest.iloc[:1]] * 195, ignore_index=True)
    with pytest.raises(BadTable, match=r"1 study has more than 20 images \(s\d+: 19\d\).*--max-instances"):
        bags_of(giant)
    assert bags_of(giant, most=200).sizes.max() >= 196
    with pytest.raises(TooFewCases, match=r"1 study has no image \(lost\).*leave them out"):
        bags_of(manifest, studies=[*manifest["study"].unique(), "lost"])
    with pytest.raises(Leak, match="images in several folds"):
        bags_of(manifest.assign(fold=np.arange(len(manifest)) % 3))
    with pytest.raises(BadTable, match="several patients"):
        bags_of(manifest.assign(group=manifest.index.astype(str), fold=0))


def test_one_class_and_a_loss_that_is_no_number_are_refused() -> None:
    manifest, features = some_studies(20)
    bags = bags_of(manifest)
    sick = np.flatnonzero(bags.table["target"] == 1)
    with pytest.raises(TooFewCases, match="of one class"):
        next(iter(train_aggregator(aggregator(6), features, bags, sick, QUICK, seed=0)))
    broken = Features(np.full_like(features.values, np.nan))
    with pytest.raises(Diverged, match="no number any more in epoch 1"):
        next(iter(train_aggregator(aggregator(6), broken, bags, np.arange(20), QUICK, seed=0)))


@pytest.fixture(scope="module")
def judged():
    manifest, features = some_studies(90, shown=0.5, strength=2.5)
    manifest.loc[manifest["study"].isin(["s001", "s002"]), "fold"] = SEALED
    manifest.loc[manifest["fold"] == SEALED, "target"] = pd.NA
    bags = bags_of(manifest)
    fresh = lambda: aggregator(6, "max", width=8, dropout=0.0)  # noqa: E731
    return bags, features, fresh, cross_validate_studies(features, bags, fresh, QUICK, seed=0, model="ours")


def test_cross_validation_speaks_of_every_study_once_and_the_report_takes_it(judged) -> None:
    bags, _, _, found = judged
    table = tables.check(found.predictions, tables.PREDICTIONS, "a test")
    assert sorted(table["image"]) == sorted(bags.table["study"])
    assert set(table.loc[table["part"] == "test", "study"]) == {"s001", "s002"}
    assert table.loc[table["part"] == "test", "target"].isna().all()
    report = evaluate(table, seed=0, resamples=50)
    assert report["validation"]["discrimination"]["auroc"]["value"] > 0.8
    assert "one image" in report["validation"]["per_study"]["reason"]
    assert set(found.epochs) <= set(QUICK.epochs)
    assert len(found.epochs) == 3


def test_the_final_aggregator_is_the_one_that_scored_the_sealed_studies(judged) -> None:
    bags, features, _, found = judged
    sealed = np.flatnonzero(bags.table["fold"] == SEALED)
    told = found.predictions.set_index("study")["score"].loc[bags.table["study"].iloc[sealed]]
    np.testing.assert_allclose(study_scores(found.aggregator, features, bags, sealed), told, rtol=1e-5)


def test_no_fold_has_seen_its_own_labels(judged) -> None:
    """With the labels of one fold turned round, what the others' models say of it stays the same."""
    bags, features, fresh, found = judged
    mine = (bags.table["fold"] == 1).to_numpy(bool)
    turned = bags.table.assign(target=bags.table["target"].mask(mine, 1 - bags.table["target"]))
    again = cross_validate_studies(features, type(bags)(turned, bags.rows), fresh, QUICK, seed=0)
    first, second = (
        run.predictions.set_index("study").loc[bags.table["study"][mine], ["score", "probability"]]
        for run in (found, again)
    )
    np.testing.assert_array_equal(first.to_numpy(float), second.to_numpy(float))


def test_a_trunk_is_pooled_as_a_bank_pools_it() -> None:
    """Images through an aggregator with a frozen trunk, and the trunk's features through one without: the same."""
    trunk = open_backbone("rx_lite", "random")
    whole, cached = (aggregator(2 * trunk.spec.d, trunk=t).eval() for t in (trunk, None))
    images, study = torch.rand(3, 1, 50, 50), torch.tensor([0, 0, 1])
    with torch.inference_mode():
        torch.testing.assert_close(whole(images, study), cached(pooled(trunk(images)), study))
    assert isinstance(whole, Aggregator)
    whole.train()
    assert not whole.trunk.training
