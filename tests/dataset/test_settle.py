"""Who is who, what is left out, and that the numbers add up: against a loop over the cases, rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from osteon.dataset import flow, labels
from osteon.dataset.exclusions import Rule, parse
from osteon.dataset.flow import Flow
from osteon.dataset.labels import BY_NAME, Columns
from osteon.dataset.settle import NO_RULES, Ingested, Rules, settle
from osteon.dataset.text_table import text_table
from osteon.errors import BadTable
from osteon.tasks import FRACTURE, TASKS
from osteon.types import Case, Refusal
from tests.dataset.seen import a_case, a_label_table, seen


def settled(
    cases: Sequence[Case],
    folder: Path | None = None,
    table: str = "",
    rules: Rules = NO_RULES,
    refusals: Sequence[Refusal] = (),
    columns: Columns = BY_NAME,
) -> Ingested:
    labels = a_label_table(folder, table, columns) if folder else None
    return settle(seen(cases), refusals, labels, task=FRACTURE, rules=rules)


def codes(done: Ingested) -> dict[str, str]:
    return {refusal.path: refusal.code for refusal in done.refusals}


def must_add_up(stages: Flow) -> None:
    for before, after in pairwise(stages):
        assert after.files == before.files - sum(one.files for one in after.left_out)
        if before.studies is not None and before.patients is not None:
            assert after.studies == before.studies - sum(one.studies or 0 for one in after.left_out)
            assert after.patients == before.patients - sum(one.patients or 0 for one in after.left_out)


def test_ids_come_from_the_table_then_the_file_then_the_image(tmp_path: Path) -> None:
    cases = [
        a_case("1", accession="A1", patient="p1", study="1.1"),
        a_case("2", accession="A2", patient="p2"),
        a_case("3", accession="A3"),
        a_case("4"),
    ]
    alone = settled(cases).manifest.set_index("path")
    assert alone["patient"].to_dict() == {"1": "p1", "2": "p2", "3": "bytes of 3", "4": "bytes of 4"}
    assert alone["study"].to_dict() == {"1": "1.1", "2": "A2", "3": "A3", "4": "bytes of 4"}
    told = settled(
        cases, tmp_path, "accession,target,patient,study\nA1,1,q,s1\nA2,0,,s2\nA3,0,q,\n", columns=Columns("accession")
    )
    rows = told.manifest.set_index("path")
    assert rows["patient"].to_dict() == {"1": "q", "2": "p2", "3": "q"}
    assert rows["study"].to_dict() == {"1": "1.1", "2": "s2", "3": "A3"}
    assert rows["target"].to_dict() == {"1": 1, "2": 0, "3": 0}
    assert rows["accession"].to_dict() == {"1": "A1", "2": "A2", "3": "A3"}
    assert codes(told) == {"4": "no_label"}


def test_copies_are_left_out_by_file_then_instance_then_pixels_and_say_of_what() -> None:
    cases = [
        a_case("a", instance="1", pixels="x", patient="p"),
        a_case("b", instance="1", pixels="x", patient="p", image="bytes of a"),
        a_case("c", instance="1", pixels="x", patient="p"),
        a_case("d", instance="1", pixels="y", patient="p"),
        a_case("e", instance="2", pixels="x", patient="p"),
        a_case("f", instance="3", pixels="x", patient="q"),
        a_case("g", instance="4", pixels="", patient="p"),
        a_case("h", instance="", pixels="", patient="p"),
        a_case("i", instance="", pixels="", patient="p"),
    ]
    done = settled(cases)
    assert done.manifest["path"].tolist() == ["a", "d", "g", "h", "i"]
    reasons = {refusal.path: (refusal.code, refusal.reason) for refusal in done.refusals}
    assert reasons == {
        "b": ("duplicate_file", "the same bytes as a"),
        "c": ("duplicate_instance", "the same instance as a, with the same stored pixels"),
        "e": ("duplicate_pixels", "the same stored pixels as a"),
        "f": ("duplicate_pixels", "the same stored pixels as a, which is of another patient"),
    }
    assert (
        sum(note.startswith("files with the UID of another instance and other pixels: 1") for note in done.notes) == 1
    )
    assert (
        sum(note.startswith("files that show the pixels of an image of another patient: 1") for note in done.notes) == 1
    )


def test_a_study_of_very_many_images_is_shown_and_dropped_only_on_demand() -> None:
    cases = [a_case(f"{n:03d}", study="big", accession="B1") for n in range(195)]
    cases += [a_case(f"s{n}", study="small") for n in range(20)]
    kept, dropped = settled(cases), settled(cases, rules=Rules(drop_outliers=True))
    assert kept.outliers.to_dict("records") == [{"study": "big", "accession": "B1", "instances": 195, "kept": True}]
    assert len(kept.manifest) == 215
    assert "1 study has more than 20 images, the largest 195; they are kept" in kept.notes[-1]
    assert set(dropped.manifest["study"]) == {"small"}
    assert set(codes(dropped).values()) == {"outlier"}
    assert "195 images, more than 20" in dropped.refusals[0].reason
    assert settled(cases, rules=Rules(max_instances=19)).outliers["study"].tolist() == ["big", "small"]


def test_what_does_not_match_is_listed(tmp_path: Path) -> None:
    cases = [a_case(str(n), study=f"1.{n // 2}", accession=f"00{n // 2}") for n in range(6)]
    done = settled(cases, tmp_path, "accession;fracture\n000;yes\n002;no\n7;no\n1;yes\n")
    assert done.studies_without_label.to_dict("records") == [{"study": "1.1", "accession": "001", "instances": 2}]
    assert done.labels_without_study.to_numpy().tolist() == [["7", "no"], ["1", "yes"]]
    assert done.labels_without_study.columns.tolist() == ["accession", "answer"]
    zeros = [note for note in done.notes if "leading zeros" in note]
    assert len(zeros) == 1
    assert zeros[0].startswith("1 rows of t.csv")
    with pytest.raises(BadTable, match="2 rows would fit but for leading zeros: format the column as text"):
        settled(cases, tmp_path, "accession;fracture\n9;yes\n1;no\n2;no\n")


@pytest.mark.parametrize("spelling", ["Accession Number", "ACCESSION_NUMBER", "accession", "AccessionNumber"])
def test_columns_are_known_by_their_usual_spellings(tmp_path: Path, spelling: str) -> None:
    done = settled([a_case("1", accession="007")], tmp_path, f"{spelling},Fracture\n007,1\n")
    assert done.manifest["target"].tolist() == [1]


def test_a_study_column_may_hold_the_uid_or_the_accession_number(tmp_path: Path) -> None:
    cases = [a_case("1", study="1.2.3", accession="A"), a_case("2", study="1.2.4", accession="B")]
    done = settled(cases, tmp_path, "Study ID,fracture\n1.2.3,1\nB,0\n")
    assert done.manifest["target"].tolist() == [1, 0]


def test_any_column_can_be_named_as_key_and_as_label(tmp_path: Path) -> None:
    cases = [a_case("x/1.dcm", accession="A"), a_case("y/2.dcm", study="1.2")]
    table = "Petición,Resultado,Fracture\nA,no,?\n1.2,yes,?\n"
    done = settled(cases, tmp_path, table, columns=Columns(key="petición", answer="RESULTADO"))
    assert done.manifest["target"].tolist() == [0, 1]
    assert done.manifest["petición"].tolist() == ["A", "1.2"]
    assert not {"fracture", "resultado"} & set(done.manifest)  # a second answer would lie open in the manifest
    with pytest.raises(BadTable, match="no column 'result' for the answer; it has petición, resultado, fracture"):
        settled(cases, tmp_path, table, columns=Columns(key="petición", answer="result"))


def test_the_first_rule_that_applies_counts(tmp_path: Path) -> None:
    cases = [a_case(str(n), accession=f"A{n}", patient=f"p{n // 2}", study=f"s{n}") for n in range(6)]
    table = (
        "accession,fracture,Cast,quality\nA0,1,yes,bad\nA1,0,X,good\nA2,?,0, BAD \nA3,1,,good\nA4,0,no,\nA5,unclear,,\n"
    )
    rules = Rules((parse("cast"), parse("Quality = bad"), parse("fracture=unclear")))
    done = settled(cases, tmp_path, table, rules)
    assert done.manifest["path"].tolist() == ["3", "4"]
    assert codes(done) == dict.fromkeys("0125", "excluded")
    stage = next(stage for stage in done.flow if stage.title == "not excluded")
    assert [(one.why, one.files, one.studies, one.patients) for one in stage.left_out] == [
        ("cast", 2, 2, 1),
        ("quality = bad", 1, 1, 0),
        ("fracture = unclear", 1, 1, 0),
    ]


def test_a_rule_may_ask_what_the_file_says() -> None:
    cases = [a_case("1", modality="RF"), a_case("2", modality="DX"), a_case("3", modality="DX", view="LAT")]
    done = settled(cases, rules=Rules((parse("modality=rf"), parse("view="))))
    assert done.manifest["path"].tolist() == ["3"]


def test_the_body_part_is_resolved_from_all_texts_and_can_be_excluded_by() -> None:
    cases = [
        a_case("1", body_part="MUÑECA DCHA"),
        a_case("2", body_part="", study_description="RX hand left PA"),
        a_case("3", body_part="xyz"),
    ]
    rows = settled(cases).manifest.set_index("path")
    assert rows["resolved_part"].to_dict() == {"1": "wrist", "2": "hand", "3": ""}
    assert rows["resolved_side"].to_dict() == {"1": "R", "2": "L", "3": ""}
    assert rows["resolved_view"].to_dict() == {"1": "", "2": "PA", "3": ""}
    assert rows["body_part"].to_dict() == {"1": "MUÑECA DCHA", "2": "", "3": "xyz"}  # as it stands
    assert (rows["part_confidence"] > 0).to_dict() == {"1": True, "2": True, "3": False}
    assert "study_description" not in rows
    assert settled(cases, rules=Rules((parse("resolved_part=hand"),))).manifest["path"].tolist() == ["1", "3"]


def test_a_rule_that_cannot_be_meant_is_an_error(tmp_path: Path) -> None:
    cases, table = [a_case("1", accession="A")], "accession,fracture,note\nA,1,Dr Smith\n"
    with pytest.raises(BadTable, match=r"no column 'plaster' to exclude by; there are .*note"):
        settled(cases, tmp_path, table, Rules((parse("plaster"),)))
    with pytest.raises(BadTable, match=r"neither yes nor no for 1 images; .*--exclude note=VALUE") as error:
        settled(cases, tmp_path, table, Rules((parse("note"),)))
    assert "Smith" not in str(error.value)
    with pytest.raises(BadTable, match="names no column"):
        parse("=1")
    assert str(parse("patient=Doe")) == "patient"  # a name that is excluded by is not told


def test_a_file_that_two_rows_could_mean_is_an_error_only_among_different_images(tmp_path: Path) -> None:
    copies = [a_case("1/a.png", image="same"), a_case("2/a.png", image="same")]
    assert settled(copies, tmp_path, "image,target\na.png,1\n").manifest["path"].tolist() == ["1/a.png"]
    with pytest.raises(BadTable, match=r"names a\.png, and there are 1/a\.png and 2/a\.png"):
        settled([a_case("1/a.png"), a_case("2/a.png")], tmp_path, "image,target\na.png,1\n")


def test_members_of_an_archive_are_known_by_their_path_in_it(tmp_path: Path) -> None:
    cases = [a_case("e.zip!/1/a.png"), a_case("e.zip!/2/a.png")]
    assert settled(cases, tmp_path, "path,target\n1/a.png,1\n2/a,0\n").manifest["target"].tolist() == [1, 0]


def test_nothing_at_all_settles_too(tmp_path: Path) -> None:
    refusal = Refusal("x", "not_an_image", "none", "leave it out")
    done = settled([], refusals=[refusal])
    assert (len(done.manifest), done.refusals) == (0, [refusal])
    assert [(stage.title, stage.files) for stage in done.flow] == [
        ("files given", 1),
        ("radiographs", 0),
        ("different images", 0),
    ]


@pytest.mark.parametrize(
    ("name", "sheet", "said"),
    [
        ("t.xls", "", "workbook of another kind; save it as .xlsx"),
        ("t.ods", "", "workbook of another kind; save it as .xlsx"),
        ("t.txt", "", "neither .csv, nor .xlsx, nor .parquet; save it .*CSV UTF-8"),
        ("t.csv", "first", "has no sheets; leave --sheet out"),
    ],
)
def test_tables_of_other_programs_are_told_how_to_become_one(tmp_path: Path, name: str, sheet: str, said: str) -> None:
    (tmp_path / name).write_text("accession,fracture\nA,1\n")
    with pytest.raises(BadTable, match=said):
        text_table(tmp_path / name, sheet)


few = st.sampled_from(["", "1", "2", "3"])
some_case = st.fixed_dictionaries(
    {"image": few, "instance": few, "pixels": few, "patient": few, "study": few, "accession": few, "view": st.just("")}
)
answers = st.fixed_dictionaries(
    {},
    optional={key: st.tuples(st.sampled_from(["0", "1", "?", ""]), st.sampled_from(["x", "0", ""])) for key in "123"},
)


@settings(max_examples=120)
@given(drawn=st.lists(some_case, max_size=14), said=answers, broken=st.integers(0, 3), limit=st.integers(1, 4))
def test_every_file_ends_somewhere_as_a_loop_over_the_rules_would_have_it(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[dict[str, str]],
    said: dict[str, tuple[str, str]],
    broken: int,
    limit: int,
) -> None:
    cases = [a_case(f"{n:02d}", **fields) for n, fields in enumerate(drawn)]
    refusals = [Refusal(f"x{n}", "not_an_image", "none", "leave it out") for n in range(broken)]
    table = "\n".join(["accession,target,cast", *(f"{key},{a},{c}" for key, (a, c) in said.items()), ""])
    met = [case for case in cases if case.header.accession in said]
    use_table = bool(said) and any(case.header.accession in said for case in _distinct(cases))
    rules = Rules((Rule("cast"),) if use_table else (), limit, drop_outliers=True)
    folder = tmp_path_factory.mktemp("settle") if use_table else None
    done = settled(cases, folder, table, rules, refusals)
    must_add_up(done.flow)
    assert done.flow[0].files == len(cases) + broken == done.given
    assert done.flow[-1].files == len(done.manifest)
    assert done.flow[-1].studies == done.manifest["study"].nunique()
    assert done.flow[-1].patients == done.manifest["patient"].nunique()
    assert sorted([*done.manifest["path"], *codes(done)]) == sorted(
        [*(case.path for case in cases), *(refusal.path for refusal in refusals)]
    )
    expected = _by_hand(cases, said if use_table else None, limit)
    assert {path: code for path, code in codes(done).items() if not path.startswith("x")} == expected
    if use_table:
        assert set(done.labels_without_study["accession"]) == set(said) - {case.header.accession for case in met}


def _distinct(cases: Sequence[Case]) -> list[Case]:
    gone = _copies(cases)
    return [case for case in cases if case.path not in gone]


def _copies(cases: Sequence[Case]) -> dict[str, str]:
    gone: dict[str, str] = {}
    keys: dict[str, Callable[[Case], tuple[str, ...]]] = {
        "file": lambda case: (case.image,),
        "instance": lambda case: (case.header.instance, case.pixels),
        "pixels": lambda case: (case.pixels,),
    }
    for code, key_of in keys.items():
        known: set[tuple[str, ...]] = set()
        for case in cases:
            key = key_of(case)
            if case.path in gone or not key[0]:
                continue
            if key in known:
                gone[case.path] = f"duplicate_{code}"
            known.add(key)
    return gone


def _by_hand(cases: Sequence[Case], said: dict[str, tuple[str, str]] | None, limit: int) -> dict[str, str]:
    gone = _copies(cases)
    of = {case.path: case.header.study or case.header.accession or case.image for case in cases}
    left = [case for case in cases if case.path not in gone]
    for case in left:
        answer, cast = (said or {}).get(case.header.accession, ("", ""))
        if sum(of[other.path] == of[case.path] for other in left) > limit:
            gone[case.path] = "outlier"
        elif said is not None and case.header.accession not in said:
            gone[case.path] = "no_label"
        elif said is not None and cast == "x":
            gone[case.path] = "excluded"
        elif said is not None and answer not in ("0", "1"):
            gone[case.path] = "bad_label"
    return gone


def test_the_flow_as_a_table_has_a_row_for_each_stage_and_each_reason(tmp_path: Path) -> None:
    cases = [a_case("a", study="s"), a_case("b", image="bytes of a", study="s")]
    refusals = [Refusal("x", "not_an_image", "none", "leave it out")]
    frame = flow.table(settled(cases, refusals=refusals).flow)
    assert frame["files"].tolist() == [3, 1, 2, 1, 1]
    assert frame["stage"].tolist() == ["files given", "", "radiographs", "", "different images"]
    assert frame["code"].tolist() == ["", "not_an_image", "", "duplicate_file", ""]
    assert frame["studies"].isna().tolist() == [True, True, False, False, False]
    frame.to_csv(tmp_path / "flow.csv", index=False)
    assert len(pd.read_csv(tmp_path / "flow.csv")) == 5


UNSURE = "image,label\n1,1\n2,0\n3,Inconclusive\n4,perhaps\n5,\n"


def test_an_answer_that_people_could_not_tell_is_taken_where_it_is_named(tmp_path: Path) -> None:
    cases = [a_case(f"{i}.png", patient=str(i)) for i in range(1, 6)]
    done = settled(cases, tmp_path, UNSURE, columns=Columns(inconclusive="inconclusive"))
    taken = done.manifest.set_index("path")
    assert taken["inconclusive"].to_dict() == {"1.png": "0", "2.png": "0", "3.png": "1"}
    assert [None if pd.isna(answer) else int(answer) for answer in taken["target"]] == [1, 0, None]
    assert codes(done) == {"4.png": "bad_label", "5.png": "bad_label"}
    assert done.flow[-1].title == "with an answer (fracture or no fracture, or inconclusive)"
    must_add_up(done.flow)


def test_without_a_word_for_it_the_answer_is_refused_and_the_manifest_has_no_such_column(tmp_path: Path) -> None:
    cases = [a_case(f"{i}.png", patient=str(i)) for i in range(1, 6)]
    done = settled(cases, tmp_path, UNSURE)
    assert codes(done) == dict.fromkeys(("3.png", "4.png", "5.png"), "bad_label")
    assert "inconclusive" not in done.manifest


def test_a_word_that_is_an_answer_or_has_a_column_already_is_refused(tmp_path: Path) -> None:
    case = [a_case("1.png")]
    with pytest.raises(BadTable, match="'Yes' cannot mean that people could not tell: it says yes or no"):
        settled(case, tmp_path, UNSURE, columns=Columns(inconclusive="Yes"))
    with pytest.raises(BadTable, match="would fill the column 'inconclusive' twice"):
        settled(case, tmp_path, "image,label,inconclusive\n1,unsure,1\n", columns=Columns(inconclusive="unsure"))
    with pytest.raises(BadTable, match="grades are never inconclusive"):
        text = tmp_path / "t.csv"
        text.write_text("image,bridged\n1,1\n", encoding="utf-8")
        labels.read(text, TASKS["rust"], Columns(inconclusive="unsure"))
