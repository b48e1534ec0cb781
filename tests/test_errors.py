"""The error tree: codes, remedies, and the drawing in its docstring."""

from __future__ import annotations

import copy
import re

from osteon import errors


def all_errors() -> dict[str, type[errors.OsteonError]]:
    return {n: e for n, e in vars(errors).items() if isinstance(e, type) and issubclass(e, errors.OsteonError)}


def test_the_drawing_shows_every_error_with_its_exit_code() -> None:
    drawn = {name: int(code) for name, code in re.findall(r"(?:── |^)(\w+) +(\d\d)", errors.__doc__ or "", re.M)}
    assert drawn == {name: error.exit_code for name, error in all_errors().items()}


def test_an_error_says_what_and_what_to_do() -> None:
    assert str(errors.NotFound("scan.dcm does not exist", remedy="check the path")).endswith("; check the path")


def test_a_refusal_code_survives_the_way_between_processes() -> None:
    error = copy.copy(errors.UnreadableImage("blank", "x.dcm has one grey value", remedy="leave it out"))
    assert (error.code, error.message, error.remedy) == ("blank", "x.dcm has one grey value", "leave it out")


def test_a_wrong_name_lists_the_right_ones() -> None:
    assert str(errors.unknown_name("recipe", "WRITS", ["WRIST", "ANY"])).endswith("choose one of: ANY, WRIST")
