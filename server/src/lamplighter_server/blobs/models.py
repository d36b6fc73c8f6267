"""Tables of the blobs slice."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class PublishedBlob(Base):
    """A blob whose chunks are retained on the broker."""

    __tablename__ = "published_blob"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    published_utc: Mapped[datetime]


class BlobWant(Base):
    """Somebody who wants a blob: `rollout:<id>` or `device:<id>`."""

    __tablename__ = "blob_want"

    sha256: Mapped[str] = mapped_column(primary_key=True)
    wanted_by: Mapped[str] = mapped_column(primary_key=True)
