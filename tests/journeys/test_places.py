"""`osteon evaluate --places`: where a model looks, judged beside its answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from osteon import tables
from osteon.evaluate import places
from tests.evaluate.test_places import predictions_of, some_places

Osteon = Callable[..., tuple[int, str, str]]


def test_boxes_and_points_are_judged_beside_the_answers(osteon: Osteon, tmp_path: Path) -> None:
    given = some_places()
    places.write(given, tmp_path / "places")
    tables.write(tmp_path / "predictions.parquet", predictions_of(given), tables.PREDICTIONS)
    code, _, err = osteon("evaluate", tmp_path, "--places", tmp_path / "places", "--out", tmp_path / "report")
    assert code == 0, err
    part = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))["validation"]["places"]
    assert part["reason"] == ""
    assert part["pointing"]["rate"]["value"] > max(floor["rate"]["value"] for floor in part["pointing"]["floors"])
    assert "Pointing game" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")


def test_a_folder_without_true_boxes_is_named(osteon: Osteon, tmp_path: Path) -> None:
    tables.write(tmp_path / "predictions.parquet", predictions_of(some_places()), tables.PREDICTIONS)
    code, _, err = osteon("evaluate", tmp_path, "--places", tmp_path / "nowhere", "--out", tmp_path / "report")
    assert code == 66, err
    assert "nowhere" in err
    assert not (tmp_path / "report" / "report.json").exists()
