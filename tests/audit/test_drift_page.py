"""Drift on a page: every figure and every reason stands there; and the image statistics behind some of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from osteon.audit.drift import Sample, drift
from osteon.audit.drift_page import page, probability
from osteon.audit.image_statistics import STATISTICS, statistics_of
from osteon.evaluate.report import plain
from tests.audit.drifting import a_sample
from tests.make import a_radiograph

QUICK = {"permutations": 200, "resamples": 100}


def test_the_page_shows_every_comparison_and_escapes_what_comes_from_the_data():
    nasty = {"A": 0.1, "<script>": 0.9}
    told = plain(drift(a_sample(60), a_sample(40, first=100, devices=nasty, images=False), seed=1, **QUICK))
    shown = page(told)
    assert told["sentence"] in shown
    for row in told["rows"]:
        assert shown.count(f">{row['name'].replace('_', ' ')}<") >= 2  # in the figure and in the table
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "new studies: no feature bank was given" in shown
    assert shown == page(told)


def test_a_page_without_comparisons_has_the_reason_and_no_figure():
    told = plain(drift(a_sample(15), a_sample(1, first=100), seed=0))
    shown = page(told)
    assert "<svg" not in shown
    assert "Not available: " in shown


def test_a_drift_that_no_resample_doubts_has_no_interval_and_says_so():
    names = np.array([f"{i}" for i in range(60)])
    sample = [
        Sample(names[part], names[part], pd.DataFrame({"tag": ["x", "y"]}).iloc[[side] * 30])
        for side, part in enumerate((slice(30), slice(30, 60)))
    ]
    told = plain(drift(*sample, seed=0, **QUICK))
    assert told["rows"][0]["effect"]["note"] == "no interval: every resample gives the same figure"
    assert "no interval" in page(told)


@pytest.mark.parametrize(("value", "told"), [(0.0004998, "0.0005"), (0.0123, "0.012"), (0.43, "0.43")])
def test_probabilities_keep_what_matters(value, told):
    assert probability(value) == told


def test_image_statistics_are_their_definitions():
    image = a_radiograph(100, 80, seed=3).pixels
    told = statistics_of(image)
    assert list(told) == list(STATISTICS)
    grey = image / 255
    assert told["brightness"] == pytest.approx(grey.mean())
    assert told["contrast"] == pytest.approx(grey.std())
    assert told["black"] == pytest.approx((image <= 5).mean())
    assert told["white"] == pytest.approx((image >= 250).mean())
    edge = np.ones(image.shape, bool)
    edge[5:-5, 4:-4] = False
    assert told["edge"] == pytest.approx(grey[edge].mean())
    shares = np.unique(image, return_counts=True)[1] / image.size
    assert told["entropy"] == pytest.approx(-(shares * np.log2(shares)).sum())


def test_a_negative_a_blurred_and_a_noisy_image_differ_in_what_they_should():
    rng = np.random.default_rng(0)
    image = a_radiograph(100, 80, seed=3).pixels
    plain_ = statistics_of(image)
    assert statistics_of(255 - image)["brightness"] == pytest.approx(1 - plain_["brightness"])
    smooth = np.repeat(np.repeat(image[::4, ::4], 4, axis=0), 4, axis=1)
    assert statistics_of(smooth)["noise"] < plain_["noise"]
    noisy = np.clip(image + rng.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    assert statistics_of(noisy)["noise"] > 2 * plain_["noise"]
    assert statistics_of(noisy)["sharpness"] > plain_["sharpness"]
    ramp = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (50, 1))
    assert statistics_of(ramp)["sharpness"] == pytest.approx(2 / 255, rel=0.05)


def test_the_example_of_the_reference_page_prints_what_stands_there(capsys):
    text = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "drift.md").read_text(encoding="utf-8")
    (code,), (told,) = (re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S) for kind in ("python", "text"))
    exec(compile(code, "page", "exec"), {})
    assert capsys.readouterr().out == told


def test_the_reference_page_names_every_statistic():
    text = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "drift.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in text for name in STATISTICS)
