"""The tables, and the migrations that bring a database to them.

Predictions with their paths, and their evaluations. Rows are only ever added. The migrations below
`migrations/` create these tables; a test compares the two. The reasons are in
docs/adr/0010-the-store-of-forecasts.md.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

from kronos.errors import StoreIncompatible
from kronos.store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

__all__ = [
    "REVISION",
    "TABLES",
    "VERSION_TABLE",
    "Moment",
    "metadata",
    "path_evaluations",
    "prediction_paths",
    "predictions",
    "script_directory",
    "signal_evaluations",
    "upgrade",
]

REVISION = "0002"
"""The newest migration: the schema of this code."""
VERSION_TABLE = "kronos_store_version"


class Moment(TypeDecorator[datetime]):
    """An instant: aware datetimes in UTC, in any database."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """To UTC; SQLite stores it without a zone, so that it sorts as text."""
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """Back to an aware datetime in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _column(name: str, kind: Any, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=null)


metadata = sa.MetaData()

predictions = sa.Table(
    "ml_predictions",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    _column("instrument", sa.Text),
    _column("source", sa.Text),
    _column("interval", sa.Text),
    _column("zone", sa.Text),
    _column("calendar", sa.Text),
    _column("origin", Moment),
    _column("horizon", sa.Integer),
    _column("model_name", sa.Text),
    _column("model_version", sa.Text),
    _column("parameters", sa.JSON),
    _column("seed", sa.BigInteger),
    _column("event_context", sa.JSON(none_as_null=True), null=True),
    _column("context_hash", sa.Text),
    _column("last_close", sa.Double),
    _column("volatility", sa.Double, null=True),
    _column("timestamps", sa.JSON),
    _column("levels", sa.JSON),
    _column("quantiles", sa.JSON),
    _column("probability_up", sa.JSON),
    _column("software_version", sa.Text),
    _column("created_at", Moment),
    sa.CheckConstraint("length(id) = 64", name="ck_ml_predictions_id"),
    sa.CheckConstraint("horizon > 0", name="ck_ml_predictions_horizon"),
    sa.CheckConstraint("last_close > 0", name="ck_ml_predictions_last_close"),
    sa.Index("ix_ml_predictions_instrument", "instrument", "interval", "origin"),
    sa.Index("ix_ml_predictions_created_at", "created_at"),
)

prediction_paths = sa.Table(
    "prediction_paths",
    metadata,
    sa.Column("prediction_id", sa.String(64), sa.ForeignKey("ml_predictions.id"), primary_key=True),
    _column("columns", sa.JSON),
    _column("n_paths", sa.Integer),
    _column("sha256", sa.String(64)),
    _column("data", sa.LargeBinary),
)

signal_evaluations = sa.Table(
    "signal_evaluations",
    metadata,
    sa.Column("prediction_id", sa.String(64), sa.ForeignKey("ml_predictions.id"), primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    _column("timestamp", Moment),
    _column("outcome", sa.Text),
    _column("actual", sa.Double, null=True),
    _column("origin_close", sa.Double, null=True),
    _column("actual_return", sa.Double, null=True),
    _column("crps", sa.Double, null=True),
    _column("crps_estimator", sa.Text, null=True),
    _column("pinball", sa.Double, null=True),
    _column("interval_score", sa.Double, null=True),
    _column("inside_band", sa.Boolean, null=True),
    _column("width", sa.Double, null=True),
    _column("pit", sa.Double, null=True),
    _column("absolute_error", sa.Double, null=True),
    _column("direction", sa.Boolean, null=True),
    _column("scale", sa.Double, null=True),
    _column("ahead", sa.Boolean),
    _column("source", sa.Text),
    _column("resolved_at", Moment),
    _column("recorded_at", Moment),
    _column("log_score", sa.Double, null=True),
    sa.CheckConstraint("step > 0", name="ck_signal_evaluations_step"),
    sa.CheckConstraint(
        "outcome in ('observed', 'missing', 'late', 'corrected')",
        name="ck_signal_evaluations_outcome",
    ),
    sa.CheckConstraint(
        "(outcome = 'missing') = (actual is null) and (actual is null) = (crps is null)",
        name="ck_signal_evaluations_actual",
    ),
    sa.Index("ix_signal_evaluations_resolved_at", "resolved_at"),
)

path_evaluations = sa.Table(
    "path_evaluations",
    metadata,
    sa.Column("prediction_id", sa.String(64), sa.ForeignKey("ml_predictions.id"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    _column("energy_score", sa.Double),
    _column("resolved_at", Moment),
    _column("recorded_at", Moment),
    _column("qlike", sa.Double, null=True),
)

TABLES = (predictions, prediction_paths, signal_evaluations, path_evaluations)
"""Every table, each after the tables that it refers to."""


_MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_LOCK = 0x6B726F6E6F73
"""Key of the advisory lock under which PostgreSQL is migrated by one process at a time."""


def upgrade(database: Database) -> None:
    """Creates the tables in an empty database, and migrates those of an earlier version.

    One transaction does all: an interrupted upgrade changes nothing.

    Raises:
        StoreIncompatible: The database was made by a newer version of this program.
        StoreUnavailable: The database cannot be used.
    """
    with database.reading() as connection:
        found = _revision(connection)
    if found != REVISION:
        database.write(_migrate)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version = sa.table(VERSION_TABLE, sa.column("version_num", sa.Text))
    return connection.execute(sa.select(version.c.version_num)).scalar()


def script_directory() -> ScriptDirectory:
    """The migrations as an Alembic directory."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    # Alembic reads options like an ini file, in which % begins a reference.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _migrate(connection: sa.Connection) -> None:
    from alembic import command

    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    config = _config()
    config.attributes["connection"] = connection
    found = _revision(connection)
    known = {script.revision for script in script_directory().walk_revisions()}
    if found is not None and found not in known:
        raise StoreIncompatible(
            f"The store of forecasts was made by a newer version of this program (its schema is "
            f"{found}, this one knows {REVISION}). Update the program, or name another store."
        )
    command.upgrade(config, "head")
