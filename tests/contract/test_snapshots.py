"""A snapshot says what was known of a student by the end of a day, and nothing that came later."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.contract.contract import load_contract
from data.errors import BadInput
from tests.contract.dated_world import (
    DATES,
    YAML,
    Tables,
    all_known,
    as_dates,
    bad_records,
    snapshots,
    some_tables,
    world,
    written,
)

STARTS = (date(2024, 8, 26), date(2024, 2, 28))


def assert_known(found: pd.DataFrame, tables: Tables) -> None:
    wanted = all_known(tables)
    pd.testing.assert_frame_equal(
        found[list(wanted)], wanted, check_dtype=False, check_exact=False, rtol=1e-9, atol=1e-8
    )


def test_each_statistic_says_what_a_plain_loop_over_the_records_says(tmp_path: Path) -> None:
    tables = some_tables()
    found = snapshots(written(tables, tmp_path), world())
    assert_known(found, tables)
    assert found["hours"].tolist() == ["2.5", "2.5", "2.5", "4.0", "4.0", "1.0", "1.0"]
    assert found["grade"].tolist() == list("AAABBCC")


def test_dates_are_days_from_the_start_of_each_students_course(tmp_path: Path) -> None:
    tables = some_tables()
    assert_known(snapshots(written(as_dates(tables, STARTS), tmp_path), world(DATES)), tables)


def test_a_date_is_each_students_own_day(tmp_path: Path) -> None:
    tables = as_dates(some_tables(), (date(2024, 8, 26), date(2024, 8, 20)))
    found = snapshots(written(tables, tmp_path), world(DATES), days=date(2024, 9, 2))
    assert dict(zip(found["who"], found["as_of"], strict=True)) == {"x/1": 7, "x/2": 7, "y/1": 13}
    with pytest.raises(BadInput, match="counts days, and has no dates"):
        snapshots(str(tmp_path), world(), days=date(2024, 9, 2))


def test_snapshots_are_taken_on_any_day_that_is_asked_for(tmp_path: Path) -> None:
    found = snapshots(written(some_tables(), tmp_path), world(), days=[6, 14], labelled=False)
    assert found["as_of"].tolist() == [6, 14, 6, 14, 6, 14]
    assert "grade" not in found
    with pytest.raises(BadInput, match="no student is there on day -3"):
        snapshots(str(tmp_path), world(), days=[-3, 5])


RECORDS = st.lists(
    st.tuples(
        st.sampled_from([("x", 1), ("x", 2), ("y", 1)]),
        st.integers(1, 2),
        st.integers(-5, 25),
        st.integers(0, 3),
        st.none() | st.floats(-1e4, 1e6).map(lambda mark: round(mark, 3)),
    ),
    max_size=30,
)


def with_work(records: list[Any]) -> Tables:
    cells = [(*who, task, known - before, known, mark) for who, task, known, before, mark in records]
    work = pd.DataFrame(cells, columns=list(some_tables()["work"]))
    return {**some_tables(), "work": work.astype({"mark": float})}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, later=RECORDS, day=st.integers(0, 14), seed=st.integers(0, 9))
def test_what_becomes_known_later_changes_no_snapshot_whatever_it_says(
    records: list[Any], later: list[Any], day: int, seed: int, tmp_path: Path
) -> None:
    tables = with_work(records)
    known = snapshots(written(tables, tmp_path / "a"), world(), days=[day])
    wanted = all_known(tables, [day])
    pd.testing.assert_frame_equal(
        known[list(wanted)], wanted, check_dtype=False, check_exact=False, rtol=1e-9, atol=1e-7
    )
    upto = tables["work"]["known"] <= day
    added = with_work([(who, task, day + 1 + abs(known), 0, mark) for who, task, known, _, mark in later])
    changed = tables["work"].assign(mark=tables["work"]["mark"].where(upto, -999.0))
    more = {**tables, "work": pd.concat([changed, added["work"]])}
    shuffled = {name: table.sample(frac=1, random_state=seed) for name, table in more.items()}
    pd.testing.assert_frame_equal(snapshots(written(shuffled, tmp_path / "b"), world(), days=[day]), known)


@pytest.mark.parametrize("threads", [1, 2])
def test_ten_thousand_later_records_and_another_order_leave_every_byte(threads: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    students = pd.DataFrame({"course": "x", "student": range(50), "came": 0, "left": None, "hours": 1.0})
    students = students.assign(grade=rng.choice(list("ABC"), 50))
    tables = {**some_tables(), "students": students, "work": _random_work(rng, 2_000, 0, 20)}
    known = snapshots(written(tables, tmp_path / "a"), world())
    more = pd.concat([tables["work"], _random_work(rng, 10_000, 21, 300)])
    shuffled = {n: t.sample(frac=1, random_state=1) for n, t in {**tables, "work": more}.items()}
    later = snapshots(written(shuffled, tmp_path / "b"), world(), threads=threads)
    assert later.to_csv().encode() == known.to_csv().encode()


def _random_work(rng: np.random.Generator, rows: int, first: int, last: int) -> pd.DataFrame:
    known = rng.integers(first, last + 1, rows)
    cells = {"student": rng.integers(0, 50, rows), "task": rng.integers(1, 3, rows), "done": known}
    return pd.DataFrame({"course": "x", **cells, "known": known, "mark": rng.normal(60, 17, rows).round(7)})


def test_a_score_is_taken_of_all_records_and_beside_it_features_only_of_those_known(tmp_path: Path) -> None:
    scored = "  total: {title: Total, role: score, kind: number, taken: {stat: max, of: work.mark}}\n"
    contract = world(
        YAML.replace("  hours:", f"{scored}  hours:"),
        **{"at_risk: [C]}": "at_risk: [C], at_least: {A: 70, B: 50}}"},
    )
    found = snapshots(written(some_tables(), tmp_path), contract)
    first = found[found["who"] == "x/1"]
    assert first["total"].tolist() == [80, 80, 80]
    assert first["most"].tolist()[1:] == [60.5, 80]
    assert np.isnan(first["most"].tolist()[0])
    assert "total" not in snapshots(str(tmp_path), contract, labelled=False)


def test_a_formula_follows_those_that_it_needs_in_whatever_order_they_stand(tmp_path: Path) -> None:
    contract = world(
        **{
            "{formula: so_far - essays}": "{formula: twice / 2}",
            "  share:": "  twice: {title: T, kind: number, taken: {formula: 2*(so_far - essays)}}\n  share:",
        }
    )
    assert_known(snapshots(written(some_tables(), tmp_path), contract), some_tables())


def test_a_condition_takes_texts_as_they_stand_and_what_is_missing_for_different(tmp_path: Path) -> None:
    tables = some_tables()
    tables["tasks"]["type"] = ["it's = {odd}", None, "essay"]
    contract = world(**{"type = 'essay' and due <= as_of": "\"type != 'it''s = {odd}'\""})
    found = snapshots(written(tables, tmp_path), contract)
    assert found.loc[found["who"] == "x/1", "essays"].tolist() == [0, 0, 1]
    contract = world(**{"type = 'essay' and due <= as_of": "\"type = 'it''s = {odd}'\""})
    found = snapshots(str(tmp_path), contract)
    assert found.loc[found["who"] == "x/1", "essays"].tolist() == [0, 1, 1]


def test_the_newest_cohort_is_held_out_and_one_alone_is_split_as_other_records_are(tmp_path: Path) -> None:
    tables = some_tables()
    tables["students"]["year"] = ["2013J", "2014B", "2013B"]
    contract = world(**{"  present:": "  cohort: {column: year, pattern: '[0-9]{4}'}\n  present:"})
    found = snapshots(written(tables, tmp_path), contract)
    assert found.groupby("who")["split"].unique().map(list).to_dict() == {
        "x/1": ["train"],
        "x/2": ["test"],
        "y/1": ["train"],
    }
    tables["students"]["year"] = "2013J"
    assert "split" not in snapshots(written(tables, tmp_path), contract)
    assert "split" not in snapshots(str(tmp_path), contract, labelled=False)


def test_a_person_may_be_several_students(tmp_path: Path) -> None:
    contract = world(**{"  present:": "  person: student\n  present:"})
    found = snapshots(written(some_tables(), tmp_path), contract)
    assert found.groupby("who")["person"].first().tolist() == ["1", "2", "1"]


BAD: dict[str, tuple[dict[str, Any], str, str | None, str]] = {
    "a student who is nowhere": (
        {"student": 9},
        "course, student",
        "x/9",
        "no such student",
    ),
    "a day before the first": ({"done": -7, "known": -6}, "known", "-6", "before the first day"),
    "known before it happened": ({"done": 9, "known": 4}, "known", "4", "known before it happened"),
    "a text among days": ({"known": "soon"}, "known", "soon", "not a day"),
    "half a day": ({"known": "4.5"}, "known", "4.5", "not a day"),
    "a day beyond all": ({"known": "1e300"}, "known", "1e300", "out of range|not a day"),
    "no day": ({"known": None}, "known", None, "missing"),
    "a mark for none as a day": ({"known": "n.a."}, "known", "n.a.", "missing"),
    "a text among numbers": ({"mark": "good"}, "mark", "good", "not a number"),
    "Python's own number": ({"mark": "1_0"}, "mark", "1_0", "not a number"),
    "an endless number": ({"mark": "inf"}, "mark", "inf", "out of range"),
    "a number beyond sums": ({"mark": "1" + "0" * 30}, "mark", "1" + "0" * 30, "out of range"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_record_is_set_aside_with_table_row_column_and_reason(what: str, tmp_path: Path) -> None:
    cells, column, value, reason = BAD[what]
    tables = some_tables()
    known = snapshots(written(tables, tmp_path), world())
    row = {"course": "x", "student": 1, "task": 1, "done": 1, "known": 2, "mark": 3, **cells}
    tables["work"] = pd.concat([tables["work"].astype(object), pd.DataFrame([row], dtype=object)])
    uri = written(tables, tmp_path)
    [(table, at, where, cell, why)] = bad_records(uri, world())
    assert (table, at, where) == ("work", 6, column)
    assert (cell or None) == value
    assert why in reason.split("|")
    pd.testing.assert_frame_equal(snapshots(uri, world()), known)


BAD_DATES = ("soon", "05.01.2024?", "2024-02-30", "epoch", "infinity", "12")


@pytest.mark.parametrize("cell", BAD_DATES)
def test_a_date_that_is_none_is_set_aside(cell: str, tmp_path: Path) -> None:
    tables = as_dates(some_tables(), STARTS)
    tables["work"].loc[0, "known"] = cell
    assert bad_records(written(tables, tmp_path), world(DATES)) == [("work", 2, "known", cell, "not a date")]


def test_a_date_with_a_time_is_its_day_in_whatever_zone_it_was_written(tmp_path: Path) -> None:
    tables = as_dates(some_tables(), STARTS)
    known = snapshots(written(tables, tmp_path), world(DATES))
    tables["work"]["known"] += [" 23:59:59", "T23:30:00-05:00", "T00:10:00+09:00", "T12:00:00Z"]
    pd.testing.assert_frame_equal(snapshots(written(tables, tmp_path), world(DATES)), known)


def test_bad_students_are_set_aside_and_so_are_their_records(tmp_path: Path) -> None:
    tables = some_tables()
    more = pd.DataFrame(
        [
            {"course": "x", "student": 1, "came": 0, "hours": 9, "grade": "A"},
            {"course": "x", "student": None, "came": 0, "hours": 9, "grade": "A"},
            {"course": "x", "student": 3, "came": "soon", "hours": 9, "grade": "A"},
            {"course": "x", "student": 4, "came": 0, "hours": "many", "grade": "A"},
        ]
    )
    tables["students"] = pd.concat([tables["students"].astype(object), more.astype(object)])
    tables["work"].loc[0, "student"] = 4
    assert bad_records(written(tables, tmp_path), world()) == [
        ("students", 5, "course, student", "x/1", "student twice"),
        ("students", 6, "student", "", "missing"),
        ("students", 7, "came", "soon", "not a day"),
        ("students", 8, "hours", "many", "not a number"),
        ("work", 2, "course, student", "x/4", "no such student"),
    ]


def test_a_checkpoint_without_students_is_refused(tmp_path: Path) -> None:
    tables = some_tables()
    tables["students"]["left"] = 15
    with pytest.raises(BadInput, match=r"no student is there on day 20. Leave that day out"):
        snapshots(written(tables, tmp_path), world())


def test_two_rows_of_a_joined_table_for_one_key_are_refused(tmp_path: Path) -> None:
    tables = some_tables()
    tables["tasks"] = pd.concat([tables["tasks"], tables["tasks"].head(1)])
    with pytest.raises(BadInput, match=r"tasks.csv, row 5: course x, task 1 is there twice"):
        snapshots(written(tables, tmp_path), world())


def test_students_whose_parts_of_the_key_hold_a_slash_stay_two(tmp_path: Path) -> None:
    tables = some_tables()
    tables["students"][["course", "student"]] = [["a/b", "c"], ["a", "b/c"], ["a%2Fb", "c"]]
    found = snapshots(written(tables, tmp_path), world())
    assert found["who"].nunique() == 3


def test_an_id_written_with_a_point_is_the_same_student(tmp_path: Path) -> None:
    tables = some_tables()
    known = snapshots(written(tables, tmp_path), world())
    tables["work"]["student"] = tables["work"]["student"].astype(float)
    pd.testing.assert_frame_equal(snapshots(written(tables, tmp_path), world()), known)


def test_the_contract_of_oulad_takes_its_snapshots(oulad: str) -> None:
    contract = load_contract("oulad")
    with_days = snapshots(oulad, contract, days=[90])
    assert set(with_days["split"]) == {"train", "test"}
    assert len(with_days[with_days["split"] == "test"]) == 14_506  # as PROVENANCE counts them


@pytest.fixture
def oulad() -> str:
    folder = Path(__file__).parents[3] / "shared" / "data" / "oulad"
    if not folder.is_dir():
        pytest.skip("the OULAD tables are not beside the project")
    return str(folder)


def test_columns_that_no_contract_can_hold_are_read_under_new_names(tmp_path: Path) -> None:
    tables = some_tables()
    odd = {"known": 'known "on"', "mark": "class", "done": "Done at", "task": "select"}
    tables["work"] = tables["work"].rename(columns=odd)
    rename = "{'known \"on\"': known, class: mark, Done at: done, select: task}"
    contract = world(**{"{from: work,": f"{{from: work, rename: {rename},"})
    assert_known(snapshots(written(tables, tmp_path), contract), some_tables())


def test_a_tables_condition_leaves_rows_out_as_if_they_were_not_there(tmp_path: Path) -> None:
    tables = some_tables()
    extra = tables["work"].assign(mark=99, known=1, done=1, status="deleted")
    tables["work"] = pd.concat([tables["work"].assign(status=None), extra])
    contract = world(**{"{from: work,": "{from: work, where: status != 'deleted',"})
    found = snapshots(written(tables, tmp_path), contract)
    assert_known(found, some_tables())


@pytest.mark.parametrize("name", ["row", "split", "_row", "t0_1", "order", "größe"])
def test_a_table_may_have_columns_named_as_ours_or_as_words_of_sql(name: str, tmp_path: Path) -> None:
    tables = some_tables()
    tables["work"] = tables["work"].rename(columns={"mark": name}).assign(as_of=999, person="nobody")
    contract = world(**{"work.mark": f"work.{name}"})
    assert_known(snapshots(written(tables, tmp_path), contract), some_tables())


def test_two_columns_that_differ_in_case_are_two(tmp_path: Path) -> None:
    tables = some_tables()
    tables["work"].insert(0, "MARK", -1.0)
    tables["work"].insert(0, "Known", 999)
    uri = written(tables, tmp_path / "csv")
    assert_known(snapshots(uri, world()), some_tables())
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
    assert_known(snapshots(str(tmp_path), world()), some_tables())


def test_a_date_of_the_student_table_is_no_number_and_no_fault(tmp_path: Path) -> None:
    born = "hours: {title: Hours, kind: number, min: 0}"
    tables = some_tables()
    tables["students"] = tables["students"].assign(born=["2009-05-01", "2009-06-01", "2009-07-01"])
    contract = world(**{born: f"{born}\n  born: {{title: Born, kind: date, age_at: 2025-09-01}}"})
    found = snapshots(written(tables, tmp_path), contract)
    assert set(found["born"]) == {"2009-05-01", "2009-06-01", "2009-07-01"}
    assert bad_records(str(tmp_path), contract) == []
