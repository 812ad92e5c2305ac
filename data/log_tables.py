"""The tables of the prediction log, in SQLite or PostgreSQL."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

DIGITS = 32  # of a prediction's id and of a pseudonym


class Moment(sa.types.TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which knows no time zones, is given it without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return a moment as the database keeps it."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """Return a moment of the database in UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


Json = sa.JSON().with_variant(JSONB(), "postgresql")
tables = sa.MetaData()

predictions = sa.Table(
    "predictions",
    tables,
    sa.Column("prediction_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was answered"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("student", sa.String(DIGITS), comment="pseudonym; null where no id was given"),
    sa.Column("record", Json, nullable=False, comment="what was asked, without the id"),
    sa.Column("grade_class", sa.String, nullable=False),
    sa.Column("grade_class_index", sa.Integer, nullable=False, comment="0 is the best class"),
    sa.Column("at_risk", sa.Float, nullable=False),
    sa.Column("probabilities", Json, nullable=False),
    sa.Column("grade_set", Json, nullable=False),
    sa.Column("via", sa.String, nullable=False, server_default="predict", comment="how it was asked for"),
    sa.Index("predictions_of_student", "student", "at"),
)

outcomes = sa.Table(
    "outcomes",
    tables,
    sa.Column("outcome_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was reported"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("prediction_id", sa.String(DIGITS), index=True, comment="the forecast that it settles"),
    sa.Column("student", sa.String(DIGITS), comment="pseudonym; or all forecasts of a student"),
    sa.Column("outcome", sa.String, nullable=False, comment="label of the class that it came to be"),
    sa.Column("outcome_index", sa.Integer, nullable=False),
    sa.Column("score", sa.Float, comment="the score that it was derived from, where one was given"),
    sa.Index("outcomes_of_student", "student", "at"),
)

overrides = sa.Table(
    "overrides",
    tables,
    sa.Column("override_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was noted"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("prediction_id", sa.String(DIGITS), nullable=False, index=True),
    sa.Column("verdict", sa.String, nullable=False, comment="agree or disagree"),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False, comment="who noted it"),
)

measurements = sa.Table(
    "measurements",
    tables,
    sa.Column("measurement_id", sa.String(DIGITS), primary_key=True),
    sa.Column("at", Moment, nullable=False, index=True, comment="when it was measured"),
    sa.Column("contract", sa.String, nullable=False),
    sa.Column("model_version", sa.String, nullable=False),
    sa.Column("since", Moment, nullable=False, comment="start of the window"),
    sa.Column("until", Moment, nullable=False, comment="end of the window, not in it"),
    sa.Column("name", sa.String, nullable=False, comment="drift_share, estimated_accuracy, …"),
    sa.Column("about", sa.String, nullable=False, comment="column, group or class; empty for the whole"),
    sa.Column("value", sa.Float),
    sa.Column("low", sa.Float, comment="of the 90 % interval"),
    sa.Column("high", sa.Float),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("verdict", sa.String, nullable=False, comment="pass, drift, loss, too few rows, …; or empty"),
)

history = sa.Table(
    "history",
    tables,
    sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False, comment="1, 2, 3, … for a model"),
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("at", Moment, nullable=False),
    sa.Column("event", sa.String, nullable=False, comment="asked, promoted, rejected or rolled back"),
    sa.Column("version", sa.String, nullable=False, comment="of which it was decided"),
    sa.Column("champion", sa.String, comment="the champion after it"),
    sa.Column("by", sa.String, nullable=False, comment="who or what decided"),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("evidence", Json, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, comment="SHA-256 of this entry and the one before"),
)
