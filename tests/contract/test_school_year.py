"""The generated school year: its tables agree, and its truth is the one that simulated futures show."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtr
from scipy.stats import binom, norm

from data.cohorts import school_year
from data.cohorts.__main__ import main
from data.cohorts.addresses import generate_tables, write_cohort
from data.cohorts.school_year import (
    CUTS,
    DUE,
    GRADES,
    SCENARIOS,
    TESTS,
    TURN,
    WEEK,
    WEEKS,
    Tables,
    YearRule,
    tables,
    true_probabilities,
)
from data.contract.contract import Contract, load_contract
from data.errors import BadInput
from data.rows.frames import parse, target_index
from data.rows.quarantine import quarantine
from data.snapshots.snapshots import open_records, open_snapshots

STUDENTS = 2_500
DRAWS = 60_000
DAYS = (0, 60, 150, 240)


@cache
def year(scenario: str | None = None) -> Tables:
    return tables(STUDENTS, seed=3, scenario=scenario)


@cache
def truth(day: int, scenario: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities of the students who are there on a day, and the places of their grades."""
    found = true_probabilities(year(scenario), day, scenario)
    return found.to_numpy(), grades_of(found, year(scenario))


def grades_of(found: pd.DataFrame, of: Tables) -> np.ndarray:
    grade = of["students"].set_index("student_no")["final_grade"].loc[found.index]
    return grade.map({label: place for place, label in enumerate(GRADES)}).to_numpy()


def log_loss(shares: np.ndarray, y: np.ndarray) -> float:
    shares = shares / shares.sum(axis=1, keepdims=True)
    return float(-np.log(np.maximum(shares[np.arange(len(y)), y], 1e-12)).mean())


def known_by(of: Tables, day: int, student: str | None = None) -> Tables:
    """The tables as they were on a day, of everyone or of one student."""
    days = {"attendance": "known", "marks": "known", "work": "handed_in"}
    kept = {name: of[name][of[name][column] <= day] for name, column in days.items()}
    ours = {name: t if student is None else t[t["student_no"] == student] for name, t in kept.items()}
    return {**of, **ours}


class Futures:
    """Draws of the latents and the future of one student, weighed by how well they explain his history.

    Written row by row from the formulas of the generator's docstring; it shares the rule in force alone.
    """

    def __init__(self, of: Tables, student: str, day: int, rule: YearRule) -> None:
        self.rng = np.random.default_rng(1)
        self.row: Any = next(of["students"][of["students"]["student_no"] == student].itertuples())
        self.history, self.day, self.rule = known_by(of, day, student), day, rule
        mean = 0.3 * (self.row.support_at_home - 1.5) - 0.15 * (self.row.travel_time - 25) / 15
        self.e: np.ndarray = mean + self.rng.normal(0, 1, DRAWS)
        known = bool(of["students"].set_index("student_no")["prior_attainment"].notna()[student])
        prior = (self.row.prior_attainment - 60) / 12 if known else self.rng.normal(0, 1, DRAWS)
        self.ability = 0.45 * prior + 0.35 * self.e + self.rng.normal(0, 0.7, DRAWS)
        self.growth = self.rng.normal(0.25, 0.6, DRAWS)
        self.score = 58 + 9 * (self.ability + self.growth)
        self.weight, self.stays = np.zeros(DRAWS), np.ones(DRAWS)

    def live_through_the_weeks(self) -> None:
        chance, hazard = expit(self.rule.missing(self.e)), 0.0015 * np.exp(-0.8 * self.e)
        missed = self.history["attendance"].set_index("week_from")["days"]
        for week in WEEKS[self.row.enrolled <= WEEKS * WEEK]:
            absent = chance[:, week]
            if (week + 1) * WEEK <= self.day:
                days = np.full(DRAWS, missed.get(week * WEEK, 0))
                self.weight += days * np.log(absent) + (5 - days) * np.log1p(-absent) - hazard
            else:
                days = self.rng.binomial(5, absent)
                self.stays *= np.exp(-hazard)
            self.score -= self.rule.costs[week] * days

    def write_the_tests(self) -> None:
        raised = dict(zip(TESTS.tolist(), self.rule.raised.tolist(), strict=True))
        for written, mark in self.history["marks"][["written", "mark"]].to_numpy().tolist():
            level = 60 + 8 * (self.ability + self.growth * written / 270) + raised[written]
            self.weight += norm.logpdf(mark, level, 7)

    def hand_in_the_work(self) -> None:
        due = DUE[self.row.course]
        done = self.history["work"].set_index("task")
        for number, day in enumerate(due.tolist(), start=1):
            if day >= self.row.enrolled + 7:
                piece = self.one_piece(day, done[done.index == f"{self.row.course}-{number:02d}"])
                self.score += np.array([1, 0.5, 0])[piece] * 20 / len(due)

    def one_piece(self, due: int, done: pd.DataFrame) -> np.ndarray:
        """Draw whether a piece comes on time, late or never, where that is not known yet."""
        states = self.rule.handing_in(self.e, np.array([due]))[:, 0]
        if len(done):
            late = int(done["handed_in"].item() > due)
            self.weight += np.log(states[:, late])
            self.weight += binom.logpmf(done["mark"].item(), 10, expit(0.8 + 0.35 * self.e))
            return np.full(DRAWS, late)
        lags = np.arange(-6, 1), np.arange(1, 14)
        states = states * np.array([*(np.mean(due + lag > self.day) for lag in lags), 1.0])
        self.weight += np.log(states.sum(axis=1))
        reached = (states / states.sum(axis=1, keepdims=True)).cumsum(axis=1)
        return np.asarray((self.rng.random((DRAWS, 1)) > reached[:, :2]).sum(axis=1))

    def shares(self) -> np.ndarray:
        """Give the class probabilities of the student."""
        self.live_through_the_weeks()
        self.write_the_tests()
        self.hand_in_the_work()
        weight = np.exp(self.weight - self.weight.max())
        above = ndtr((self.score[:, None] + 0.05 - CUTS) / 4) * self.stays[:, None]
        return np.diff(weight @ above / weight.sum(), prepend=0, append=1)


