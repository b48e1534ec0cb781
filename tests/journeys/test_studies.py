"""From the command line: a model of whole studies, trained on features and judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

Osteon = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("pooling", ["max", "lse"])
def test_a_model_of_studies_is_trained_and_judged(path: Path, osteon: Osteon, tmp_path: Path, pooling: str) -> None:
    model = tmp_path / "model"
    code, said, err = osteon(
        "train", path / "split", "--features", path / "features", "--studies", pooling, "--out", model
    )
    assert code == 0, err
    assert "over at least one" in said
    assert "over noisy-or" in said
    table = pd.read_parquet(model / "predictions.parquet")
    split = pd.read_parquet(path / "split" / "manifest.parquet")
    for _, mine in table.groupby("model"):
        assert sorted(mine["image"]) == sorted(split["study"].unique())
    of_images = pd.read_parquet(path / "model" / "predictions.parquet")
    floors = table[table["model"].str.startswith("floor:")]
    assert len(floors) >= split["study"].nunique()
    for row in floors.itertuples():
        mine = of_images[(of_images["model"] == row.model) & (of_images["study"] == row.study)]
        assert row.score == mine["score"].max()
    code, said, err = osteon("evaluate", model, "--out", tmp_path / "report")
    assert code == 0, err
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["phantom"]
    assert report["model"].endswith(f"+ {pooling} over views")
    assert report["validation"]["cases"]["images"] == split.loc[split["fold"] >= 0, "study"].nunique()


def test_what_cannot_be_trained_is_refused(path: Path, osteon: Osteon, tmp_path: Path) -> None:
    words = ("train", path / "split", "--out", tmp_path / "model", "--studies")
    code, _, err = osteon(*words, "max", "--images", path / "prepared")
    assert code != 0
    assert "pass --features, and no --images" in err
    code, _, err = osteon(*words, "median", "--features", path / "features")
    assert code != 0
    assert "attention" in err
    assert not (tmp_path / "model" / "predictions.parquet").exists()
