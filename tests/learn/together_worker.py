"""What each of two processes does in `test_together`: small runs, whose results it writes under its number."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import PartialState
from safetensors.torch import save_file

from osteon.errors import OsteonError
from osteon.evaluate.metrics import auroc
from osteon.learn.averaging import Averaging
from osteon.learn.batches import Batches
from osteon.learn.heads import Classifier
from osteon.learn.objectives import BINARY
from osteon.learn.optimisers import SGD, AdamW
from osteon.learn.samplers import Balanced
from osteon.learn.thawing import Thawing
from osteon.learn.train import Fitted, HeldOut, TrainOptions, fit
from tests.learn.training import OPTIONS, Killed, a_classifier, a_run, kill_at

SGD_RUN = replace(OPTIONS, epochs=3, batch=9, optimiser=SGD(0.1, momentum=0.9, every=4))
RUNS = {
    "plain": SGD_RUN,
    "options": replace(
        SGD_RUN,
        thawing=Thawing((("head", 0), ("", 1))),
        averaging=Averaging(0.9),
        sampler=Balanced(),
        objective=replace(BINARY, figures={"auroc": auroc}, chooses="auroc"),
        patience=5,
    ),
}
"""Batches of 9: shares of 5 and 4, below which batch normalisation keeps its statistics."""

STATISTICS = replace(OPTIONS, epochs=2, batch=32, optimiser=AdamW(1e-2))
"""Shares of 16: batch normalisation takes the statistics of each share."""


def a_shared_run(options: TrainOptions) -> tuple[Batches, HeldOut]:
    """36 images to train on."""
    training, held_out = a_run(54)
    return replace(training, size=options.batch, sampler=options.sampler), held_out


def figures_of(done: Fitted[Classifier]) -> list[list[float]]:
    """Losses and figures of every epoch, training before held out."""
    return [[epoch.training, epoch.held_out, *sum(epoch.figures.values(), ())] for epoch in done.epochs]


def main(out: Path) -> None:
    for name, options in (RUNS | {"statistics": STATISTICS}).items():
        done = fit(a_classifier(), *a_shared_run(options), options, out / name, seed=1)
        number = PartialState().process_index
        save_file(done.network.state_dict(), out / f"{name}-{number}.safetensors")
        (out / f"{name}-{number}.json").write_text(json.dumps([done.best, figures_of(done)]))

    options = RUNS["options"]
    training, held_out = a_shared_run(options)
    try:
        fit(a_classifier(), training, held_out, options, out / "cut", seed=1, progress=kill_at(2 * len(training)))
    except Killed:
        fit(a_classifier(), training, held_out, options, out / "cut", seed=1)

    network = a_classifier()

    def poison(step: int, steps: int) -> None:
        if step == 5 and number == 1:
            with torch.no_grad():
                network.head.weight.fill_(float("nan"))

    try:
        fit(network, training, held_out, options, out / "poisoned", seed=1, progress=poison)
    except OsteonError as error:
        (out / f"poisoned-{number}.txt").write_text(str(error))

    script, *arguments = sys.argv[2:]
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")  # at last, because it leaves the group


if __name__ == "__main__":
    main(Path(sys.argv[1]))
