"""Seconds per phantom image on one core, part by part, against sampling every ray.

The obvious alternative to closed-form chords is to sample the attenuation along each ray. It is timed here for the
radius alone, on the same pixels, in steps that give the same depth to about a hundredth.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import common
import numpy as np

from osteon.phantom import detector
from osteon.phantom.anatomy import Part
from osteon.phantom.fracture import contains
from osteon.phantom.patient import draw_patient, draw_shot, make_patient, streams
from osteon.phantom.plan import Plan
from osteon.phantom.projection import Canvas, Grain, depth
from osteon.phantom.space import View
from osteon.phantom.wrist import radius_of

SAMPLE_MM = 0.25


def core_seconds(task: Callable[..., object], *arguments: object, repeats: int = 3) -> float:
    """Smallest processor time of some repeats: what else runs on the machine is left out."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        task(*arguments)
        best = min(best, time.process_time() - start)
    return best


def sampled(part: Part, view: View, canvas: Canvas) -> np.ndarray:
    """Depth of a bone by asking at every SAMPLE_MM of every ray whether it is inside each layer."""
    along = np.arange(-20, 20, SAMPLE_MM)
    found = np.zeros((len(canvas.z), len(canvas.u)))
    for row, z in enumerate(canvas.z):
        xy = canvas.u[:, None, None] * view.across + along[:, None] * view.along
        points = np.concatenate([xy, np.full((*xy.shape[:2], 1), z)], axis=2).reshape(-1, 3)
        for layer in part.layers:
            inside = contains(layer.solid, points).reshape(xy.shape[:2]).sum(axis=1) * SAMPLE_MM
            found[row] += inside * np.interp(z, layer.heights, layer.weights)
    return found


def stages(plan: Plan, patients: int) -> dict[str, list[float]]:
    """Core seconds of each stage; the first per patient, the others per image."""
    times: dict[str, list[float]] = {"draw the patient": [], "project": [], "expose": [], "whole image": []}
    with TemporaryDirectory() as folder:
        for number in range(1, patients + 1):
            job = (plan, 0, number, number % 2 == 0)
            patient = draw_patient(*job)
            times["draw the patient"].append(core_seconds(draw_patient, *job))
            for k, view in enumerate(plan.views):
                pose, noise = streams(0, number, len(plan.views))[3 + 2 * k : 5 + 2 * k]
                shot = draw_shot(plan, patient, view, job[3], pose)
                image = shot.depth(patient.parts, patient.grain)
                exposure, bare = detector.Exposure(plan.quanta_per_mm2, plan.scatter), np.zeros_like(image)
                times["project"].append(core_seconds(shot.depth, patient.parts, patient.grain))
                times["expose"].append(core_seconds(detector.expose, image, bare, exposure, plan.spacing_mm, noise))
            whole = core_seconds(make_patient, *job, Path(folder), repeats=2)
            times["whole image"].append(whole / len(plan.views))
    return times


def against_sampling(plan: Plan) -> dict[str, float]:
    """Core seconds for the intact radius in closed form and by sampling, and how far the two differ."""
    patient = draw_patient(plan, 0, 1, False)
    shot = replace(draw_shot(plan, patient, "PA", False, streams(0, 1, 1)[3]), turn_deg=0.0)
    bone = radius_of(patient.parts)
    bone = replace(bone, layers=tuple(replace(x, solid=replace(x.solid, hollows=())) for x in bone.layers))
    even, canvas = Grain(np.zeros_like(patient.grain.field)), shot.canvas()
    canvas = Canvas(canvas.z[canvas.z < 0][:200], canvas.u)
    bone = replace(bone, layers=tuple(replace(x, grain=np.zeros_like(x.grain)) for x in bone.layers))
    exact = depth([bone], shot.view, canvas, even)
    difference = float(np.abs(sampled(bone, shot.view, canvas) - exact).mean())
    return {
        "closed form": core_seconds(depth, [bone], shot.view, canvas, even),
        "sampling": core_seconds(sampled, bone, shot.view, canvas, repeats=1),
        "mean difference of depth": difference,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None, help="write the figures here")
    parser.add_argument("--patients", type=int, default=6, help="patients per image size")
    given = parser.parse_args()
    figures: dict[str, object] = {}
    print(f"{'core seconds':24}{'median':>10}{'largest':>10}")
    for rows, columns in ((640, 512), (1024, 820)):
        times = stages(Plan(rows=rows, columns=columns), given.patients)
        figures[f"{rows}x{columns}"] = {
            name: {"median": float(np.median(t)), "largest": max(t)} for name, t in times.items()
        }
        for name, t in times.items():
            print(f"{f'{rows}×{columns} {name}':24}{np.median(t):10.3f}{max(t):10.3f}")
    race = against_sampling(Plan(rows=1024, columns=820))
    race["ratio"] = race["sampling"] / race["closed form"]
    figures["radius, 200 rows of 820"] = race
    print(
        f"\n200 rows of the radius: closed form {race['closed form']:.4f} s, sampling every {SAMPLE_MM} mm "
        f"{race['sampling']:.2f} s: {race['ratio']:.0f} times as long (mean difference of depth "
        f"{race['mean difference of depth']:.4f})"
    )
    common.write(given.json, "phantom", figures)


if __name__ == "__main__":
    main()