@pytest.mark.parametrize(("scenario", "day"), [(None, 97), *((name, 140) for name in SCENARIOS)])
def test_the_truth_is_what_simulated_futures_of_the_same_history_show(scenario: str | None, day: int) -> None:
    of = year(scenario)
    there = of["students"][of["students"]["left"].isna()].set_index("student_no")
    late, unknown = there["enrolled"] == 28, there["prior_attainment"].isna()
    chosen = [there[~late & ~unknown].index[7]]
    if scenario is None:
        chosen += [there[unknown].index[0], there[late].index[0]]
    few = {**of, "students": of["students"][of["students"]["student_no"].isin(chosen)]}
    found, rule = true_probabilities(few, day, scenario), YearRule.of(scenario, None)
    for student in chosen:
        expected = Futures(of, student, day, rule).shares()
        assert found.loc[student].to_numpy() == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("scenario", [None, *SCENARIOS])
def test_the_true_probabilities_are_the_shares_of_the_grades_on_each_day(scenario: str | None) -> None:
    for day in DAYS[1:] if scenario is None else (150,):
        shares, y = truth(day, scenario)
        assert shares.sum(axis=1) == pytest.approx(1)
        for place in range(len(GRADES)):
            assert shares[:, place].mean() == pytest.approx((y == place).mean(), abs=0.025)
            for fifth in np.array_split(np.argsort(shares[:, place]), 5):
                assert shares[fifth, place].mean() == pytest.approx((y[fifth] == place).mean(), abs=0.07)


@pytest.mark.parametrize("day", DAYS)
def test_nothing_that_forgets_or_bends_a_part_of_the_truth_has_a_lower_log_loss(day: int) -> None:
    shares, y = truth(day)
    best = log_loss(shares, y)
    for bent in (shares**0.8, shares**1.25, 0.9 * shares + 0.02):
        assert best < log_loss(bent, y)
    for name in ("attendance", "marks", "work") if day == 150 else ():
        without = {**year(), name: year()[name].iloc[:0]}
        assert best < log_loss(true_probabilities(without, day).to_numpy(), y) - 0.005


def test_the_best_possible_accuracy_grows_from_day_to_day() -> None:
    reached = [float(truth(day)[0].max(axis=1).mean()) for day in DAYS]
    assert reached == sorted(reached)
    assert reached[0] < 0.35
    assert reached[-1] > 0.6


@pytest.mark.parametrize("day", [0, 33, 150])
def test_what_became_known_after_a_day_changes_no_truth_of_that_day(day: int) -> None:
    of = year()
    rng = np.random.default_rng(5)
    shuffled = {
        name: t.sample(frac=1, random_state=rng) if "known" in t else t
        for name, t in known_by(of, day).items()
    }
    left = of["students"]["left"].where(of["students"]["left"] <= day)
    shuffled["students"] = of["students"].assign(left=left, final_score=0.0, final_grade="F")
    pd.testing.assert_frame_equal(true_probabilities(of, day), true_probabilities(shuffled, day))


