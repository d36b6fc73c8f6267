"""A server whose every message goes into a file that is carried to a board."""

import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from tests.agent.cloud import FLEET, Cloud

from lamplighter_protocol.bundle import Manifest
from lamplighter_protocol.topics import Topics

TOPICS = Topics(FLEET)


class Recorder(Cloud):
    """Never connects; a file has the newest release's chunks, as an export has."""

    def __init__(self, key: ec.EllipticCurvePublicKey, telemetry_key: bytes) -> None:
        super().__init__(0, key, telemetry_key)
        self.messages: dict[str, bytes] = {}

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        self.messages[topic] = payload

    def add(self, manifest: Manifest, files: dict[str, bytes], *, sign: bool = True) -> bytes:
        self._blobs.clear()
        return super().add(manifest, files, sign=sign)

    def write(self, place: Path) -> Path:
        with zipfile.ZipFile(place, "w") as archive:
            for name, raw in self.messages.items():
                archive.writestr(name, raw)
            for digest, chunks in self._blobs.items():
                for number, chunk in enumerate(chunks):
                    archive.writestr(TOPICS.chunk(digest, number), chunk)
        return place
