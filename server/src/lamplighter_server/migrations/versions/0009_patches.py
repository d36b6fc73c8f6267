"""Patches between releases."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "patch",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("base_sha256", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("wire_sha256", sa.String(), nullable=False),
        sa.Column("wire_size_bytes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "base_sha256", name=op.f("pk_patch")),
    )
    op.create_index(op.f("ix_patch_wire_sha256"), "patch", ["wire_sha256"], unique=False)
    op.create_table(
        "patched_release",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "release", name=op.f("pk_patched_release")),
    )


def downgrade() -> None:
    for table in ("patched_release", "patch"):
        op.drop_table(table)
