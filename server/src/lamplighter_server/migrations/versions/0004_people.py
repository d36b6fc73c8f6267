"""Users, sessions and tokens; who planned and who approved a rollout."""

import sqlalchemy as sa
from alembic import op

from lamplighter_server.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("issuer", sa.String(), nullable=True),
        sa.Column("subject", sa.String(), nullable=True),
        sa.Column("created_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("disabled_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("signed_in_utc", UtcDateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_user")),
        sa.UniqueConstraint("issuer", "subject", name=op.f("uq_user_issuer")),
    )
    op.create_table(
        "user_session",
        sa.Column("id_sha256", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("created_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("seen_utc", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["user.name"], name=op.f("fk_user_session_user_user")),
        sa.PrimaryKeyConstraint("id_sha256", name=op.f("pk_user_session")),
    )
    op.create_index(op.f("ix_user_session_user"), "user_session", ["user"], unique=False)
    op.create_table(
        "api_token",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("created_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_utc", UtcDateTime(timezone=True), nullable=False),
        sa.Column("revoked_utc", UtcDateTime(timezone=True), nullable=True),
        sa.Column("used_utc", UtcDateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user"], ["user.name"], name=op.f("fk_api_token_user_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
    )
    op.create_index(op.f("ix_api_token_user"), "api_token", ["user"], unique=False)
    op.create_table(
        "sign_in_link",
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("user", sa.String(), nullable=False),
        sa.Column("expires_utc", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["user.name"], name=op.f("fk_sign_in_link_user_user")),
        sa.PrimaryKeyConstraint("key_sha256", name=op.f("pk_sign_in_link")),
    )
    op.create_table(
        "failed_sign_in",
        sa.Column("key_sha256", sa.String(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_utc", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key_sha256", name=op.f("pk_failed_sign_in")),
    )
    op.create_index(op.f("ix_failed_sign_in_last_utc"), "failed_sign_in", ["last_utc"])
    with op.batch_alter_table("rollout") as table:
        # Until now one token changed everything: it is the author of all there is.
        table.add_column(
            sa.Column("authors", sa.JSON(), nullable=False, server_default='["admin"]')
        )
        table.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="1"))
        table.add_column(
            sa.Column("needs_approval", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.add_column(sa.Column("approved_by", sa.String(), nullable=True))
        table.add_column(sa.Column("approved_utc", UtcDateTime(timezone=True), nullable=True))
    with op.batch_alter_table("rollout") as table:
        table.alter_column("authors", server_default=None)
        table.alter_column("revision", server_default=None)
        table.alter_column("needs_approval", server_default=None)


def downgrade() -> None:
    op.execute("UPDATE rollout SET status = 'draft' WHERE status = 'approved'")
    with op.batch_alter_table("rollout") as table:
        for column in ("approved_utc", "approved_by", "needs_approval", "revision", "authors"):
            table.drop_column(column)
    op.drop_index(op.f("ix_failed_sign_in_last_utc"), table_name="failed_sign_in")
    op.drop_table("failed_sign_in")
    op.drop_table("sign_in_link")
    op.drop_index(op.f("ix_api_token_user"), table_name="api_token")
    op.drop_table("api_token")
    op.drop_index(op.f("ix_user_session_user"), table_name="user_session")
    op.drop_table("user_session")
    op.drop_table("user")
