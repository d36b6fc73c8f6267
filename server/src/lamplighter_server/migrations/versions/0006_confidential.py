"""Confidential models and the keys of devices."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("device", sa.Column("agreement_public", sa.LargeBinary(), nullable=True))
    op.create_table(
        "confidential_model",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("since_utc", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_confidential_model")),
    )
    op.create_table(
        "release_key",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("model", "release", name=op.f("pk_release_key")),
    )
    op.create_table(
        "sealed_blob",
        sa.Column("wire_sha256", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("wire_sha256", name=op.f("pk_sealed_blob")),
    )
    op.create_index(op.f("ix_sealed_blob_sha256"), "sealed_blob", ["sha256"], unique=False)


def downgrade() -> None:
    for table in ("sealed_blob", "release_key", "confidential_model"):
        op.drop_table(table)
    op.drop_column("device", "agreement_public")
