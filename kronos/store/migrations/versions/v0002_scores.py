"""The log score of a step and the QLIKE of a whole path; rows from before have neither."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds the columns; no row changes, so that the triggers against changes stay."""
    op.add_column("signal_evaluations", sa.Column("log_score", sa.Double, nullable=True))
    op.add_column("path_evaluations", sa.Column("qlike", sa.Double, nullable=True))


def downgrade() -> None:
    """Removes the columns."""
    op.drop_column("path_evaluations", "qlike")
    op.drop_column("signal_evaluations", "log_score")