def test_on_each_day_those_are_there_who_have_joined_and_not_left() -> None:
    of = {**year(), "students": year()["students"].iloc[:600]}
    students = of["students"].set_index("student_no")
    late, gone = students[students["enrolled"] == 56], students[students["left"].between(57, 70)]
    assert len(late)
    assert len(gone)
    for day in (55, 56, 62, 63, 70):
        there = true_probabilities(of, day).index
        assert late.index.isin(there).sum() == (len(late) if day >= 56 else 0)
        assert gone.index.isin(there).sum() == (gone["left"] > day).sum()


def test_the_grade_follows_from_the_score_and_who_left_has_the_worst_without_one() -> None:
    students = year()["students"]
    left = students["left"].notna()
    assert 0.04 < left.mean() < 0.12
    assert (students.loc[left, "final_grade"] == "F").all()
    assert students.loc[left, "final_score"].isna().all()
    stayed = students[~left]
    places = (stayed["final_score"].to_numpy()[:, None] < CUTS).sum(axis=1)
    assert (stayed["final_grade"] == np.array(GRADES)[places]).all()


def test_no_student_has_rows_from_before_joining_or_after_leaving_or_twice() -> None:
    of = year()
    span = of["students"].set_index("student_no")[["enrolled", "left"]].astype("Int64")
    for name, day, what in (
        ("attendance", "week_from", "week_from"),
        ("marks", "written", "written"),
        ("work", "handed_in", "task"),
    ):
        table = of[name].join(span, on="student_no")
        assert (table[day] >= table["enrolled"]).all()
        assert (table[day] < table["left"].fillna(school_year.YEAR)).all()
        assert not table.duplicated(["student_no", what]).any()
    work = of["work"].merge(of["tasks"], on="task")
    assert work["handed_in"].sub(work["due"]).between(-6, 13).all()
    assert of["tasks"].groupby("course")["weight"].sum().eq(20).all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_changes_nothing_that_is_known_before_it_begins(scenario: str) -> None:
    before, drifted = (known_by(year(of), TURN - WEEK) for of in (None, scenario))
    statics = ["student_no", "course", "gender", "enrolled", "prior_attainment"]
    assert before["students"][statics].equals(drifted["students"][statics])
    for name in ("attendance", "marks", "work"):
        share = len(drifted[name]) / len(before[name])
        assert share == pytest.approx(1, abs=0.02)


def test_each_scenario_moves_what_it_says_from_its_day_on() -> None:
    def after(name: str, scenario: str | None, day: str, until: int = school_year.YEAR) -> pd.DataFrame:
        table = year(scenario)[name]
        return table[table[day].between(TURN + 14, until)]

    wave = [
        after("attendance", name, "week_from", TURN + 41)["days"].sum() for name in (None, "illness-wave")
    ]
    assert 2 < wave[1] / wave[0] < 3
    marks = [after("marks", name, "written")["mark"].mean() for name in (None, "marks-inflated")]
    assert marks[1] - marks[0] == pytest.approx(8, abs=0.5)
    work = [len(after("work", name, "handed_in")) for name in (None, "work-lost")]
    assert work[1] / work[0] == pytest.approx(0.7, abs=0.03)
    scores = [year(name)["students"]["final_score"].mean() for name in (None, "absences-cost-more")]
    assert 3 < scores[0] - scores[1] < 10


def test_the_truth_of_another_rule_is_worse_than_that_of_the_rule_in_force() -> None:
    for scenario in SCENARIOS:
        shares, y = truth(150, scenario)
        assert log_loss(shares, y) < log_loss(true_probabilities(year(scenario), 150).to_numpy(), y)


def test_the_same_seed_gives_the_same_tables_and_another_seed_others() -> None:
    one, again, other = (tables(50, seed=seed) for seed in (3, 3, 4))
    for name in one:
        assert one[name].equals(again[name])
    assert not one["marks"].equals(other["marks"])


def test_students_stand_in_the_order_of_their_school_years() -> None:
    assert tables(7, years=(2024, 2025))["students"]["school_year"].tolist() == ["2024"] * 4 + ["2025"] * 3


