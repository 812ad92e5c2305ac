"""What people say to a forecast: kept beside it, and gone with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from data.contract.contract import Contract
from data.log.__main__ import main
from data.log.database import drain, open_log, overrides
from data.log.entries import override_entry, read_entry
from data.log.erasure import erase, purge
from data.rows.ids import pseudonym
from tests.contract.logged import asked

Entry = dict[str, Any]


@pytest.fixture
def log(tmp_path: Path) -> sa.Engine:
    return open_log(f"sqlite:///{tmp_path / 'predictions.db'}")


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def write(spool: Path, *entries: Entry) -> None:
    spool.mkdir(exist_ok=True)
    (spool / "1-1.jsonl").write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in entries))


def kept(log: sa.Engine) -> list[dict[str, Any]]:
    with log.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(overrides)).mappings()]


def test_an_override_is_kept_beside_its_forecast(log: sa.Engine, spool: Path, grade_class: Contract) -> None:
    forecast = asked()
    noted = override_entry(forecast["prediction_id"], grade_class, "disagree", " She was ill. ", "R. Okafor")
    write(spool, forecast, noted)
    assert drain(log, spool) == (2, 0)
    (row,) = kept(log)
    assert row["prediction_id"] == forecast["prediction_id"]
    assert (row["verdict"], row["reason"], row["name"]) == ("disagree", "She was ill.", "R. Okafor")
    assert row["contract"] == grade_class.name


def test_an_override_that_is_drained_twice_is_kept_once(
    log: sa.Engine, spool: Path, grade_class: Contract
) -> None:
    noted = override_entry("0" * 32, grade_class, "agree")
    for _ in range(2):
        write(spool, noted)
        drain(log, spool)
    assert len(kept(log)) == 1


def test_no_more_is_kept_of_a_reason_than_a_person_would_write(grade_class: Contract) -> None:
    assert len(override_entry("0" * 32, grade_class, "agree", "x" * 2_000)["reason"]) == 500


@pytest.mark.parametrize("wrong", [{"verdict": "perhaps"}, {"prediction_id": "7"}, {"reason": "x" * 501}])
def test_an_override_that_is_none_is_refused(grade_class: Contract, wrong: Entry) -> None:
    noted = override_entry("0" * 32, grade_class, "agree")
    with pytest.raises(ValidationError):
        read_entry(orjson.dumps({**noted, **wrong}))


def test_erasing_a_student_takes_the_overrides_from_database_and_spool(
    log: sa.Engine, spool: Path, grade_class: Contract
) -> None:
    mine, other = asked("1001"), asked("1002")
    notes = [override_entry(entry["prediction_id"], grade_class, "agree") for entry in (mine, other)]
    write(spool, mine, other, *notes)
    drain(log, spool)
    write(spool, override_entry(mine["prediction_id"], grade_class, "disagree", "on second thoughts"))
    removed = erase(log, spool, pseudonym("1001"))
    assert (removed.predictions, removed.overrides, removed.spooled) == (1, 1, 1)
    drain(log, spool)
    assert [row["prediction_id"] for row in kept(log)] == [other["prediction_id"]]


def test_erasing_a_forecast_takes_its_overrides(log: sa.Engine, spool: Path, grade_class: Contract) -> None:
    forecast = asked(None)
    write(spool, forecast, override_entry(forecast["prediction_id"], grade_class, "agree"))
    drain(log, spool)
    assert erase(log, spool, forecast["prediction_id"]).overrides == 1
    assert kept(log) == []


def test_overrides_past_their_time_are_purged(log: sa.Engine, spool: Path, grade_class: Contract) -> None:
    old = {**override_entry("0" * 32, grade_class, "agree"), "at": datetime.now(UTC) - timedelta(days=90)}
    write(spool, old, override_entry("1" * 32, grade_class, "agree"))
    drain(log, spool)
    assert purge(log, spool, days=30).overrides == 1
    assert [row["prediction_id"] for row in kept(log)] == ["1" * 32]


def test_the_command_says_how_many_overrides_it_erased(
    tmp_path: Path,
    log: sa.Engine,
    spool: Path,
    grade_class: Contract,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GRADECAST_HOME", str(tmp_path))
    forecast = asked("1001")
    write(spool, forecast, override_entry(forecast["prediction_id"], grade_class, "agree"))
    drain(log, spool)
    assert main(["erase", "1001"]) == 0
    assert "1 predictions, 0 outcomes and 1 overrides" in capsys.readouterr().out
