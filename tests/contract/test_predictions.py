"""The prediction log: what is kept, which outcome settles which forecast, and how rows are taken out."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa

from data.contract.contract import Contract
from data.errors import BadInput
from data.log import erasure
from data.log.__main__ import main
from data.log.database import create_tables, drain, open_log
from data.log.entries import prediction_entries, student_of
from data.log.erasure import erase, purge, purge_unwatched
from data.log.reading import read_log
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


def settled(log: sa.Engine) -> list[str | None]:
    return [row["outcome"] for row in read_log(log, "grade_class")]


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


def test_a_record_without_an_id_is_nobodys(grade_class: Contract) -> None:
    assert student_of(RECORD, grade_class, PUBLIC_KEY) is None


def test_a_window_has_its_first_moment_and_not_its_last(log: sa.Engine, keep: Write) -> None:
    keep(*(asked(at=day(number)) for number in range(4)))
    assert [row["at"] for row in read_log(log, "grade_class", since=day(1), until=day(3))] == [day(1), day(2)]
    assert list(read_log(log, "pass_fail")) == []


def test_an_outcome_with_a_prediction_id_settles_that_forecast_alone(log: sa.Engine, keep: Write) -> None:
    first, second = asked(at=day(0)), asked(at=day(1))
    keep(first, second, came("F", prediction=first["prediction_id"], at=day(9)))
    assert settled(log) == ["F", None]


def test_an_outcome_of_a_student_settles_all_forecasts_before_it(log: sa.Engine, keep: Write) -> None:
    keep(asked(at=day(0)), asked(at=day(1)), asked("1002", at=day(1)), came("C", "1001", at=day(9)))
    assert [row["outcome"] for row in read_log(log, "grade_class", student=STUDENT)] == ["C", "C"]
    assert sorted(map(str, settled(log))) == ["C", "C", "None"]


def test_a_later_outcome_replaces_an_earlier_one_and_both_are_kept(log: sa.Engine, keep: Write) -> None:
    keep(asked(at=day(0)), came("C", "1001", at=day(9)), came("B", "1001", at=day(10)))
    assert settled(log) == ["B"]
    with log.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM outcomes")).scalar_one() == 2


def test_next_years_outcome_leaves_this_years_forecasts_alone(log: sa.Engine, keep: Write) -> None:
    this_year = [asked(at=day(0)), came("C", "1001", at=day(250)), came("B", "1001", at=day(260))]
    keep(*this_year, asked(at=day(365)), came("F", "1001", at=day(600)))
    assert settled(log) == ["B", "F"]


def test_an_outcome_from_before_a_forecast_does_not_settle_it(log: sa.Engine, keep: Write) -> None:
    keep(came("C", "1001", at=day(0)), asked(at=day(1)))
    assert settled(log) == [None]


def test_an_outcome_of_the_forecast_itself_goes_before_one_of_the_student(
    log: sa.Engine, keep: Write
) -> None:
    entry = asked(at=day(0))
    keep(entry, came("D", prediction=entry["prediction_id"], at=day(5)), came("A", "1001", at=day(9)))
    assert settled(log) == ["D"]


def test_erasing_a_student_takes_forecasts_outcomes_and_what_is_in_the_spool(
    log: sa.Engine, keep: Write, spool: Path
) -> None:
    mine, other = asked(), asked("1002")
    keep(mine, other, came("C", "1001"), came("D", prediction=mine["prediction_id"]))
    spooled = asked()
    late = (came("A", prediction=mine["prediction_id"]), came("A", prediction=spooled["prediction_id"]))
    path = write_file(spool, asked("1002"), spooled, *late)
    removed = erase(log, spool, STUDENT)
    assert removed == (1, 2, 3, 0)
    assert not path.exists(), "a worker begins another"
    drain(log, spool)
    assert [row["student"] for row in read_log(log, "grade_class")] == [pseudonym("1002")] * 2
    assert erase(log, spool, STUDENT) == (0, 0, 0, 0)


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


def test_what_is_past_its_time_is_purged(log: sa.Engine, keep: Write, spool: Path) -> None:
    now = datetime.now(UTC)
    old, young = now - timedelta(days=40), now - timedelta(days=20)
    keep(asked(at=old), asked(at=young), came("C", "1001", at=old), came("C", "1001", at=young))
    (spool / REFUSED).write_bytes(orjson.dumps({"at": old, "line": "?"}) + b"\n")
    assert purge(log, spool, 30) == (1, 1, 1, 0)
    assert [row["at"] for row in read_log(log, "grade_class")] == [young]


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


def test_a_forecast_without_a_student_is_erased_by_its_id(log: sa.Engine, keep: Write, spool: Path) -> None:
    mine, other = asked(None), asked(None)
    keep(mine, other, came("C", prediction=mine["prediction_id"]))
    write_file(spool, came("D", prediction=mine["prediction_id"]))
    assert erase(log, spool, mine["prediction_id"]) == (1, 1, 1, 0)
    assert [row["prediction_id"] for row in read_log(log, "grade_class")] == [other["prediction_id"]]


def test_tables_may_be_made_twice(log: sa.Engine) -> None:
    with log.connect() as connection:
        create_tables(connection)
        create_tables(connection)


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
