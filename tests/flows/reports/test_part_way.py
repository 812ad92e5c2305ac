"""Forecasts before the end of the period come as near to the best possible as those at its end."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.bundle.answers import grade_sets
from data.bundle.card import PartWay
from data.bundle.population import Accumulation, Population
from data.cohorts import grades as cohort
from data.cohorts.part_way import best_possible, thinned
from data.contract.contract import Contract
from data.rows.frames import matrix, parse
from flows.reports.card import model_card
from flows.reports.part_way import MEASURED_AT, part_way_figures, population_of
from flows.training.fit import Fitted, fit
from flows.training.grid import Grid
from flows.training.metrics import evaluate
from flows.training.rows import training_data
from tests.contract.tiny import contract_of
from tests.flows.reports.evidences import any_evidence, evidence_of, grade_evidence
from tests.flows.reports.test_card import section_of

FEW_ROUNDS = {"families": [{"max_depth": 1, "learning_rate": 0.1, "n_estimators": 500}]}
MANY = 4_000
AFTER = "Before the end of the period"


@pytest.fixture(scope="module")
def students(grade_class: Contract) -> pd.DataFrame:
    return parse(cohort.generate(2_400, seed=1), grade_class)


@pytest.fixture(scope="module")
def fitted(students: pd.DataFrame, grade_class: Contract) -> Fitted:
    grid = Grid.model_validate(FEW_ROUNDS)
    return fit(training_data(students, grade_class), grid, seed=7, folds=2, baselines=False)


@pytest.fixture(scope="module")
def population(students: pd.DataFrame, grade_class: Contract, fitted: Fitted) -> Population:
    return population_of(students, grade_class, fitted.probabilities, fitted.thresholds.least)


@pytest.fixture(scope="module")
def measured(grade_class: Contract, fitted: Fitted, population: Population) -> dict[float, PartWay]:
    raw = cohort.generate(MANY, seed=9)
    frame, y = parse(raw, grade_class), raw["GradeClass"].to_numpy(int)
    shares = fitted.probabilities(matrix(frame, grade_class)).astype(float)
    evidence = evidence_of(grade_class, frame, y, shares / shares.sum(axis=1, keepdims=True))
    evidence = replace(evidence, data={**evidence.data, "generated": {"rows": MANY}})
    found = part_way_figures(evidence, population, fitted.probabilities, fitted.thresholds.least)
    return {one.elapsed: one for one in found}


@pytest.mark.parametrize("elapsed", MEASURED_AT)
def test_part_of_the_way_through_it_is_nearly_the_best_possible_and_calibrated(
    measured: dict[float, PartWay], elapsed: float
) -> None:
    found = measured[elapsed]
    assert found.n == MANY
    assert found.log_loss.limit is not None
    assert found.log_loss.value - found.log_loss.limit <= 0.02
    assert found.ece.value <= 0.03
    assert found.recall.share is not None
    assert found.recall.share > 0.85


@pytest.mark.parametrize("elapsed", MEASURED_AT)
def test_part_of_the_way_through_the_sets_hold_each_class_as_they_promise(
    measured: dict[float, PartWay], elapsed: float
) -> None:
    for held in measured[elapsed].sets_by_class:
        assert held.high is not None
        assert held.high >= 0.87, held  # of 0.9, with thresholds from some 70 students of the rarest class


@pytest.mark.parametrize("elapsed", MEASURED_AT)
def test_the_count_so_far_and_its_projection_are_worse_and_the_whole_periods_sets_too_small(
    students: pd.DataFrame, grade_class: Contract, fitted: Fitted, population: Population, elapsed: float
) -> None:
    rng, contract = np.random.default_rng(3), grade_class
    raw = cohort.generate(MANY, seed=4)
    y, columns = raw["GradeClass"].to_numpy(int), contract.accumulating
    so_far = thinned(parse(raw, contract), columns, elapsed, rng)
    projected = so_far.assign(Absences=(so_far["Absences"] / elapsed).round().clip(upper=30))
    parts, accumulation = np.full(MANY, elapsed), Accumulation(population.totals, contract)
    mean = accumulation.mean(fitted.probabilities, matrix(so_far, contract), parts)
    losses = [
        evaluate(shares.astype(float), y)["log_loss"]
        for shares in (
            mean,
            fitted.probabilities(matrix(projected, contract)),
            fitted.probabilities(matrix(so_far, contract)),
        )
    ]
    assert losses[0] + 0.02 < losses[1] < losses[2]
    whole, part_way = (
        min(grade_sets(mean, least)[y == k, k].mean() for k in range(5))
        for least in (fitted.thresholds.least, population.thresholds(fitted.thresholds.least, parts))
    )
    assert whole < part_way


def test_the_ranges_are_those_of_most_students(population: Population) -> None:
    assert population.ranges["StudyTimeWeekly"] == pytest.approx((1, 19), abs=0.3)
    assert set(population.totals) == {"Absences"}


def test_what_is_kept_of_students_is_the_same_for_the_same_students(
    students: pd.DataFrame, grade_class: Contract, fitted: Fitted, population: Population
) -> None:
    again = population_of(students, grade_class, fitted.probabilities, fitted.thresholds.least)
    assert Population.model_validate_json(again.model_dump_json()) == population


def nothing_known(shares: int) -> Callable[[np.ndarray], np.ndarray]:
    """A model that says the same of everyone."""
    return lambda features: np.full((len(features), shares), 1 / shares, dtype=np.float32)


def test_real_records_have_no_best_possible_beside_them(grade_class: Contract) -> None:
    evidence, ask = grade_evidence(grade_class, 200), nothing_known(5)
    population = population_of(evidence.frame, grade_class, ask, (0.1,) * 5)
    found = part_way_figures(evidence, population, ask, (0.1,) * 5)
    assert [one.elapsed for one in found] == list(MEASURED_AT)
    assert {one.log_loss.limit for one in found} == {None}
    assert [one.log_loss.value for one in found] == pytest.approx([np.log(5)] * 3, rel=1e-5)


def test_where_nothing_accumulates_there_is_nothing_to_measure() -> None:
    contract, ask = contract_of(), nothing_known(3)
    evidence = any_evidence(contract, 40)
    population = population_of(evidence.frame, contract, ask, (0.1,) * 3)
    assert (population.totals, population.sets) == ({}, ())
    assert part_way_figures(evidence, population, ask, (0.1,) * 3) == []
    assert AFTER not in model_card(evidence, {})


def test_the_card_says_how_good_it_is_before_the_end_or_that_it_is_not_known(
    grade_class: Contract, measured: dict[float, PartWay]
) -> None:
    evidence = grade_evidence(grade_class, 200)
    assert "is not known" in section_of(model_card(evidence, {}), AFTER)
    told = section_of(model_card(evidence, {}, list(measured.values())), AFTER)
    (quarter,) = [line for line in told.splitlines() if line.startswith("| 25 % |")]
    found = measured[0.25]
    assert f"| {found.log_loss.value:.3f} ({found.log_loss.low:.3f} to {found.log_loss.high:.3f})" in quarter
    assert f"| {found.log_loss.limit:.3f} |" in quarter
    assert f"| {100 * (found.recall.share or 0):.0f} % (" in quarter
    assert "On the 4,000 test students, with Absences as they stood" in told


@pytest.mark.parametrize("elapsed", [0.1, 0.5])
def test_the_best_possible_forecast_of_a_count_so_far_comes_true_as_often_as_it_says(elapsed: float) -> None:
    raw = cohort.generate(20_000, seed=2)
    rng = np.random.default_rng(0)
    so_far = raw.assign(Absences=rng.binomial(raw["Absences"], elapsed))
    best = best_possible(so_far, "grade_class", elapsed, {})
    assert best is not None
    y = raw["GradeClass"].to_numpy(int)
    assert evaluate(best, y)["ece"] < 0.015
    assert best.mean(axis=0) == pytest.approx(np.bincount(y) / len(y), abs=0.01)


@pytest.mark.parametrize("scenario", ["prior-shift", "missing-at-random", "label-tail"])
def test_the_best_is_not_claimed_where_the_count_goes_with_other_columns(scenario: str) -> None:
    raw = cohort.generate(50, scenario=scenario)
    assert best_possible(raw, "grade_class", 0.5, {"scenario": scenario}) is None
