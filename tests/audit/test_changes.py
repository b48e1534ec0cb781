"""What is covered or planted changes what it should and nothing else, and a model that looks there shows it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osteon.audit import probing
from osteon.audit.changes import BORDER, CHANGES, edge_of
from osteon.audit.measured import measure
from osteon.audit.shortcuts import Judged
from osteon.errors import Mismatch
from osteon.evaluate.intervals import draw
from osteon.learn.backbones import open_backbone
from osteon.learn.features import extract
from osteon.learn.nested import REGULARISATIONS, lay_out, linear_scores, nested
from tests.learn.nets import TINY
from tests.make import some_split_cases


def a_limb(seed: int, *, side: int = 96, frame: bool = False) -> np.ndarray:
    """A shaft on a dark ground, with or without a white frame."""
    rng = np.random.default_rng(seed)
    image = rng.normal(40, 6, (side, side))
    image[:, side // 3 : side // 2] += 110
    if frame:
        image[edge_of(image.shape, 0.03)] = 255
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_keeps_the_image_elsewhere(name: str) -> None:
    image = a_limb(0, side=256)
    changed = CHANGES[name].apply(image, np.random.default_rng(1))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert (changed != image).mean() < 0.35
    if CHANGES[name].planted:
        assert (changed >= image).all()  # what is planted stops rays
        assert (changed != image).any()
    again = CHANGES[name].apply(image, np.random.default_rng(1))
    assert np.array_equal(changed, again)


def test_a_covered_border_is_of_one_grey_and_what_is_inside_stays() -> None:
    image = a_limb(0, frame=True)
    changed = CHANGES["border_covered"].apply(image, np.random.default_rng(0))
    edge = edge_of(image.shape, BORDER)
    assert len(np.unique(changed[edge])) == 1
    assert np.array_equal(changed[~edge], image[~edge])


def test_a_planted_letter_is_found_as_a_mark(tmp_path: Path) -> None:
    # A ground as even as air: letters are sought on open ground.
    plain = np.full((256, 256), 30, np.uint8)
    plain[:, 110:150] = 140
    with_letter = CHANGES["letter_planted"].apply(plain, np.random.default_rng(3))
    files = {name: tmp_path / f"{name}.png" for name in ("plain", "marked")}
    for name, image in (("plain", plain), ("marked", with_letter)):
        cv2.imwrite(str(files[name]), image)
    found = measure(list(files), files).set_index("image")
    assert dict(found["marks_found"]) == {"plain": "no", "marked": "yes"}
    assert found["border_grey"]["plain"] == pytest.approx(plain[edge_of(plain.shape, BORDER)].mean(), abs=0.05)


def test_a_model_that_learnt_a_frame_swings_with_it(tmp_path: Path) -> None:
    manifest = some_split_cases(40, images_each=1, fractured=0.5, folds=4)
    target = manifest["target"].to_numpy(int) == 1
    images = {}
    for row, (image, sick) in enumerate(zip(manifest["image"].astype(str), target, strict=True)):
        images[image] = tmp_path / f"{row}.png"
        # Nine of ten fractured images have a frame, and one of ten others.
        cv2.imwrite(str(images[image]), a_limb(row, frame=bool(sick) != (row % 10 == 0)))
    bank = extract(open_backbone(TINY, "random"), images, tmp_path / "bank", threads=1)
    layout = lay_out(manifest)
    scores = linear_scores(bank.array(list(images)), layout, sorted(REGULARISATIONS))[0]
    found = nested(layout, scores)
    heads = probing.heads_of(bank, manifest, found.probability)
    rows = np.arange(len(target))
    assert heads.log_odds(bank.array(list(images)), rows) == pytest.approx(probing._logit(found.probability), abs=1e-6)
    with pytest.raises(Mismatch, match="not those of a linear head"):
        probing.heads_of(bank, manifest, 1 - found.probability)
    cases = Judged(found.probability, target, rows, layout.fold)
    resamples = draw(rows, layout.fold, target, np.random.default_rng(0), resamples=200)
    told = {
        r["name"]: r for r in probing.probe(heads, cases, images, tmp_path / "probes", resamples, seed=0, threads=1)
    }
    assert list(told) == list(CHANGES)
    assert told["frame_planted"]["swing"].low > 0
    assert told["border_covered"]["lost"].value > 0.1
    assert told["frame_planted"]["positives_changed"].value >= told["frame_planted"]["negatives_changed"].value
