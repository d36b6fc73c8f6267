"""Releases that run in shadow."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "wanted_shadow",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("rollout", sa.String(), nullable=True),
        sa.Column("deadline_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("allow_downgrade", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_wanted_shadow_device_device")
        ),
        sa.PrimaryKeyConstraint("device", "model", name=op.f("pk_wanted_shadow")),
    )


def downgrade() -> None:
    op.drop_table("wanted_shadow")
