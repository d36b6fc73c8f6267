"""Boards that ask to be let in, and the claims with which they ask."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claim",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_utc", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_claim")),
    )
    op.create_table(
        "pending_device",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("claim", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("board", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("asked_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("decided_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("approved", sa.Boolean(), nullable=True),
        sa.Column("replaces", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["claim"], ["claim.token_sha256"], name=op.f("fk_pending_device_claim_claim")
        ),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_pending_device")),
    )
    op.create_index(op.f("ix_pending_device_claim"), "pending_device", ["claim"], unique=False)


def downgrade() -> None:
    for table in ("pending_device", "claim"):
        op.drop_table(table)
