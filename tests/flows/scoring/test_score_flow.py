"""The command itself, on a real Prefect server and the registry's champion."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.cohort import generate
from flows.register import Registered
from flows.score import main
from flows.settings import Settings
from flows.support.command import without_heartbeats

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
