"""Tables of the assignments slice."""

from datetime import datetime

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class WantedModel(Base):
    """One model that a device shall have: the source of its envelope."""

    __tablename__ = "wanted_model"
    __audited__ = ("release", "variant", "rollout", "deadline_utc", "allow_downgrade")

    device: Mapped[str] = mapped_column(ForeignKey("device.id"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[int]
    variant: Mapped[str]
    rollout: Mapped[str | None]
    deadline_utc: Mapped[datetime]
    allow_downgrade: Mapped[bool]


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
