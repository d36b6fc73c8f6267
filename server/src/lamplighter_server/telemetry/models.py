"""Tables of the telemetry slice."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class StreamCursor(Base):
    """Up to which sequence a device's stream is stored without a gap."""

    __tablename__ = "stream_cursor"

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    contiguous: Mapped[int]
    key_sha256: Mapped[str]
    """Digest of the telemetry key: a device that enrols anew counts from the beginning."""


class StreamSeen(Base):
    """Sequences stored above the cursor, so that a duplicate never counts twice."""

    __tablename__ = "stream_seen"

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)


class WindowRow(Base):
    """An immutable increment of counts."""

    __tablename__ = "window"
    __table_args__ = (Index("ix_window_model_release_start", "model", "release", "start_utc"),)

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    boot: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str]
    release: Mapped[int]
    variant: Mapped[str]
    mode: Mapped[str]
    start_utc: Mapped[datetime]
    length_s: Mapped[int]
    clock_synchronised: Mapped[bool]
    received_utc: Mapped[datetime]
    counts: Mapped[bytes]
    """MessagePack of lamplighter_protocol.counts.Counts."""


class EventRow(Base):
    """Something that happened on a device."""

    __tablename__ = "event"

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    boot: Mapped[str] = mapped_column(primary_key=True)
    sequence: Mapped[int] = mapped_column(primary_key=True)
    at_utc: Mapped[datetime] = mapped_column(index=True)
    body: Mapped[dict[str, Any]]


class VitalsRow(Base):
    """The newest vitals of a device."""

    __tablename__ = "vitals"

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    received_utc: Mapped[datetime]
    body: Mapped[dict[str, Any]]
