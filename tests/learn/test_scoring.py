"""Scores of images: as they are, with their mirror image, or as the network says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from osteon.learn.finetune import fine_tune
from osteon.learn.heads import Network
from osteon.learn.objectives import BINARY
from osteon.learn.scoring import ALONE, BOTH, OWN, scores
from osteon.learn.train import fit
from tests.learn.training import OPTIONS, ManyLabels, a_classifier, a_run


def logits(network: Network, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(pixels[:, None] / np.float32(255))).double().numpy()


@pytest.mark.parametrize(("network", "own"), [(lambda: a_classifier(seed=3), "both"), (lambda: ManyLabels(2), "alone")])
def test_scores_are_logits_of_the_image_and_of_its_mirror_image(network, own: str, tmp_path: Path) -> None:
    training, held_out = a_run()
    if own == "both":  # a head of zeros says the same of everything
        trained = fit(network(), training, held_out, replace(OPTIONS, epochs=1), tmp_path, seed=1).network
    else:
        trained = network()
    pixels, rows = held_out.pixels, held_out.rows
    wanted = {"alone": logits(trained, pixels[rows])}
    wanted["both"] = (wanted["alone"] + logits(trained, np.ascontiguousarray(pixels[rows][:, :, ::-1]))) / 2
    assert np.abs(wanted["both"] - wanted["alone"]).max() > 1e-3
    for scoring, name in ((ALONE, "alone"), (BOTH, "both"), (OWN, own)):
        found = scores(trained, pixels, rows, 5, scoring)
        np.testing.assert_allclose(found, wanted[name], rtol=1e-4, atol=1e-5)
    trained.train()
    scores(trained, pixels, rows)
    assert trained.training


def test_the_scoring_chooses_the_epoch_and_stays_with_the_model(tmp_path: Path) -> None:
    training, held_out = a_run()
    for scoring in (ALONE, BOTH):
        options = replace(OPTIONS, scoring=scoring, objective=replace(BINARY, chooses="last"))
        done = fit(a_classifier(), training, held_out, options, tmp_path / scoring.name, seed=1)
        score = scores(done.network, held_out.pixels, held_out.rows, scoring=done.scoring)
        loss = np.mean(np.logaddexp(0, score) - held_out.target * score)
        assert done.scoring == scoring and done.epochs[-1].held_out == pytest.approx(loss)


def test_no_images_have_no_scores() -> None:
    _, held_out = a_run()
    assert scores(a_classifier(), held_out.pixels, held_out.rows[:0]).shape == (0,)


def test_a_classifier_is_not_calibrated_on_scores_that_no_reader_will_see(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mirror image"):
        fine_tune(None, {}, a_classifier, replace(OPTIONS, scoring=ALONE), tmp_path, seed=1)


def test_a_checkpoint_knows_a_scoring_by_its_name() -> None:
    assert repr(BOTH) == "Scoring(name='mean over the image and its mirror image')"  # and by no address
