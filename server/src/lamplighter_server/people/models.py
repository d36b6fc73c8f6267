"""Tables of the people slice. Secrets are stored as digests only."""

from datetime import datetime

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class User(Base):
    """A person; never deleted, so that a name in the history means one person for ever."""

    __tablename__ = "user"
    __table_args__ = (UniqueConstraint("issuer", "subject"),)
    __audited__ = ("role", "labels", "issuer", "subject", "disabled_utc")

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    """A people.access.Role."""
    labels: Mapped[dict[str, str]]
    """The scope: only devices with these labels; empty means all."""
    password_hash: Mapped[str | None]
    """Argon2id, in its own encoding."""
    issuer: Mapped[str | None]
    """With the subject, the identity at the single sign-on provider."""
    subject: Mapped[str | None]
    created_utc: Mapped[datetime]
    disabled_utc: Mapped[datetime | None]
    signed_in_utc: Mapped[datetime | None]


class UserSession(Base):
    """A browser that is signed in."""

    __tablename__ = "user_session"

    id_sha256: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("user.name"), index=True)
    created_utc: Mapped[datetime]
    seen_utc: Mapped[datetime]


class ApiToken(Base):
    """A credential for programs, on behalf of the person who made it."""

    __tablename__ = "api_token"
    __audited__ = ("user", "purpose", "role", "labels", "expires_utc", "revoked_utc")

    id: Mapped[str] = mapped_column(primary_key=True)
    secret_sha256: Mapped[str]
    user: Mapped[str] = mapped_column(ForeignKey("user.name"), index=True)
    purpose: Mapped[str]
    role: Mapped[str]
    labels: Mapped[dict[str, str]]
    created_utc: Mapped[datetime]
    expires_utc: Mapped[datetime]
    revoked_utc: Mapped[datetime | None]
    used_utc: Mapped[datetime | None]


class SignInLink(Base):
    """A link that signs a browser in once; gone when it was used."""

    __tablename__ = "sign_in_link"

    key_sha256: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("user.name"))
    expires_utc: Mapped[datetime]


class FailedSignIn(Base):
    """How often an account or an address has failed lately."""

    __tablename__ = "failed_sign_in"

    key_sha256: Mapped[str] = mapped_column(primary_key=True)
    failures: Mapped[int]
    last_utc: Mapped[datetime] = mapped_column(index=True)
