import pandas as pd
import pytest

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from flows.drift_gate.columns import code_words, number_words
from flows.drift_gate.samples import faults_text, has_reason, sound_rows
from tests.flows.gates.conftest import reference_of


def parsed_with_faults(contract: Contract, rows: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    raw = generate(rows, 3)
    raw.loc[0, ["Age", "Ethnicity"]] = [99, 7]
    raw.loc[5, "GradeClass"] = float("nan")
    parsed = parse(raw, contract)
    return parsed, quarantine(parsed, contract)[1]


def test_the_reference_keeps_quarantined_rows_with_what_was_wrong(contract: Contract) -> None:
    parsed, bad = parsed_with_faults(contract)
    reference = reference_of(parsed, bad)
    assert reference.sample["quarantine"][0] == "Age: out of range; Ethnicity: unknown code"
    assert len(sound_rows(reference)) == 398


def test_each_reason_of_a_row_counts(contract: Contract) -> None:
    parsed, bad = parsed_with_faults(contract)
    texts = faults_text(parsed, bad)
    assert has_reason(texts, "out of range", contract).sum() == 1
    assert has_reason(texts, "unknown code", contract).sum() == 1


def test_a_label_still_to_come_is_no_fault(contract: Contract) -> None:
    parsed, bad = parsed_with_faults(contract)
    assert has_reason(faults_text(parsed, bad), "missing", contract).sum() == 0


def test_a_part_of_the_rows_finds_its_own_faults(contract: Contract) -> None:
    parsed, bad = parsed_with_faults(contract)
    assert faults_text(parsed.iloc[[5, 0]], bad).tolist() == [
        "GradeClass: missing",
        "Age: out of range; Ethnicity: unknown code",
    ]


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ([1.0, 2, 3, 4], [3.0, 4, 5, 6], "mean 2.5 → 4.5"),
        ([1.0, 2, 3, 4], [2.4, 2.6, 2.5], "standard deviation 1.29 → 0.1, mean 2.5 → 2.5"),
        ([1.0, 2, 3, 4], [2.0, 2], "always 2, was 1 to 4"),
    ],
)
def test_what_changed_in_a_number_is_told(before: list[float], now: list[float], words: str) -> None:
    assert number_words(pd.Series(before), pd.Series(now)) == words


def test_the_code_that_changed_most_is_told() -> None:
    assert code_words(pd.Series(list("aabb")), pd.Series(list("abbb"))) == "b 50.0 % → 75.0 %"
