"""In which order day and month stand is found from a whole column, and asked for where nothing decides."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from data.contract.contract import Contract
from data.errors import BadInput
from data.rows.dates import DateEvidence
from data.rows.frames import matrix, parse, to_records
from data.rows.kinds import Reason, rule_of
from data.rows.notation import Settled, evidence_of, read_alone, settle
from data.rows.records import matrix_maker, record_adapter, typical_record
from tests.contract.tiny import YAML, contract_of, students

TWO = YAML.replace(
    "  Sleep:", "  Joined: {title: Joined, kind: date, days_since: 2025-01-01, nullable: true}\n  Sleep:", 1
)


def settled(contract: Contract, **columns: list[str]) -> Settled:
    found = {name: evidence_of(contract.columns[name]) for name in columns}
    for name, texts in columns.items():
        found[name].take(texts)
    return settle(found, ";")


def read(contract: Contract, **columns: list[str]) -> list[str]:
    name, texts = next(iter(columns.items()))
    found = settled(contract, **columns)
    assert not found.questions
    return [found.notations[name].plain(text) for text in texts]


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["2010-05-31", "2010-05-31 00:00:00"], ["2010-05-31", "2010-05-31"]),
        (["31.12.2009", "5.6.2010"], ["2009-12-31", "2010-06-05"]),
        (["5.6.2010"], ["2010-06-05"]),
        (["12/31/2009", "5/6/2010"], ["2009-12-31", "2010-05-06"]),
        (["31/12/2009", "05/06/2010"], ["2009-12-31", "2010-06-05"]),
        (["31.12.09", "05.06.25", "05.06.26"], ["2009-12-31", "2025-06-05", "1926-06-05"]),
        (["3/3/2010", "2010/5/31"], ["2010-03-03", "2010-05-31"]),
        (["31/12/2009", "12/31/2009", "05/06/2010"], ["2009-12-31", "2009-12-31", "05/06/2010"]),
        (["31.12.2009", "k. A.", "31.13.2009", "soon"], ["2009-12-31", "k. A.", "31.13.2009", "soon"]),
    ],
)
def test_the_whole_column_says_which_part_of_a_date_is_the_day(
    tiny: Contract, cells: list[str], dates: list[str]
) -> None:
    assert read(tiny, Born=cells) == dates


def test_what_no_cell_decides_is_asked(tiny: Contract) -> None:
    asked = settled(tiny, Born=["05/06/2010", "07/08/2011"]).questions
    assert asked == {
        "Born": "'05/06/2010' could be 2010-06-05 or 2010-05-06, and nothing in the file decides which"
    }


def test_the_contract_another_column_or_the_range_decides_instead() -> None:
    cells = ["05/06/2010"]
    said = contract_of(YAML.replace("kind: date,", "kind: date, day_first: false,"))
    assert read(said, Born=cells) == ["2010-05-06"]
    assert read(contract_of(TWO), Born=cells, Joined=["31/12/2024"]) == ["2010-06-05"]
    early = YAML.replace("min: 5, max: 90", "min: 15.3, max: 90")
    assert read(contract_of(early), Born=["05/06/2010"]) == ["2010-05-06"]


def test_what_was_assumed_of_dates_is_told(tiny: Contract) -> None:
    (note,) = settled(tiny, Born=["31.12.2009"]).notes
    assert note == "column Born: dates are written day first; '31.12.2009' is 2009-12-31"
    assert not settled(tiny, Born=["2009-12-31"]).notes
    (mixed,) = settled(tiny, Born=["31/12/2009", "12/31/2009", "1/2/2009"]).notes
    assert mixed.endswith("month first, so that '1/2/2009' is not clear and no date")


def test_the_model_sees_years_until_a_day_or_days_since_one() -> None:
    contract = contract_of(TWO)
    frame = parse(students(2, Born=["2010-09-01", "2009-09-01"], Joined=["2025-01-31", None]), contract)
    assert frame["Born"].round(2).tolist() == [15.0, 16.0]
    assert frame["Joined"].tolist()[0] == 30.0
    records = to_records(frame, contract)
    assert [record["Born"] for record in records] == ["2010-09-01", "2009-09-01"]
    assert [record["Joined"] for record in records] == ["2025-01-31", None]
    np.testing.assert_array_equal(matrix_maker(contract)(records), matrix(frame, contract))
    many = records * 20
    np.testing.assert_array_equal(matrix_maker(contract)(many)[:2], matrix(frame, contract))


def test_each_day_of_two_centuries_is_itself_again(tiny: Contract) -> None:
    rule = rule_of(tiny.columns["Born"])
    days = pd.date_range("1936-01-01", "2020-08-31", freq="17D").strftime("%Y-%m-%d").tolist()
    numbers = rule.array_of(days)
    assert [rule.value_of(number) for number in numbers] == days  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "cells",
    [
        ["2010-05-31"],
        [date(2010, 5, 31)],
        pd.to_datetime(["2010-05-31"]),
        np.array(["2010-05-31"], "datetime64[s]"),
        pd.Categorical(["2010-05-31"]),
    ],
)
def test_a_frame_may_hold_dates_of_any_type(tiny: Contract, cells: object) -> None:
    assert to_records(parse(students(1, Born=cells), tiny), tiny)[0]["Born"] == "2010-05-31"


def test_a_number_is_no_date(tiny: Contract) -> None:
    with pytest.raises(BadInput, match=r"column Born: '40329' is not a date. Put a date there"):
        parse(students(1, Born=[40329]), tiny)


def test_json_takes_a_date_as_its_schema_says(tiny: Contract) -> None:
    adapter = record_adapter(tiny)
    assert adapter.validate_python(typical_record(tiny))
    schema = adapter.json_schema()["properties"]["Born"]
    assert (schema["type"], schema["format"]) == ("string", "date")


def test_a_date_typed_alone_is_read_where_it_can_be_one_only(tiny: Contract) -> None:
    born = tiny.columns["Born"]
    assert read_alone(born, "31.12.2009") == "2009-12-31"
    assert read_alone(born, "5.6.2010") == "2010-06-05"
    assert read_alone(born, "05/06/2010") is Reason.NOT_A_DATE
    assert read_alone(born, "31.12.1900") is Reason.OUT_OF_RANGE
    assert read_alone(born, "-") is None


def test_evidence_of_a_column_without_a_contract_is_taken_too() -> None:
    evidence = DateEvidence()
    evidence.take(["31/12/2009", "x", None, ""])
    assert (evidence.dates, evidence.others, evidence.order) == (1, 1, "day first")
