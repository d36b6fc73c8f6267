"""What Mosquitto is told: configuration and permissions as pure text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES
from lamplighter_protocol.topics import ROOT, Topics
from lamplighter_server.pki.authority import INGEST, RELAY

#: Beyond this a slow client's queue is dropped by the broker; outboxes repeat what was lost.
MAX_QUEUED_BYTES: Final = 64 * 1024 * 1024
#: The largest payload is a trust file; topic and properties come on top.
MAX_MESSAGE_BYTES: Final = MAX_TRUST_FILE_BYTES + 64 * 1024
SYS_INTERVAL_S: Final = 1
SYS_BYTES_SENT: Final = "$SYS/broker/bytes/sent"
SYS_BYTES_RECEIVED: Final = "$SYS/broker/bytes/received"


@dataclass(frozen=True)
class BrokerFiles:
    """Where the managed broker finds and leaves its files."""

    folder: Path
    ca: Path
    certificate: Path
    key: Path
    revoked: Path

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "mosquitto.conf"

    @property
    def permissions(self) -> Path:
        """The access control list."""
        return self.folder / "acl"

    @property
    def log(self) -> Path:
        """What the broker says."""
        return self.folder / "mosquitto.log"


def config_text(files: BrokerFiles, *, host: str, port: int, user: str) -> str:
    """The configuration of Mosquitto 2.0.

    Args:
        files: The broker's files.
        host: The address to listen on.
        port: The port to listen on.
        user: Whom to run as when started by root: the owner of `files`.
    """
    lines = (
        f"listener {port} {host}",
        f"cafile {files.ca}",
        f"certfile {files.certificate}",
        f"keyfile {files.key}",
        f"crlfile {files.revoked}",
        "tls_version tlsv1.2",
        "require_certificate true",
        "use_identity_as_username true",
        "use_username_as_clientid true",
        "allow_anonymous false",
        f"acl_file {files.permissions}",
        f"user {user}",
        "persistence true",
        f"persistence_location {files.folder}/",
        "autosave_interval 30",
        "max_queued_messages 0",
        f"max_queued_bytes {MAX_QUEUED_BYTES}",
        "max_inflight_messages 0",
        f"message_size_limit {MAX_MESSAGE_BYTES}",
        "set_tcp_nodelay true",
        f"sys_interval {SYS_INTERVAL_S}",
        f"log_dest file {files.log}",
        "log_type error",
        "log_type warning",
        "log_type notice",
        "log_timestamp_format %Y-%m-%dT%H:%M:%SZ",
    )
    return "".join(f"{line}\n" for line in lines)


def permissions_text(topics: Topics) -> str:
    """Who may read and write what; `%u` is the common name of the client's certificate."""
    fleet = f"{ROOT}/{topics.fleet}/#"
    own = (
        f"user {RELAY}",
        f"topic write {fleet}",
        "",
        f"user {INGEST}",
        f"topic read {fleet}",
        "topic read $SYS/#",
        "",
    )
    patterns = [f"pattern read {topic}" for topic in topics.device_may_read("%u")]
    patterns += [f"pattern write {topic}" for topic in topics.device_may_write("%u")]
    return "".join(f"{line}\n" for line in (*own, *patterns))
