"""A feature that gives the class away stops the run, unless the contract says why it may."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohorts import grades as cohort
from data.cohorts.addresses import GENERATORS
from data.contract.contract import FOLDER, Contract, load_contract, parse_contract
from data.errors import BadInput, Stopped
from data.rows.frames import parse
from data.rows.quarantine import quarantine
from flows.process import process_records
from flows.settings import Settings
from flows.train import train_model
from flows.training.grid import Grid
from flows.training.rows import check_leakage, leakage_scores
from tests.contract.files import read_records

YAML = (FOLDER / "grade_class.yaml").read_text(encoding="utf-8")


def contract_with(column: str) -> Contract:
    return parse_contract(f"{YAML}  {column}\n", Contract, file="ours.yaml")


@pytest.fixture(scope="module")
def leaking() -> pd.DataFrame:
    """Students with a column that is their grade point average with some noise."""
    frame = cohort.generate(600)
    noise = np.random.default_rng(1).normal(0, 0.02, len(frame))
    return frame.assign(Points=25 * frame["GPA"] + noise)


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_no_contract_that_comes_along_is_stopped_on_its_cohort(name: str) -> None:
    contract = load_contract(name)
    frame = parse(read_records("cohort://1500", contract).frame, contract)
    assert check_leakage(frame, contract) == ()


def test_the_real_sets_are_not_stopped(real_grades: Path, real_courses: Path) -> None:
    for name, path in (("grade_class", real_grades), ("pass_fail", real_courses)):
        contract = load_contract(name)
        clean, _ = quarantine(parse(read_records(str(path), contract).frame, contract), contract)
        assert check_leakage(clean, contract) == ()
        assert leakage_scores(clean, contract)[0].column in {"Absences", "failures"}


def test_a_copy_of_the_score_stops_training_with_its_name_and_evidence(
    leaking: pd.DataFrame, small_grid: Grid, tmp_path: Path
) -> None:
    path = tmp_path / "year.csv"
    leaking.to_csv(path, index=False)
    contract = contract_with("Points: {title: Points, kind: number}")
    settings = Settings(home=tmp_path / "home", folds=2, jobs=1, tracking_uri="")
    processed = process_records(str(path), contract, settings)
    with pytest.raises(
        Stopped, match=r"given away\. Points: alone it tells the class of 9\d\.\d% of \d+ rows"
    ):
        train_model(processed, contract, small_grid, settings)
    assert not list((tmp_path / "home" / "candidates").glob("grade_class-*"))


def test_a_declared_column_may_tell_it_and_its_reason_is_noted(leaking: pd.DataFrame) -> None:
    contract = contract_with("Points: {title: Points, kind: number, strong: Points of the year before}")
    (note,) = check_leakage(parse(leaking, contract), contract)
    assert note.startswith(
        "Points gives the class away, as the contract declares (Points of the year before): alone it"
    )


def test_every_column_that_gives_it_away_is_named(leaking: pd.DataFrame) -> None:
    left = np.where(leaking["GradeClass"] == 4, "left", "stayed")
    contract = contract_with(
        "Points: {title: Points, kind: number}\n"
        "  Letter: {title: Letter, kind: nominal, codes: {a: A, b: B, c: C, d: D, f: F}}\n"
        "  Left: {title: Left, kind: nominal, codes: {left: Left, stayed: Stayed}}"
    )
    letters = leaking["GradeClass"].map(dict(enumerate("abcdf")))
    frame = parse(leaking.assign(Letter=letters, Left=left), contract)
    with pytest.raises(Stopped) as stop:
        check_leakage(frame, contract)
    assert "Points: alone" in str(stop.value)
    assert "Letter: alone" in str(stop.value)
    assert "Left: alone" in str(stop.value)  # of five classes it tells one from all others
    assert re.search(r"Left: alone .*, 9\d% of that about F", str(stop.value))


def test_only_a_feature_can_be_declared_strong() -> None:
    with pytest.raises(BadInput, match="only a feature can be strong"):
        contract_with("Points: {title: Points, kind: number, role: leak, strong: It is}")
