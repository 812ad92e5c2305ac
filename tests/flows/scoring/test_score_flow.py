"""The command itself, on a real Prefect server and the registry's champion."""

import csv
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from data.cohorts.grades import generate
from data.contract.contract import Contract
from data.errors import BadInput
from flows.registry.registration import Registered
from flows.runtime.commands import without_heartbeats
from flows.score import default_out, main
from flows.settings import Settings

ROWS = 120


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch,
    prefect_api: str,
    registered: Registered,
    settings: Settings,
    tmp_path: Path,
) -> Iterator[None]:
    """The environment of a person whose state folder holds the session's model, and a log of its own."""
    assert registered.promoted
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    monkeypatch.setenv("GRADECAST_HOME", str(settings.home))
    monkeypatch.setenv("GRADECAST_LOG_URL", f"sqlite:///{tmp_path / 'log.db'}")
    with without_heartbeats():
        yield


@pytest.fixture
def roster(tmp_path: Path) -> Path:
    path = tmp_path / "class.csv"
    generate(ROWS, seed=4).drop(columns=["GPA", "GradeClass"]).to_csv(path, index=False)
    return path


def test_a_roster_is_scored_by_the_champion_and_no_part_is_left(
    roster: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    out = roster.with_name("out.csv")
    assert main(["--data", str(roster), "--out", str(out)]) == 0
    with out.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ROWS
    assert {row["model_version"] for row in rows} == {"1"}
    told = " ".join(capsys.readouterr().out.split())
    assert f"{ROWS} rows of {roster} scored by grade-class version 1" in told
    assert not list((settings.home / "scores").glob(".parts-*"))


def test_a_roster_of_which_no_row_can_be_scored_is_bad_input_and_replaces_nothing(
    roster: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(roster).astype({"Absences": object})
    frame["Absences"], frame.loc[3, "Age"] = "many", 99
    frame.to_csv(roster, index=False)
    out = roster.with_name("out.csv")
    out.write_text("last year's")
    assert main(["--data", str(roster), "--out", str(out)]) == 2
    told = " ".join(capsys.readouterr().out.split())
    assert f"class.csv: none of its {ROWS} rows can be scored: Absences: not a number ({ROWS} rows), " in told
    assert "Age: out of range (1 row). Nothing was written" in told
    assert out.read_text() == "last year's"
    assert not list((settings.home / "scores").glob(".parts-*"))
    table = f"sqlite:///{roster.with_name('school.db')}?table=scored"
    assert main(["--data", str(roster), "--out", table]) == 2
    with closing(sqlite3.connect(roster.with_name("school.db"))) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_the_commonest_reasons_are_told_where_some_rows_can_be_scored(
    roster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(roster)
    frame.loc[[3, 4], "Age"] = 99
    frame.to_csv(roster, index=False)
    assert main(["--data", str(roster), "--out", str(roster.with_name("out.csv"))]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "2 rows break the contract, Age: out of range (2 rows): see their column `error`" in told


def test_a_table_is_scored_into_one_beside_it_and_a_query_says_where_to(
    settings: Settings, grade_class: Contract
) -> None:
    address = "postgresql://ann@db/school?table=year&sslmode=require"
    scored = "postgresql://ann@db/school?table=year_scored&sslmode=require"
    assert default_out(address, settings, grade_class) == scored
    with pytest.raises(BadInput, match="a query has no table of its own"):
        default_out("sqlite:///school.db?query=SELECT * FROM year ORDER BY 1", settings, grade_class)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--engine", "spark"], "engine 'spark'"),
        (["--scheduler", "tcp://127.0.0.1:1"], "is for --engine dask"),
        (["--engine", "dask", "--scheduler", "127.0.0.1:1"], "not understood"),
        (["--model", "77"], "no version or alias '77'"),
    ],
)
def test_what_cannot_be_done_is_said_and_is_bad_usage(
    more: list[str], says: str, roster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(roster), "--out", str(roster.with_name("out.csv")), *more]) == 2
    assert says in capsys.readouterr().out.replace("\n", " ")


def test_a_parquet_file_without_rows_is_said_to_have_none(
    roster: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = roster.with_suffix(".parquet")
    generate(1).iloc[:0].to_parquet(empty, index=False)
    assert main(["--data", str(empty), "--out", str(roster.with_name("out.csv"))]) == 2
    assert "there are no rows" in capsys.readouterr().out.replace("\n", " ")
    assert not roster.with_name("out.csv").exists()
