"""The MQTT topics (design 3.3): built, parsed and permitted here and nowhere else."""

import re
from dataclasses import dataclass
from typing import Final

from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import check_name

ROOT: Final = "lamp/1"
_CHUNK: Final = re.compile(r"([0-9a-f]{64})/(0|[1-9][0-9]{0,8})")

DEVICE_READS: Final = ("desired", "ack", "cmd/+", "rpc/+/reply")
DEVICE_WRITES: Final = (
    "reported",
    "presence",
    "window",
    "vitals",
    "event",
    "cmd/+/result",
    "rpc/+",
)
FLEET_READS: Final = ("trust/#", "blob/#")
#: What every server role listens to; `reported` and `presence` through an unshared subscription.
SERVER_READS: Final = ("reported", "presence", "window", "vitals", "event", "cmd/+/result", "rpc/+")
STREAMS: Final = ("window", "vitals", "event")


@dataclass(frozen=True)
class DeviceTopic:
    """A parsed topic below `.../d/<device>/`; `leaf` is what follows the device."""

    fleet: str
    device: str
    leaf: str


@dataclass(frozen=True)
class Topics:
    """Builds the topics of one fleet."""

    fleet: str

    def device(self, device: str, leaf: str) -> str:
        """A topic of one device, such as `desired` or `cmd/7/result`."""
        return f"{ROOT}/{self.fleet}/d/{device}/{leaf}"

    def trust(self, file: str) -> str:
        """The retained topic of one TUF metadata file, or of `index`."""
        return f"{ROOT}/{self.fleet}/trust/{file}"

    def chunk(self, sha256: str, number: int) -> str:
        """The retained topic of chunk `number`, counted from 0, of a blob."""
        return f"{ROOT}/{self.fleet}/blob/{sha256}/{number}"

    def parse_device(self, topic: str) -> DeviceTopic:
        """Split a topic below `d/`.

        Raises:
            LamplighterError: MESSAGE_MALFORMED if it is not one of this fleet's device topics.
        """
        parts = topic.split("/", 5)
        if len(parts) != 6 or parts[:2] != ROOT.split("/") or parts[3] != "d":
            raise LamplighterError("MESSAGE_MALFORMED", f"Unexpected topic {topic!r}.")
        if parts[2] != self.fleet:
            raise LamplighterError("MESSAGE_MALFORMED", f"Topic {topic!r} is of another fleet.")
        return DeviceTopic(parts[2], check_name(parts[4], "device"), parts[5])

    def parse_chunk(self, topic: str) -> tuple[str, int]:
        """Return (sha256, chunk number) of a blob topic.

        Raises:
            LamplighterError: MESSAGE_MALFORMED.
        """
        head, _, tail = topic.partition(f"{ROOT}/{self.fleet}/blob/")
        found = _CHUNK.fullmatch(tail)
        if head or found is None:
            raise LamplighterError("MESSAGE_MALFORMED", f"Unexpected topic {topic!r}.")
        return found[1], int(found[2])

    def parse_trust(self, topic: str) -> str:
        """Return the file name of a trust topic.

        Raises:
            LamplighterError: MESSAGE_MALFORMED.
        """
        head, _, file = topic.partition(f"{ROOT}/{self.fleet}/trust/")
        if head or not file or "/" in file:
            raise LamplighterError("MESSAGE_MALFORMED", f"Unexpected topic {topic!r}.")
        return file

    def device_may_read(self, device: str) -> list[str]:
        """Topic filters that a device may subscribe to; `%u` serves in broker patterns."""
        own = [self.device(device, leaf) for leaf in DEVICE_READS]
        return own + [f"{ROOT}/{self.fleet}/{leaf}" for leaf in FLEET_READS]

    def device_may_write(self, device: str) -> list[str]:
        """Topic filters that a device may publish to."""
        return [self.device(device, leaf) for leaf in DEVICE_WRITES]

    def server_reads(self) -> list[str]:
        """Topic filters that the server subscribes to."""
        return [self.device("+", leaf) for leaf in SERVER_READS]
