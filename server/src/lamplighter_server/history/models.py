"""Tables of the history slice."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class Ran(Base):
    """A time in which a device said, signed, that a release answers requests there.

    One row per switch of a release, whatever is reported in between.
    """

    __tablename__ = "ran"

    id: Mapped[int] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    model: Mapped[str] = mapped_column(index=True)
    release: Mapped[int]
    variant: Mapped[str]
    committed: Mapped[bool]
    """Whether it came through probation in this time."""
    from_utc: Mapped[datetime]
    """When the server heard of it first."""
    until_utc: Mapped[datetime | None]
    """When it heard of something else; None while that was the last word."""
