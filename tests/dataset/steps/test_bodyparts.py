from __future__ import annotations

from dataclasses import replace

import pytest

from osteon.dataset import steps
from osteon.dataset.steps import BodyPartFilter, FitSquare
from osteon.dataset.steps.bodyparts import part_of
from osteon.errors import UnreadableImage
from osteon.types import Header, Radiograph
from tests.make import a_radiograph


def of(**texts: str) -> Radiograph:
    return replace(a_radiograph(80, 60), header=Header(**texts))


def test_it_keeps_the_parts_asked_for_untouched() -> None:
    wrist, hand = of(body_part="HAND", study_description="RX MUÑECA DERECHA"), of(body_part="HAND")
    assert BodyPartFilter()(wrist) == [wrist]
    assert BodyPartFilter()(hand) == []
    assert BodyPartFilter(("hand", "wrist"))(hand) == [hand]
    assert part_of(wrist.header).side == "R"


def test_every_text_of_the_header_counts() -> None:
    for field in ("body_part", "study_description", "series_description", "protocol_name"):
        assert BodyPartFilter(("knee",))(of(**{field: "Kniegelenk"}))


def test_a_header_that_names_no_part_is_kept_on_demand_only() -> None:
    for text in ("", "UNKNOWN", "EXTREMITY"):
        assert not BodyPartFilter()(of(body_part=text))
        assert BodyPartFilter(keep_unnamed=True)(of(body_part=text))
    for text in ("KNEE", "ABDOMEN"):
        assert not BodyPartFilter(keep_unnamed=True)(of(body_part=text))


def test_a_doubtful_spelling_is_left_out_above_its_confidence() -> None:
    slip = of(body_part="WIRST")
    sure = part_of(slip.header).confidence
    assert BodyPartFilter(least=sure)(slip)
    assert not BodyPartFilter(least=sure + 0.01)(slip)


def test_what_is_left_out_is_refused_under_its_own_code() -> None:
    with pytest.raises(UnreadableImage, match="keep radiographs of wrist") as error:
        steps.apply((BodyPartFilter(), FitSquare(64)), of(body_part="KNEE"))
    assert error.value.code == "body_part"


def test_it_is_stored_as_json() -> None:
    recipe = (BodyPartFilter(("wrist", "hand"), least=0.8),)
    stored = [{**entry, "parts": list(entry["parts"])} for entry in steps.to_json(recipe)]  # what JSON makes of a tuple
    assert steps.from_json(stored) == recipe


@pytest.mark.parametrize("parts", [(), ("arm",), "wrist", (1,)])
def test_parts_that_do_not_exist_are_refused(parts: object) -> None:
    with pytest.raises(ValueError, match="parts is one or more of skull"):
        BodyPartFilter(parts)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="confidence from 0 to 1"):
        BodyPartFilter(least=2)
