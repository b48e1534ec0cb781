"""A healing score in a folder: the same answers after loading, and no answer from a folder that was tampered with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from osteon.dataset.steps import RECIPES
from osteon.errors import BadTable, Mismatch, NotFound, UnknownName
from osteon.learn import bundle as plain
from osteon.learn.backbones import open_backbone
from osteon.learn.healing.bundle import HealingBundle, load, save
from osteon.learn.healing.cortex_reader import CortexNetwork, CortexReader, read
from osteon.learn.maps import maps_of
from osteon.learn.multiview import Fusion, visits_of
from osteon.learn.ordinal import CumulativeLink
from osteon.tasks import rust
from osteon.tasks.rust import MODIFIED_RUST
from tests.learn.nets import TINY, batch_of, grey_image

VIEWS, SIDES, STUDY = ("AP", "LAT", "AP", "OBL"), ("L", "R", "", "R"), np.array([0, 0, 1, 1])


def a_bundle(seed: int = 0) -> HealingBundle:
    """Of random weights: what it says is nonsense, and must be the same nonsense everywhere."""
    trunk = open_backbone(TINY, "random")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        channels = maps_of(trunk, torch.zeros(1, 1, 64, 64)).shape[1]
        reader = CortexReader(channels, width=8)
    rng = np.random.default_rng(seed)
    kinds = [
        tuple(CumulativeLink(rng.random(d), np.sort(rng.normal(size=cuts))) for _ in range(4))
        for d, cuts in ((2, 3), (3, 3), (1, 1))
    ]
    kinds[2] = tuple(CumulativeLink(np.array([0.1]), np.array([-3.0])) for _ in range(4))  # all can be graded
    network = CortexNetwork(trunk, reader).eval()
    return HealingBundle(network, RECIPES["ANY"], "modified-rust", Fusion(*kinds), 0.9, (64, 64))


def some_pixels() -> np.ndarray:
    return np.stack([grey_image(seed=seed) for seed in range(4)])


def test_it_says_what_its_parts_say_step_by_step() -> None:
    bundle, pixels = a_bundle(), some_pixels()
    found = bundle.read(pixels, VIEWS, SIDES, STUDY)
    left = [image[:, ::-1] if side == "R" else image for image, side in zip(pixels, SIDES, strict=True)]
    with torch.inference_mode():
        maps = maps_of(bundle.network.trunk, batch_of(*left)).numpy()
    scores = read(bundle.network.reader, maps, np.arange(4))
    p, can = bundle.fusion(scores, rust.shown(list(VIEWS)), STUDY)
    wanted = visits_of(p, can, STUDY, MODIFIED_RUST, level=0.9)
    assert np.allclose(found.totals, wanted.totals, atol=1e-5, equal_nan=True)
    assert found.complete.tolist() == [True, False]  # the second visit lacks a lateral view


def test_saved_and_loaded_it_answers_the_same(tmp_path: Path) -> None:
    bundle = a_bundle()
    saved = save(bundle, tmp_path / "one")
    loaded = load(tmp_path / "one", "modified-rust")
    before, after = (b.read(some_pixels(), VIEWS, SIDES, STUDY) for b in (bundle, loaded))
    assert np.array_equal(before.grades, after.grades, equal_nan=True) and np.array_equal(before.low[:1], after.low[:1])
    assert loaded.digest == saved.digest and loaded.recipe == bundle.recipe and loaded.level == 0.9
    save(loaded, tmp_path / "two")
    for name in ("bundle.json", "weights.safetensors", "README.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert "not a medical device" in (tmp_path / "one" / "README.md").read_text()


def test_the_two_kinds_of_bundle_are_not_taken_for_each_other(tmp_path: Path) -> None:
    save(a_bundle(), tmp_path / "healing")
    with pytest.raises(Mismatch, match="'cortices', not 'linear'"):
        plain.load(tmp_path / "healing")
    content = json.loads((tmp_path / "healing" / "bundle.json").read_text())
    del content["head"]
    (tmp_path / "healing" / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(Mismatch, match="'linear', not 'cortices'"):
        load(tmp_path / "healing")


def test_damage_and_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load(tmp_path)
    save(a_bundle(), tmp_path / "one")
    path = tmp_path / "one" / "bundle.json"
    content = json.loads(path.read_text())
    changes: list[tuple[dict[str, object], type[Exception]]] = [
        ({"format": 99}, Mismatch),
        ({"fusion": {}}, BadTable),
        ({"level": 2.0}, BadTable),
        ({"level": None}, BadTable),
        ({"size": [0, 64]}, BadTable),
        ({"reader": {"channels": 7, "width": 8}}, Mismatch),
        ({"trunk": content["trunk"] | {"name": "resnet18"}}, Mismatch),
        ({"trunk": content["trunk"] | {"name": "no_such_net"}}, UnknownName),
        ({"task": "rust"}, Mismatch),  # three grades, and the reader has four
        ({"task": "fracture"}, UnknownName),
        ({"weights_sha256": "0" * 64}, Mismatch),
    ]
    for change, error in changes:
        path.write_text(json.dumps(content | change))
        with pytest.raises(error):
            load(tmp_path / "one")
    path.write_text(json.dumps(content))
    with pytest.raises(Mismatch, match="answers"):
        load(tmp_path / "one", "rust")
    with pytest.raises(Mismatch, match="was trained on"):
        load(tmp_path / "one").read(some_pixels()[:, :32], VIEWS, SIDES, STUDY)


def test_a_trunk_that_was_changed_must_say_so(tmp_path: Path) -> None:
    bundle = a_bundle()
    with torch.no_grad():
        next(bundle.network.trunk.net.parameters()).add_(1)
    with pytest.raises(Mismatch, match="mark_trained"):
        save(bundle, tmp_path / "one")
