"""Tables of the alerts slice."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class Alert(Base):
    """Something that a person must know; one open alert per key."""

    __tablename__ = "alert"
    __audited__ = ("kind", "key", "sentence", "resolved_utc")
    __audited_by__ = ("key",)
    __table_args__ = (
        Index(
            "uq_alert_open",
            "key",
            unique=True,
            sqlite_where=text("resolved_utc IS NULL"),
            postgresql_where=text("resolved_utc IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    key: Mapped[str] = mapped_column(index=True)
    """What makes it the same alert again, such as `drift/meter-digits/2/site-b`."""
    opened_utc: Mapped[datetime]
    resolved_utc: Mapped[datetime | None]
    sentence: Mapped[str]
    command: Mapped[str]
    """The one safe command to run next."""
    details: Mapped[dict[str, Any]]
