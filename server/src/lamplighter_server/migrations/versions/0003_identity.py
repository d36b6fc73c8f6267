"""Certificates that are renewed and revoked."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: Of every certificate that was issued before there was a table of them.
LIFETIME = timedelta(days=30)
COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "revoked_utc": UtcDateTime(timezone=True),
    "revoked_reason": sa.String(),
    "cut_off_utc": UtcDateTime(timezone=True),
    "retired_utc": UtcDateTime(timezone=True),
}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.add_column("device", sa.Column(name, kind, nullable=True))
    certificate = op.create_table(
        "certificate",
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("expires_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("revoked_utc", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_certificate_device_device")
        ),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_certificate")),
    )
    op.create_index(op.f("ix_certificate_device"), "certificate", ["device"], unique=False)
    device = sa.table(
        "device",
        sa.column("id", sa.String()),
        sa.column("certificate_serial", sa.String()),
        sa.column("enrolled_utc", UtcDateTime(timezone=True)),
    )
    rows = op.get_bind().execute(sa.select(device))
    op.bulk_insert(
        certificate,
        [
            {
                "serial": row.certificate_serial,
                "device": row.id,
                "expires_utc": row.enrolled_utc + LIFETIME,
                "revoked_utc": None,
            }
            for row in rows
        ],
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_certificate_device"), table_name="certificate")
    op.drop_table("certificate")
    for name in COLUMNS:
        op.drop_column("device", name)
