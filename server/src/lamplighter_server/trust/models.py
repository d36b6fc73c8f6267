"""Tables of the trust slice."""

from sqlalchemy.orm import Mapped, mapped_column

from lamplighter_server.database import Base


class TrustFileRow(Base):
    """One metadata file as it is published under `trust/<name>`."""

    __tablename__ = "trust_file"
    __audited__ = ("body", "published")

    name: Mapped[str] = mapped_column(primary_key=True)
    body: Mapped[bytes]
    published: Mapped[bool]
    """Whether it belongs to the current set; older versions are kept for the record."""
