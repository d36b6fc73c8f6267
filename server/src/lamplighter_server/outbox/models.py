"""Tables of the outbox slice."""

from typing import Literal

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base

Kind = Literal["message", "publish-blob", "clear-blob"]


class OutboxRow(Base):
    """Something that the broker is to be told, in order of id."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[Kind] = mapped_column(String(16))
    topic: Mapped[str]
    """The full topic of a message; the sha256 of a blob."""
    payload: Mapped[bytes]
    retain: Mapped[bool]
