"""The key that each certificate is for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("certificate", sa.Column("key_sha256", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("certificate", "key_sha256")
