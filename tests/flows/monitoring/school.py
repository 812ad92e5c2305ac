"""A school whose forecasts and grades are in a log: written by the monitor's tests, without a predictor."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from data.cohorts import grades as cohort
from data.contract.contract import Contract
from data.log.database import create_tables, insert_missing, open_log, outcomes, overrides, predictions
from data.rows.frames import matrix, parse, target_index, to_records
from data.rows.ids import pseudonym
from flows.monitoring.watch import Judgement, judge
from flows.monitoring.window import Forecasts, Window, read_forecasts
from flows.registry.store import Champion

NOW = datetime(2026, 11, 1, tzinfo=UTC)
FIRST_ID = 500_001


def month(number: int) -> datetime:
    """The first moment of a month of thirty days."""
    return NOW + timedelta(days=30 * number)


def students(
    rows: int, seed: int, scenario: str | None = None, strength: float | None = None
) -> pd.DataFrame:
    """Students whom no model has seen."""
    return cohort.generate(rows, seed, scenario, strength, first_id=FIRST_ID + 10_000 * seed)


class School:
    """A log, and the champion that answers."""

    def __init__(self, url: str, champion: Champion) -> None:
        self.engine = open_log(url)
        self.champion, self.bundle = champion, champion.bundle
        with self.engine.connect() as connection:
            create_tables(connection)

    @property
    def contract(self) -> Contract:
        return self.bundle.contract

    def ask(
        self,
        raw: pd.DataFrame,
        at: datetime,
        *,
        graded: bool = True,
        elapsed: float | None = None,
        **changed: Any,
    ) -> list[str]:
        """Ask for forecasts an hour after a moment; the grades come two hours later. Return the ids."""
        frame = parse(raw, self.contract)
        passed = None if elapsed is None else np.full(len(frame), elapsed)
        answers = self.bundle.answers(self.bundle.probabilities(matrix(frame, self.contract), passed), passed)
        ids = [pseudonym(str(student)) for student in raw["StudentID"]]
        common = {"at": at + timedelta(hours=1), "contract": self.contract.name, "via": "batch"}
        said = {} if elapsed is None else {"elapsed": elapsed}
        records = [{**record, **said} for record in to_records(frame, self.contract)]
        rows = [
            {
                **common,
                "prediction_id": uuid.uuid4().hex,
                "model_version": self.champion.version,
                "student": student,
                "record": record,
                **answer,
                **changed,
            }
            for student, record, answer in zip(ids, records, answers, strict=True)
        ]
        self._insert(predictions, rows)
        if graded:
            self.grade(raw, at + timedelta(hours=3))
        return [str(row["prediction_id"]) for row in rows]

    def grade(self, raw: pd.DataFrame, at: datetime, *, prediction: str | None = None) -> None:
        """Report the students' grades, or the grade of the student whose forecast is named."""
        places = target_index(parse(raw, self.contract), self.contract)
        rows = [
            {
                "outcome_id": uuid.uuid4().hex,
                "at": at,
                "contract": self.contract.name,
                "prediction_id": prediction,
                "student": None if prediction else pseudonym(str(student)),
                "outcome": self.contract.target.labels[place],
                "outcome_index": int(place),
                "score": None if np.isnan(score) else float(score),
            }
            for student, place, score in zip(raw["StudentID"], places, raw["GPA"], strict=True)
        ]
        self._insert(outcomes, rows)

    def note(self, prediction: str, verdict: str, at: datetime) -> None:
        """Note a teacher's verdict on a forecast."""
        said = {"override_id": uuid.uuid4().hex, "at": at, "contract": self.contract.name, "verdict": verdict}
        self._insert(overrides, [{**said, "prediction_id": prediction, "reason": "known", "name": "T"}])

    def log(self, until: datetime | None = None) -> Forecasts:
        """Read what the monitor reads."""
        return read_forecasts(self.engine, self.contract, until or month(12))

    def judge(self, number: int = 0) -> Judgement:
        """Judge a month as the monitor does."""
        window = Window(month(number), month(number + 1))
        log = self.log(window.until)
        return judge(log.asked(window).newest(), log.settled(window).newest(), self.champion, self.contract)

    def _insert(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        with self.engine.connect() as connection:
            insert_missing(connection, table, rows)
