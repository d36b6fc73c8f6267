"""Tables of the patches slice."""

from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base

NO_BASE = ""


class Patch(Base):
    """The smallest form of one file, for whoever holds another one."""

    __tablename__ = "patch"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    """What it makes."""
    base_sha256: Mapped[str] = mapped_column(primary_key=True)
    """What it starts from; NO_BASE if from nothing."""
    kind: Mapped[str]
    wire_sha256: Mapped[str] = mapped_column(index=True)
    wire_size_bytes: Mapped[int]


class PatchedRelease(Base):
    """A release for which all patches that are worth it have been made."""

    __tablename__ = "patched_release"

    model: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[int] = mapped_column(primary_key=True)