@pytest.mark.parametrize(
    ("scenario", "strength", "says"),
    [
        ("flood", None, "no drift scenario 'flood'; there are illness-wave"),
        ("illness-wave", -1.0, "illness-wave cannot be that strong"),
        ("work-lost", 1.0, "work-lost cannot be that strong"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(scenario: str, strength: float | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tables(10, scenario=scenario, strength=strength)


@pytest.fixture(scope="module")
def contract() -> Contract:
    return load_contract("school_year")


def test_an_address_gives_the_tables_that_it_asks_for(contract: Contract) -> None:
    found, plan = generate_tables("cohort://40?seed=3&scenario=work-lost&strength=0.5", contract)
    assert plan.drift == {"scenario": "work-lost", "strength": 0.5}
    expected = tables(40, 3, **plan.drift)
    assert list(found) == list(expected)
    assert found["work"].equals(expected["work"])


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("cohort://0", "rows: this should be greater than or equal to 1"),
        ("cohort://9?scenario=absences", "no scenario 'absences'; there are illness-wave, marks-inflated,"),
        ("cohort://9?scenario=work-lost&strength=2", "work-lost cannot be that strong"),
    ],
)
def test_a_mistake_in_an_address_is_named(address: str, says: str, contract: Contract) -> None:
    with pytest.raises(BadInput, match=re.escape(says)):
        generate_tables(address, contract)


def test_a_contract_without_dates_has_no_tables(grade_class: Contract) -> None:
    with pytest.raises(BadInput, match="there is no generated cohort for the contract grade_class"):
        generate_tables("cohort://9", grade_class)


def test_the_command_writes_the_tables_that_the_contract_reads(
    contract: Contract, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "year"
    assert main(["cohort://300?seed=5", str(folder)]) == 0
    assert "students.csv (300 rows), attendance.csv" in capsys.readouterr().out
    with open_snapshots(str(folder), contract) as records:
        frame = pd.concat(records.read(), ignore_index=True)
        assert records.set_aside is not None
        assert records.set_aside.faults.empty
    clean, faults = quarantine(parse(frame, contract), contract)
    assert faults.empty
    assert set(target_index(clean, contract)) == set(range(len(GRADES)))
    assert contract.dated is not None
    of = tables(300, seed=5)
    for day in contract.dated.checkpoints:
        there = frame.loc[frame["as_of"] == day, "student_no"]
        assert set(there) == set(true_probabilities(of, day).index)


def test_an_address_is_read_like_a_folder_of_its_tables(contract: Contract, tmp_path: Path) -> None:
    write_cohort("cohort://80?seed=5", contract, tmp_path / "year")
    found = []
    for source in ("cohort://80?seed=5", str(tmp_path / "year")):
        with open_records(source, contract) as records:
            plan = records.generated
            found.append((pd.concat(records.read(), ignore_index=True), records.sha256))
            assert (plan is None) == (source == str(tmp_path / "year"))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_what_the_contract_takes_is_what_a_person_would_count(contract: Contract, tmp_path: Path) -> None:
    rows, _ = write_cohort("cohort://60?seed=2", contract, tmp_path / "year")
    assert rows["students"] == 60
    with open_snapshots(str(tmp_path / "year"), contract, [97]) as records:
        frame = pd.concat(records.read(), ignore_index=True).set_index("student_no")
    known = known_by(tables(60, seed=2), 97)
    work = known["work"].merge(known["tasks"], on="task")
    counted = {
        "days_missed": known["attendance"].groupby("student_no")["days"].sum(),
        "mean_mark": known["marks"].groupby("student_no")["mark"].mean(),
        "pieces_in": work.groupby("student_no").size(),
        "pieces_late": work[work["handed_in"] > work["due"]].groupby("student_no").size(),
    }
    for name, expected in counted.items():
        wanted = expected.reindex(frame.index, fill_value=0).to_numpy(dtype=float)
        assert frame[name].to_numpy(dtype=float) == pytest.approx(wanted), name


def test_the_command_writes_a_cohort_without_dates_as_one_file(tmp_path: Path) -> None:
    assert main(["cohort://7", str(tmp_path / "new"), "--contract", "grade_class"]) == 0
    assert len(pd.read_csv(tmp_path / "new" / "students.csv")) == 7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["cohort://x", "new"], "rows: this should be a valid integer"),
        (["cohort://9", "."], "there is something here already. Name a new folder."),
        (["cohort://9", "file.txt"], "there is something here already. Name a new folder."),
        (["cohort://9", "new", "--contract", "school"], "there is no contract 'school'"),
    ],
)
def test_the_command_says_what_is_wrong_and_writes_nothing(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
