"""Tables of the drift slice."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class DriftMark(Base):
    """How far one release at one site has been judged."""

    __tablename__ = "drift_mark"

    model: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[int] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    decided_utc: Mapped[datetime] = mapped_column(index=True)
    """Windows received before this are judged, or are among `pending`."""
    pending: Mapped[bytes]
    """MessagePack of the Counts that are too few to be judged yet."""
    quiet_decisions: Mapped[int]
    """How many decisions in a row saw nothing that looks different."""
