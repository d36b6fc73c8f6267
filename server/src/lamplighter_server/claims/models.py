"""Tables of the claims slice."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class Claim(Base):
    """A token with which any board may ask to be let in, stored as its digest."""

    __tablename__ = "claim"
    __audited__ = ("labels", "expires_utc")
    __audited_by__ = ("created_utc",)

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[dict[str, str]]
    created_utc: Mapped[datetime]
    expires_utc: Mapped[datetime]


class PendingDevice(Base):
    """A board that asks, under the fingerprint of its keys and name."""

    __tablename__ = "pending_device"
    __audited__ = ("device", "labels", "board", "address", "decided_utc", "approved", "replaces")

    fingerprint: Mapped[str] = mapped_column(primary_key=True)
    claim: Mapped[str] = mapped_column(ForeignKey("claim.token_sha256"), index=True)
    device: Mapped[str]
    """The name that it wants."""
    labels: Mapped[dict[str, str]]
    board: Mapped[str]
    """What it says of itself, for whoever decides."""
    address: Mapped[str]
    """Whence it asked first."""
    asked_utc: Mapped[datetime]
    decided_utc: Mapped[datetime | None]
    approved: Mapped[bool | None]
    """None while nobody has decided."""
    replaces: Mapped[bool] = mapped_column(default=False)
    """Whether it was approved for a name that is in use."""
