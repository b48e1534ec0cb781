from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState

from osteon import files
from osteon.errors import Diverged, Mismatch, NotFound, TooFewCases
from osteon.learn.fold_tables import deal, hide, visible
from osteon.learn.search import journal
from osteon.learn.search.flat_heads import MEASURES, Examples, HeadOptions, fit_heads
from osteon.learn.search.regimes import (
    EPSILONS,
    LEARNING_RATES,
    Regime,
    best_epoch,
    collect,
    regime_one,
    regime_two,
    search,
)
from osteon.types import Fold
from tests.learn.searching import SMALL, search_here, some_examples, some_regime, three_folds

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search by one worker in one go."""
    folder = tmp_path_factory.mktemp("reference")
    search_here(folder)
    return folder


def results(folder: Path) -> tuple[str, str]:
    return files.digest_of(folder / "curves"), files.digest_of(folder / "trials.csv")


@contextmanager
def processes(folder: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many processes that search in a folder, all of them ready before one begins."""
    script = [sys.executable, "-m", "tests.learn.searching", str(folder)]
    started = [subprocess.Popen(script, cwd=ROOT) for _ in range(count)]
    try:
        while len(list(folder.glob("ready-*"))) < count:
            assert all(process.poll() is None for process in started)
            time.sleep(0.01)
        (folder / "go").touch()
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def workers_of(folder: Path) -> set[str]:
    """Who ran at least one trial, as the journal has it."""
    lines = [json.loads(line) for line in (folder / journal.JOURNAL).read_text().splitlines()]
    return {line["worker_id"] for line in lines if line.get("state") == TrialState.RUNNING}


def test_two_workers_give_what_one_gives_to_the_last_digit(reference: Path, tmp_path: Path) -> None:
    with processes(tmp_path, 2) as started:
        assert [process.wait() for process in started] == [0, 0]
    assert len(workers_of(tmp_path)) == 2 and len(workers_of(reference)) == 1
    assert results(tmp_path) == results(reference)


def test_a_killed_search_goes_on_with_the_same_results_and_loses_no_finished_trial(
    reference: Path, tmp_path: Path
) -> None:
    curves, claims = tmp_path / "curves", tmp_path / "running"
    with processes(tmp_path, 1) as (running,):
        while len(list(curves.glob("*.csv"))) < 2 or not list(claims.glob("*.json")):
            assert running.poll() is None, "it ended before it could be killed"
            time.sleep(0.002)
        time.sleep(0.05)  # in the middle of a trial
        running.send_signal(signal.SIGKILL)
        running.wait()
    written = {path.name: path.stat().st_mtime_ns for path in curves.glob("*.csv")}
    settled = {f"{index:04d}.csv" for index in journal.Queue(tmp_path).outcomes()}
    assert len(settled) < 8 and settled <= written.keys()
    search_here(tmp_path, workers=2)
    assert results(tmp_path) == results(reference)
    again = {name for name, at in written.items() if (curves / name).stat().st_mtime_ns != at}
    assert not again & settled


def test_a_trial_is_the_cross_validation_of_its_own_seed(reference: Path) -> None:
    regime, found = some_regime(), collect(reference, some_regime())
    for trial in (2, 5):
        heads = fit_heads(some_examples(240), three_folds(240), regime.trials[trial], seed=(7, trial))
        curves = np.stack([head.curves for head in heads])
        own = found.curves[found.curves["trial"] == trial]
        assert np.array_equal(own[list(MEASURES)].to_numpy().reshape(curves.shape), curves)
        mean = [np.mean([curves[fold, epoch, 3] for fold in range(3)]) for epoch in range(12)]
        row = found.trials.set_index("trial").loc[trial]
        assert row["auroc"] == pytest.approx(max(mean)) and row["epoch"] == int(np.argmax(mean)) + 1
        at_best = curves[:, int(np.argmax(mean)), 3]
        assert (row["lowest"], row["highest"]) == (at_best.min(), at_best.max())


def test_the_best_trials_come_first(reference: Path) -> None:
    found = collect(reference, some_regime())
    top = found.top(5)
    assert len(top) == 5 and found.best == top["trial"][0] and found.options == some_regime().trials[found.best]
    assert top["auroc"].tolist() == sorted(found.trials["auroc"], reverse=True)[:5]
    assert pd.read_csv(reference / "top.csv")["trial"].tolist() == found.top()["trial"].tolist()
    stored = pd.read_csv(reference / "trials.csv")
    assert stored["trial"].tolist() == list(range(8)) and stored["batch"].between(16, 2048).all()


def test_optuna_itself_can_read_the_journal(reference: Path) -> None:
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(reference / journal.JOURNAL))
    )
    study = optuna.load_study(study_name="Regime I", storage=storage)
    found = collect(reference, some_regime())
    assert study.best_value == found.trials["auroc"].max() and study.best_params["batch"] == found.options.batch
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 8


