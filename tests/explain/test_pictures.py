from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osteon.errors import Mismatch
from osteon.explain.maps import EXPLAINERS
from osteon.explain.pictures import explain_all, first_filters, overlay_of, save_filters, save_sheet
from tests.explain.planted import DIRECTIONS, finds_lines, four_squares, random_head, square_of
from tests.learn.nets import TINY


def test_one_call_one_overlay_red_for_and_blue_against() -> None:
    picture = overlay_of(finds_lines(), four_squares(), "hires-cam").astype(int)
    for direction, red, blue in ((0, 0, 2), (1, 2, 0)):
        x, y, side, _ = square_of((0, 1, 2, 3), direction)[0].astype(int)
        inside = picture[y + 4 : y + side - 4, x + 4 : x + side - 4]
        assert (inside[..., red] > inside[..., blue]).mean() > 0.9
    with pytest.raises(Mismatch, match="only vision transformers"):
        overlay_of(finds_lines(), four_squares(), "attention-rollout")


def test_a_sheet_shows_each_method_or_says_why_not(tmp_path: Path) -> None:
    image = four_squares()
    found = explain_all(finds_lines(), image)
    assert [each.method for each in found] == list(EXPLAINERS)
    assert {each.method for each in found if each.missing} == {"attention-rollout", "attention-gradient"}
    save_sheet(tmp_path / "a" / "sheet.png", image, found)
    save_sheet(tmp_path / "again.png", image, found)
    assert (tmp_path / "a" / "sheet.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    sheet = cv2.imread(str(tmp_path / "again.png"))
    assert sheet is not None
    save_sheet(tmp_path / "small.png", image, found[:1])
    small = cv2.imread(str(tmp_path / "small.png"))
    assert small is not None and small.shape[0] < sheet.shape[0] and small.shape[1] < sheet.shape[1]


def test_first_filters_are_those_that_a_grey_image_meets(tmp_path: Path) -> None:
    assert np.allclose(first_filters(finds_lines()), DIRECTIONS)
    colour = random_head(TINY)
    filters = first_filters(colour)
    weight = next(p for name, p in colour.named_parameters() if p.ndim == 4).detach().numpy()
    assert np.allclose(filters, (weight / colour.trunk.std.numpy()).sum(axis=1), atol=1e-5)
    save_filters(tmp_path / "filters.png", finds_lines())
    picture = cv2.imread(str(tmp_path / "filters.png"))
    assert picture is not None and (picture[..., 0] != picture[..., 2]).any()


def test_filters_of_a_transformer_are_its_patches() -> None:
    assert first_filters(random_head("test_vit")).shape[1:] == (16, 16)
