"""Fit the rule that finds the distal radius along an arm: `python -m benchmarks.wrist`.

Writes `src/osteon/dataset/steps/region.json`. Fitted on phantom plates with a fractured distal radius, of the seeds in
SETS; `region.py` reports on others. The loss is that of a choice among the stretches of a limb (conditional logit),
with a penalty on the weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from benchmarks.upright import display
from numpy.typing import NDArray

from osteon.dataset.steps import region, upright
from osteon.dataset.steps.limb import foremost, shrunk
from osteon.dataset.steps.rotation import limb_upright
from osteon.phantom.plates import Dirt, Plate, draw_plate

SETS = (("wrist", 61, 180), ("hand", 62, 120), ("forearm", 63, 60))
"""Kind of plate, seed and number of the phantoms that the rule was fitted on."""

PENALTY = 3e-3


def fractured_plate(kind: str, seed: int, number: int, *, turned: bool = False) -> Plate:
    """A dirty plate of an arm with a fractured distal radius; without `turned`, within some degrees of upright."""
    dirt = Dirt() if turned else replace(Dirt(), turned=0.0, quarter=0.0, upside_down=0.0)
    rng = np.random.default_rng([seed, number])
    return draw_plate(rng, kind=kind, rows=600, columns=466, fractured=True, dirt=dirt)


def height_of(image: NDArray[np.uint8], turn: float, mask: NDArray[np.bool_], point: NDArray[np.float64]) -> float:
    """How far down a limb, set upright by a turn and cut to its mask, a point (x, y) lies, in mask rows."""
    small, found = foremost(image)
    rows, columns = np.nonzero(np.ones(small.shape, bool) if found is None else found)
    angle = np.deg2rad(turn)
    # Down the limb: the image's y axis, turned with the limb.
    down = np.array([np.sin(angle), np.cos(angle)])
    along = np.column_stack([columns, rows]) @ down
    share = ((point * small.shape[0] / image.shape[0]) @ down - along.min()) / max(float(np.ptp(along)), 1.0)
    return float(share) * mask.shape[0]


def examples() -> Iterable[tuple[NDArray[np.float64], float]]:
    """Features (features, stretches) of a limb, and the stretch in which the fracture's centre lies."""
    for kind, seed, count in SETS:
        for number in range(count):
            plate = fractured_plate(kind, seed, number)
            limb = plate.parts[0]
            image = shrunk(display(plate.values, plate.white, inverted=plate.inverted), 512)
            found = limb_upright(image)
            if found is None or limb.fracture is None or abs((found[0] - limb.turn_deg + 90) % 180 - 90) > 30:
                continue
            turn, grey, mask = found
            if abs((turn - limb.turn_deg + 180) % 360 - 180) > 90:
                turn, grey, mask = turn + 180, cv2.rotate(grey, cv2.ROTATE_180), mask[::-1, ::-1]
            x, y, width, height = limb.fracture
            centre = np.array([x + width / 2, y + height / 2]) * image.shape[0] / plate.values.shape[0]
            _, stretches = region.stretches_of(mask)
            at = height_of(image, turn, mask, centre) / mask.shape[0] * stretches - 0.5
            if -0.5 <= at < stretches - 0.5:
                grey = np.ascontiguousarray(grey, np.uint8)
                yield region.surroundings(upright.end_profile(grey, mask, stretches)), at


def fit(found: list[tuple[NDArray[np.float64], float]]) -> dict[str, list[float]]:
    """Mean and scale of the features, and their weights, rounded."""
    torch.set_num_threads(1)
    everything = np.hstack([features for features, _ in found])
    mean, scale = everything.mean(axis=1), everything.std(axis=1) + 1e-6
    inputs = [torch.tensor(((features - mean[:, None]) / scale[:, None]).T) for features, _ in found]
    targets = []
    for features, at in found:
        bell = np.exp(-0.5 * (np.arange(features.shape[1]) - at) ** 2)
        targets.append(torch.tensor(bell / bell.sum()))
    weights = torch.zeros(len(mean), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        fits = [(t * torch.log_softmax(z @ weights, 0)).sum() for z, t in zip(inputs, targets, strict=True)]
        value = PENALTY * (weights**2).sum() - torch.stack(fits).mean()
        value.backward()
        return value

    optimiser.step(loss)
    fields = {"mean": mean, "scale": scale, "weights": weights.detach().numpy()}
    return {name: np.round(v, 4).tolist() for name, v in fields.items()}


def main() -> None:
    found = list(examples())
    target = Path(region.__file__).with_suffix(".json")
    target.write_text(json.dumps(fit(found), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(found)} limbs")


if __name__ == "__main__":
    main()
