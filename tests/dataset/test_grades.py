"""Grade tables in all their forms, swapped names, and every way in which such a table can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from osteon.dataset import grades
from osteon.dataset.naming import CORTICES_SWAPPED, VIEWS_SWAPPED, Naming
from osteon.dataset.visits import COMPLETE, NOT_GRADED, ONE_VIEW, read_ratings, states, visits
from osteon.errors import BadTable, UnknownName
from osteon.tasks import rust
from osteon.tasks.rust import CORTICES, LABELS, RUST

HEADER = "image,patient,study,month,view,anterior,posterior,medial,lateral"
TWO_VISITS = (
    "1.dcm,p1,s1,0,AP,,,1,2",
    "2.dcm,p1,s1,0,LAT,1,1,,",
    "3.dcm,p1,s2,3,AP,,,3,0",
    "4.dcm,p1,s2,3,LAT,2,3,,",
)


def a_table(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def as_one_hot(path: Path, names=lambda label: label) -> Path:
    """The same table in the wide form."""
    frame = pd.read_csv(path)
    given, views = grades.arrays(frame)
    wide = pd.DataFrame(rust.one_hot(given, views).astype(int), columns=[names(label) for label in LABELS])
    out = path.with_name("wide.csv")
    pd.concat([frame[["image", "patient", "study", "month"]], wide], axis=1).to_csv(out, index=False)
    return out


def test_grades_are_read_as_they_stand(tmp_path: Path) -> None:
    table = grades.read(a_table(tmp_path, *TWO_VISITS))
    assert table.form == grades.GRADES and table.notes == ()
    assert table.rows["medial"].tolist() == [1, pd.NA, 3, pd.NA]
    assert table.rows["lateral"].iloc[2] == rust.NOT_SCOREABLE
    assert table.rows["month"].tolist() == [0, 0, 3, 3]
    assert (table.counts["graded"], table.counts["not_scoreable"], table.counts["not_given"]) == (7, 1, 0)


@pytest.mark.parametrize(
    "names",
    [
        lambda label: label,
        lambda label: label.replace("_", ""),
        lambda label: {"AP": "antpr", "LAT": "medlat"}.get(label, label.replace("erior", "").replace("_", " ")),
        lambda label: {"AP": "View AP", "LAT": "View LAT"}.get(label, label.replace("_", " grade ").title()),
    ],
)
def test_the_wide_form_says_the_same_but_for_what_it_cannot_say(tmp_path: Path, names) -> None:
    path = a_table(tmp_path, *TWO_VISITS)
    tall, wide = grades.read(path), grades.read(as_one_hot(path, names))
    assert wide.form == grades.ONE_HOT
    first, second = grades.arrays(tall.rows), grades.arrays(wide.rows)
    assert (np.where(first[0] == rust.NOT_SCOREABLE, rust.NOT_VISIBLE, first[0]) == second[0]).all()
    assert first[1].tolist() == second[1].tolist()
    assert wide.counts["not_given"] == 1  # the cortex that was not scoreable


def test_a_visit_has_a_total_only_if_all_four_cortices_have_a_grade(tmp_path: Path) -> None:
    path = a_table(
        tmp_path, *TWO_VISITS, "5.dcm,p2,s3,6,AP,,,4,4", "6.dcm,p3,s4,12,AP,,,4,4", "7.dcm,p3,s4,12,LAT,4,4,,"
    )
    found = visits(grades.read(path).rows)
    assert found["study"].tolist() == ["s1", "s2", "s3", "s4"]
    assert found["total"].tolist() == [5, pd.NA, pd.NA, 16]
    assert found["state"].tolist() == [COMPLETE, NOT_GRADED, ONE_VIEW, COMPLETE]
    assert found["bridged"].tolist() == [False, False, True, True]
    assert states(found) == {COMPLETE: 2, ONE_VIEW: 1, NOT_GRADED: 1}


def test_a_table_with_swapped_views_warns_and_is_right_once_told(tmp_path: Path) -> None:
    swapped = [row.replace(",AP,", ",X,").replace(",LAT,", ",AP,").replace(",X,", ",LAT,") for row in TWO_VISITS]
    path = a_table(tmp_path, *swapped, "5.dcm,p2,s3,6,AP,,,4,4")  # one right row, so that a grade is left
    table = grades.read(path)
    assert table.counts["hidden"] == 7
    assert any("2 of 3 AP rows of labels.csv grade the anterior or posterior cortex" in note for note in table.notes)
    assert any("the other way round" in note for note in table.notes)
    told = grades.read(a_table(tmp_path, *swapped), naming=VIEWS_SWAPPED)
    assert told.notes == () and told.rows["view"].tolist() == ["AP", "LAT", "AP", "LAT"]


def test_a_table_with_swapped_cortices_is_right_once_told(tmp_path: Path) -> None:
    swapped = HEADER.replace("anterior,posterior,medial,lateral", "medial,lateral,anterior,posterior")
    with pytest.raises(BadTable, match=r"no grade of labels.csv is left.*--naming"):
        grades.read(a_table(tmp_path, *TWO_VISITS, header=swapped))
    told = grades.read(a_table(tmp_path, *TWO_VISITS, header=swapped), naming=CORTICES_SWAPPED)
    straight = grades.read(a_table(tmp_path, *TWO_VISITS))
    assert (grades.arrays(told.rows)[0] == grades.arrays(straight.rows)[0]).all()


def test_a_swapped_one_hot_table_is_right_once_told(tmp_path: Path) -> None:
    other = {"AP": "LAT", "LAT": "AP"}
    wide = as_one_hot(a_table(tmp_path, *TWO_VISITS), lambda label: other.get(label, label))
    with pytest.raises(BadTable, match="--naming"):
        grades.read(wide)
    assert grades.read(wide, naming=VIEWS_SWAPPED).rows["view"].tolist() == ["AP", "LAT", "AP", "LAT"]


def test_any_column_can_be_named(tmp_path: Path) -> None:
    path = a_table(tmp_path, *TWO_VISITS, header="image,patient,study,month,view,k1,k2,k3,k4")
    with pytest.raises(BadTable, match=r"no column for the anterior and posterior and medial and lateral cortex.*k1"):
        grades.read(path)
    named = Naming(columns={f"K{i}": cortex for i, cortex in enumerate(CORTICES, start=1)})
    assert grades.read(path, naming=named).counts["graded"] == 7
    with pytest.raises(BadTable, match="has no column 'k9'"):
        grades.read(path, naming=Naming(columns={"k9": "anterior"}))
    with pytest.raises(UnknownName, match="superior"):
        Naming(columns={"k1": "superior"})


@pytest.mark.parametrize("grade", ["5", "-1", "2.5", "x", "33"])
def test_a_grade_outside_the_score_is_refused_with_its_row(tmp_path: Path, grade: str) -> None:
    path = a_table(tmp_path, *TWO_VISITS, f"5.dcm,p2,s3,6,AP,,,{grade},4")
    with pytest.raises(BadTable, match=f"row 6 of labels.csv gives the medial cortex the grade '{grade}'"):
        grades.read(path)


def test_the_fourth_grade_is_none_of_rust(tmp_path: Path) -> None:
    path = a_table(tmp_path, *TWO_VISITS, "5.dcm,p2,s3,6,AP,,,4,4")
    with pytest.raises(BadTable, match="grades of RUST are 1 to 3"):
        grades.read(path, RUST)
    with pytest.raises(BadTable, match="grades above 3"):
        grades.read(as_one_hot(path), RUST)


def test_two_views_that_claim_one_cortex_differently_leave_it_without_a_grade(tmp_path: Path) -> None:
    table = grades.read(a_table(tmp_path, "1.dcm,p1,s1,0,AP,1,1,1,2", "2.dcm,p1,s1,0,LAT,1,1,3,2"))
    assert table.counts["contested"] == 1
    assert table.rows["medial"].isna().all()
    assert table.rows["lateral"].tolist() == [2, pd.NA]  # claimed by both alike: of the view that shows it
    assert visits(table.rows)["state"].tolist() == [NOT_GRADED]
    assert any("given different grades" in note for note in table.notes)


def test_a_row_said_twice_counts_once_and_a_contradiction_is_refused(tmp_path: Path) -> None:
    assert grades.read(a_table(tmp_path, *TWO_VISITS, TWO_VISITS[0])).counts["repeated"] == 1
    with pytest.raises(BadTable, match=r"rows 2 and 6 of labels\.csv contradict each other about the same image"):
        grades.read(a_table(tmp_path, *TWO_VISITS, "1.dcm,p1,s1,0,AP,,,1,3"))


def test_a_visit_twice_without_names_of_images_is_refused(tmp_path: Path) -> None:
    rows = [row.partition(",")[2] for row in TWO_VISITS]
    header = HEADER.partition(",")[2]
    assert grades.read(a_table(tmp_path, *rows, header=header)).counts["rows"] == 4
    with pytest.raises(BadTable, match=r"rows 2 and 6 .* the same study and view.*column `image`"):
        grades.read(a_table(tmp_path, *rows, "p1,s1,0,AP,,,4,4", header=header))


def test_two_visits_of_a_patient_in_one_month_are_counted(tmp_path: Path) -> None:
    table = grades.read(a_table(tmp_path, *TWO_VISITS, "5.dcm,p1,s9,3,AP,,,4,4"))
    assert table.counts["same_month"] == 1
    assert any("in a month in which another visit is" in note for note in table.notes)


def test_a_one_hot_row_that_says_two_things_is_refused(tmp_path: Path) -> None:
    wide = as_one_hot(a_table(tmp_path, *TWO_VISITS))
    frame = pd.read_csv(wide)
    for column, says in (("medial_4", "row 2 of wide.csv has two grades of the medial cortex"), ("LAT", "two views")):
        frame.assign(**{column: frame[column].where(frame.index > 0, 1)}).to_csv(wide, index=False)
        with pytest.raises(BadTable, match=says):
            grades.read(wide)
    frame.assign(medial_4=2).to_csv(wide, index=False)
    with pytest.raises(BadTable, match="'2' in the column medial_4"):
        grades.read(wide)
    frame.drop(columns=["medial_2", "LAT"]).to_csv(wide, index=False)
    with pytest.raises(BadTable, match="has 16 of the 18 one-hot columns and lacks medial_2, LAT"):
        grades.read(wide)


def test_a_one_hot_table_of_rust_needs_no_fourth_column(tmp_path: Path) -> None:
    wide = as_one_hot(a_table(tmp_path, *TWO_VISITS))
    pd.read_csv(wide).drop(columns=[f"{cortex}_4" for cortex in CORTICES]).to_csv(wide, index=False)
    assert grades.read(wide, RUST).counts["graded"] == 7


def test_views_and_months_are_words_or_errors(tmp_path: Path) -> None:
    path = a_table(tmp_path, "1.dcm,p1,s1,Baseline,lateral,1,2,,", "2.dcm,p1,s1,baseline,oblique,,,,")
    table = grades.read(path)
    assert table.rows["view"].tolist() == ["LAT", "OBL"] and table.rows["month"].tolist() == [0, 0]
    assert table.counts["unknown_view"] == 1
    with pytest.raises(BadTable, match="names the view 'mortise'"):
        grades.read(a_table(tmp_path, "1.dcm,p1,s1,0,mortise,1,2,,"))
    for month in ("-3", "soon"):
        with pytest.raises(BadTable, match=f"row 2 of labels.csv has '{month}' in the column month"):
            grades.read(a_table(tmp_path, f"1.dcm,p1,s1,{month},LAT,1,2,,"))


def test_without_a_study_a_patients_month_is_the_visit(tmp_path: Path) -> None:
    rows = [",".join(part for i, part in enumerate(row.split(",")) if i != 2) for row in TWO_VISITS]
    table = grades.read(a_table(tmp_path, *rows, header=HEADER.replace("study,", "")))
    assert visits(table.rows)["total"].tolist() == [5, pd.NA]
    assert "one month are one visit" in table.notes[0]


def test_rows_without_a_study_are_no_visit_together(tmp_path: Path) -> None:
    table = grades.read(a_table(tmp_path, "1.dcm,p1,,0,AP,,,1,2", "2.dcm,p2,,0,AP,,,3,4"))
    assert table.counts["contested"] == 0 and table.counts["graded"] == 4
    header = HEADER.replace("study,", "")
    table = grades.read(a_table(tmp_path, "1.dcm,p1,,AP,,,1,2", "2.dcm,,3,AP,,,3,4", header=header))
    assert table.rows["study"].tolist() == ["", ""] and table.counts["graded"] == 4


def test_a_table_of_visits_needs_no_view(tmp_path: Path) -> None:
    table = grades.read(a_table(tmp_path, "p1,s1,1,2,3,4", header="patient,study,anterior,posterior,medial,lateral"))
    assert table.form == grades.VISITS
    assert visits(table.rows)["total"].tolist() == [10]


def test_a_visit_has_one_patient_and_one_month(tmp_path: Path) -> None:
    table = grades.read(a_table(tmp_path, *TWO_VISITS, "5.dcm,p2,s1,0,OBL,,,,"))
    with pytest.raises(BadTable, match="1 study has rows with different values of patient"):
        visits(table.rows)
    with pytest.raises(BadTable, match="which images are of one visit"):
        visits(table.rows.drop(columns="study"))


RATINGS = "study,patient,month,rater,anterior,posterior,medial,lateral,total"


def test_ratings_are_one_row_per_rater_and_visit(tmp_path: Path) -> None:
    path = a_table(
        tmp_path, "s1,p1,0,A,1,1,1,2,5", "s1,p1,0,B,1,2,1,2,", "s2,p1,3,A,3,3,0,3,", "s2,p1,3,B,,,,,11", header=RATINGS
    )
    table = read_ratings(path)
    found = table.rows.set_index(["rater", "study"])["total"]
    assert found[("A", "s1")] == 5 and found[("B", "s1")] == 6 and found[("B", "s2")] == 11
    assert found.isna()[("A", "s2")] and table.counts["incomplete"] == 1
    assert table.notes == ()


def test_ratings_per_image_are_joined_per_visit(tmp_path: Path) -> None:
    header = "study,rater,view,anterior,posterior,medial,lateral"
    rows = ["s1,A,AP,,,1,2", "s1,A,LAT,3,4,,", "s1,B,AP,,,2,2", "s1,B,LAT,3,3,,", "s2,A,AP,,,4,4"]
    table = read_ratings(a_table(tmp_path, *rows, header=header))
    found = table.rows.set_index(["rater", "study"])["total"]
    assert found[("A", "s1")] == 10 and found[("B", "s1")] == 10
    assert found.isna()[("A", "s2")]
    assert any("patient of its own" in note for note in table.notes)


def test_a_rater_who_contradicts_himself_within_a_visit_is_contested_and_others_are_not(tmp_path: Path) -> None:
    header = "image,study,rater,view,anterior,posterior,medial,lateral"
    rows = ["1,s1,A,AP,,,1,2", "2,s1,A,AP,,,3,2", "1,s1,B,AP,,,1,2", "2,s1,B,AP,,,1,2"]
    table = read_ratings(a_table(tmp_path, *rows, header=header))
    assert table.counts["contested"] == 1
    medial = table.rows.set_index("rater")["medial"]
    assert pd.isna(medial["A"]) and medial["B"] == 1


def test_ratings_that_cannot_be_right_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTable, match="has the total 7, and grades that sum to 5"):
        read_ratings(a_table(tmp_path, "s1,p1,0,A,1,1,1,2,7", header=RATINGS))
    with pytest.raises(BadTable, match="has the total '17'"):
        read_ratings(a_table(tmp_path, "s1,p1,0,A,,,,,17", header=RATINGS))
    with pytest.raises(BadTable, match="the same study and rater"):
        read_ratings(a_table(tmp_path, "s1,p1,0,A,1,1,1,2,", "s1,p1,0,A,1,1,1,3,", header=RATINGS))
    with pytest.raises(BadTable, match="no column rater"):
        read_ratings(a_table(tmp_path, *TWO_VISITS))
    with pytest.raises(BadTable, match="names no rater"):
        read_ratings(a_table(tmp_path, "s1,p1,0,,1,1,1,2,", header=RATINGS))
    with pytest.raises(BadTable, match="neither grades nor totals"):
        read_ratings(a_table(tmp_path, "s1,p1,0,A,,,,,", header=RATINGS))


def test_a_total_beside_an_incomplete_set_of_grades_is_no_total(tmp_path: Path) -> None:
    table = read_ratings(a_table(tmp_path, "s1,p1,0,A,1,1,1,,6", "s2,p1,3,A,1,1,1,2,", header=RATINGS))
    assert table.rows.set_index("study")["total"].isna().to_dict() == {"s1": True, "s2": False}


def test_grades_of_a_manifest_are_read_whatever_their_type() -> None:
    text = pd.DataFrame({"view": ["AP"], "anterior": [""], "posterior": [""], "medial": ["3"], "lateral": ["0"]})
    numbers = text.assign(**{c: pd.array([v], dtype="Int8") for c, v in zip(CORTICES, (None, None, 3, 0), strict=True)})
    for frame in (text, numbers):
        assert grades.arrays(frame)[0].tolist() == [[-1, -1, 3, 0]]
    with pytest.raises(BadTable, match="no grades of the cortices medial"):
        grades.arrays(text.drop(columns="medial"))


cells = st.sampled_from(["", "0", "1", "2", "3", "4", "5", "-1", "2.0", "x", " 3 "])
table_rows = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["s1", "s2"]), st.sampled_from(["AP", "LAT", "", "?"]), *[cells] * 4
    ),
    min_size=1,
    max_size=6,
)


@given(table_rows)
def test_any_table_is_read_or_refused_and_never_made_better_than_it_is(rows) -> None:
    columns = ["image", "study", "view", *CORTICES]
    frame = pd.DataFrame(rows, columns=columns, dtype="string", index=range(2, len(rows) + 2))
    try:
        table = grades.parse(frame, "labels.csv")
    except BadTable as error:
        assert error.remedy
        return
    given_there, views = grades.arrays(table.rows)
    assert not rust.contradicting(given_there, views).any()
    for row, found in zip(table.rows.index, given_there, strict=True):
        for cortex, grade in zip(CORTICES, found, strict=True):
            said = frame.loc[row, cortex].strip()
            assert grade == rust.NOT_VISIBLE or float(said) == grade  # no grade that the table did not give
    assert table.counts["graded"] == (given_there > rust.NOT_SCOREABLE).sum()
    found = visits(table.rows[table.rows["study"] != ""])
    assert found["total"].notna().eq(found["state"] == COMPLETE).all()
