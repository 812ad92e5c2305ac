from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from data.cohorts.grades import CODED, SCENARIOS, generate, true_probabilities

MANY = 60_000


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


def test_the_same_seed_gives_the_same_cohort_and_another_seed_another_one() -> None:
    assert generate(50, seed=3).equals(generate(50, seed=3))
    assert not generate(50, seed=3).equals(generate(50, seed=4))


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
    assert generate(MANY, scenario="absences", strength=-2)["Absences"].mean() == pytest.approx(
        12.5, abs=0.15
    )
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
