"""How a forecast was asked for, what people noted and decided, and what the monitor measured."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"

DIGITS = 32
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Add `via` to predictions, and the tables `overrides`, `measurements` and `history`."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("predictions")}
    if "via" not in known:
        op.add_column("predictions", sa.Column("via", sa.String, nullable=False, server_default="predict"))
    _overrides()
    _measurements()
    _history()


def _overrides() -> None:
    op.create_table(
        "overrides",
        sa.Column("override_id", sa.String(DIGITS), primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("contract", sa.String, nullable=False),
        sa.Column("prediction_id", sa.String(DIGITS), nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_overrides_at", "overrides", ["at"], if_not_exists=True)
    op.create_index("ix_overrides_prediction_id", "overrides", ["prediction_id"], if_not_exists=True)


def _measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column("measurement_id", sa.String(DIGITS), primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("contract", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("about", sa.String, nullable=False),
        sa.Column("value", sa.Float),
        sa.Column("low", sa.Float),
        sa.Column("high", sa.Float),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        if_not_exists=True,
    )
    op.create_index("ix_measurements_at", "measurements", ["at"], if_not_exists=True)


def _history() -> None:
    op.create_table(
        "history",
        sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("model", sa.String, primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("event", sa.String, nullable=False),
        sa.Column("version", sa.String, nullable=False),
        sa.Column("champion", sa.String),
        sa.Column("by", sa.String, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        if_not_exists=True,
    )
