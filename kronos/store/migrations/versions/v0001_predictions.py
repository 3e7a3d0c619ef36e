"""Predictions, their paths and their evaluations, and triggers against changes of rows."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)
_TABLES = ("ml_predictions", "prediction_paths", "signal_evaluations", "path_evaluations")


def upgrade() -> None:
    """Makes the tables."""
    _make_predictions()
    _make_evaluations()
    for table in _TABLES:
        for statement in _guards(table, op.get_bind().dialect.name):
            op.execute(statement)


def downgrade() -> None:
    """Removes the tables and everything in them."""
    for table in reversed(_TABLES):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION kronos_rows_stay()")


def _make_predictions() -> None:
    op.create_table(
        "ml_predictions",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("instrument", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("interval", sa.Text, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("calendar", sa.Text, nullable=False),
        sa.Column("origin", _MOMENT, nullable=False),
        sa.Column("horizon", sa.Integer, nullable=False),
        sa.Column("model_name", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("event_context", sa.JSON, nullable=True),
        sa.Column("context_hash", sa.Text, nullable=False),
        sa.Column("last_close", sa.Double, nullable=False),
        sa.Column("volatility", sa.Double, nullable=True),
        sa.Column("timestamps", sa.JSON, nullable=False),
        sa.Column("levels", sa.JSON, nullable=False),
        sa.Column("quantiles", sa.JSON, nullable=False),
        sa.Column("probability_up", sa.JSON, nullable=False),
        sa.Column("software_version", sa.Text, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.CheckConstraint("length(id) = 64", name="ck_ml_predictions_id"),
        sa.CheckConstraint("horizon > 0", name="ck_ml_predictions_horizon"),
        sa.CheckConstraint("last_close > 0", name="ck_ml_predictions_last_close"),
    )
    op.create_index(
        "ix_ml_predictions_instrument", "ml_predictions", ["instrument", "interval", "origin"]
    )
    op.create_index("ix_ml_predictions_created_at", "ml_predictions", ["created_at"])
    op.create_table(
        "prediction_paths",
        sa.Column(
            "prediction_id", sa.String(64), sa.ForeignKey("ml_predictions.id"), primary_key=True
        ),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("n_paths", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )


def _make_evaluations() -> None:
    op.create_table(
        "signal_evaluations",
        sa.Column(
            "prediction_id", sa.String(64), sa.ForeignKey("ml_predictions.id"), primary_key=True
        ),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("timestamp", _MOMENT, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("actual", sa.Double, nullable=True),
        sa.Column("origin_close", sa.Double, nullable=True),
        sa.Column("actual_return", sa.Double, nullable=True),
        sa.Column("crps", sa.Double, nullable=True),
        sa.Column("crps_estimator", sa.Text, nullable=True),
        sa.Column("pinball", sa.Double, nullable=True),
        sa.Column("interval_score", sa.Double, nullable=True),
        sa.Column("inside_band", sa.Boolean, nullable=True),
        sa.Column("width", sa.Double, nullable=True),
        sa.Column("pit", sa.Double, nullable=True),
        sa.Column("absolute_error", sa.Double, nullable=True),
        sa.Column("direction", sa.Boolean, nullable=True),
        sa.Column("scale", sa.Double, nullable=True),
        sa.Column("ahead", sa.Boolean, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("resolved_at", _MOMENT, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
        sa.CheckConstraint("step > 0", name="ck_signal_evaluations_step"),
        sa.CheckConstraint(
            "outcome in ('observed', 'missing', 'late', 'corrected')",
            name="ck_signal_evaluations_outcome",
        ),
        sa.CheckConstraint(
            "(outcome = 'missing') = (actual is null) and (actual is null) = (crps is null)",
            name="ck_signal_evaluations_actual",
        ),
    )
    op.create_index("ix_signal_evaluations_resolved_at", "signal_evaluations", ["resolved_at"])
    op.create_table(
        "path_evaluations",
        sa.Column(
            "prediction_id", sa.String(64), sa.ForeignKey("ml_predictions.id"), primary_key=True
        ),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("energy_score", sa.Double, nullable=False),
        sa.Column("resolved_at", _MOMENT, nullable=False),
        sa.Column("recorded_at", _MOMENT, nullable=False),
    )


def _guards(table: str, dialect: str) -> list[str]:
    """Statements after which rows of the table can be added and neither changed nor removed."""
    message = "rows of the store of forecasts are never changed or removed"
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        "CREATE OR REPLACE FUNCTION kronos_rows_stay() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$",
        f"CREATE TRIGGER {table}_rows_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION kronos_rows_stay()",
    ]
