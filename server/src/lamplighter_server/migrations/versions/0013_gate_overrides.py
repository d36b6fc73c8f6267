"""Releases that people publish in spite of their gates."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gate_override",
        sa.Column("bundle_sha256", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("gates", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("needs_approval", sa.Boolean(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("asked_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("approved_utc", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("bundle_sha256", name=op.f("pk_gate_override")),
    )


def downgrade() -> None:
    op.drop_table("gate_override")
