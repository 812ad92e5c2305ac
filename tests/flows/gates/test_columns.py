"""Which rows are compared, by which tests, and in which words."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from flows.drift_gate import columns as stattests
from flows.drift_gate.columns import (
    Plan,
    code_words,
    codes_p,
    column_findings,
    finding,
    kinds,
    level_and_spread_p,
    more_often_p,
    number_words,
    numbers_p,
    pool_rare,
    results_by_column,
    rise_in_share,
    run_evidently,
)
from flows.drift_gate.samples import faults_text, has_reason, sound_rows
from flows.drift_gate.samples import tested as columns_of
from tests.flows.gates.conftest import reference_of

LIMIT = 0.001


def sample(contract: Contract, rows: int = 400, seed: int = 1) -> pd.DataFrame:
    parsed = parse(generate(rows, seed), contract)
    return columns_of(parsed, pd.Series("", index=parsed.index), contract)


def flags(share: float, rows: int = 500) -> pd.DataFrame:
    return pd.DataFrame({"flag": np.where(np.arange(rows) < share * rows, "yes", "no")})


def results(
    reference: pd.DataFrame, current: pd.DataFrame, plans: list[Plan]
) -> dict[str, tuple[float, bool]]:
    return results_by_column(run_evidently(reference, current, plans))


def test_every_column_of_the_contract_is_tested_and_each_reason_of_quarantine(contract: Contract) -> None:
    named = list(kinds(contract))
    assert named[:2] == ["Age", "ParentalEducation"]
    assert {"Gender", "Ethnicity", "GradeClass", "quarantined: unknown code"} <= set(named)
    assert "GPA" not in named
    assert "StudentID" not in named


def test_a_nullable_feature_has_an_indicator_of_what_is_missing(contract: Contract) -> None:
    declared = contract.model_dump(exclude_none=True)
    declared["columns"]["StudyTimeWeekly"]["nullable"] = True
    looser = Contract.model_validate(declared)
    raw = generate(400, 1)
    gone = parse(raw.assign(StudyTimeWeekly=raw["StudyTimeWeekly"].mask(raw.index < 60)), looser)
    before, now = parse(raw, looser), gone
    no_faults = pd.Series("", index=raw.index)
    found, _ = column_findings(
        columns_of(before, no_faults, looser), columns_of(now, no_faults, looser), looser, {}, 0.02
    )
    missing = next(one for one in found if one.name == "missing: StudyTimeWeekly")
    assert missing.verdict == "drift"
    assert missing.words == "0.0 % → 15.0 % of rows"


def test_the_current_sample_is_not_taken_for_the_reference() -> None:
    plan = [Plan("flag", "share", stattests.MORE_OFTEN, LIMIT)]
    assert results(flags(0.02), flags(0.12), plan)["flag"][1] is True
    assert results(flags(0.12), flags(0.02), plan)["flag"][1] is False


def test_results_are_found_by_name_whatever_the_order(contract: Contract) -> None:
    reference, drifted = sample(contract), sample(contract, seed=2)
    drifted["Absences"] += 5
    plans = [
        Plan(name, kind, stattests.NUMBERS if kind == "number" else stattests.CODES, LIMIT)
        for name, kind in kinds(contract).items()
        if kind != "share"
    ]
    straight = results(reference, drifted, plans)
    turned = results(reference[reference.columns[::-1]], drifted, plans[::-1])
    assert straight == turned
    assert [name for name, (_, failed) in straight.items() if failed] == ["Absences"]


def test_a_column_without_a_result_has_drifted() -> None:
    verdict = finding(Plan("Age", "number", stattests.NUMBERS, LIMIT), None, "mean 16 → 16")
    assert verdict.verdict == "drift"
    assert verdict.words == "Evidently gave no result for it"


def test_alpha_is_shared_out_over_the_columns_of_the_contract(contract: Contract) -> None:
    found, _ = column_findings(sample(contract), sample(contract, seed=2), contract, {}, 0.02)
    assert found[0].threshold == pytest.approx(0.02 / len(kinds(contract)))


def test_with_thousands_of_rows_a_side_a_difference_must_matter_and_not_only_be_significant(
    contract: Contract,
) -> None:
    reference = sample(contract, 6_000)
    current = reference.assign(StudyTimeWeekly=reference["StudyTimeWeekly"] + 0.45)
    found, _ = column_findings(reference, current, contract, {}, 0.02)
    hours = next(one for one in found if one.name == "StudyTimeWeekly")
    assert hours.test == "normed Wasserstein distance"
    assert hours.verdict == "pass"
    assert stattests.numbers_p(*(frame["StudyTimeWeekly"] for frame in (reference, current))) < LIMIT
    current["StudyTimeWeekly"] += 1.0
    worse, _ = column_findings(reference, current, contract, {}, 0.02)
    assert next(one for one in worse if one.name == "StudyTimeWeekly").verdict == "drift"


@pytest.mark.parametrize(("score", "tests"), [(0.5, []), (float("nan"), ["SUCCESS"])])
def test_a_result_without_a_test_or_a_number_is_left_out(score: float, tests: list[str]) -> None:
    class Odd:
        def dict(self) -> dict[str, Any]:
            done = [{"metric_config": {"params": {"column": "Age"}}, "status": status} for status in tests]
            return {"metrics": [{"config": {"column": "Age"}, "value": score}], "tests": done}

    assert results_by_column(Odd()) == {}


REPEATS = 400


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def days(rng: np.random.Generator, rows: int) -> pd.Series:
    return pd.Series(rng.integers(0, 30, rows).astype(float))


def test_two_samples_of_the_same_numbers_differ_as_often_as_alpha_says(rng: np.random.Generator) -> None:
    alarms = sum(numbers_p(days(rng, 800), days(rng, 100)) < 0.05 for _ in range(REPEATS))
    assert alarms / REPEATS < 0.08


def test_the_level_the_spread_and_the_shape_of_numbers_are_all_seen(rng: np.random.Generator) -> None:
    reference = days(rng, 2_000)
    assert numbers_p(reference, days(rng, 300) + 4) < 1e-6
    assert numbers_p(reference, pd.Series(rng.integers(10, 20, 300))) < 1e-6
    gap = pd.Series(rng.choice([6.0, 7.0, 22.0, 23.0], 300))
    assert numbers_p(reference, gap) < 1e-6


def test_one_value_on_both_sides_is_no_difference() -> None:
    same = pd.Series(np.full(40, 3.0))
    assert level_and_spread_p(np.full(40, 3.0), np.full(60, 3.0)) == 1.0
    assert numbers_p(same, same) == 1.0
    assert numbers_p(same, pd.Series(np.full(60, 4.0))) < 1e-9


def test_a_batch_as_large_as_the_reference_alarms_no_more_often(rng: np.random.Generator) -> None:
    def draw() -> pd.Series:
        return pd.Series(rng.choice(list("abcd"), 1_000, p=[0.5, 0.2, 0.2, 0.1]))

    alarms = sum(codes_p(draw(), draw()) < 0.05 for _ in range(REPEATS))
    assert alarms / REPEATS < 0.08  # the reference taken for exact gives 0.28


def test_changed_shares_of_codes_are_seen() -> None:
    reference, current = pd.Series(list("abc") * 300), pd.Series(["a"] * 60 + ["b"] * 20 + ["c"] * 20)
    assert codes_p(reference, current) < 1e-6
    assert codes_p(reference, reference.head(90)) > 0.9


def test_rare_codes_are_pooled_until_each_is_expected_five_times() -> None:
    table = np.array([[500, 50], [400, 40], [6, 1], [3, 0], [1, 1]])
    assert pool_rare(table).tolist() == [[410, 42], [500, 50]]


def test_of_two_codes_none_is_pooled_away() -> None:
    assert len(pool_rare(np.array([[1000, 0], [0, 2]]))) == 2
    assert codes_p(pd.Series(["a"] * 1000), pd.Series(["b"] * 30)) < 1e-9


def test_only_more_often_is_drift() -> None:
    often, seldom = pd.Series(["yes"] * 20 + ["no"] * 80), pd.Series(["yes"] * 2 + ["no"] * 98)
    assert more_often_p(seldom, often) < 1e-4
    assert more_often_p(often, seldom) > 0.99
    assert rise_in_share(seldom, often) == pytest.approx(0.18)


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
