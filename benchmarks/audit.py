"""How long an audit takes on cached features, and how many planted wrong labels stand where it says.

    nice -n 5 python benchmarks/audit.py RUN [--probes] [--seeds 5] [--json FILE]

RUN is what `osteon train --features` wrote; its record names the split, the bank and the prepared images. For each seed
a tenth of the labels is turned, the folds are fitted again on what is then labelled, and the precision among as many
images as were turned is told: by out-of-fold scores, and by scores of a model that has learnt from the wrong labels
themselves, which is the obvious alternative. Seeds begin at 1; the order was chosen on seed 101.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import write

from osteon import verbs
from osteon.audit.label_noise import shares_wrong
from osteon.evaluate import metrics
from osteon.evaluate.intervals import point
from osteon.learn.nested import REGULARISATIONS, lay_out, linear_scores, nested
from osteon.verbs.evidence import evidence_of

TURNED = 0.1


def timed(run: Path, *, probes: bool) -> dict[str, Any]:
    """Seconds of one audit, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as out:
        clock, cpu = time.perf_counter(), time.process_time()
        figures = verbs.audit(run, Path(out) / "audit", probes=probes).figures
        seconds = {"wall_s": round(time.perf_counter() - clock, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    return {**seconds, "passed": figures["passed"], "wrong_labels": figures["wrong_labels"]}


def precision(features: Any, manifest: pd.DataFrame, seed: int) -> dict[str, float]:
    """Share of turned labels among the most suspect ones, as many as were turned."""
    truth = manifest["target"].to_numpy(int)
    turned = np.random.default_rng(seed).permutation(len(truth)) < round(TURNED * len(truth))
    layout = lay_out(manifest.assign(target=pd.array(np.where(turned, 1 - truth, truth), dtype="Int8")))
    scores = linear_scores(features, layout, sorted(REGULARISATIONS))[0]
    found = nested(layout, scores)
    label, number = layout.target > 0, int(turned.sum())
    seen = 1 / (1 + np.exp(-scores[found.final, layout.left_out.index(())]))

    def at_top(probability: Any) -> float:
        confidence = np.where(label, probability, 1 - probability)
        return round(float(turned[np.argsort(confidence, kind="stable")[:number]].mean()), 4)

    return {
        "seed": seed,
        "turned": number,
        "out_of_fold": at_top(found.probability),
        "having_seen_them": at_top(seen),
        "estimated_wrong": round(float(point(shares_wrong(found.probability, label), len(label))[0]), 4),
        "auroc_on_truth": round(metrics.auroc(found.probability, truth), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--probes", action="store_true")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--no-timing", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    evidence = evidence_of(given.run)
    if evidence.bank is None or evidence.manifest is None:
        raise SystemExit(f"not available: {evidence.why_not('bank', 'manifest')}")
    manifest = evidence.manifest[evidence.manifest["target"].notna()].reset_index(drop=True)
    features = evidence.bank.array(list(manifest["image"].astype(str)))
    figures: dict[str, Any] = {"images": len(manifest), "label_noise": []}
    if not given.no_timing:
        figures["audit"] = timed(given.run, probes=given.probes)
        print(figures["audit"], flush=True)
    for seed in range(1, given.seeds + 1):
        row = precision(features, manifest, seed)
        figures["label_noise"].append(row)
        print(row, flush=True)
    ours, theirs = (np.mean([r[k] for r in figures["label_noise"]]) for k in ("out_of_fold", "having_seen_them"))
    print(
        f"precision at the number turned: {ours:.3f} out of fold, {theirs:.3f} having seen them, {TURNED:g} by chance"
    )
    write(given.json, "audit", figures)


if __name__ == "__main__":
    main()
