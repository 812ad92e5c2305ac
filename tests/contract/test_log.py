"""The log: what is kept, which outcome settles which forecast, how rows are taken out, what was measured."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from data.contract.contract import Contract
from data.errors import BadInput
from data.log import erasure
from data.log.__main__ import main
from data.log.database import (
    create_tables,
    drain,
    insert_forecasts,
    insert_missing,
    open_log,
    overrides,
    predictions,
)
from data.log.entries import override_entry, prediction_entries, read_entry, student_of
from data.log.erasure import erase, purge, purge_unwatched
from data.log.reading import (
    Frame,
    Measurement,
    latest_measurements,
    read_log,
    read_measurements,
    write_measurements,
)
from data.log.spool import REFUSED, drained_alone, take
from data.rows.ids import PUBLIC_KEY, pseudonym
from tests.contract.logged import ANSWER, RECORD, asked, came
from tests.contract.postgres import Postgres

Entry = dict[str, Any]
Write = Callable[..., None]
START = datetime(2026, 9, 1, tzinfo=UTC)
STUDENT = pseudonym("1001")


def day(number: int) -> datetime:
    return START + timedelta(days=number)


FIRST = "a" * 32
ASKED = asked(at=START, prediction_id=FIRST)


def write_file(folder: Path, *entries: Entry, name: str = "1-1.jsonl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in entries))
    return path


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def keep(log: sa.Engine, spool: Path) -> Write:
    """Bring entries into the log."""

    def keep_(*entries: Entry) -> None:
        write_file(spool, *entries)
        assert drain(log, spool).refused == 0

    return keep_


def test_what_was_asked_and_answered_is_read_as_it_was(log: sa.Engine, keep: Write) -> None:
    entry = asked(at=day(0))
    keep(entry)
    (row,) = read_log(log, "grade_class")
    kept = {name: value for name, value in entry.items() if name != "kind"}
    unsettled = {"outcome": None, "outcome_index": None, "score": None, "outcome_at": None}
    assert row == kept | unsettled
    assert row["record"] == RECORD
    assert row["at"].utcoffset() == timedelta(0)


def test_an_entry_holds_a_pseudonym_and_no_id(grade_class: Contract) -> None:
    answer = {**ANSWER, "prediction_id": "0" * 32}
    (entry,) = prediction_entries([{"StudentID": "1001", **RECORD}], [answer], grade_class, "a school's key")
    assert entry["student"] == pseudonym("1001", "a school's key") != STUDENT
    assert "1001" not in orjson.dumps(entry).decode()
    assert student_of(RECORD, grade_class, PUBLIC_KEY) is None


def test_a_window_has_its_first_moment_and_not_its_last(log: sa.Engine, keep: Write) -> None:
    keep(*(asked(at=day(number)) for number in range(4)))
    assert [row["at"] for row in read_log(log, "grade_class", since=day(1), until=day(3))] == [day(1), day(2)]
    assert list(read_log(log, "pass_fail")) == []


@pytest.mark.parametrize(
    ("entries", "outcomes"),
    [
        ([ASKED, came("F", prediction=FIRST, at=day(9)), asked(at=day(1))], ["F", None]),
        ([ASKED, asked(at=day(1)), asked("1002", at=day(2)), came("C", "1001", at=day(9))], ["C", "C", None]),
        ([ASKED, came("C", "1001", at=day(9)), came("B", "1001", at=day(10))], ["B"]),
        (
            [
                *(ASKED, came("C", "1001", at=day(250)), came("B", "1001", at=day(260))),
                *(asked(at=day(365)), came("F", "1001", at=day(600))),
            ],
            ["B", "F"],
        ),
        ([came("C", "1001", at=day(-1)), ASKED], [None]),
        ([ASKED, came("D", prediction=FIRST, at=day(5)), came("A", "1001", at=day(9))], ["D"]),
    ],
    ids=[
        "of one forecast",
        "of all of a student's forecasts before it",
        "a later one replaces it",
        "next year's leaves this year's alone",
        "from before the forecast",
        "of the forecast itself before the student's",
    ],
)
def test_an_outcome_settles(log: sa.Engine, keep: Write, entries: list[Entry], outcomes: list[str]) -> None:
    keep(*entries)
    assert [row["outcome"] for row in read_log(log, "grade_class")] == outcomes


def test_an_override_is_kept_once_beside_its_forecast(
    log: sa.Engine, keep: Write, grade_class: Contract
) -> None:
    noted = override_entry(FIRST, grade_class, "disagree", " She was ill. ", "R. Okafor")
    for _ in range(2):
        keep(ASKED, noted)
    with log.connect() as connection:
        (row,) = connection.execute(sa.select(overrides)).mappings()
    assert (row["prediction_id"], row["contract"]) == (FIRST, grade_class.name)
    assert (row["verdict"], row["reason"], row["name"]) == ("disagree", "She was ill.", "R. Okafor")


@pytest.mark.parametrize("wrong", [{"verdict": "perhaps"}, {"prediction_id": "7"}, {"reason": "x" * 501}])
def test_an_override_that_is_none_is_refused_and_a_long_reason_is_cut(
    grade_class: Contract, wrong: Entry
) -> None:
    noted = override_entry("0" * 32, grade_class, "agree", "x" * 2_000)
    assert read_entry(orjson.dumps(noted))["reason"] == "x" * 500  # type: ignore[typeddict-item]
    with pytest.raises(ValidationError):
        read_entry(orjson.dumps({**noted, **wrong}))


def test_erasing_a_student_takes_all_about_it_from_database_and_spool(
    log: sa.Engine, keep: Write, spool: Path, grade_class: Contract
) -> None:
    other = asked("1002")
    notes = [override_entry(entry["prediction_id"], grade_class, "agree") for entry in (ASKED, other)]
    keep(ASKED, other, came("C", "1001"), came("D", prediction=FIRST), *notes)
    waiting = asked()
    late = (came("A", prediction=FIRST), came("A", prediction=waiting["prediction_id"]), notes[0])
    path = write_file(spool, asked("1002"), waiting, *late)
    assert erase(log, spool, STUDENT) == (1, 2, 4, 1)
    assert not path.exists(), "a worker begins another"
    drain(log, spool)
    assert [row["student"] for row in read_log(log, "grade_class")] == [pseudonym("1002")] * 2
    assert erase(log, spool, STUDENT) == (0, 0, 0, 0)


def test_a_forecast_without_a_student_is_erased_by_its_id(
    log: sa.Engine, keep: Write, spool: Path, grade_class: Contract
) -> None:
    mine, other = asked(None), asked(None)
    own = mine["prediction_id"]
    keep(mine, other, came("C", prediction=own), override_entry(own, grade_class, "agree"))
    write_file(spool, came("D", prediction=own))
    assert erase(log, spool, own) == (1, 1, 1, 1)
    assert [row["prediction_id"] for row in read_log(log, "grade_class")] == [other["prediction_id"]]


def test_what_is_past_its_time_is_purged(
    log: sa.Engine, keep: Write, spool: Path, grade_class: Contract
) -> None:
    now = datetime.now(UTC)
    for at in (now - timedelta(days=40), now - timedelta(days=20)):
        keep(
            asked(at=at), came("C", "1001", at=at), {**override_entry(FIRST, grade_class, "agree"), "at": at}
        )
    (spool / REFUSED).write_bytes(orjson.dumps({"at": now - timedelta(days=40), "line": "?"}) + b"\n")
    assert purge(log, spool, 30) == (1, 1, 1, 1)
    assert [row["at"] for row in read_log(log, "grade_class")] == [now - timedelta(days=20)]


def test_nothing_of_an_erased_student_is_left_in_any_file(tmp_path: Path, spool: Path) -> None:
    log = open_log(f"sqlite:///{tmp_path / 'predictions.db'}")
    write_file(spool, *(asked() for _ in range(50)), *(asked("1002") for _ in range(50)))
    drain(log, spool)
    write_file(spool, asked(), {**asked(), "grade_set": "not a list"}, asked(grade_class_index=10**6))
    with drained_alone(spool):
        take(spool)
    (spool / REFUSED).write_bytes(orjson.dumps({"at": day(0), "line": str(asked())}) + b"\n")
    erase(log, spool, STUDENT)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if STUDENT.encode() in path.read_bytes()]
    assert any(pseudonym("1002").encode() in path.read_bytes() for path in files)


def test_nobody_watching_only_a_share_is_purged_at_a_time_the_oldest_first(
    log: sa.Engine, keep: Write, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasure, "FEW", 2)
    now = datetime.now(UTC)
    keep(*(asked(at=now - timedelta(days=number)) for number in (40, 60, 50, 20)))
    assert purge_unwatched(log, spool, 30).predictions == 2
    left = [(now - row["at"]).days for row in read_log(log, "grade_class")]
    assert sorted(left) == [20, 40]
    assert purge_unwatched(log, spool, 30).predictions == 1
    assert purge_unwatched(log, spool, 30).predictions == 0


def test_a_clock_that_is_years_ahead_is_believed_by_a_person_alone(
    log: sa.Engine, keep: Write, spool: Path
) -> None:
    now = datetime.now(UTC)
    keep(asked(at=now - timedelta(days=1_096)), came("C", "1001", at=now - timedelta(days=1_090)))
    with pytest.raises(BadInput, match="nothing was logged in the 1090 days"):
        purge_unwatched(log, spool, 730)
    assert purge(log, spool, 730) == (1, 1, 0, 0)


def test_a_value_that_the_database_cannot_hold_is_set_aside_and_the_rest_is_kept(
    log: sa.Engine, spool: Path
) -> None:
    write_file(spool, asked(), asked(contract="no\0text"), {"kind": "prediction"}, asked())
    refused = drain(log, spool).refused
    assert refused == len((spool / REFUSED).read_bytes().splitlines())
    assert refused == (2 if log.dialect.name == "postgresql" else 1)
    assert len(list(read_log(log, "grade_class"))) == 2


def test_a_server_that_is_locked_or_away_leaves_all_in_the_spool(server: Postgres, spool: Path) -> None:
    log = open_log(server.url, patience=0.2)
    write_file(spool, asked())
    drain(log, spool)
    before = len(list(read_log(log, "grade_class")))
    write_file(spool, asked())
    with log.begin() as connection:
        connection.execute(sa.text("LOCK TABLE predictions IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            drain(log, spool)
    server.stop()
    with pytest.raises(sa.exc.OperationalError, match="connection"):
        drain(log, spool)
    server.start()
    assert drain(log, spool) == (1, 0)
    assert len(list(read_log(log, "grade_class"))) == before + 1


def test_what_is_committed_to_a_file_is_on_the_disk_for_the_spool_has_it_no_more(tmp_path: Path) -> None:
    full = 2
    with open_log(f"sqlite:///{tmp_path}/log.db").connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == full


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense", "oracle+unknown://"])
def test_a_url_that_cannot_be_used_says_what_can(url: str) -> None:
    with pytest.raises(BadInput, match="GRADECAST_LOG_URL"):
        open_log(url)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    write_file(tmp_path / "spool", asked(), asked(at=day(-9_000)), asked("1002"))
    drain(open_log(f"sqlite:///{tmp_path / 'predictions.db'}"), tmp_path / "spool")
    return tmp_path


def test_the_commands_list_erase_and_purge(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*arguments: str) -> str:
        assert main(arguments) == 0
        return capsys.readouterr().out

    assert "grade_class version 3: 3 predictions" in said("list")
    assert "1 predictions, 0 outcomes and 0 overrides older than 30 days" in said("purge", "--days", "30")
    (row,) = map(orjson.loads, said("list", " 1001.0 ").splitlines())
    assert row["student"] == STUDENT
    assert "erased: 1 predictions" in said("erase", "1001")
    assert said("list", "1001") == ""
    (row,) = map(orjson.loads, said("list", "1002").splitlines())
    assert "erased: 1 predictions" in said("erase", "--prediction", row["prediction_id"])
    assert "no predictions yet" in said("list")


def test_an_erasure_that_cannot_be_done_says_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["erase", " "]) == 2
    assert main(["erase", "--prediction", "a"]) == 2
    assert main(["erase", "1001", "--contract", "nowhere"]) == 2
    monkeypatch.setenv("GRADECAST_LOG_URL", f"sqlite:///{home}/nowhere/predictions.db")
    assert main(["erase", "1001"]) == 1


def month(number: int, version: str = "1") -> Frame:
    start = START + timedelta(days=30 * number)
    return Frame("grade_class", version, start, start + timedelta(days=30))


def values(rows: list[dict[str, object]]) -> list[object]:
    return [row["value"] for row in rows]


def test_nothing_measured_is_nothing_read(log: sa.Engine) -> None:
    assert read_measurements(log, "grade_class") == latest_measurements(log, "grade_class") == []


def test_a_figure_is_read_as_it_was_measured(log: sa.Engine) -> None:
    figure = Measurement("group_error", 0.2, 40, 0.1, 0.3, "Gender=Male", "pass")
    write_measurements(log, month(0), [figure])
    (row,) = read_measurements(log, "grade_class")
    assert {name: row[name] for name in Measurement._fields} == figure._asdict()
    assert Frame(*(row[name] for name in Frame._fields)) == month(0)


def test_figures_come_by_the_end_of_their_window_and_can_be_asked_for_by_name(log: sa.Engine) -> None:
    for number in (2, 0, 1):
        figures = [Measurement("at_risk_share", float(number), 9), Measurement("drift_share", None, 9)]
        write_measurements(log, month(number), figures)
    assert values(read_measurements(log, "grade_class", names=["at_risk_share"])) == [0.0, 1.0, 2.0]
    before = month(1).until
    assert values(read_measurements(log, "grade_class", names=["at_risk_share"], before=before)) == [0.0, 1.0]
    assert read_measurements(log, "pass_fail") == []


def test_a_window_that_is_measured_again_has_its_newest_figures(log: sa.Engine) -> None:
    wanted = Measurement("retraining_wanted", 600.0, 300, about="a set", verdict="wanted")
    write_measurements(log, month(0), [Measurement("drift", 0.5, 9, about=c) for c in "ab"])
    write_measurements(log, month(0), [wanted])
    write_measurements(log, month(0), [Measurement("drift", 0.1, 9, about="a")])
    rows = read_measurements(log, "grade_class")
    assert [(row["name"], row["about"], row["value"]) for row in rows] == [
        ("retraining_wanted", "a set", 600.0),
        ("drift", "a", 0.1),
    ]


def test_the_latest_are_those_of_the_window_that_was_measured_last(log: sa.Engine) -> None:
    write_measurements(log, month(1), [Measurement("at_risk_share", 1.0, 9)])
    write_measurements(log, month(0, "2"), [Measurement("at_risk_share", 2.0, 9), Measurement("x", 3.0, 9)])
    assert values(latest_measurements(log, "grade_class")) == [2.0, 3.0]


def columns(ids: list[str]) -> dict[str, Any]:
    count = len(ids)
    return {
        "prediction_id": ids,
        "at": START,
        "contract": "grade_class",
        "model_version": "3",
        "student": [None, *(f"{n:032x}" for n in range(1, count))],
        "record": ['{"Absences":4,"StudyTimeWeekly":2.5,"Note":"ü"}'] * count,
        "grade_class": ["B"] * count,
        "grade_class_index": [1] * count,
        "at_risk": [0.25] * count,
        "probabilities": ['{"A":0.25,"B":0.75}'] * count,
        "grade_set": ['["A","B"]'] * count,
        "via": "score",
    }


def one_by_one(ids: list[str]) -> list[dict[str, Any]]:
    said = columns(ids)
    answer = {
        "record": {"Absences": 4, "StudyTimeWeekly": 2.5, "Note": "ü"},
        "probabilities": {"A": 0.25, "B": 0.75},
        "grade_set": ["A", "B"],
    }
    lists = {name: cells for name, cells in said.items() if isinstance(cells, list)}
    return [{**said, **{name: cells[n] for name, cells in lists.items()}, **answer} for n in range(len(ids))]


def in_log(connection: sa.Connection) -> list[dict[str, Any]]:
    rows = connection.execute(sa.select(predictions).order_by(predictions.c.prediction_id))
    return [dict(row) for row in rows.mappings()]


def test_whole_columns_make_the_rows_that_single_ones_make_and_none_twice(log: sa.Engine) -> None:
    ids = [f"{n:032x}" for n in range(5)]
    with log.connect() as connection:
        create_tables(connection)
        insert_missing(connection, predictions, one_by_one(ids[:2]))
        insert_forecasts(connection, columns(ids))
        insert_forecasts(connection, columns(ids))
        assert in_log(connection) == one_by_one(ids)
