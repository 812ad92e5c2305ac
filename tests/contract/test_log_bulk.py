"""Forecasts that go into the log as whole columns are the rows that go in one by one."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from data.log.database import create_tables, insert_forecasts, insert_missing, predictions

AT = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)


def columns(ids: list[str]) -> dict[str, Any]:
    count = len(ids)
    return {
        "prediction_id": ids,
        "at": AT,
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
