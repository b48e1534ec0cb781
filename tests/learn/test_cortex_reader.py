"""The reader finds cortices by their place, learns from what is graded alone, and is one network with its trunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from osteon.dataset import grades as grade_tables
from osteon.errors import Diverged, TooFewCases
from osteon.evaluate.agreement import quadratic_kappa
from osteon.learn.backbones import open_backbone
from osteon.learn.healing.cortex_reader import (
    SCOREABLE_COUNTS,
    CortexNetwork,
    CortexReader,
    ReaderOptions,
    fit_reader,
    read,
)
from osteon.learn.maps import maps_of
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES
from tests.learn.healing import some_healing_cases, some_maps
from tests.learn.nets import TINY, batch_of, grey_image

QUICK = ReaderOptions(width=16, epochs=15, batch=16, steps=0, dropout=0.0)


def some_graded(patients: int = 72, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps and grades (n, 4) of planted visits."""
    cases = some_healing_cases(patients, seed=seed)
    grades, views = grade_tables.arrays(cases)
    return some_maps(cases, seed=seed), rust.masked(grades, views)


def test_each_cortex_is_read_at_its_place() -> None:
    maps, grades = some_graded()
    reader = fit_reader(maps, grades, np.arange(len(maps)), QUICK, seed=0)
    unseen, wanted = some_graded(seed=1)
    said = read(reader, unseen, np.arange(len(unseen)))
    for place in range(len(CORTICES)):
        graded = wanted[:, place] > 0
        cuts = reader.cuts[place].detach().numpy()
        grade = 1 + (said.healed[graded, place, None] > cuts).sum(axis=1)
        assert quadratic_kappa(wanted[graded, place], grade) > 0.9
        visible = wanted[:, place] > -1
        right = (said.scoreable[visible, place] > 0) == graded[visible]
        assert right.mean() > 0.95


def test_the_loss_is_that_of_its_definition_and_blind_to_what_is_hidden() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reader = CortexReader(3, width=8)
    answers = torch.linspace(-2, 2, 16).reshape(2, 4, 2).requires_grad_()
    grades = np.array([[3, 0, -1, -1], [-1, -1, 1, 4]])
    sigmoid, cuts = lambda x: 1 / (1 + np.exp(-x)), reader.cuts.detach().numpy()
    of_grades, can = [], []
    for image, cortex in np.argwhere(grades >= 0):
        score, gradable = answers[image, cortex].detach().numpy()
        grade = grades[image, cortex]
        can.append(-np.log(sigmoid(gradable if grade else -gradable)))
        if grade:
            above = [sigmoid(score - cut) for cut in cuts[cortex]]
            of_grades.append(-sum(np.log(p if grade > k else 1 - p) for k, p in enumerate(above, start=1)))
    loss = reader.loss(answers, torch.from_numpy(grades))
    assert float(loss.detach()) == pytest.approx(np.mean(of_grades) + SCOREABLE_COUNTS * np.mean(can), rel=1e-5)
    (slope,) = torch.autograd.grad(loss, answers)
    assert (slope[torch.from_numpy(grades < 0)] == 0).all()
    assert slope[0, 1, 0] == 0 and slope[0, 1, 1] != 0  # not scoreable: says nothing of healing


def test_a_gaze_is_a_share_of_places() -> None:
    reader = CortexReader(3, width=8)
    gazes = reader.gazes(torch.randn(2, 8, 5, 4, generator=torch.Generator().manual_seed(0)))
    assert gazes.shape == (2, 4, 5, 4)
    assert torch.allclose(gazes.sum(dim=(2, 3)), torch.ones(2, 4)) and (gazes > 0).all()


def test_the_same_seed_gives_the_same_reader_whatever_else_was_drawn() -> None:
    maps, grades = some_graded(12)
    rows, short = np.arange(len(maps)), replace(QUICK, epochs=2, dropout=0.3)
    first = fit_reader(maps, grades, rows, short, seed=5)
    torch.rand(7)
    before = torch.get_rng_state()
    second = fit_reader(maps, grades, rows, short, seed=5)
    assert torch.equal(before, torch.get_rng_state())
    other = fit_reader(maps, grades, rows, short, seed=6)
    same, different = (
        [torch.equal(a, b) for a, b in zip(first.state_dict().values(), x.state_dict().values(), strict=True)]
        for x in (second, other)
    )
    assert all(same) and not all(different)


def test_rows_that_are_left_out_teach_nothing() -> None:
    maps, grades = some_graded(12)
    rows = np.arange(len(maps) // 2)
    first = fit_reader(maps, grades, rows, replace(QUICK, epochs=2), seed=0)
    spoilt, wrong = maps.copy(), grades.copy()
    spoilt[len(rows) :], wrong[len(rows) :] = 9, 1
    second = fit_reader(spoilt, wrong, rows, replace(QUICK, epochs=2), seed=0)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_with_its_trunk_it_is_one_network() -> None:
    trunk = open_backbone(TINY, "random")
    grey = batch_of(grey_image(seed=1), grey_image(seed=2))
    with torch.inference_mode():
        maps = maps_of(trunk, grey)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reader = CortexReader(maps.shape[1], width=8).eval()
    network = CortexNetwork(trunk, reader).eval()
    with torch.inference_mode():
        answers = network.score(grey).numpy()
    said = read(reader, maps.numpy(), np.array([1, 0]))
    assert np.allclose(answers[::-1, :, 0], said.healed, atol=1e-5)
    assert np.allclose(answers[::-1, :, 1], said.scoreable, atol=1e-5) and TINY in network.name


def test_bad_input_is_refused() -> None:
    maps, grades = some_graded(12)
    rows = np.arange(len(maps))
    with pytest.raises(TooFewCases, match="graded cortex"):
        fit_reader(maps, np.minimum(grades, 0), rows, QUICK, seed=0)
    with pytest.raises(Diverged, match="no numbers"):
        fit_reader(np.full_like(maps, np.nan), grades, rows, QUICK, seed=0)
    with pytest.raises(ValueError, match="epochs"):
        ReaderOptions(epochs=0)
