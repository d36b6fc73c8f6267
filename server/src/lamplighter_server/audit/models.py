"""Tables of the audit slice. The database itself refuses to change or remove a row of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class AuditLine(Base):
    """One change, or one refusal, and the digest of the line before it (audit.chain.Line)."""

    __tablename__ = "audit_line"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    """From 1, without gaps."""
    at_utc: Mapped[datetime]
    actor: Mapped[str] = mapped_column(index=True)
    action: Mapped[str]
    subject: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    previous_sha256: Mapped[str]
    sha256: Mapped[str]


class AuditHead(Base):
    """A statement, signed with the audit key, of where the chain stood (audit.chain.Head)."""

    __tablename__ = "audit_head"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_utc: Mapped[datetime]
    envelope: Mapped[bytes]
