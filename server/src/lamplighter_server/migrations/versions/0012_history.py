"""What ran where and when."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ran",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("committed", sa.Boolean(), nullable=False),
        sa.Column("from_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("until_utc", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_ran_device_device")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ran")),
    )
    for column in ("device", "model"):
        op.create_index(op.f(f"ix_ran_{column}"), "ran", [column], unique=False)


def downgrade() -> None:
    op.drop_table("ran")
