"""Somebody who holds a copy of the server's whole data folder and writes to the broker as he likes.

He has the certificate authority, every online key and the database. He has no offline key.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import msgspec
from tuf.api.metadata import TargetFile, Targets

from lamplighter_converters.pack import Bundle
from lamplighter_protocol.assignment import (
    AssignedModel,
    Assignment,
    DirectorKeys,
    Generation,
    accept_assignment,
    sign_assignment,
)
from lamplighter_protocol.blobs import BlobRef, describe, split
from lamplighter_protocol.names import manifest_target
from lamplighter_protocol.topics import Topics
from lamplighter_server.pki.authority import INGEST, RELAY, Authority
from lamplighter_server.publishing.draft import raw_metadata
from lamplighter_server.trust.files import OnlineSigners, make_index, offline_roles, with_roles
from lamplighter_server.trust.online import OnlineKeys
from lamplighter_server.trust.roles import TARGETS, read_targets

Messages = Sequence[tuple[str, bytes]]


class Thief:
    """What can be done with a stolen server.

    Args:
        stolen: The copy of the data folder.
        port: The broker's.
        device: Whom he is after.
    """

    def __init__(self, stolen: Path, port: int, device: str) -> None:
        self._authority = Authority.load_or_create(stolen / "pki", datetime.now(UTC))
        self._keys = OnlineKeys(stolen / "keys-online")
        self._port, self._device, self._topics = port, device, Topics("main")
        with contextlib.closing(sqlite3.connect(stolen / "lamplighter.db")) as database:
            self._files: dict[str, bytes] = dict(
                database.execute("SELECT name, body FROM trust_file WHERE published")
            )
            [(envelope,)] = database.execute("SELECT envelope FROM assignment").fetchall()
        self.good = accept_assignment(
            envelope,
            device=device,
            fleet="main",
            director=DirectorKeys(epoch=1, public_pem=(self._keys.director_public_pem,)),
            last=None,
            now_utc=datetime.now(UTC),
        )

    def publish_bundle(self, bundle: Bundle) -> None:
        """Every chunk, and metadata that name it, signed with every key that was stolen."""
        path = manifest_target(bundle.manifest.model, bundle.manifest.release)
        metadata = read_targets(offline_roles(self._files)[TARGETS])
        target = TargetFile.from_data(path, bundle.manifest_raw, ["sha256"])
        target.unrecognized_fields["custom"] = {
            "model": bundle.manifest.model,
            "release": bundle.manifest.release,
        }
        targets: Targets = metadata.signed
        targets.targets[path] = target
        targets.version += 1
        metadata.signatures.clear()
        for signer in (self._keys.snapshot, self._keys.timestamp):
            metadata.sign(signer, append=True)
        signers = OnlineSigners(snapshot=self._keys.snapshot, timestamp=self._keys.timestamp)
        files = with_roles(
            self._files, {TARGETS: raw_metadata(metadata)}, signers, datetime.now(UTC)
        )
        messages = [(self._topics.trust(name), content) for name, content in files.items()]
        for raw in (bundle.manifest_raw, *bundle.files.values()):
            digest = describe(raw).sha256
            messages += [
                (self._topics.chunk(digest, number), chunk)
                for number, chunk in enumerate(split(raw))
            ]
        self.publish([*messages, (self._topics.trust("index"), make_index(files))])

    def direct(self, counter: int, release: int, manifest: BlobRef) -> Generation:
        """Tell the device what to run, with the director's own key."""
        model = msgspec.structs.replace(self.good.models[0], release=release, manifest=manifest)
        return self.send(counter, (model,))

    def send(self, counter: int, models: tuple[AssignedModel, ...]) -> Generation:
        """Sign and publish an assignment."""
        generation = Generation(self.good.generation.epoch, counter)
        assignment: Assignment = msgspec.structs.replace(
            self.good, generation=generation, models=models, issued_utc=datetime.now(UTC)
        )
        envelope = sign_assignment(assignment, self._keys.director)
        self.publish([(self._topics.device(self._device, "desired"), envelope)])
        return generation

    def publish(self, messages: Messages) -> None:
        """Retained, as the server's relay would."""

        async def run() -> None:
            async with self._connect(RELAY) as client:
                for topic, payload in messages:
                    await client.publish(topic, payload, qos=1, retain=True)

        asyncio.run(run())

    def read_report(self) -> bytes:
        """The newest report on the broker, as the device has signed it."""

        async def run() -> bytes:
            async with self._connect(INGEST) as client:
                await client.subscribe(self._topics.device(self._device, "reported"), qos=1)
                async for message in client.messages:
                    return bytes(message.payload)
            raise AssertionError("unreachable")

        return asyncio.run(asyncio.wait_for(run(), 10))

    def _connect(self, name: str) -> aiomqtt.Client:
        return aiomqtt.Client(
            "127.0.0.1",
            self._port,
            identifier=name,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            tls_context=self._authority.client_tls(name),
        )
