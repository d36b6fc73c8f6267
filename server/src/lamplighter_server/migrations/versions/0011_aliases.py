"""Names for releases."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alias",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("set_utc", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("model", "name", name=op.f("pk_alias")),
    )


def downgrade() -> None:
    op.drop_table("alias")
