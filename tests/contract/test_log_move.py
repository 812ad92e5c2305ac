"""From SQLite to PostgreSQL without losing a row."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa

from data.errors import BadInput
from data.log.database import drain, history, open_log, predictions
from data.log.history import Decision, append
from data.log.move import main, move_log
from data.log.reading import Frame, Measurement, read_log, write_measurements
from tests.contract.logged import asked, came
from tests.contract.postgres import Postgres

NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)


@pytest.fixture
def target(server: Postgres) -> sa.Engine:
    """An empty PostgreSQL."""
    engine = open_log(server.url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    return engine


@pytest.fixture
def source(tmp_path: Path) -> sa.Engine:
    """A log in SQLite with something in it of all kinds."""
    engine = open_log(f"sqlite:///{tmp_path / 'predictions.db'}")
    spool = tmp_path / "spool"
    spool.mkdir()
    first = asked(at=NOW)
    entries = [first, *(asked(str(n), at=NOW) for n in range(1_500)), asked(None)]
    entries += [came("F", prediction=first["prediction_id"], at=NOW), came("C", "1002", at=NOW)]
    (spool / "1-1.jsonl").write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in entries))
    assert drain(engine, spool).refused == 0
    frame = Frame("grade_class", "3", NOW, NOW)
    write_measurements(engine, frame, [Measurement("drift_share", 0.1, 30, verdict="pass")])
    decision = Decision(
        model="grade-class", event="promoted", version="1", champion="1", by="x", reason="y", at=NOW
    )
    append(engine, decision)
    return engine


def test_every_row_arrives_as_it_was(source: sa.Engine, target: sa.Engine) -> None:
    moved = move_log(source, target)
    assert moved == {"predictions": 1_502, "outcomes": 2, "overrides": 0, "measurements": 1, "history": 1}
    before, after = (list(read_log(engine, "grade_class")) for engine in (source, target))
    assert sorted(after, key=repr) == sorted(before, key=repr)


def test_it_may_be_repeated_while_the_new_log_is_written(
    source: sa.Engine, target: sa.Engine, tmp_path: Path
) -> None:
    move_log(source, target)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1-1.jsonl").write_bytes(orjson.dumps(asked("9999")) + b"\n")
    drain(target, tmp_path / "new")
    assert move_log(source, target)["predictions"] == 1_502
    with target.connect() as connection:
        count = sa.select(sa.func.count()).select_from(predictions)
        assert connection.execute(count).scalar_one() == 1_503


def test_a_row_that_would_be_lost_is_told(source: sa.Engine, target: sa.Engine) -> None:
    other = Decision(
        model="grade-class", event="rejected", version="9", champion=None, by="x", reason="y", at=NOW
    )
    append(target, other)
    with pytest.raises(BadInput, match=f"of {history.name} is another one in the target"):
        move_log(source, target)


def test_the_command_says_what_it_moved_and_what_it_cannot(
    source: sa.Engine, target: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [engine.url.render_as_string(hide_password=False) for engine in (source, target)]
    assert main(urls) == 0
    assert "predictions: 1502 rows, each compared" in capsys.readouterr().out
    assert main([urls[0], urls[0]]) == 2
    assert main([f"sqlite:///{tmp_path / 'none.db'}", urls[1]]) == 2
    assert main([urls[0], f"sqlite:///{tmp_path}/nowhere/log.db"]) == 1
    assert "Nothing is lost" in capsys.readouterr().err
