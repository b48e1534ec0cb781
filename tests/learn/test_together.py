"""Processes that train together: two of them, on one CPU, come to what one comes to."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import load_file

from osteon import tables
from osteon.errors import Mismatch, TooFewCases
from osteon.learn import together
from osteon.learn.logs import LOG
from osteon.learn.train import CHECKPOINT, fit
from tests.learn.together_worker import RUNS, a_shared_run, figures_of
from tests.learn.training import a_classifier, some_pixels
from tests.make import some_split_cases

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "train-on-a-cluster.md"


def blocks_of(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def the_pages_script(folder: Path) -> list[str]:
    """The script of the page with a smaller network and fewer epochs, and what it is called with."""
    (text,) = blocks_of("python")
    for there, here in (
        ('open_backbone("tf_efficientnet_lite0")', 'open_backbone("test_resnet", "random")'),
        ("epochs=30, batch=256", "epochs=1, batch=16"),
    ):
        assert there in text
        text = text.replace(there, here)
    cases = some_split_cases(24, folds=3, sealed=3, fractured=0.5)
    cases = cases.assign(prepared=[f"{name}.png" for name in cases["image"]])
    tables.write(folder / "split" / "manifest.parquet", cases, tables.MANIFEST)
    (folder / "prepared" / "images").mkdir(parents=True)
    for name, pixels in zip(cases["prepared"], some_pixels(np.arange(len(cases)) % 2), strict=True):
        cv2.imwrite(str(folder / "prepared" / "images" / name), pixels)
    (folder / "train_wrist.py").write_text(text)
    return [str(folder / name) for name in ("train_wrist.py", "prepared", "split", "trained")]


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("together")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--module", "tests.learn.together_worker", str(out), *the_pages_script(out)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_come_to_the_weights_of_one(trained_by_two: Path, tmp_path: Path, name: str) -> None:
    options = RUNS[name]
    alone = fit(a_classifier(), *a_shared_run(options), options, tmp_path, seed=1)
    first = load_file(trained_by_two / f"{name}-0.safetensors")
    for weight, tensor in alone.network.state_dict().items():
        np.testing.assert_allclose(first[weight], tensor.numpy(), rtol=1e-3, atol=1e-5, err_msg=weight)
    best, epochs = json.loads((trained_by_two / f"{name}-0.json").read_text())
    assert best == alone.best
    np.testing.assert_allclose(epochs, figures_of(alone), rtol=1e-4)
    ours = (tmp_path / LOG).read_text().splitlines()
    theirs = (trained_by_two / name / LOG).read_text().splitlines()
    assert ours[0] == theirs[0]
    numbers = (np.loadtxt(lines[1:], delimiter=",") for lines in (ours, theirs))
    np.testing.assert_allclose(*numbers, rtol=1e-3)


@pytest.mark.parametrize("name", [*RUNS, "statistics"])
def test_both_processes_end_with_the_same_weights_and_one_of_them_writes(trained_by_two: Path, name: str) -> None:
    first, second = (load_file(trained_by_two / f"{name}-{number}.safetensors") for number in (0, 1))
    assert all(np.array_equal(first[weight], second[weight]) for weight in first) and first.keys() == second.keys()
    assert (trained_by_two / f"{name}-0.json").read_text() == (trained_by_two / f"{name}-1.json").read_text()
    assert sorted(path.name for path in (trained_by_two / name).iterdir()) == [CHECKPOINT, LOG]


def test_two_processes_that_were_killed_go_on_to_the_same_bytes(trained_by_two: Path) -> None:
    for file in (CHECKPOINT, LOG):
        assert (trained_by_two / "cut" / file).read_bytes() == (trained_by_two / "options" / file).read_bytes()


def test_a_loss_that_is_no_number_in_one_process_stops_both(trained_by_two: Path) -> None:
    said = [(trained_by_two / f"poisoned-{number}.txt").read_text() for number in (0, 1)]
    assert said[0] == said[1] and "epoch 2, batch 2; the checkpoint of epoch 1" in said[0]


def test_the_script_of_the_page_writes_predictions(trained_by_two: Path) -> None:
    predictions = tables.read(trained_by_two / "trained" / "predictions.parquet", tables.PREDICTIONS)
    assert {"model", "floor:thumbnail"} < set(predictions["model"])
    assert not list((trained_by_two / "trained" / "checkpoints").glob("pixels-*"))


def test_the_shell_commands_of_the_page_are_in_order(tmp_path: Path) -> None:
    blocks = blocks_of("bash")
    assert len(blocks) == 3 and any("#SBATCH" in block for block in blocks)
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.sh").write_text(block)
        done = subprocess.run(["bash", "-n", str(tmp_path / f"{number}.sh")], capture_output=True, text=True)
        assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize(("processes", "devices"), [(2, 1), (8, 4), (5, 4)])
def test_more_processes_than_gpus_are_refused(processes: int, devices: int) -> None:
    with pytest.raises(Mismatch, match=rf"{processes} processes .* {devices} GPU.*--nproc-per-node {devices}$"):
        together.check_devices(processes, devices)


@pytest.mark.parametrize(("processes", "devices"), [(1, 0), (4, 0), (1, 1), (1, 4), (4, 4)])
def test_enough_gpus_or_none_are_fine(processes: int, devices: int) -> None:
    together.check_devices(processes, devices)


def test_every_process_needs_an_image_of_every_batch() -> None:
    together.check_shares(33, 2, 16)  # batches of 17 and 16
    with pytest.raises(TooFewCases, match="batches of 16 images cannot be shared among 17 processes"):
        together.check_shares(33, 2, 17)


def test_a_process_that_cannot_find_the_others_does_not_train_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has made its group of one long ago: what torchrun says later would otherwise go unheard."""
    together.join(freezes=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Mismatch, match="2 processes, and accelerate has made a group of 1"):
        together.join(freezes=False)
