"""What the log says of a window: what was asked, what was answered, and the grades that came."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Self

import numpy as np
import pandas as pd
import sqlalchemy as sa

from data.contract.columns import PSEUDONYM
from data.contract.contract import Contract
from data.log.reading import read_log
from data.rows.frames import parse, target_index

CANARY = "canary"
REACH = timedelta(days=400)
"""How long before the window's end a forecast may have been asked for: a school year, and some weeks."""
SOURCE = "prediction log"


@dataclass(frozen=True)
class Window:
    """A stretch of time: [since, until)."""

    since: datetime
    until: datetime

    @classmethod
    def of_days(cls, days: float, until: datetime) -> Self:
        """Return the days before a moment."""
        return cls(until - timedelta(days=days), until)

    def __contains__(self, moment: object) -> bool:
        """Tell whether a moment is in the window."""
        return isinstance(moment, datetime) and self.since <= moment < self.until


@dataclass(frozen=True)
class Forecasts:
    """Forecasts as they were asked for and answered, oldest first.

    `frame` holds the records as parsed, with pseudonym (None where no id was given), target and score, the
    latter two missing while no grade has come; `probabilities` (n, K) are those that were answered. `about`
    has prediction_id, at, model_version, outcome_at, via. All have the index 0 … n - 1.
    """

    frame: pd.DataFrame
    probabilities: np.ndarray
    about: pd.DataFrame

    def __len__(self) -> int:
        """Return the number of forecasts."""
        return len(self.frame)

    def take(self, chosen: np.ndarray) -> "Forecasts":
        """Return the forecasts of a mask (n,)."""
        return self.take_order(np.flatnonzero(chosen))

    def take_order(self, some: np.ndarray) -> "Forecasts":
        """Return the forecasts at some positions, in their order."""
        frame, about = (part.iloc[some].reset_index(drop=True) for part in (self.frame, self.about))
        return replace(self, frame=frame, probabilities=self.probabilities[some], about=about)

    def classes(self, contract: Contract) -> np.ndarray:
        """Return the class index (n,) that each came to be, -1 while that is not known."""
        return target_index(self.frame, contract)

    def settled(self, window: Window) -> "Forecasts":
        """Return those whose grade came in a window."""
        return self.take(np.array([at in window for at in self.about["outcome_at"]], dtype=bool))

    def asked(self, window: Window) -> "Forecasts":
        """Return those that were asked for in a window."""
        return self.take(np.array([at in window for at in self.about["at"]], dtype=bool))

    def newest(self) -> "Forecasts":
        """Return the newest of each student; of those without an id all."""
        students = self.frame[PSEUDONYM]
        return self.take((students.isna() | ~students.duplicated(keep="last")).to_numpy())


def read_forecasts(engine: sa.Engine, contract: Contract, until: datetime) -> Forecasts:
    """Read the forecasts of the year before a moment, with the grades that had come by then; no canary's.

    Answers of other classes than the contract's are left out. Raises BadInput for a record that is none of
    this contract.
    """
    labels = set(contract.target.labels)
    rows = [
        row
        for row in read_log(engine, contract.name, since=until - REACH, until=until)
        if row["via"] != CANARY and row["probabilities"].keys() == labels
    ]
    known = [
        row if row["outcome_at"] is None or row["outcome_at"] < until else _unsettled(row) for row in rows
    ]
    return forecasts_of(known, contract)


def forecasts_of(rows: list[dict[str, Any]], contract: Contract) -> Forecasts:
    """Return rows of `read_log` as forecasts."""
    labels = contract.target.labels
    told = ["prediction_id", "at", "model_version", "outcome_at", "via"]
    probabilities = [[row["probabilities"][label] for label in labels] for row in rows]
    return Forecasts(
        frame=_frame(rows, contract),
        probabilities=np.array(probabilities, dtype=float).reshape(-1, len(labels)),
        about=pd.DataFrame([{name: row[name] for name in told} for row in rows], columns=told, dtype=object),
    )


def _unsettled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "outcome": None, "outcome_index": None, "score": None, "outcome_at": None}


def _frame(rows: list[dict[str, Any]], contract: Contract) -> pd.DataFrame:
    """Parse the records, and put pseudonym, score and class beside them."""
    asked = [column.name for column in contract.asked]
    raw = pd.DataFrame([row["record"] for row in rows], columns=asked, dtype=object)
    frame = parse(raw, contract, labelled=False, partial=True, file=SOURCE)
    if contract.score is not None:
        frame[contract.score.name] = _numbers(row["score"] for row in rows)
    frame[contract.target.column] = _classes([row["outcome"] for row in rows], contract)
    frame[PSEUDONYM] = pd.Series([row["student"] for row in rows], dtype=object)
    return frame


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)


def _classes(outcomes: list[str | None], contract: Contract) -> "pd.Categorical[Any]":
    place = {label: number for number, label in enumerate(contract.target.labels)}
    codes = [place.get(outcome, -1) if outcome else -1 for outcome in outcomes]
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(contract.target.classes)))
