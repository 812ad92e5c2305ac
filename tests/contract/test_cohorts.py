"""Generated cohorts keep their contracts, their truth is the truth, and a mistake in asking is answered."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data.cohorts import leaving_exam
from data.cohorts.addresses import DATED_GENERATORS, GENERATORS
from data.cohorts.grades import CODED, SCENARIOS, generate, true_probabilities
from data.contract.contract import FOLDER, Contract, load_contract
from data.errors import BadInput
from data.rows.frames import parse, target_index
from data.rows.quarantine import quarantine
from tests.contract.files import read_records

MANY = 40_000
OTHERS = sorted(set(GENERATORS) - {"grade_class"})


def shares_of_classes(frame: pd.DataFrame) -> np.ndarray:
    return np.bincount(frame["GradeClass"].astype(int), minlength=5) / len(frame)


def test_a_cohort_has_the_columns_and_types_of_the_real_file(real_grades: Path) -> None:
    real, ours = pd.read_csv(real_grades), generate(100)
    assert list(ours) == list(real)
    assert ours.dtypes.to_dict() == real.dtypes.to_dict()


@pytest.mark.parametrize("column", [*CODED, "Absences"])
def test_the_shares_of_codes_are_those_of_the_real_file(real_grades: Path, column: str) -> None:
    real, ours = pd.read_csv(real_grades)[column], generate(MANY)[column]
    expected = ours.value_counts(normalize=True).sort_index() * len(real)
    assert stats.chisquare(real.value_counts().sort_index(), expected).pvalue > 0.001


def test_study_time_and_gpa_are_distributed_as_in_the_real_file(real_grades: Path) -> None:
    real, ours = pd.read_csv(real_grades), generate(MANY)
    assert stats.ks_2samp(real["StudyTimeWeekly"], ours["StudyTimeWeekly"]).pvalue > 0.001
    assert stats.ks_2samp(real["GPA"], ours["GPA"]).statistic < 0.05


def test_ids_ascend_from_the_first_one() -> None:
    assert generate(3, first_id=7)["StudentID"].tolist() == [7, 8, 9]


def test_the_class_is_the_one_that_the_gpa_gives() -> None:
    cohort = generate(5_000)
    ruled = 4 - (cohort["GPA"].to_numpy()[:, None] >= [2.0, 2.5, 3.0, 3.5]).sum(axis=1)
    assert (cohort["GradeClass"] == ruled).all()


@pytest.mark.parametrize("scenario", [None, *SCENARIOS])
def test_the_true_probabilities_are_those_of_the_classes_that_were_drawn(scenario: str | None) -> None:
    cohort = generate(MANY, seed=5, scenario=scenario)
    truth = true_probabilities(cohort, scenario)
    assert truth.sum(axis=1) == pytest.approx(1)
    assert truth.mean(axis=0) == pytest.approx(shares_of_classes(cohort), abs=0.008)
    for tenth in np.array_split(np.argsort(truth[:, 4]), 10):
        failed = (cohort["GradeClass"].to_numpy()[tenth] == 4).mean()
        assert truth[tenth, 4].mean() == pytest.approx(failed, abs=0.03)


def test_without_drift_the_best_possible_accuracy_is_that_of_the_real_file() -> None:
    truth = true_probabilities(generate(MANY))
    assert truth.max(axis=1).mean() == pytest.approx(0.827, abs=0.006)


def test_each_scenario_has_the_strength_it_says() -> None:
    assert generate(MANY, scenario="absences")["Absences"].mean() == pytest.approx(17.5, abs=0.15)
    fewer = generate(MANY, scenario="absences", strength=-2)
    assert fewer["Absences"].mean() == pytest.approx(12.5, abs=0.15)
    assert (generate(MANY, scenario="new-category")["Ethnicity"] == 4).mean() == pytest.approx(
        0.08, abs=0.005
    )
    assert shares_of_classes(generate(MANY, scenario="prior-shift"))[4] == pytest.approx(0.35, abs=0.01)


def test_what_is_missing_is_missing_more_often_with_many_absences() -> None:
    cohort = generate(MANY, scenario="missing-at-random")
    missing = cohort["StudyTimeWeekly"].isna()
    assert missing.mean() == pytest.approx(0.20, abs=0.01)
    assert cohort["ParentalSupport"].isna().mean() == pytest.approx(0.20, abs=0.01)
    assert missing[cohort["Absences"] > 20].mean() > 2 * missing[cohort["Absences"] < 9].mean()


def test_only_the_labels_of_the_tail_are_drawn_anew() -> None:
    cohort, drifted = generate(1_000, seed=2), generate(1_000, seed=2, scenario="label-tail")
    assert drifted.drop(columns="GradeClass").equals(cohort.drop(columns="GradeClass"))
    changed = np.flatnonzero(drifted["GradeClass"] != cohort["GradeClass"])
    assert changed.min() >= 910
    assert len(changed) > 50


def test_tutoring_void_takes_tutoring_out_of_the_grades_and_leaves_the_columns() -> None:
    cohort, drifted = generate(1_000, seed=2), generate(1_000, seed=2, scenario="tutoring-void")
    assert drifted["Tutoring"].equals(cohort["Tutoring"])
    lost = (cohort["GPA"] - drifted["GPA"])[(drifted["GPA"] > 0) & (cohort["GPA"] < 4)]
    assert lost[cohort["Tutoring"] == 1].to_numpy() == pytest.approx(0.25)
    assert lost[cohort["Tutoring"] == 0].to_numpy() == pytest.approx(0)


def test_an_unknown_scenario_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no drift scenario 'flood'; there are absences"):
        generate(10, scenario="flood")


def test_every_contract_but_those_with_real_data_has_a_cohort() -> None:
    generated = {*GENERATORS, *DATED_GENERATORS}
    assert {path.stem for path in FOLDER.glob("*.yaml")} - generated == {"pass_fail", "oneroster", "oulad"}


@pytest.mark.parametrize("name", OTHERS)
def test_a_cohort_keeps_its_contract(name: str) -> None:
    contract = load_contract(name)
    records = read_records("cohort://500?seed=4", contract)
    clean, faults = quarantine(parse(records.frame, contract), contract)
    assert (len(clean), len(faults), records.undeclared) == (500, 0, ())
    assert set(target_index(clean, contract)) == set(range(len(contract.target.classes)))


@pytest.mark.parametrize("name", OTHERS)
def test_the_true_probabilities_are_those_that_the_classes_were_drawn_with(name: str) -> None:
    contract = load_contract(name)
    raw = GENERATORS[name].generate(MANY, seed=5)
    y = target_index(parse(raw, contract), contract)
    truth = GENERATORS[name].true_probabilities(raw)
    assert truth.sum(axis=1) == pytest.approx(1)
    for place, share in enumerate(np.bincount(y) / MANY):
        assert truth[:, place].mean() == pytest.approx(share, abs=0.008)
        for tenth in np.array_split(np.argsort(truth[:, place]), 10):
            assert truth[tenth, place].mean() == pytest.approx((y[tenth] == place).mean(), abs=0.03)


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_the_same_seed_gives_the_same_students_and_another_seed_others(name: str) -> None:
    generate = GENERATORS[name].generate
    assert generate(30, seed=3).equals(generate(30, seed=3))
    assert not generate(30, seed=3).equals(generate(30, seed=4))


@pytest.mark.parametrize("name", [name for name in OTHERS if not GENERATORS[name].SCENARIOS])
def test_a_scenario_of_another_contract_is_refused_in_words(name: str) -> None:
    with pytest.raises(BadInput, match="no scenario 'absences'; there are none for this contract"):
        read_records("cohort://9?scenario=absences", load_contract(name))


def test_an_address_gives_the_cohort_that_it_asks_for(grade_class: Contract) -> None:
    records = read_records("cohort://20?seed=3&scenario=absences&strength=2", grade_class)
    pd.testing.assert_frame_equal(records.frame, generate(20, seed=3, scenario="absences", strength=2))
    assert records.generated is not None
    assert records.generated.model_dump() == {"rows": 20, "seed": 3, "scenario": "absences", "strength": 2}


def test_the_same_address_has_the_same_digest_and_another_seed_another(grade_class: Contract) -> None:
    digests = [read_records(f"cohort://20?seed={seed}", grade_class).sha256 for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("cohort://", "rows: this should be a valid integer"),
        ("cohort://many", "rows: this should be a valid integer"),
        ("cohort://0", "rows: this should be greater than or equal to 1"),
        ("cohort://-5", "rows: this should be greater than or equal to 1"),
        ("cohort://1.5", "rows: this should be a valid integer"),
        ("cohort://99999999999", "rows: this should be less than or equal to 20000000"),
        ("cohort://9?seed=x", "seed: this should be a valid integer"),
        ("cohort://9?seed=-1", "seed: this should be greater than or equal to 0"),
        ("cohort://9?rows=3", "something in it that is not understood"),
        ("cohort://9?size=3", "size: Extra inputs are not permitted"),
        ("cohort://9?seed", "bad query field: 'seed'"),
        ("cohort://9?seed=1&seed=2", "something in it that is not understood"),
        ("cohort://9/seed=1", "something in it that is not understood"),
        ("cohort:9", "something in it that is not understood"),
        ("cohort://9?scenario=flood", "no scenario 'flood'; there are absences, new-category,"),
        ("cohort://9?strength=1", "a strength needs a scenario"),
        ("cohort://9?scenario=absences&strength=nan", "strength: this should be a finite number"),
        ("cohort://9?scenario=absences&strength=1e9", "absences cannot be that strong"),
        ("cohort://9?scenario=missing-at-random&strength=2", "missing-at-random cannot be that strong"),
        ("cohort://9?scenario=prior-shift&strength=1", "prior-shift cannot be that strong"),
    ],
)
def test_a_mistake_in_an_address_is_named_with_how_to_write_it(
    address: str, says: str, grade_class: Contract
) -> None:
    with pytest.raises(BadInput) as refusal:
        read_records(address, grade_class)
    assert str(refusal.value).startswith(f"{address}: ")
    assert says in str(refusal.value)
    assert str(refusal.value).endswith(" Write cohort://ROWS?seed=N&scenario=NAME&strength=X.")


def test_another_contract_has_no_generated_cohort(pass_fail: Contract) -> None:
    with pytest.raises(BadInput, match="there is no generated cohort for the contract pass_fail"):
        read_records("cohort://9", pass_fail)


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_the_totals_of_what_accumulates_are_drawn_as_they_are_said_to_be(name: str) -> None:
    generator, contract = GENERATORS[name], load_contract(name)
    totals = generator.true_totals()
    assert totals is not None
    assert set(totals) == {column.name for column in contract.accumulating}
    cohort = generator.generate(MANY, seed=3)
    for column, shares in totals.items():
        assert shares.sum() == pytest.approx(1)
        drawn = np.bincount(cohort[column].astype(int), minlength=len(shares)) / MANY
        assert drawn == pytest.approx(shares, abs=0.008)


@pytest.fixture(scope="module")
def candidates() -> pd.DataFrame:
    """Students whose points follow no simple rule."""
    return leaving_exam.generate(MANY, seed=2)


@pytest.mark.parametrize("scenario", leaving_exam.SCENARIOS)
def test_the_truth_of_a_drifted_examination_is_the_one_that_was_drawn(scenario: str) -> None:
    contract = load_contract("leaving_exam")
    raw = leaving_exam.generate(MANY, seed=3, scenario=scenario)
    y, truth = target_index(parse(raw, contract), contract), leaving_exam.true_probabilities(raw, scenario)
    calm = leaving_exam.true_probabilities(raw)
    assert truth.mean(axis=0) == pytest.approx(np.bincount(y, minlength=4) / MANY, abs=0.008)
    assert stats.entropy(truth, axis=1).shape == (MANY,)
    assert np.abs(truth - calm).max() > 0.1


def test_the_points_are_whole_with_heavy_tails_and_a_few_that_nothing_explains(
    candidates: pd.DataFrame,
) -> None:
    away = candidates["paper_points"] - leaving_exam._mean(candidates, None, 0)
    assert candidates["paper_points"].dtype == np.int64
    assert stats.kurtosis(away) > 3
    assert (away.abs() > 25).mean() == pytest.approx(0.01, abs=0.006)


@pytest.mark.parametrize(("audited", "value"), [("registered_sex", "m"), ("lives_in", "village")])
def test_the_features_tell_who_somebody_is_with_an_auc_of_three_quarters(
    candidates: pd.DataFrame, audited: str, value: str
) -> None:
    features = candidates[["coursework_mark", "lessons_attended", "pages_read", "way_to_school"]]
    told = LogisticRegression(max_iter=500).fit(features / features.std(), candidates[audited] == value)
    chances = told.predict_proba(features / features.std())[:, 1]
    assert roc_auc_score(candidates[audited] == value, chances) == pytest.approx(0.75, abs=0.01)


def test_students_of_a_school_and_year_are_more_alike_than_others(candidates: pd.DataFrame) -> None:
    away = candidates["paper_points"] - leaving_exam._mean(candidates, None, 0)
    between = away.groupby([candidates["exam_centre"], candidates["sat_in"]]).mean().var()
    assert between / away.clip(-25, 25).var() == pytest.approx(0.07, abs=0.03)


def test_extra_lessons_help_only_those_who_are_behind(candidates: pd.DataFrame) -> None:
    behind = candidates["coursework_mark"] < 62
    helped = [
        rows.loc[rows["extra_lessons"] == 1, "paper_points"].mean()
        - rows.loc[rows["extra_lessons"] == 0, "paper_points"].mean()
        for rows in (candidates[behind], candidates[~behind])
    ]
    assert helped == pytest.approx([6, -1], abs=0.8)


def test_results_of_those_who_failed_are_known_first(candidates: pd.DataFrame) -> None:
    contract = load_contract("leaving_exam")
    bands = target_index(parse(candidates, contract), contract)
    days = leaving_exam.days_until_known(bands)
    assert [days[bands == band].mean() for band in range(4)] == pytest.approx([60, 50, 40, 5], rel=0.06)
