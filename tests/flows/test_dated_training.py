"""Learning from snapshots: rows of one student stay together, and every day is judged for itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.bundle.card import Card
from data.contract.contract import Contract
from data.rows.frames import of_days, one_row_each, students_of
from flows.evaluate import gather_evidence
from flows.process import process_records
from flows.processing.processed import Processed
from flows.reports.by_day import day_figures, holds
from flows.reports.card import model_card
from flows.reports.evidence import Evidence
from flows.reports.figures import card_figures
from flows.reports.plots import plots_of, write_plots
from flows.settings import Settings
from flows.train import train_model
from flows.training.data import stratified_folds, tuning_rows
from flows.training.grid import Grid, grid_for
from flows.training.metrics import intervals, paired_bootstrap
from flows.training.rows import training_data
from flows.training.trained import Trained
from tests.dated_school import DAYS, small_school, write_school

GRID = Grid.model_validate(
    {
        "families": [
            {"max_depth": 2, "learning_rate": 0.2, "n_estimators": 20, "head": "softmax", "max_bin": 32}
        ]
    }
)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    school = small_school(tmp_path_factory.mktemp("contract"))
    assert school.dated is not None
    ruled = school.dated.model_copy(update={"early_warning": "mean_mark < 55 or absences > 20"})
    return school.model_copy(update={"dated": ruled, "rule_of_thumb": "mean_mark"})


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), jobs=1, folds=3)


@pytest.fixture(scope="module")
def processed(contract: Contract, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Processed:
    return process_records(str(write_school(tmp_path_factory.mktemp("tables"), 400)), contract, settings)


@pytest.fixture(scope="module")
def trained(processed: Processed, contract: Contract, settings: Settings) -> Trained:
    return train_model(processed, contract, GRID, settings)


@pytest.fixture(scope="module")
def evidence(trained: Trained, processed: Processed, contract: Contract, settings: Settings) -> Evidence:
    return gather_evidence(trained, processed, contract, settings)


@pytest.fixture(scope="module")
def card(evidence: Evidence) -> Card:
    return card_figures(evidence)


def test_the_newest_cohort_is_held_out_whole(processed: Processed, contract: Contract) -> None:
    train, test = (processed.split(contract, name) for name in ("train", "test"))
    assert len(train) + len(test) == processed.rows
    assert not set(train["person"]) & set(test["person"])
    assert set(train["as_of"]) == set(test["as_of"]) == set(DAYS)
    assert not processed.quarantined  # a student has a row for each day, and none of them is twice there


def test_a_student_is_on_one_side_of_every_fold(processed: Processed, contract: Contract) -> None:
    data = training_data(processed.split(contract, "train"), contract)
    assert data.students is not None
    for learned, held in stratified_folds(data, 3, seed=0):
        assert not set(data.students[learned]) & set(data.students[held])
        assert len(learned) + len(held) == len(data.y)


def test_a_sample_to_tune_on_has_all_rows_of_its_students(processed: Processed, contract: Contract) -> None:
    data = training_data(processed.split(contract, "train"), contract)
    assert data.students is not None
    some = tuning_rows(data, 3, seed=0, limit=len(data.y) // 2)
    assert some is not None
    assert len(some) == pytest.approx(len(data.y) / 2, rel=0.1)
    chosen = set(data.students[some])
    assert np.array_equal(np.flatnonzero(np.isin(data.students, list(chosen))), some)
    shares = [np.bincount(y, minlength=5) / len(y) for y in (data.y, data.y[some])]
    assert shares[0] == pytest.approx(shares[1], abs=0.05)


def test_rows_that_say_the_same_again_make_no_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    gap = rng.normal(0.1, 1, 200)
    once = paired_bootstrap(gap, np.zeros(200))
    again, students = np.repeat(gap, 9), np.repeat(np.arange(200), 9)
    whole = paired_bootstrap(again, np.zeros(1800), students=students)
    naive = paired_bootstrap(again, np.zeros(1800))
    assert whole.high - whole.low == pytest.approx(once.high - once.low, rel=0.15)
    assert naive.high - naive.low < 0.5 * (whole.high - whole.low)


def test_intervals_of_repeated_rows_are_those_of_the_students() -> None:
    rng = np.random.default_rng(1)
    shares, y = rng.dirichlet((1, 1, 1), 150), rng.integers(0, 3, 150)
    students = np.repeat(np.arange(150), 4)
    once = intervals(shares, y, 0)
    again = intervals(np.repeat(shares, 4, axis=0), np.repeat(y, 4), 0, students=students)
    for name in ("accuracy", "log_loss", "ece"):
        widths = [high - low for low, high in (once[name], again[name])]
        assert widths[0] == pytest.approx(widths[1], rel=0.25), name


def test_each_student_counts_once_where_rows_are_tested_as_independent(
    processed: Processed, contract: Contract
) -> None:
    frame = processed.parsed(contract)
    some = one_row_each(frame)
    assert not some["person"].duplicated().any()
    assert set(some["person"]) == set(frame["person"])
    assert set(some["as_of"]) == set(DAYS)
    flat = frame.drop(columns="person")
    assert one_row_each(flat) is flat
    assert students_of(flat) is None


def test_a_batch_of_one_day_is_put_beside_reference_rows_of_the_nearest(
    processed: Processed, contract: Contract
) -> None:
    frame = processed.parsed(contract)
    assert set(of_days(frame, pd.Series([97, 97]))["as_of"]) == {90}
    assert set(of_days(frame, frame["as_of"])["as_of"]) == set(DAYS)


def test_a_grid_of_their_own_is_the_default_of_dated_records(
    contract: Contract, grade_class: Contract
) -> None:
    assert grid_for(contract, "default") == "dated"
    assert grid_for(contract, "wide") == "wide"
    assert grid_for(grade_class, "default") == "default"


def test_each_day_is_judged_on_the_students_who_were_there(card: Card, evidence: Evidence) -> None:
    days = evidence.frame["as_of"]
    assert [day.as_of for day in card.days] == list(DAYS)
    assert [day.n for day in card.days] == [int((days == day).sum()) for day in DAYS]
    first, last = card.days[0], card.days[-1]
    assert last.log_loss.value is not None
    assert first.log_loss.value is not None
    assert last.log_loss.value < first.log_loss.value
    assert (last.recall_first.share or 0) > 0
    for day in card.days:
        assert {line.name for line in day.baselines} == {"majority", "mean_mark alone"}
        assert {group.label for group in day.groups} == {"Female", "Male"}
        assert sum(group.accuracy.n for group in day.groups) == day.n
        assert sum(share.n for share in day.sets_by_class) == day.n


def test_the_sets_of_plausible_grades_have_thresholds_for_each_day(trained: Trained, card: Card) -> None:
    sets = trained.day_sets(DAYS)
    assert [one.as_of for one in sets] == list(DAYS)
    assert len({one.thresholds for one in sets}) == len(DAYS)
    held = [share for day in card.days for share in day.sets_by_class]
    assert sum((one.share or 0) * one.n for one in held) / sum(one.n for one in held) > 0.8


def test_the_schools_own_rule_stands_beside_the_model(card: Card, evidence: Evidence) -> None:
    last = card.days[-1]
    assert last.rule is not None
    rows = evidence.frame[evidence.frame["as_of"] == last.as_of]
    flagged = (rows["mean_mark"] < 55) | (rows["absences"] > 20)
    assert last.rule.flagged.share == pytest.approx(flagged.mean())
    assert last.rule.recall.n == last.rule.recall_alike.n


def test_a_rule_does_not_flag_whom_it_cannot_judge() -> None:
    frame = pd.DataFrame({"mean_mark": [40.0, np.nan, 70.0], "absences": [0, 0, 30]})
    assert holds("mean_mark < 55 or absences > 20", frame).tolist() == [True, False, True]
    assert holds("not mean_mark >= 55", frame).tolist() == [True, False, False]


def test_the_day_from_which_it_is_better_is_the_first_that_stays_so(card: Card) -> None:
    ahead = [day.as_of for day in card.days if day.ahead]
    if card.ahead_from is None:
        assert not card.days[-1].ahead
    else:
        later = [day for day in card.days if day.as_of >= card.ahead_from]
        assert all(day.ahead for day in later)
        assert card.ahead_from in ahead
    lost = card.model_copy(update={"days": (*card.days[:-1], _not_ahead(card))})
    assert lost.ahead_from is None


def _not_ahead(card: Card) -> object:
    last = card.days[-1]
    even = tuple(line.model_copy(update={"low": -0.1, "high": 0.1}) for line in last.baselines)
    return last.model_copy(update={"baselines": even})


def test_the_card_tells_how_early_in_words_tables_and_a_plot(evidence: Evidence, tmp_path: Path) -> None:
    text = model_card(evidence, {})
    assert "## How early" in text
    assert "mean_mark < 55 or absences > 20" in text
    assert "The same for the groups of the audit" in text
    assert next(plot.__name__ for plot in plots_of(evidence)) == "how_early"
    assert (tmp_path / "how_early.png") in write_plots(evidence, tmp_path)


def test_rows_of_other_days_count_at_the_checkpoint_that_is_nearest(
    trained: Trained, processed: Processed, contract: Contract, settings: Settings
) -> None:
    """As a log of weekly forecasts has them: few rows of each day, and not every class among them."""
    evidence = gather_evidence(trained, processed, contract, settings)
    frame = evidence.frame.assign(as_of=evidence.frame["as_of"] + np.arange(len(evidence.frame)) % 9 - 4)
    rows = processed.split(contract, "train")
    few = rows[rows["final_grade"] != "A"]
    found = day_figures(
        replace(evidence, frame=frame), lambda: few, np.ones(evidence.probabilities.shape, bool)
    )
    assert [(day.as_of, day.n) for day in found] == [(day.as_of, day.n) for day in evidence.days]
    assert all(np.isfinite(line.log_loss) for day in found for line in day.baselines)
    assert {one.as_of for one in trained.day_sets((60, 180))} == {60, 180}
