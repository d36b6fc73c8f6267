"""Tables of the rollouts slice."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base
from lamplighter_server.rollouts.states import DeviceState, Status


class Rollout(Base):
    """A plan to bring one release to a part of the fleet."""

    __tablename__ = "rollout"
    __audited__ = (
        *("model", "release", "status", "wave", "policy", "reason"),
        *("authors", "revision", "needs_approval", "approved_by"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    release: Mapped[int]
    status: Mapped[Status] = mapped_column(String(16))
    wave: Mapped[int]
    """The wave that is open, counted from 0."""
    policy: Mapped[dict[str, Any]]
    authors: Mapped[list[str]]
    """The people who planned or changed it, by user name."""
    revision: Mapped[int]
    """How often it was planned; an approval is of one revision."""
    needs_approval: Mapped[bool]
    approved_by: Mapped[str | None]
    approved_utc: Mapped[datetime | None]
    created_utc: Mapped[datetime]
    started_utc: Mapped[datetime | None]
    wave_started_utc: Mapped[datetime | None]
    finished_utc: Mapped[datetime | None]
    reason: Mapped[str]


class RolloutDevice(Base):
    """One device's place in a rollout."""

    __tablename__ = "rollout_device"
    __audited__ = ("wave", "state", "previous_release", "previous_variant", "reason")

    rollout: Mapped[str] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    wave: Mapped[int]
    state: Mapped[DeviceState] = mapped_column(String(16))
    previous_release: Mapped[int | None]
    previous_variant: Mapped[str | None]
    assigned_epoch: Mapped[int | None]
    assigned_counter: Mapped[int | None]
    """With the epoch, the generation of the envelope that named the release."""
    deadline_utc: Mapped[datetime | None]
    settled_utc: Mapped[datetime | None]
    reason: Mapped[str]
