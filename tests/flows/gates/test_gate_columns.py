from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.rows.frames import parse
from flows.drift_gate import columns as stattests
from flows.drift_gate.columns import Plan, column_findings, finding, kinds, results_by_column, run_evidently
from flows.drift_gate.samples import tested as columns_of

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
    declared = contract.model_dump()
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


def test_a_result_without_a_test_of_its_own_is_left_out() -> None:
    class Untested:
        def dict(self) -> dict[str, Any]:
            return {"metrics": [{"config": {"column": "Age"}, "value": 0.5}], "tests": []}

    assert results_by_column(Untested()) == {}


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


def test_a_score_that_is_no_number_is_no_result() -> None:
    class Odd:
        def dict(self) -> dict[str, Any]:
            test = {"metric_config": {"params": {"column": "Age"}}, "status": "SUCCESS"}
            return {"metrics": [{"config": {"column": "Age"}, "value": float("nan")}], "tests": [test]}

    assert results_by_column(Odd()) == {}
