"""The server's side of MQTT, as much as tests of the agent need."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any

import msgspec
import paho.mqtt.client as paho
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion
from tests.agent.tuf_repository import Repository

from lamplighter_protocol.assignment import (
    ENCRYPTED,
    AssignedModel,
    Assignment,
    Generation,
    Mode,
    PatchKind,
    Transfer,
    sign_assignment,
)
from lamplighter_protocol.blobs import describe, split
from lamplighter_protocol.bundle import Manifest, encode_manifest
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.reported import Reported, accept_reported
from lamplighter_protocol.sealed import ChunkCipher
from lamplighter_protocol.telemetry import Ack, Event, Vitals, Window, seal, unseal
from lamplighter_protocol.topics import Topics

FLEET, DEVICE = "main", "pi-1"
_KINDS: dict[str, type[Any]] = {"window": Window, "event": Event, "vitals": Vitals}


class Cloud:
    """Publishes trust, assignments and chunks; keeps and acknowledges what the device says."""

    def __init__(
        self,
        port: int,
        key: ec.EllipticCurvePublicKey,
        telemetry_key: bytes,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.repository = Repository()
        self.topics = Topics(FLEET)
        self.reports: list[Reported] = []
        self.telemetry: dict[str, dict[int, Any]] = {name: {} for name in _KINDS}
        self.presence: list[bytes] = []
        self.withheld: set[str] = set()
        self._blobs: dict[str, list[bytes]] = {}
        self._transfers: dict[str, tuple[Transfer, ...]] = {}
        self._wrapped: dict[str, bytes | None] = {}
        self.brought: set[str] = set()
        self.problems: set[str] = set()
        self._port, self._key, self._telemetry_key = port, key, telemetry_key
        self._counter = 0
        self._news = asyncio.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if tls is not None:
            self._client.tls_set_context(tls)

    async def __aenter__(self) -> "Cloud":  # noqa: PYI034
        loop = asyncio.get_running_loop()

        def deliver(_client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
            loop.call_soon_threadsafe(self._take, message.topic, bytes(message.payload))

        self._client.on_message = deliver
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        self._client.subscribe([(topic, 1) for topic in self.topics.server_reads()])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _take(self, topic: str, payload: bytes) -> None:
        leaf = self.topics.parse_device(topic).leaf
        if leaf == "presence":
            self.presence.append(payload)
        elif leaf == "reported":
            last = self.reports[-1].counter if self.reports else -1
            report = accept_reported(
                payload, device=DEVICE, fleet=FLEET, key=self._key, last_counter=last
            )
            self.reports.append(report)
            self.problems |= {report.problem.code} if report.problem else set()
            self._bring(report.wants)
        elif leaf in _KINDS:
            sealed, body = unseal(
                payload,
                _KINDS[leaf],
                key=self._telemetry_key,
                device=DEVICE,
                stream=leaf,  # type: ignore[arg-type]
            )
            self.telemetry[leaf][sealed.sequence] = body
            self._acknowledge(leaf)
        self._news.set()

    def _acknowledge(self, leaf: str) -> None:
        ack = Ack(stored={leaf: max(self.telemetry[leaf])})
        self._counter += 1
        raw = seal(
            ack,
            key=self._telemetry_key,
            device=DEVICE,
            stream="ack",
            boot="server",
            sequence=self._counter,
            oldest=0,
        )
        self.publish(self.topics.device(DEVICE, "ack"), raw, retain=False)

    def _bring(self, wants: tuple[str, ...]) -> None:
        for digest in wants:
            if digest in self._blobs and digest not in self.withheld | self.brought:
                self.brought.add(digest)
                for number, chunk in enumerate(self._blobs[digest]):
                    self.publish(self.topics.chunk(digest, number), chunk)

    def release_withheld(self) -> None:
        self.withheld.clear()
        self._bring(self.reports[-1].wants)

    def publish_trust(self) -> None:
        self.repository.publish()
        for name, raw in self.repository.files.items():
            self.publish(self.topics.trust(name), raw)
        self.publish(self.topics.trust("index"), self.repository.index())

    def add(self, manifest: Manifest, files: dict[str, bytes], *, sign: bool = True) -> bytes:
        """Sign and publish one release; returns its manifest's bytes."""
        raw = encode_manifest(manifest)
        for blob in (raw, *files.values()):
            self._blobs[describe(blob).sha256] = list(split(blob))
        if sign:
            self.repository.add(manifest.model, manifest.release, raw)
            self.publish_trust()
        return raw

    def seal(
        self, raw: bytes, files: dict[str, bytes], release_key: bytes, wrapped: bytes | None
    ) -> None:
        """Let a release travel sealed from now on, its plain files never again."""
        transfers = []
        for content in (raw, *files.values()):
            blob = describe(content)
            cipher = ChunkCipher(release_key, blob.sha256, blob.size_bytes)
            chunks = [cipher.seal(number, chunk) for number, chunk in enumerate(split(content))]
            wire = b"".join(chunks)
            del self._blobs[blob.sha256]
            self._blobs[sha256(wire)] = chunks
            transfers.append(
                Transfer(
                    kind=ENCRYPTED,
                    sha256=blob.sha256,
                    wire_sha256=sha256(wire),
                    wire_size_bytes=len(wire),
                )
            )
        self._transfers[sha256(raw)], self._wrapped[sha256(raw)] = tuple(transfers), wrapped

    def offer_patch(
        self, raw: bytes, kind: PatchKind, new: bytes, base: bytes, patch: bytes
    ) -> str:
        """Offer a patch for one file of a release; returns the digest under which it travels."""
        wire = describe(patch)
        self._blobs[wire.sha256] = list(split(patch))
        offered = Transfer(
            kind=kind,
            sha256=sha256(new),
            wire_sha256=wire.sha256,
            wire_size_bytes=wire.size_bytes,
            chunk_sha256=wire.chunk_sha256,
            base_sha256=sha256(base) if base else None,
        )
        self._transfers[sha256(raw)] = (*self._transfers.get(sha256(raw), ()), offered)
        return wire.sha256

    def assign(
        self,
        counter: int,
        *models: tuple[bytes, Manifest],
        shadow: tuple[bytes, Manifest] | None = None,
        window_s: int = 1,
    ) -> None:
        now = datetime.now(timezone.utc)
        listed: list[tuple[Mode, tuple[bytes, Manifest]]] = [("active", item) for item in models]
        if shadow is not None:
            listed.append(("shadow", shadow))
        assignment = Assignment(
            device=DEVICE,
            fleet=FLEET,
            generation=Generation(1, counter),
            issued_utc=now,
            expires_utc=now + timedelta(days=1),
            window_s=window_s,
            models=tuple(
                AssignedModel(
                    model=manifest.model,
                    release=manifest.release,
                    manifest=describe(raw),
                    variant=manifest.variants[0].name,
                    mode=mode,
                    not_before_utc=now,
                    deadline_utc=now + timedelta(hours=1),
                    transfers=self._transfers.get(sha256(raw), ()),
                    wrapped_key=self._wrapped.get(sha256(raw)),
                )
                for mode, (raw, manifest) in listed
            ),
        )
        envelope = sign_assignment(assignment, self.repository.director)
        self.publish(self.topics.device(DEVICE, "desired"), envelope)

    async def until(self, condition: Callable[[Reported], bool], timeout_s: float = 20) -> Reported:
        """Wait for a report; the newest one is looked at."""

        async def wait() -> Reported:
            while not (self.reports and condition(self.reports[-1])):
                self._news.clear()
                await self._news.wait()
            return self.reports[-1]

        try:
            return await asyncio.wait_for(wait(), timeout_s)
        except asyncio.TimeoutError:
            newest = self.reports[-1] if self.reports else None
            shown = msgspec.to_builtins(newest)
            raise AssertionError(f"no such report came; the newest is {shown}") from None

    async def until_telemetry(
        self, condition: Callable[[dict[str, dict[int, Any]]], bool], timeout_s: float = 20
    ) -> None:
        async def wait() -> None:
            while not condition(self.telemetry):
                self._news.clear()
                await self._news.wait()

        await asyncio.wait_for(wait(), timeout_s)
