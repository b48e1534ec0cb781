"""Fit the rule that tells the distal end of a limb: `python -m benchmarks.upright`.

Writes `src/osteon/dataset/steps/upright.json`. Fitted on phantom plates of the seeds in SETS and on the half of
`lists/fracatlas_hands.csv` that is called "tuned"; `rotation.py` reports on other seeds and on the other half. The
loss is logistic, with a penalty on the weights; the optimiser is L-BFGS on all images at once, each of them also twice
turned and cut a little.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from osteon.dataset.steps import upright
from osteon.dataset.steps.rotation import limb_upright
from osteon.phantom.plates import Dirt, draw_plate

FRACATLAS = Path(__file__).resolve().parents[2] / "shared" / "data" / "fracatlas" / "images"
LISTS = Path(__file__).parent / "lists"

SETS = (("wrist", 21, 240), ("wrist", 31, 700), ("wrist", 41, 700), ("hand", 22, 120), ("hand", 32, 240))
SETS += (("hand", 42, 200), ("forearm", 23, 60), ("forearm", 33, 160), ("forearm", 43, 160))
"""Kind of plate, seed and number of the phantoms that the rule was fitted on."""

UNITS, PENALTY, COPIES = 12, 7e-4, 3


def display(values: NDArray[np.uint16], white: int, *, inverted: bool) -> NDArray[np.uint8]:
    """A plate as (h, w) uint8 with white bone."""
    shown = (values * (255.0 / white)).astype(np.uint8)
    return 255 - shown if inverted else shown


def turned_plate(kind: str, seed: int, number: int) -> tuple[NDArray[np.uint8], float, str]:
    """A dirty plate whose limb is turned by any angle, that angle, and the view."""
    dirt = replace(Dirt(), turned=1.0)
    plate = draw_plate(np.random.default_rng([seed, number]), kind=kind, rows=600, columns=466, dirt=dirt)
    shown = display(plate.values, plate.white, inverted=plate.inverted)
    return shown, plate.parts[0].turn_deg, plate.parts[0].view


def is_up(turn_deg: float, truth_deg: float) -> bool:
    """Whether a limb whose distal end is turned by the truth has it up after it was turned back by a turn."""
    return abs((truth_deg - turn_deg + 180) % 360 - 180) < 90


def profiles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Profiles (n, MEASURES, HEIGHTS) of all limbs, and 1 where the upper end is the distal one, else -1."""
    known = pd.read_csv(LISTS / "fracatlas_hands.csv")
    images = [
        (cv2.imread(str(FRACATLAS / row.image), cv2.IMREAD_GRAYSCALE), float(row.fingers_deg))
        for row in known[known["half"] == "tuned"].itertuples()
    ]
    images += [turned_plate(kind, seed, k)[:2] for kind, seed, count in SETS for k in range(count)]
    rng = np.random.default_rng(1)
    found, answers = [], []
    for given, truth in images:
        for copy in range(COPIES):
            image, degrees = jittered(given, rng) if copy else (given, 0.0)
            limb = limb_upright(image)
            if limb is not None:
                turn, grey, mask = limb
                found.append(upright.end_profile(grey, mask))
                answers.append(1.0 if is_up(turn, truth + degrees) else -1.0)
    return np.array(found), np.array(answers)


def jittered(image: NDArray[np.uint8], rng: np.random.Generator) -> tuple[NDArray[np.uint8], float]:
    """The image turned by some degrees, counter-clockwise, and cut by up to a twelfth on each side; and the degrees."""
    rows, columns = image.shape
    degrees = float(rng.normal(0, 4))
    matrix = cv2.getRotationMatrix2D(((columns - 1) / 2, (rows - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(image, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    top, bottom, left, right = (int(v) for v in rng.uniform(0, 1 / 12, 4) * (rows, rows, columns, columns))
    return np.ascontiguousarray(turned[top : rows - bottom, left : columns - right], np.uint8), degrees


def fit(found: NDArray[np.float64], answers: NDArray[np.float64]) -> dict[str, list[object]]:
    """The fields of an `EndRule`, rounded."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    mean, scale = found.mean(axis=(0, 2)), found.std(axis=(0, 2)) + 1e-6
    scaled = (found - mean[:, None]) / scale[:, None]
    sides = [torch.tensor(np.ascontiguousarray(s).reshape(len(s), -1)) for s in (scaled, scaled[:, :, ::-1])]
    target = torch.tensor(answers)
    start = rng.normal(0, 0.05, (sides[0].shape[1], UNITS)), np.zeros(UNITS), rng.normal(0, 0.3, UNITS)
    hidden, offset, out = (torch.tensor(v, requires_grad=True) for v in start)
    optimiser = torch.optim.LBFGS([hidden, offset, out], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        score = torch.tanh(sides[0] @ hidden + offset) @ out - torch.tanh(sides[1] @ hidden + offset) @ out
        penalty = (hidden**2).sum() + 0.1 * (out**2).sum()
        value = torch.nn.functional.softplus(-target * score).mean() + PENALTY * penalty
        value.backward()
        return value

    optimiser.step(loss)
    weights = {"hidden": hidden, "offset": offset, "out": out}
    fields = {"mean": mean, "scale": scale, **{name: v.detach().numpy() for name, v in weights.items()}}
    return {name: np.round(v, 3).tolist() for name, v in fields.items()}


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    found, answers = profiles()
    fields = fit(found, answers)
    target = Path(upright.__file__).with_suffix(".json")
    target.write_text(json.dumps(fields, separators=(",", ":")) + "\n", encoding="utf-8")
    rule = upright.fitted()
    right = [(rule(profile) >= 0) == (answer > 0) for profile, answer in zip(found, answers, strict=True)]
    print(f"{len(found)} limbs, {np.mean(right):.4f} right")


if __name__ == "__main__":
    main()