def test_regime_one_draws_each_trial_from_its_own_number() -> None:
    regime = regime_one(seed=1)
    assert len(regime.trials) == 100 and regime_one(seed=1, trials=7).trials == regime.trials[:7]
    assert regime_one(seed=2).trials[0] != regime.trials[0]
    batches, rates = np.array([(t.batch, t.dropout) for t in regime.trials]).T
    assert (
        16 <= batches.min() < 150
        and 1900 < batches.max() <= 2048
        and 0 <= rates.min() < 0.03 < 0.47 < rates.max() < 0.5
    )
    assert {replace(t, batch=128, dropout=0.0) for t in regime.trials} == {HeadOptions()}


def test_regime_two_is_the_grid_at_the_chosen_batch_and_dropout() -> None:
    regime = regime_two(batch=1600, dropout=0.2, base=HeadOptions(epochs=5))
    cells = [(t.learning_rate, t.epsilon) for t in regime.trials]
    assert len(set(cells)) == 32 and cells[:2] == [(0.1, 0.1), (0.1, 0.01)] and cells[-1] == (1e-4, 1e-8)
    assert np.allclose(LEARNING_RATES, [0.1, 0.01, 0.001, 0.0001]) and np.allclose(np.diff(np.log10(EPSILONS)), -1)
    assert {replace(t, learning_rate=1e-3, epsilon=1e-7) for t in regime.trials} == {
        HeadOptions(batch=1600, dropout=0.2, epochs=5)
    }


def test_the_best_epoch_is_that_of_the_largest_mean() -> None:
    curves = np.random.default_rng(0).random((4, 6, 4))
    means = [sum(curves[f, e, 3] for f in range(4)) / 4 for e in range(6)]
    epoch, score = best_epoch(curves)
    assert score == pytest.approx(max(means)) and means[epoch] == max(means)
    curves[2, epoch:, 3] = np.nan  # one fold has not come that far
    assert best_epoch(curves)[0] == int(np.argmax(means[:epoch])) if epoch else True
    with pytest.raises(Diverged):
        best_epoch(np.full((2, 3, 4), np.nan))


def test_a_search_never_sees_what_is_sealed(tmp_path: Path) -> None:
    table = pd.DataFrame({"image": [f"i{k:03d}" for k in range(90)], "patient": [f"p{k // 3}" for k in range(90)]})
    examples = some_examples(90)
    outer = deal(table, 3, seed=0)
    found = []
    for spoilt in (False, True):
        features, targets = examples.features.numpy().copy(), examples.targets.numpy().copy()
        if spoilt:
            features[outer["fold"] == 1], targets[outer["fold"] == 1] = np.nan, 0.5
        inner = deal(hide(outer, 1), 2, seed=1)
        rows, folds = visible(inner)
        assert not set(table["patient"][outer["fold"] == 1]) & set(table["patient"].iloc[rows])
        folder = tmp_path / str(spoilt)
        regime = regime_one(seed=0, trials=2, base=SMALL)
        search(folder, regime, Examples.of(features[rows], targets[rows]), folds, seed=0)
        found.append(results(folder))
    assert found[0] == found[1]


def a_queue(folder: Path, count: int = 3) -> journal.Queue:
    regime = regime_one(seed=0, trials=count)
    settings = [{"batch": t.batch, "dropout": t.dropout} for t in regime.trials]
    journal.begin(folder, "some search", settings, regime.space, {"seed": 0})
    return journal.Queue(folder)


def test_many_who_begin_at_once_share_one_journal_and_no_trial(tmp_path: Path) -> None:
    def begin_and_claim(_: int) -> list[int]:
        queue = a_queue(tmp_path, 12)
        claimed = []
        while task := queue.claim():
            claimed.append(task.index)
        return claimed

    with ThreadPoolExecutor(6) as pool:
        claimed = list(pool.map(begin_and_claim, range(6)))
    assert sorted(chain.from_iterable(claimed)) == list(range(12)) and len(a_queue(tmp_path, 12)) == 12


def test_trials_are_claimed_in_order_and_settled_once(tmp_path: Path) -> None:
    queue = a_queue(tmp_path)
    first, second = queue.claim(), queue.claim()
    assert first and second and (first.index, second.index) == (0, 1)
    queue.finish(first, 0.75)
    queue.give_up(second, "for a reason")
    assert queue.outcomes() == {0: 0.75, 1: None}
    third = queue.claim()
    assert third and third.index == 2 and queue.claim() is None
    queue.release(third)  # its worker ends before the trial is settled
    again = queue.claim()
    assert again and again.index == 2
    queue.finish(again, 0.5)
    queue.finish(third, 0.5)  # the worker was not dead after all
    assert queue.outcomes() == {0: 0.75, 1: None, 2: 0.5} and queue.claim() is None
    assert not list((tmp_path / "running").glob("*.json"))


