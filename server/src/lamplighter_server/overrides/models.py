"""Tables of the overrides slice."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class GateOverride(Base):
    """A person's wish that one bundle be published in spite of its gates."""

    __tablename__ = "gate_override"
    __audited__ = ("model", "gates", "reason", "person", "needs_approval", "approved_by")

    bundle_sha256: Mapped[str] = mapped_column(primary_key=True)
    """The digest of the manifest: another training, data or release number needs another wish."""
    model: Mapped[str]
    gates: Mapped[list[str]]
    """Which gates need not pass, by name."""
    reason: Mapped[str]
    person: Mapped[str]
    """Who asked, by user name."""
    needs_approval: Mapped[bool]
    approved_by: Mapped[str | None]
    asked_utc: Mapped[datetime]
    approved_utc: Mapped[datetime | None]
