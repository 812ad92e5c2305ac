import numpy as np
import pandas as pd
import pytest

from data.cohorts.grades import generate, true_probabilities
from data.contract.columns import Target
from data.contract.contract import Contract
from data.rows.frames import parse
from flows.drift_gate.relation import Subgroup, loss_finding, residual_finding, subgroups

MANY = 5_000


@pytest.fixture(scope="module")
def target(contract: Contract) -> Target:
    return contract.target


@pytest.fixture(scope="module")
def cohort() -> pd.DataFrame:
    return generate(1_000, seed=4)


@pytest.fixture(scope="module")
def truth(cohort: pd.DataFrame) -> np.ndarray:
    return true_probabilities(cohort)


@pytest.fixture(scope="module")
def y(cohort: pd.DataFrame) -> np.ndarray:
    return cohort["GradeClass"].to_numpy(dtype=int)


def whole(n: int, share: float = 1.0) -> Subgroup:
    return Subgroup("all rows", np.ones(n, dtype=bool), share)


def test_classes_that_follow_from_the_features_pass(truth: np.ndarray, y: np.ndarray, target: Target) -> None:
    assert loss_finding(truth, y, MANY, 0.005).verdict == "pass"
    assert residual_finding(truth, y, [whole(1_000)], MANY, target, 0.01).verdict == "pass"


def test_random_classes_cost_more_than_the_champion_expects(truth: np.ndarray, y: np.ndarray) -> None:
    wrong = y.copy()
    wrong[:90] = np.random.default_rng(1).integers(0, 5, 90)
    found = loss_finding(truth, wrong, MANY, 0.005)
    assert found.verdict == "drift"
    assert "where the champion expects" in found.words


def test_classes_copied_from_the_forecast_cost_too_little_and_that_is_drift(truth: np.ndarray) -> None:
    assert loss_finding(truth, truth.argmax(axis=1), MANY, 0.005).verdict == "drift"


def test_one_impossible_label_is_no_drift(truth: np.ndarray, y: np.ndarray) -> None:
    slipped = y.copy()
    slipped[truth[:, 4].argmax()] = 0
    assert loss_finding(truth, slipped, MANY, 0.005).verdict == "pass"


def test_a_champion_of_few_rows_is_allowed_a_larger_error(
    truth: np.ndarray, y: np.ndarray, target: Target
) -> None:
    biased = np.clip(y - (np.arange(1_000) % 10 == 0), 0, 4)
    strict = residual_finding(truth, biased, [whole(1_000)], MANY, target, 0.01)
    lenient = residual_finding(truth, biased, [whole(1_000)], 40, target, 0.01)
    assert strict.verdict == "drift"
    assert lenient.verdict == "pass"
    few, many = (loss_finding(truth, biased, rows, 0.005).score for rows in (100, MANY))
    assert few is not None
    assert many is not None
    assert few > many


def test_a_subgroup_that_the_champion_hardly_knew_is_allowed_a_larger_error(
    truth: np.ndarray, y: np.ndarray, target: Target
) -> None:
    biased = np.clip(y - (np.arange(1_000) % 10 == 0), 0, 4)
    rare = residual_finding(truth, biased, [whole(1_000, share=0.0001)], MANY, target, 0.01)
    assert rare.verdict == "pass"


def test_an_effect_that_is_gone_is_found_in_its_subgroup(contract: Contract, target: Target) -> None:
    before = parse(generate(2_392, 1), contract)
    raw = generate(400, 8, "tutoring-void")
    now = parse(raw, contract)
    y, truth = raw["GradeClass"].to_numpy(dtype=int), true_probabilities(raw)
    found = residual_finding(truth, y, subgroups(now, before, contract), 2_392, target, 0.01)
    assert found.verdict == "drift"
    assert found.words.startswith("Tutoring = Yes: 0.")
    assert "classes worse than forecast" in found.words


def test_of_unordered_classes_each_share_is_judged(truth: np.ndarray, y: np.ndarray, target: Target) -> None:
    unordered = target.model_copy(update={"ordered": False})
    swapped = np.where(y == 0, 1, y)
    found = residual_finding(truth, swapped, [whole(1_000)], MANY, unordered, 0.01)
    assert found.verdict == "drift"
    assert "points less often than forecast" in found.words
    assert residual_finding(truth, y, [whole(1_000)], MANY, unordered, 0.01).verdict == "pass"


def test_subgroups_are_the_codes_and_the_quarters_of_the_reference(contract: Contract) -> None:
    before, now = parse(generate(2_000, 1), contract), parse(generate(400, 2, "absences"), contract)
    found = {group.name: group for group in subgroups(now, before, contract)}
    quarters = [group for name, group in found.items() if name.startswith("Absences")]
    assert len(quarters) == 4
    assert sum(group.rows.sum() for group in quarters) == 400
    assert sum(group.share for group in quarters) == pytest.approx(1)
    assert quarters[0].rows.mean() < quarters[0].share
    assert not any(name.startswith(("Gender", "Ethnicity")) for name in found)