def claimed_by(folder: Path, task: journal.Task, *, machine: str, process: int, started: float, age_s: float) -> None:
    files.write_json(task.claim, {"machine": machine, "process": process, "started": started})
    os.utime(task.claim, (time.time() - age_s,) * 2)


@pytest.mark.parametrize(
    ("machine", "gone", "age_s", "is_put_back"),
    [
        ("elsewhere", False, 1000, True),
        ("elsewhere", True, 100, False),
        ("here", False, 1000, False),
        ("here", True, 0, True),
    ],
)
def test_a_trial_is_put_back_when_its_worker_is_gone(
    tmp_path: Path, machine: str, gone: bool, age_s: float, is_put_back: bool
) -> None:
    queue = a_queue(tmp_path, 1)
    task = queue.claim()
    assert task
    mine = json.loads(task.claim.read_text())
    place = mine["machine"] if machine == "here" else machine
    # A process number that was used again belongs to a process that began later.
    started = mine["started"] - 50 if gone else mine["started"]
    claimed_by(tmp_path, task, machine=place, process=mine["process"], started=started, age_s=age_s)
    again = journal.Queue(tmp_path).claim()
    assert (again is not None) == is_put_back
    if again:
        assert again.index == task.index
    else:
        task.beat()
        assert time.time() - task.claim.stat().st_mtime < 60


def test_processes_of_other_containers_are_not_taken_for_ones_of_this(tmp_path: Path) -> None:
    queue = a_queue(tmp_path, 1)
    task = queue.claim()
    assert task
    assert json.loads(task.claim.read_text())["machine"].startswith(platform.node())
    claimed_by(tmp_path, task, machine=f"{platform.node()} pid:[1]", process=1, started=0.0, age_s=0)
    assert queue.claim() is None


def test_a_trial_without_a_score_is_not_tried_again_and_wins_nothing(tmp_path: Path) -> None:
    options = (SMALL, replace(SMALL, batch=8, learning_rate=1e38), replace(SMALL, batch=64))
    regime = Regime("some", options, {})
    examples, folds = some_examples(120), three_folds(120)
    found = search(tmp_path, regime, examples, folds, seed=0)
    assert found.trials["auroc"].isna().tolist() == [False, True, False] and found.best != 1
    assert found.top()["trial"].tolist()[-1] == 1 and set(found.curves["trial"]) == {0, 2}
    search(tmp_path, regime, examples, folds, seed=0)
    assert len(list((tmp_path / "curves").iterdir())) == 2
    hopeless = search(tmp_path / "worse", Regime("worse", options[1:2], {}), examples, folds, seed=0)
    with pytest.raises(Diverged, match="no trial"):
        _ = hopeless.best


def test_a_pruner_ends_trials_only_if_it_is_asked_for(tmp_path: Path) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.999)
    regime = regime_one(seed=0, trials=2, base=SMALL)
    examples, folds = some_examples(120), three_folds(120)
    pruned = search(tmp_path / "pruned", regime, examples, folds, seed=0, pruner=pruner)
    assert pruned.trials["auroc"].isna().all()
    assert search(tmp_path / "whole", regime, examples, folds, seed=0).trials["auroc"].notna().all()


def test_a_folder_serves_one_search(reference: Path, tmp_path: Path) -> None:
    examples, folds, regime = some_examples(240), three_folds(240), some_regime()
    others = {
        "seed": lambda: search(reference, regime, examples, folds, seed=8),
        "trials": lambda: search(reference, some_regime(9), examples, folds, seed=7),
        "images": lambda: search(reference, regime, some_examples(240, seed=1), folds, seed=7),
        "folds": lambda: search(reference, regime, examples, folds[:2], seed=7),
    }
    before = results(reference)
    for name, other in others.items():
        with pytest.raises(Mismatch, match=f"differs in {name}"):
            other()
    assert results(reference) == before
    with pytest.raises(NotFound, match="begin the search"):
        collect(tmp_path / "nowhere", regime)
    with pytest.raises(Mismatch, match="differs in trials"):
        collect(reference, some_regime(9))
    lost = tmp_path / "lost"
    shutil.copytree(reference, lost)
    (lost / "curves" / "0003.csv").unlink()
    with pytest.raises(NotFound, match=r"0003\.csv"):
        collect(lost, regime)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_told(tmp_path: Path, workers: int) -> None:
    nobody = [Fold(0, np.arange(100), np.arange(0))]
    with pytest.raises(TooFewCases, match="empty part"):
        search(tmp_path, some_regime(2), some_examples(120), nobody, seed=0, workers=workers)


def test_progress_counts_the_trials(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    regime = regime_one(seed=0, trials=3, base=SMALL)
    search(tmp_path, regime, some_examples(60), three_folds(60), seed=0, progress=lambda *at: told.append(at))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "reference" / "search.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for code in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S):
        exec(compile(code, "search.md", "exec"), names)
    said = capsys.readouterr().out
    assert "validation_loss" in said and "HeadOptions(batch=" in said and "{'batch': " in said
