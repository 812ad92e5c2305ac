"""How numbers are written is found from a whole column, and asked for where nothing decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.contract.contract import Contract
from data.rows.kinds import Reason, rule_of
from data.rows.notation import ColumnEvidence, Settled, read_alone, settle


def settled(contract: Contract, delimiter: str = ",", **columns: list[str]) -> Settled:
    found = {name: ColumnEvidence(contract.columns.get(name)) for name in columns}
    for name, texts in columns.items():
        found[name].take(texts)
    return settle(found, delimiter)


def plain(contract: Contract, delimiter: str = ",", **columns: list[str]) -> list[str]:
    """Return the first column's cells as programs write them."""
    name, texts = next(iter(columns.items()))
    found = settled(contract, delimiter, **columns)
    assert not found.questions
    return [found.notations[name].plain(text) for text in texts]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["1.5", "2", "-3", "1e3"], ["1.5", "2", "-3", "1e3"]),
        (["1,5", "2", "1.234", "1.234.567,25"], ["1.5", "2", "1234", "1234567.25"]),
        (["1.5", "1,234", "1,234,567.25"], ["1.5", "1234", "1234567.25"]),
        (["1'234.5", "2’000", "7"], ["1234.5", "2000", "7"]),
        (["1 234,5", "2\u202f000", "3\xa0500"], ["1234.5", "2000", "3500"]),
        (["85 %", "90%", "0"], ["85", "90", "0"]),
        (["3.200,50 €", "12 €"], ["3200.50", "12"]),
        (["$5", "-$1,250.75", "CHF 20"], ["5", "-1250.75", "CHF 20"]),
        (["6 hours", "1 hour", "3"], ["6", "1", "3"]),
        (["6 h", "45 min", "2 h"], ["6", "45 min", "2"]),
        (["−4,5", "+2"], ["-4.5", "+2"]),
    ],
    ids=str,
)
def test_a_column_decides_how_its_cells_are_read(
    tiny: Contract, cells: list[str], numbers: list[str]
) -> None:
    assert plain(tiny, Sleep=cells) == numbers


@pytest.mark.parametrize(
    "cell", ["1.2.3", "12,34,567", "31.12.2025", "1 2", "(5)", "1_0", "0x1", "007.1.1", "7b"]
)
def test_what_is_a_number_in_no_notation_stays_as_it_is(tiny: Contract, cell: str) -> None:
    assert plain(tiny, Sleep=[cell, "2"]) == [cell, "2"]


def test_a_cell_that_could_be_two_numbers_is_asked_for(tiny: Contract) -> None:
    says = "'1,234' could be 1.234 or 1234, and nothing in the file decides which"
    assert settled(tiny, Sleep=["1,234", "5"]).questions == {"Sleep": says}
    assert "Sleep" in settled(tiny, ";", Sleep=["1.234", "5"]).questions
    assert "Sleep" in settled(tiny, ";", Sleep=["1.234", "1,234"]).questions


def test_the_range_the_other_columns_or_the_separator_decide_what_a_column_leaves_open(
    tiny: Contract,
) -> None:
    assert plain(tiny, ";", Hours=["1.234", "5"]) == ["1.234", "5"]
    assert plain(tiny, ";", Trips=["1.234", "5"]) == ["1234", "5"]
    assert plain(tiny, ";", Sleep=["1.234"], Hours=["1,5"]) == ["1234"]
    assert plain(tiny, ";", Sleep=["1.234"], Hours=["1.5"]) == ["1.234"]
    assert plain(tiny, ",", Sleep=["1.234"]) == ["1.234"]
    found = settled(tiny, ",", Sleep=["1.234"])
    assert found.notes == ("column Sleep: '1.234' is 1.234, for commas part the cells",)


def test_where_range_and_other_columns_contradict_each_other_it_is_asked(tiny: Contract) -> None:
    assert "Hours" in settled(tiny, ";", Hours=["1.234", "2.500"], Sleep=["7,5"]).questions


def test_of_a_column_with_both_marks_nothing_unclear_is_read(tiny: Contract) -> None:
    found = plain(tiny, ";", Sleep=["1.5", "3,5", "1.234", "1,234"])
    rule = rule_of(tiny.columns["Sleep"])
    assert [rule.read(text) for text in found] == [1.5, *[Reason.NOT_A_NUMBER] * 3]


def test_percent_of_a_share_is_a_share_and_bare_numbers_beside_percents_are_none(tiny: Contract) -> None:
    share = tiny.columns["Hours"].model_copy(update={"max": 1.0})
    of_share = tiny.model_copy(update={"columns": {**tiny.columns, "Hours": share}})
    assert plain(of_share, Hours=["85 %", "7,5 %"]) == ["0.85", "0.075"]
    assert plain(tiny, Sleep=["85 %", "90 %", "0.5"]) == ["85", "90", "0.5 (unclear)"]


def test_another_unit_than_the_contracts_is_asked_for(tiny: Contract) -> None:
    hours = tiny.columns["Hours"].model_copy(update={"unit": "hours a week"})
    contract = tiny.model_copy(update={"columns": {**tiny.columns, "Hours": hours}})
    assert plain(contract, Hours=["6 h", "2 Std."]) == ["6", "2"]
    assert "is not in hours a week" in settled(contract, Hours=["90 min", "45 min"]).questions["Hours"]


def test_every_assumption_is_told_once_with_an_example(tiny: Contract) -> None:
    found = settled(tiny, ";", Hours=["1,5", "2"], Sleep=["7,25"], Trips=["6 mal"], Points=["3.5"])
    assert found.notes == (
        "column Hours: numbers are written with a decimal comma; '1,5' is 1.5",
        "column Sleep: numbers are written with a decimal comma; '7,25' is 7.25",
        "column Trips: numbers are written with their unit; '6 mal' is 6",
    )


@given(st.lists(st.floats(-1e9, 1e9).map(lambda value: repr(round(value, 2))), min_size=1, max_size=20))
def test_what_programs_write_is_read_as_it_is_and_nothing_is_told(cells: list[str]) -> None:
    evidence = ColumnEvidence()
    evidence.take(cells)
    found = settle({"x": evidence}, ",")
    assert (found.notes, dict(found.questions)) == ((), {})
    assert found.notations["x"].reads_plainly
    assert [float(found.notations["x"].plain(cell)) for cell in cells] == list(map(float, cells))


@pytest.mark.parametrize(("cell", "value"), [("1,5", 1.5), ("1.234", 1.234), ("1,234", 1.234), ("6 h", 6.0)])
def test_a_cell_in_a_form_is_a_column_of_its_own(tiny: Contract, cell: str, value: float) -> None:
    assert read_alone(tiny.columns["Hours"], cell) == value


@pytest.mark.parametrize("word", ["Ja", "oui", "SÍ", "sim", "wahr", "y"])
def test_yes_is_understood_in_several_languages_where_the_contract_says_yes(
    tiny: Contract, word: str
) -> None:
    assert rule_of(tiny.columns["Club"]).read(word) == 1
    sexes = tiny.columns["Club"].model_copy(update={"codes": {0: "Male", 1: "Female"}})
    assert rule_of(sexes).read("f") is Reason.UNKNOWN_CODE
