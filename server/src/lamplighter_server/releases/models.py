"""Tables of the releases slice."""

from datetime import datetime
from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class Release(Base):
    """A numbered, immutable release of a model."""

    __tablename__ = "release"
    __audited__ = ("manifest_sha256", "evidence_sha256", "published_utc")
    __audited_by__ = ("model", "number")
    __table_args__ = (UniqueConstraint("model", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(index=True)
    number: Mapped[int]
    manifest_sha256: Mapped[str]
    manifest_size_bytes: Mapped[int]
    evidence_sha256: Mapped[str]
    published_utc: Mapped[datetime]
    evidence: Mapped[dict[str, Any]]


class Alias(Base):
    """A name for one release of a model, such as `champion`; it may be moved, a release never."""

    __tablename__ = "alias"
    __audited__ = ("release", "set_utc")

    model: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[int]
    set_utc: Mapped[datetime]
