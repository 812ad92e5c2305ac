"""The records that a retraining learns from, and how the pipeline takes them."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.contract.contract import Contract
from data.rows.ids import pseudonym
from flows.evaluate import gather_evidence
from flows.monitoring.retraining import RetrainingSet, write_retraining_set
from flows.monitoring.window import Window
from flows.process import process_records
from flows.processing.processed import Processed
from flows.registry.bundling import Submission, make_bundle
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from tests.flows.monitoring.school import School, month, students


def written(school: School, home: Path, number: int = 0, limit: int = 2_400) -> RetrainingSet:
    window = Window(month(number), month(number + 1))
    return write_retraining_set(school.log(window.until), window, school.champion, home, limit)


def read(found: RetrainingSet) -> pd.DataFrame:
    return pd.read_parquet(found.path)


def names_of(raw: pd.DataFrame) -> list[str]:
    return [pseudonym(str(student)) for student in raw["StudentID"]]


def unlearnable(raw: pd.DataFrame) -> pd.DataFrame:
    """The students with one another's grades."""
    return raw.assign(**{name: raw[name].to_numpy()[::-1] for name in ("GPA", "GradeClass")})


def test_the_champions_records_come_first_and_the_graded_forecasts_last(
    school: School, sources: Path, processed: Processed
) -> None:
    raw = students(50, 60)
    school.ask(raw, month(0))
    school.ask(students(20, 61), month(0), graded=False)
    found = written(school, sources)
    rows = read(found)
    assert (found.rows, found.from_log, found.notes) == (len(rows), 50, ())
    assert len(rows) == processed.clean + 50
    assert set(rows["pseudonym"].tail(50)) == set(names_of(raw))
    assert "StudentID" not in rows
    assert rows["pseudonym"].str.fullmatch("[0-9a-f]{32}").all()
    few = written(school, sources, limit=80)
    assert (few.rows, few.from_log) == (80, 50)


def test_a_student_is_in_it_once_with_the_newest_record(school: School, sources: Path) -> None:
    raw = students(10, 60)
    school.ask(raw, month(-1))
    school.ask(raw.assign(Absences=29), month(0))
    rows = read(written(school, sources))
    assert not rows["pseudonym"].duplicated().any()
    assert set(rows["Absences"].tail(10)) == {29}


def test_equal_content_has_one_name(school: School, sources: Path) -> None:
    school.ask(students(10, 60), month(0))
    first = written(school, sources)
    content = first.path.read_bytes()
    assert written(school, sources).path == first.path
    assert first.path.read_bytes() == content
    school.ask(students(1, 61), month(0))
    assert written(school, sources).path != first.path


def test_where_the_champions_records_are_gone_the_log_alone_is_there(school: School, tmp_path: Path) -> None:
    school.ask(students(40, 60), month(0))
    found = written(school, tmp_path)
    assert (found.rows, found.from_log) == (40, 40)
    assert "gone" in found.notes[0]


def test_a_stretch_of_corrupt_grades_is_left_out_once_it_has_passed(school: School, sources: Path) -> None:
    school.ask(unlearnable(students(100, 62)), month(0))
    school.ask(students(100, 63), month(1))
    now, later = written(school, sources, 0), written(school, sources, 1)
    assert (now.from_log, now.notes) == (100, ())
    assert later.from_log == 100
    assert "100 graded forecasts were left out" in later.notes[0]


def test_a_relation_that_changed_and_stayed_so_is_learned_from_all_its_months(
    school: School, sources: Path
) -> None:
    for number in (0, 1):
        school.ask(students(300, 64 + number, "grading-inflation", 0.5), month(number))
    assert written(school, sources, 1).from_log == 600


def test_a_grade_that_contradicts_its_score_is_not_learned_from(school: School, sources: Path) -> None:
    raw = students(40, 60)
    school.ask(raw.assign(GPA=np.where(raw.index < 10, 4.0 - raw["GPA"], raw["GPA"])), month(0))
    found = written(school, sources)
    assert found.from_log < 40
    assert "faulty" in found.notes[0]


def test_a_student_without_an_id_goes_by_the_forecast(school: School, sources: Path) -> None:
    raw = students(3, 60)
    ids = school.ask(raw, month(0), graded=False, student=None)
    for prediction, (_, student) in zip(ids, raw.iterrows(), strict=True):
        school.grade(student.to_frame().T, month(0) + timedelta(hours=3), prediction=prediction)
    rows = read(written(school, sources))
    assert set(rows["pseudonym"].tail(3)) == set(ids)


def test_the_pipeline_takes_them_as_they_are_and_trains_a_version(
    school: School, sources: Path, settings: Settings, grade_class: Contract, small_grid: Grid
) -> None:
    school.ask(students(60, 60).assign(Gender=np.nan, Ethnicity=np.nan), month(0))
    school.ask(students(60, 61).assign(Gender=np.nan, Ethnicity=np.nan, GPA=np.nan), month(0))
    found = written(school, sources)
    processed = process_records(str(found.path), grade_class, settings)
    assert (processed.rows, processed.quarantined, processed.undeclared) == (found.rows, {}, ())
    assert set(processed.parsed(grade_class)["pseudonym"]) == set(read(found)["pseudonym"])
    trained = train_model(processed, grade_class, small_grid, settings)
    assert trained.kind == "ordinal", "some rows lack the score"
    evidence = gather_evidence(trained, processed, grade_class, settings)
    make_bundle(submission := Submission(trained, processed, "grade_class", evidence, settings))
    assert submission.bundle.is_dir()


@pytest.mark.parametrize("name", ["1001", "", None])
def test_what_is_no_pseudonym_is_refused(
    school: School, sources: Path, tmp_path: Path, grade_class: Contract, settings: Settings, name: str | None
) -> None:
    school.ask(students(5, 60), month(0))
    rows = read(written(school, sources))
    rows.loc[3, "pseudonym"] = name
    rows.to_parquet(tmp_path / "set.parquet")
    with pytest.raises(ValueError, match=r"set\.parquet, row 5, column pseudonym: this is no pseudonym"):
        process_records(str(tmp_path / "set.parquet"), grade_class, settings)


def test_a_pseudonym_that_is_there_twice_is_a_duplicate(
    school: School, sources: Path, tmp_path: Path, grade_class: Contract, settings: Settings
) -> None:
    school.ask(students(5, 60), month(0))
    rows = read(written(school, sources))
    pd.concat([rows, rows.tail(2)]).to_parquet(tmp_path / "set.parquet")
    assert process_records(str(tmp_path / "set.parquet"), grade_class, settings).quarantined == {
        "duplicate id": 2
    }
