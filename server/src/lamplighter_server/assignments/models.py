"""Tables of the assignments slice."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_protocol.assignment import Mode
from lamplighter_server.database import Base


class _Wanted:
    """One release of a model that a device shall have."""

    __audited__ = ("release", "variant", "rollout", "deadline_utc", "allow_downgrade")

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[int]
    variant: Mapped[str]
    rollout: Mapped[str | None]
    deadline_utc: Mapped[datetime]
    allow_downgrade: Mapped[bool]


class WantedModel(_Wanted, Base):
    """The release that shall answer: with what runs in shadow, the source of the envelope."""

    __tablename__ = "wanted_model"
    mode: ClassVar[Mode] = "active"


class WantedShadow(_Wanted, Base):
    """The release that shall run in the shadow of the one that answers."""

    __tablename__ = "wanted_shadow"
    mode: ClassVar[Mode] = "shadow"


Wanted = WantedModel | WantedShadow


class AssignmentRow(Base):
    """The newest signed envelope of a device."""

    __tablename__ = "assignment"
    __audited__ = ("epoch", "counter", "sha256")

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    epoch: Mapped[int]
    counter: Mapped[int]
    sha256: Mapped[str]
    envelope: Mapped[bytes]
    issued_utc: Mapped[datetime]
