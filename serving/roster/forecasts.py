"""The forecasts of a whole class, column by column, and the ids under which one may be written down."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import orjson

from data.bundle import Bundle
from data.records import Record
from serving.predictor import Predictor
from serving.roster.steps import Gains, gains_of
from serving.scoring import column_matrix_maker
from serving.suggestions import risks_of

ID_DIGITS = 32
DIGITS = 6


@dataclass(frozen=True)
class Forecasts:
    """What the model says of each student (n), in the order of the records.

    `risks`, `sure` (the likeliest class's probability) and the gains have six decimals, as the page's
    script is told them: it and the server put equals into the same order.
    """

    bundle: Bundle
    matrix: np.ndarray
    shares: np.ndarray
    risks: np.ndarray
    tops: np.ndarray
    sets: list[list[str]]
    sure: np.ndarray

    @cached_property
    def gains(self) -> Gains:
        """What one step could gain each student."""
        return self.gains_at(np.arange(len(self.risks)))

    def gains_at(self, places: np.ndarray) -> Gains:
        """Return what one step could gain some students, by their places."""
        gains = gains_of(self.bundle, self.matrix[places], self.risks[places])
        return gains._replace(gain=np.round(gains.gain, DIGITS))


def forecast(predictor: Predictor, records: list[Record]) -> Forecasts:
    """Forecast validated records."""
    bundle = predictor.bundle
    matrix = column_matrix_maker(bundle.contract)(records)
    shares = bundle.probabilities(matrix)
    risks, sure = (
        np.round(part.astype(float), DIGITS) for part in (risks_of(bundle, shares), shares.max(axis=1))
    )
    tops, sets = shares.argmax(axis=1), bundle.grade_sets(shares)
    return Forecasts(bundle, matrix, shares, risks, tops, sets, sure)


def answers_to_log(predictor: Predictor, records: list[Record], key: str) -> list[dict[str, Any]]:
    """Return the answers of records as the log wants them, each under its id of today.

    The id follows from record, version and day: a class that is looked at twice is kept once.
    """
    bundle = predictor.bundle
    answers = bundle.answers(bundle.probabilities(bundle.matrix(records))) if records else []
    for answer, record in zip(answers, records, strict=True):
        answer |= {"model_version": predictor.version, "prediction_id": _id_of(predictor, record, key)}
    return answers


def _id_of(predictor: Predictor, record: Record, key: str) -> str:
    today = datetime.now(UTC).date().isoformat()
    said = [predictor.bundle.contract.name, predictor.version, today, record]
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    return hmac.digest(key.encode(), text, "sha256").hex()[:ID_DIGITS]
