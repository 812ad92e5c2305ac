"""The forecasts of a whole class, column by column, and the ids under which one may be written down."""

import hmac
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from data.records import Record
from serving.predictor import Predictor
from serving.roster.steps import Gains, gains_of
from serving.scoring import column_matrix_maker
from serving.suggestions import risks_of

ID_DIGITS = 32
DIGITS = 6


class Forecasts(NamedTuple):
    """What the model says of each student (n), in the order of the records.

    `risks`, `sure` (the likeliest class's probability) and the gains have six decimals, as the page's
    script is told them: it and the server put equals into the same order.
    """

    matrix: np.ndarray
    shares: np.ndarray
    risks: np.ndarray
    tops: np.ndarray
    sets: list[list[str]]
    sure: np.ndarray
    gains: Gains


def forecast(predictor: Predictor, records: list[Record]) -> Forecasts:
    """Forecast validated records."""
    bundle = predictor.bundle
    matrix = column_matrix_maker(bundle.contract)(records)
    shares = bundle.probabilities(matrix)
    risks, sure = (
        np.round(part.astype(float), DIGITS) for part in (risks_of(bundle, shares), shares.max(axis=1))
    )
    gains = gains_of(bundle, matrix, risks)
    gains = gains._replace(gain=np.round(gains.gain, DIGITS))
    return Forecasts(matrix, shares, risks, shares.argmax(axis=1), bundle.grade_sets(shares), sure, gains)


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
