"""The first tables."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("opened_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("resolved_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("sentence", sa.String(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert")),
    )
    op.create_index(op.f("ix_alert_key"), "alert", ["key"], unique=False)
    op.create_index(
        "uq_alert_open",
        "alert",
        ["key"],
        unique=True,
        sqlite_where=sa.text("resolved_utc IS NULL"),
        postgresql_where=sa.text("resolved_utc IS NULL"),
    )
    op.create_table(
        "blob_want",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("wanted_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "wanted_by", name=op.f("pk_blob_want")),
    )
    op.create_table(
        "device",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("inventory", sa.JSON(), nullable=False),
        sa.Column("public_key_pem", sa.String(), nullable=False),
        sa.Column("certificate_serial", sa.String(), nullable=False),
        sa.Column("telemetry_key", sa.LargeBinary(), nullable=False),
        sa.Column("enrolled_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("online", sa.Boolean(), nullable=False),
        sa.Column("last_seen_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("boot", sa.String(), nullable=True),
        sa.Column("report_counter", sa.Integer(), nullable=False),
        sa.Column("report_envelope", sa.LargeBinary(), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device")),
    )
    op.create_table(
        "drift_mark",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("decided_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("pending", sa.LargeBinary(), nullable=False),
        sa.Column("quiet_decisions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model", "release", "site", name=op.f("pk_drift_mark")),
    )
    op.create_index(op.f("ix_drift_mark_decided_utc"), "drift_mark", ["decided_utc"], unique=False)
    op.create_table(
        "invitation",
        sa.Column("token_sha256", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("used_utc", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("pk_invitation")),
    )
    op.create_index(op.f("ix_invitation_device"), "invitation", ["device"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("retain", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "published_blob",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("published_utc", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_published_blob")),
    )
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("manifest_sha256", sa.String(), nullable=False),
        sa.Column("manifest_size_bytes", sa.Integer(), nullable=False),
        sa.Column("evidence_sha256", sa.String(), nullable=False),
        sa.Column("published_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
        sa.UniqueConstraint("model", "number", name=op.f("uq_release_model")),
    )
    op.create_index(op.f("ix_release_model"), "release", ["model"], unique=False)
    op.create_table(
        "rollout",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("policy", sa.JSON(), nullable=False),
        sa.Column("created_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("started_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("wave_started_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("finished_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout")),
    )
    op.create_table(
        "trust_file",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("published", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_trust_file")),
    )
    op.create_table(
        "assignment",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("counter", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.Column("issued_utc", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_assignment_device_device")
        ),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_assignment")),
    )
    op.create_table(
        "event",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_event_device_device")),
        sa.PrimaryKeyConstraint("device", "boot", "sequence", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_at_utc"), "event", ["at_utc"], unique=False)
    op.create_table(
        "rollout_device",
        sa.Column("rollout", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("previous_release", sa.Integer(), nullable=True),
        sa.Column("previous_variant", sa.String(), nullable=True),
        sa.Column("assigned_epoch", sa.Integer(), nullable=True),
        sa.Column("assigned_counter", sa.Integer(), nullable=True),
        sa.Column("deadline_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("settled_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_rollout_device_device_device")
        ),
        sa.ForeignKeyConstraint(
            ["rollout"], ["rollout.id"], name=op.f("fk_rollout_device_rollout_rollout")
        ),
        sa.PrimaryKeyConstraint("rollout", "device", name=op.f("pk_rollout_device")),
    )
    op.create_table(
        "stream_cursor",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("contiguous", sa.Integer(), nullable=False),
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_stream_cursor_device_device")
        ),
        sa.PrimaryKeyConstraint("device", "stream", name=op.f("pk_stream_cursor")),
    )
    op.create_table(
        "stream_seen",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("stream", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_stream_seen_device_device")
        ),
        sa.PrimaryKeyConstraint("device", "stream", "sequence", name=op.f("pk_stream_seen")),
    )
    op.create_table(
        "vitals",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("received_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_vitals_device_device")),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_vitals")),
    )
    op.create_table(
        "wanted_model",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("rollout", sa.String(), nullable=True),
        sa.Column("deadline_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("allow_downgrade", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["device.id"], name=op.f("fk_wanted_model_device_device")
        ),
        sa.PrimaryKeyConstraint("device", "model", name=op.f("pk_wanted_model")),
    )
    op.create_table(
        "window",
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("release", sa.Integer(), nullable=False),
        sa.Column("variant", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("start_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("length_s", sa.Integer(), nullable=False),
        sa.Column("clock_synchronised", sa.Boolean(), nullable=False),
        sa.Column("received_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["device.id"], name=op.f("fk_window_device_device")),
        sa.PrimaryKeyConstraint("device", "boot", "sequence", name=op.f("pk_window")),
    )
    op.create_index(
        "ix_window_model_release_start", "window", ["model", "release", "start_utc"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_window_model_release_start", table_name="window")
    op.drop_table("window")
    op.drop_table("wanted_model")
    op.drop_table("vitals")
    op.drop_table("stream_seen")
    op.drop_table("stream_cursor")
    op.drop_table("rollout_device")
    op.drop_index(op.f("ix_event_at_utc"), table_name="event")
    op.drop_table("event")
    op.drop_table("assignment")
    op.drop_table("trust_file")
    op.drop_table("rollout")
    op.drop_index(op.f("ix_release_model"), table_name="release")
    op.drop_table("release")
    op.drop_table("published_blob")
    op.drop_table("outbox")
    op.drop_index(op.f("ix_invitation_device"), table_name="invitation")
    op.drop_table("invitation")
    op.drop_index(op.f("ix_drift_mark_decided_utc"), table_name="drift_mark")
    op.drop_table("drift_mark")
    op.drop_table("device")
    op.drop_table("blob_want")
    op.drop_index(
        "uq_alert_open",
        table_name="alert",
        sqlite_where=sa.text("resolved_utc IS NULL"),
        postgresql_where=sa.text("resolved_utc IS NULL"),
    )
    op.drop_index(op.f("ix_alert_key"), table_name="alert")
    op.drop_table("alert")
