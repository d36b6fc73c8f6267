"""What a running server counts about itself."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Totals since the start of this process."""

    published_bytes: int = 0
    """Payload that the relay has published and the broker has acknowledged."""
    ingested_messages: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Messages from devices that were refused, by error code."""
    broker_sent_bytes: int = 0
    """The broker's own total, since the broker's start."""
    broker_received_bytes: int = 0
