"""Tables of the devices slice."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class Device(Base):
    """An enrolled board and the newest of what it reported."""

    __tablename__ = "device"
    __audited__ = (
        "labels",
        "public_key_pem",
        "certificate_serial",
        "enrolled_utc",
        "revoked_utc",
        "revoked_reason",
        "cut_off_utc",
        "retired_utc",
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[dict[str, str]]
    inventory: Mapped[dict[str, Any]]
    public_key_pem: Mapped[str]
    """What it signs with; the certificate is for another key if this one is on a token."""
    certificate_serial: Mapped[str]
    certificate_pem: Mapped[str | None]
    """What the authority issued; None for devices that enrolled before it was kept."""
    telemetry_key: Mapped[bytes]
    agreement_public: Mapped[bytes | None]
    """For which keys of confidential releases are wrapped; None if it cannot open them."""
    enrolled_utc: Mapped[datetime]
    online: Mapped[bool] = mapped_column(default=False)
    last_seen_utc: Mapped[datetime | None]
    boot: Mapped[str | None]
    report_counter: Mapped[int] = mapped_column(default=0)
    report_envelope: Mapped[bytes | None]
    """The signed document itself: the proof behind every "done"."""
    report: Mapped[dict[str, Any] | None]
    """The decoded payload (lamplighter_protocol.reported.Reported as builtins)."""
    revoked_utc: Mapped[datetime | None]
    """Since when nothing of it is accepted any more."""
    revoked_reason: Mapped[str | None]
    cut_off_utc: Mapped[datetime | None]
    """When its last connection to the broker was ended after that."""
    retired_utc: Mapped[datetime | None]
    """Since when it is kept for its history only."""


class Certificate(Base):
    """What the authority has issued to a device."""

    __tablename__ = "certificate"
    __audited__ = ("device", "expires_utc", "revoked_utc")

    serial: Mapped[str] = mapped_column(primary_key=True)
    """Hexadecimal."""
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), index=True)
    expires_utc: Mapped[datetime]
    revoked_utc: Mapped[datetime | None]
    key_sha256: Mapped[str | None]
    """The key that it is for; None if it was issued before this was noted."""


class Invitation(Base):
    """A one-time token, stored as its digest."""

    __tablename__ = "invitation"
    __audited__ = ("labels", "created_utc", "expires_utc", "used_utc")
    __audited_by__ = ("device",)

    token_sha256: Mapped[str] = mapped_column(primary_key=True)
    device: Mapped[str] = mapped_column(index=True)
    labels: Mapped[dict[str, str]]
    created_utc: Mapped[datetime]
    expires_utc: Mapped[datetime]
    used_utc: Mapped[datetime | None]
