"""What was asked and answered, and the grades that came: the log as it first was."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None

DIGITS = 32
MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Make the tables `predictions` and `outcomes`."""
    _predictions()
    _outcomes()
    for table in ("predictions", "outcomes"):
        op.create_index(f"ix_{table}_at", table, ["at"], if_not_exists=True)
        op.create_index(f"{table}_of_student", table, ["student", "at"], if_not_exists=True)
    op.create_index("ix_outcomes_prediction_id", "outcomes", ["prediction_id"], if_not_exists=True)


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("prediction_id", sa.String(DIGITS), primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("contract", sa.String, nullable=False),
        sa.Column("model_version", sa.String, nullable=False),
        sa.Column("student", sa.String(DIGITS)),
        sa.Column("record", JSON, nullable=False),
        sa.Column("grade_class", sa.String, nullable=False),
        sa.Column("grade_class_index", sa.Integer, nullable=False),
        sa.Column("at_risk", sa.Float, nullable=False),
        sa.Column("probabilities", JSON, nullable=False),
        sa.Column("grade_set", JSON, nullable=False),
        if_not_exists=True,
    )


def _outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("outcome_id", sa.String(DIGITS), primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("contract", sa.String, nullable=False),
        sa.Column("prediction_id", sa.String(DIGITS)),
        sa.Column("student", sa.String(DIGITS)),
        sa.Column("outcome", sa.String, nullable=False),
        sa.Column("outcome_index", sa.Integer, nullable=False),
        sa.Column("score", sa.Float),
        if_not_exists=True,
    )
