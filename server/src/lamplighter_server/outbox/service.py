"""What other slices call to tell the broker something. The relay delivers after commit."""

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.database import HAS_MESSAGES
from lamplighter_server.outbox.models import OutboxRow


def send(session: AsyncSession, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish a message with QoS 1."""
    _add(session, OutboxRow(kind="message", topic=topic, payload=payload, retain=retain))


def publish_blob(session: AsyncSession, sha256: str) -> None:
    """Publish every chunk of a stored blob, retained."""
    _add(session, OutboxRow(kind="publish-blob", topic=sha256, payload=b"", retain=True))


def clear_blob(session: AsyncSession, sha256: str) -> None:
    """Remove the retained chunks of a blob from the broker."""
    _add(session, OutboxRow(kind="clear-blob", topic=sha256, payload=b"", retain=True))


def _add(session: AsyncSession, row: OutboxRow) -> None:
    session.add(row)
    session.info[HAS_MESSAGES] = True
