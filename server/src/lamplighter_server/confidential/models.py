"""Tables of the confidential slice."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class ConfidentialModel(Base):
    """A model whose releases travel sealed; without a row they travel as they are."""

    __tablename__ = "confidential_model"
    __audited__ = ("since_utc",)

    model: Mapped[str] = mapped_column(primary_key=True)
    since_utc: Mapped[datetime]


class ReleaseKey(Base):
    """The key of one release. It leaves this table only wrapped for a device."""

    __tablename__ = "release_key"

    model: Mapped[str] = mapped_column(primary_key=True)
    release: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes]


class SealedBlob(Base):
    """The name under which a file of a confidential release travels; it is sealed on the way."""

    __tablename__ = "sealed_blob"

    wire_sha256: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(index=True)
    model: Mapped[str]
    release: Mapped[int]
