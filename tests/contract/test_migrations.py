"""The log's database comes along from every older Gradecast, on SQLite and PostgreSQL."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.schema import CreateTable

from data.errors import BadInput
from data.log.database import create_tables, drain, tables
from data.log.migrations import FOLDER, HEAD, VERSION_TABLE
from data.log.reading import read_log
from tests.contract.logged import RECORD

FIRST = datetime(2025, 9, 1, 8, tzinfo=UTC)


@pytest.fixture
def empty(log: sa.Engine) -> sa.Engine:
    """A database with nothing in it."""
    return log


def upgrade(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        create_tables(connection)


def version(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one())


def first_tables() -> sa.MetaData:
    """The tables of the first Gradecast that had a log, before there were steps."""
    first = sa.MetaData()
    for name in ("predictions", "outcomes"):
        table = tables.tables[name]
        kept = [column for column in table.columns if column.name != "via"]
        columns = [sa.Column(c.name, c.type, primary_key=c.primary_key, nullable=c.nullable) for c in kept]
        sa.Table(name, first, *columns)
    return first


def fill_first(engine: sa.Engine) -> None:
    """Make a log as the first Gradecast left it, with one forecast."""
    first = first_tables()
    row = {
        "prediction_id": "a" * 32,
        "at": FIRST,
        "contract": "grade_class",
        "model_version": "1",
        "student": None,
        "record": RECORD,
        "grade_class": "B",
        "grade_class_index": 1,
        "at_risk": 0.1,
        "probabilities": {"A": 0.4, "B": 0.6},
        "grade_set": ["B"],
    }
    with engine.begin() as connection:
        for table in first.sorted_tables:
            connection.execute(CreateTable(table))
        connection.execute(sa.insert(first.tables["predictions"]).values(row))


def test_the_steps_lead_to_the_tables_that_the_code_has(empty: sa.Engine) -> None:
    upgrade(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = compare_metadata(context, tables)
    comments = ("modify_comment", "add_table_comment")
    steps = [step for part in differences for step in (part if isinstance(part, list) else [part])]
    assert [step for step in steps if step[0] not in comments] == []


def test_the_last_step_is_the_one_that_is_aimed_at() -> None:
    assert ScriptDirectory(str(FOLDER)).get_heads() == [HEAD]


def test_a_log_of_the_first_gradecast_is_brought_along_with_what_is_in_it(
    empty: sa.Engine, tmp_path: Path
) -> None:
    fill_first(empty)
    upgrade(empty)
    assert version(empty) == HEAD
    (row,) = read_log(empty, "grade_class")
    assert (row["at"], row["record"], row["via"]) == (FIRST, RECORD, "predict")
    assert drain(empty, tmp_path / "spool") == (0, 0)


def test_a_log_from_between_the_steps_is_brought_along(empty: sa.Engine) -> None:
    fill_first(empty)
    with empty.begin() as connection:  # as a Gradecast without steps made them beside the older ones
        for name in ("overrides", "measurements", "history"):
            connection.execute(CreateTable(tables.tables[name]))
    upgrade(empty)
    assert version(empty) == HEAD
    assert [row["via"] for row in read_log(empty, "grade_class")] == ["predict"]


def test_those_who_come_at_the_same_time_take_the_steps_once(empty: sa.Engine) -> None:
    fill_first(empty)
    failed: list[Exception] = []

    def come() -> None:
        try:
            upgrade(empty)
        except sa.exc.SQLAlchemyError as error:
            failed.append(error)

    threads = [threading.Thread(target=come) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert version(empty) == HEAD


def test_a_step_that_fails_leaves_the_log_as_it_was(empty: sa.Engine) -> None:
    fill_first(empty)
    with empty.begin() as connection:
        connection.execute(sa.text("CREATE TABLE measurements (other integer)"))
    with pytest.raises(sa.exc.SQLAlchemyError):
        upgrade(empty)
    inspector = sa.inspect(empty)
    assert "via" not in {column["name"] for column in inspector.get_columns("predictions")}
    assert not {VERSION_TABLE, "overrides"} & set(inspector.get_table_names())


def test_a_log_of_a_newer_gradecast_is_left_alone(empty: sa.Engine) -> None:
    upgrade(empty)
    with empty.begin() as connection:
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(BadInput, match="newer Gradecast"):
        upgrade(empty)
