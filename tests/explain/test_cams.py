from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam

from osteon.explain import cams
from osteon.learn.heads import HeadForm
from tests.explain.planted import random_head
from tests.learn.nets import TINY, batch_of, grey_image


def test_grad_cam_is_captums() -> None:
    classifier, images = random_head(TINY, form=HeadForm(grid=2, hidden=(8,))), batch_of(grey_image(96, 64))
    theirs = LayerGradCam(classifier, classifier.trunk).attribute(images, relu_attributions=True)
    ours = cams.by_mean_gradient(*cams.maps_and_gradient(classifier, images))
    assert float(ours.max()) > 0 and torch.allclose(ours, theirs[:, 0], atol=1e-6)


@pytest.mark.parametrize("form", [HeadForm(), HeadForm(grid=1)])
def test_hires_cam_adds_up_to_the_logit_less_the_bias(form: HeadForm) -> None:
    classifier, images = random_head(TINY, form=form), batch_of(grey_image(96, 64))
    with torch.no_grad():
        wanted = float(classifier(images)) - 0.7
    assert float(cams.by_place(*cams.maps_and_gradient(classifier, images)).sum()) == pytest.approx(wanted, rel=1e-4)


def test_grad_cam_plus_plus_counts_two_lesions_alike() -> None:
    # The paper's reason for it (section 3.2): one channel is active in 1 place, another in 9; both answer with 1.
    maps, gradient = torch.zeros(1, 2, 6, 6, dtype=torch.double), torch.zeros(1, 2, 6, 6, dtype=torch.double)
    maps[0, 0, 0, 0] = 1.0
    maps[0, 1, 3:, 3:] = 1.0
    gradient[maps > 0] = 1.0
    plain, better = cams.by_mean_gradient(maps, gradient)[0], cams.by_positive_pixels(maps, gradient)[0]
    assert plain[0, 0] / plain[5, 5] == pytest.approx(1 / 9)
    # α = G² / (2 G² + ΣA·G³) is 1 / (2 + 1) at the one place and 1 / (2 + 9) at each of the nine.
    assert better[0, 0] == pytest.approx(1 / 3) and better[5, 5] == pytest.approx(9 / 11)


def test_layer_cam_keeps_positive_gradients_alone() -> None:
    rng = np.random.default_rng(0)
    maps, gradient = rng.normal(size=(2, 1, 3, 4, 5))
    wanted = np.maximum(np.einsum("kyx,kyx->yx", np.maximum(gradient[0], 0), maps[0]), 0)
    found = cams.by_positive_place(torch.from_numpy(maps), torch.from_numpy(gradient))
    assert np.allclose(found[0].numpy(), wanted)


def test_no_gradient_is_no_evidence_and_no_division() -> None:
    maps, gradient = torch.ones(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)
    for weigh in (cams.by_mean_gradient, cams.by_positive_pixels, cams.by_place, cams.by_positive_place):
        assert not weigh(maps, gradient).any()
