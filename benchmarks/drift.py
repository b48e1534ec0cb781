"""Drift: how often an alarm where there is none, and what is found where it was planted, beside tests of single images.

    python benchmarks/drift.py TRAINED [--json FILE] [--figure FILE]

TRAINED is the folder OUT of `docs/results/fracatlas.sh`. At most six images of a patient are used. Without drift: 40
random halves of the patients. With drift: one region against another, and copies of new patients' images that were
blurred, given another contrast, turned negative or made noisy; their features are computed anew. Phantoms: cohorts of
the same plan, of a fifth of the dose, and of more scatter. The alternative is what a table of p-values would give: a
Kolmogorov-Smirnov or chi-squared test of images for each column, Bonferroni, patients forgotten.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import torch
from common import write
from numpy.typing import NDArray
from scipy.stats import chi2_contingency, ks_2samp

from osteon import tables, verbs
from osteon.audit.drift import LEVEL, Sample, drift
from osteon.audit.drift_page import pictures
from osteon.audit.image_statistics import statistics_of, statistics_table
from osteon.audit.tags import LEVELS, tags_of
from osteon.dataset.prepared import pixels_of
from osteon.evaluate.report import plain
from osteon.learn.backbones import Trunk
from osteon.learn.bank import FeatureBank
from osteon.learn.features import features_of
from osteon.phantom.plan import Plan
from osteon.settings import Settings

Pixels = NDArray[np.uint8]
HALVES, EACH, NEW, OF_EACH = 40, 6, 20, 3
PERMUTATIONS = 500

COPIES: Mapping[str, Callable[[Pixels], Pixels]] = {
    "as they are": lambda image: image,
    "blurred, σ 1 px": lambda image: cv2.GaussianBlur(image, (0, 0), 1),
    "contrast, γ 0.8": lambda image: (255 * (image / 255) ** 0.8).astype(np.uint8),
    "negative": lambda image: 255 - image,
    "noise, σ 4 grey levels": lambda image: np.clip(
        image + np.random.default_rng(0).normal(0, 4, image.shape), 0, 255
    ).astype(np.uint8),
}
"""What is done to the prepared images of new patients."""


def alone(reference: Sample, new: Sample) -> int:
    """Columns that differ by a test of images, after Bonferroni: the alternative."""
    p = []
    tables_of_both = [(tags_of(reference.tags), tags_of(new.tags)), (reference.statistics, new.statistics)]
    if reference.scores is not None and new.scores is not None:
        tables_of_both.append((pd.DataFrame({"score": reference.scores}), pd.DataFrame({"score": new.scores})))
    for theirs, mine in tables_of_both:
        for name in theirs:
            a, b = (side[name].dropna() for side in (theirs, mine))
            levels = pd.concat([a, b]).nunique()
            if levels < 2 or not len(a) or not len(b):
                continue
            if pd.api.types.is_numeric_dtype(a.dtype) and levels > LEVELS:
                p.append(ks_2samp(a.to_numpy(float), b.to_numpy(float)).pvalue)
            else:
                side = np.repeat(["a", "b"], [len(a), len(b)])
                p.append(chi2_contingency(pd.crosstab(side, pd.concat([a, b]).astype(str).to_numpy())).pvalue)
    return int((np.array(p) * len(p) <= LEVEL).sum())


def fracatlas(trained: Path) -> tuple[Sample, list[Path], Trunk]:
    """At most EACH images of each patient, all that is known of them, their files, and the trunk of their features."""
    manifest = tables.read(trained / "split" / "manifest.parquet", tables.MANIFEST)
    order = np.random.default_rng(0).permutation(len(manifest))
    manifest = manifest.iloc[order].groupby("group").head(EACH).sort_values("image").reset_index(drop=True)
    predictions = tables.read(trained / "model" / "predictions.parquet", tables.PREDICTIONS)
    told = predictions[~predictions["model"].str.startswith(tables.FLOOR)].set_index("image")["probability"]
    bank = FeatureBank.open(trained / "features")
    images = dict(zip(manifest["image"], manifest["prepared"], strict=True))
    files = {image: trained / "prepared" / "images" / name for image, name in images.items()}
    sample = Sample(
        image=manifest["image"].to_numpy(str),
        group=manifest["group"].to_numpy(str),
        tags=manifest,
        statistics=statistics_table(list(manifest["image"]), files),
        embeddings=bank.array(list(manifest["image"])).mean(axis=1),
        embedded_by="trunk",
        scores=told.loc[manifest["image"]].to_numpy(float),
        scored_by="model",
    )
    return sample, [files[image] for image in sample.image], bank.open_trunk()


def halves(sample: Sample) -> dict[str, Any]:
    """Random halves of the patients: how many raise an alarm, corrected or not, and by the alternative."""
    groups = np.unique(sample.group)
    alarms, uncorrected, forgotten, seconds = [], 0, 0, 0.0
    for seed in range(HALVES):
        chosen = np.random.default_rng([seed, 1]).permutation(groups)[: len(groups) // 2]
        pair = [sample.only(side) for side in (~np.isin(sample.group, chosen), np.isin(sample.group, chosen))]
        start = time.process_time()
        told = drift(*pair, seed=seed, permutations=PERMUTATIONS, resamples=100)
        seconds += time.process_time() - start
        alarms += [told["found"]] if told["found"] else []
        uncorrected += any(row["p"] <= LEVEL for row in told["rows"])
        forgotten += bool(alone(*pair))
    return {
        "halves": HALVES,
        "alarms": len(alarms),
        "named": alarms,
        "uncorrected": uncorrected,
        "alternative": forgotten,
        "comparisons": told["comparisons"],
        "seconds": round(seconds / HALVES, 2),
    }


def row_of(kind: str, reference: Sample, new: Sample, told: Mapping[str, Any]) -> dict[str, Any]:
    found = [row for row in told["rows"] if row["found"]]
    return {
        "kind": kind,
        "reference": told["reference"],
        "new": told["new"],
        "comparisons": told["comparisons"],
        "alternative": alone(reference, new),
        "found": [
            {key: row[key] for key in ("family", "name", "size", "p_corrected")} | {"effect": row["effect"]["value"]}
            for row in found
        ],
    }


def regions(sample: Sample) -> tuple[dict[str, Any], dict[str, Any]]:
    """Legs of one half of the patients, hands of the other."""
    groups = np.random.default_rng(5).permutation(np.unique(sample.group))
    first = np.isin(sample.group, groups[: len(groups) // 2])
    leg, hand = (sample.tags[name].eq("1").to_numpy(bool) for name in ("leg", "hand"))
    pair = sample.only(first & leg & ~hand), sample.only(~first & hand & ~leg)
    told = plain(drift(*pair, seed=0, permutations=PERMUTATIONS, resamples=500))
    return row_of("hands after legs", *pair, told), told


def copies(sample: Sample, files: list[Path], trunk: Trunk) -> list[dict[str, Any]]:
    """The images of NEW patients, three of each, changed; all other patients are the reference."""
    chosen = np.random.default_rng(7).permutation(np.unique(sample.group))[:NEW]
    new = np.flatnonzero(np.isin(sample.group, chosen))
    new = np.sort(pd.Series(new).groupby(sample.group[new]).head(OF_EACH).to_numpy())
    member = np.zeros(len(sample), bool)
    member[new] = True
    reference, before = sample.only(~np.isin(sample.group, chosen)), sample.only(member)
    rows = []
    for kind, change in COPIES.items():
        images = [change(pixels_of(files[i])) for i in new]
        after = replace(
            before,
            statistics=pd.DataFrame([statistics_of(image) for image in images]),
            embeddings=np.stack([features_of(trunk, image[None])[0].mean(axis=0) for image in images]),
            scores=None,
            missing={"scores": "not computed"},
        )
        told = plain(drift(reference, after, seed=0, permutations=PERMUTATIONS, resamples=200))
        rows.append(row_of(kind, reference, replace(after, scores=before.scores), told))
    return rows


def phantoms(folder: Path, trunk: Trunk) -> list[dict[str, Any]]:
    """Cohorts of the same plan and of others, all against one reference."""
    plan = Plan(patients=30, rows=320, columns=256, views=("PA",))
    plans = {
        "same plan": replace(plan, patients=16),
        "a fifth of the dose": replace(plan, patients=16, quanta_per_mm2=plan.quanta_per_mm2 / 5),
        "scatter 0.35 → 1.0": replace(plan, patients=16, scatter=1.0),
    }
    samples = [phantom_sample(folder / str(i), p, i, trunk) for i, p in enumerate((plan, *plans.values()))]
    rows = []
    for kind, new in zip(plans, samples[1:], strict=True):
        told = plain(drift(samples[0], new, seed=0, permutations=PERMUTATIONS, resamples=200))
        rows.append(row_of(kind, samples[0], new, told))
    return rows


def phantom_sample(folder: Path, plan: Plan, seed: int, trunk: Trunk) -> Sample:
    verbs.phantom(folder / "cohort", plan, seed=seed)
    verbs.ingest(folder / "cohort", folder / "ingest", labels=folder / "cohort" / "labels.csv")
    verbs.prepare(folder / "ingest", folder / "prepared")
    manifest = tables.read(folder / "prepared" / "manifest.parquet", tables.MANIFEST)
    images = [pixels_of(folder / "prepared" / "images" / str(name)) for name in manifest["prepared"]]
    return Sample(
        image=manifest["image"].to_numpy(str),
        group=manifest["patient"].to_numpy(str),
        tags=manifest,
        statistics=pd.DataFrame([statistics_of(image) for image in images]),
        embeddings=np.stack([features_of(trunk, image[None])[0].mean(axis=0) for image in images]),
        embedded_by="trunk",
        missing={"scores": "not computed"},
    )


def tell(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'new studies':26} {'patients':>8} {'images':>6} {'found':>8} {'alone':>6}  largest")
    for row in rows:
        most = sorted(row["found"], key=lambda each: -each["effect"])[:4]
        names = ", ".join(f"{each['name']} {each['effect']:.2f}" for each in most)
        size = f"{row['new']['patients']:8} {row['new']['images']:6}"
        told = f"{len(row['found'])} of {row['comparisons']}"
        print(f"{row['kind']:26} {size} {told:>8} {row['alternative']:6}  {names}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("trained", type=Path, help="OUT of docs/results/fracatlas.sh")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--figure", type=Path, help="write the figure of hands after legs here, as SVG")
    arguments = parser.parse_args()
    torch.set_num_threads(Settings().threads or 1)
    sample, files, trunk = fracatlas(arguments.trained)
    even = halves(sample)
    print(
        f"{even['halves']} random halves of {len(np.unique(sample.group))} patients, {len(sample)} images, "
        f"{even['comparisons']} comparisons, {even['seconds']} s each: alarms in {even['alarms']}; "
        f"without correction in {even['uncorrected']}; by tests of images in {even['alternative']}"
    )
    region, told = regions(sample)
    changed = copies(sample, files, trunk)
    tell([region, *changed])
    with tempfile.TemporaryDirectory() as folder:
        simulated = phantoms(Path(folder), trunk)
    print("\nPhantom figures, not clinical:")
    tell(simulated)
    if arguments.figure:
        arguments.figure.write_text(str(pictures(told)["effects"]), encoding="utf-8")
    write(arguments.json, "drift", {"halves": even, "regions": region, "copies": changed, "phantoms": simulated})


if __name__ == "__main__":
    main()
