"""Distribution: one 5 MB blob to 200 simulated devices, beside bare sockets on the same broker.

Both sides run in one process with one loop against the managed Mosquitto, with mutual TLS, the
permissions of a fleet and eight chunks outstanding; both hash every chunk, neither syncs to disk.
The devices use the agent's own link, puller and store, kept in memory where the system has
/dev/shm: a fleet does not share one disk. The two take turns, five times.
"""

import argparse
import asyncio
import gc
import os
import ssl
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import report
from bare_sockets import BareReceiver, connect, pull_all
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from lamplighter_agent.link.chunks import ChunkPuller
from lamplighter_agent.link.mqtt import Broker, Link
from lamplighter_agent.link.tls import device_context
from lamplighter_agent.store.blobs import BlobStore
from lamplighter_protocol.blobs import BlobRef, describe
from lamplighter_server.app import open_context
from lamplighter_server.broker.process import managed_broker
from lamplighter_server.clock import utc_now
from lamplighter_server.context import Context
from lamplighter_server.demo.stage import free_port
from lamplighter_server.outbox.relay import relay
from lamplighter_server.outbox.service import publish_blob
from lamplighter_server.settings import Settings

BLOB_BYTES = 5_000_000
MEMORY = Path("/dev/shm")  # noqa: S108 - the system's folder for files in memory


class SimulatedDevice:
    """An agent's link, puller and store, without the rest of the agent."""

    def __init__(self, context: Context, tls: ssl.SSLContext, name: str, folder: Path) -> None:
        self._topics = context.topics
        self._store = BlobStore(folder, sync=False)
        self._puller: ChunkPuller | None = None
        self._connected = asyncio.Event()
        broker = Broker(
            host="127.0.0.1",
            port=context.settings.broker_port,
            identifier=name,
            presence=context.topics.device(name, "presence"),
            tls=tls,
            now_utc=utc_now,
        )
        self._link = Link(broker, self._on_message, self._connected.set)

    def _on_message(self, topic: str, payload: bytes) -> None:
        _, number = self._topics.parse_chunk(topic)
        if self._puller is not None:
            self._puller.on_chunk(number, payload)

    async def connect(self) -> "asyncio.Task[None]":
        """Connect; returns the task that keeps the connection."""
        task = asyncio.create_task(self._link.run())
        await self._connected.wait()
        return task

    async def pull(self, blob: BlobRef) -> None:
        """Pull and store the whole blob."""
        partial = self._store.partial(blob)
        self._puller = ChunkPuller(partial, self._topics, self._link, _Free(), _refused)
        await self._puller.run()
        partial.finish()
        partial.close()


class _Free:
    """No limit on what may come."""

    def admit(self, size_bytes: int) -> float:  # noqa: ARG002
        return 0.0

    def arrived(self, size_bytes: int) -> None:
        """Nothing is counted."""


def _refused(error: Exception) -> None:
    raise error


def identity(context: Context, name: str, folder: Path) -> ssl.SSLContext:
    """A device's own key and certificate, as enrolment would give."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = context.authority.issue_device(
        name, key.public_key(), utc_now(), timedelta(days=1)
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return device_context(context.authority.ca_path, *paths)


async def publish(context: Context) -> BlobRef:
    """Put a fresh blob into the object store and have the relay publish it."""
    raw = os.urandom(BLOB_BYTES)
    blob = describe(raw)
    before = context.figures.published_bytes

    async def parts() -> AsyncIterator[bytes]:
        yield raw

    await context.objects.put(blob.sha256, parts())
    async with context.database.transaction() as session:
        publish_blob(session, blob.sha256)
    while context.figures.published_bytes < before + BLOB_BYTES:  # noqa: ASYNC110 - a counter
        await asyncio.sleep(0.02)
    return blob


async def pull_with_devices(
    context: Context, identities: dict[str, ssl.SSLContext], blob: BlobRef, folder: Path
) -> float:
    """Seconds until every device has the blob; connecting is not counted."""
    with tempfile.TemporaryDirectory(dir=folder) as stores:
        devices = [
            SimulatedDevice(context, tls, name, Path(stores, name))
            for name, tls in identities.items()
        ]
        links = await asyncio.gather(*(device.connect() for device in devices))
        started_mono = time.monotonic()
        await asyncio.gather(*(device.pull(blob) for device in devices))
        seconds = time.monotonic() - started_mono
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
    return seconds


def pull_with_sockets(
    context: Context, identities: dict[str, ssl.SSLContext], blob: BlobRef
) -> float:
    """The same with bare sockets."""
    digests = {
        context.topics.chunk(blob.sha256, number): digest
        for number, digest in enumerate(blob.chunk_sha256)
    }
    receivers = [
        BareReceiver(connect(context.settings.broker_port, tls, name), list(digests), digests)
        for name, tls in identities.items()
    ]
    started_mono = time.monotonic()
    pull_all(receivers)
    seconds = time.monotonic() - started_mono
    for receiver in receivers:
        receiver.connection.close()
    return seconds


async def measure(
    devices: int, rounds: int, say: Callable[[str], None], memory: Path | None
) -> None:
    """Run everything and publish the figures."""
    with tempfile.TemporaryDirectory(prefix="lamplighter-bench-") as name:
        folder = Path(name)
        settings = Settings(
            data_dir=folder / "server",
            http_port=free_port(),
            device_port=free_port(),
            broker_port=free_port(),
        )
        async with open_context(settings) as context, managed_broker(context):
            relaying = asyncio.create_task(relay(context))
            identities = {
                f"sim-{number:03}": identity(context, f"sim-{number:03}", folder)
                for number in range(devices)
            }
            blob = await publish(context)
            pairs = []
            gc.freeze()  # devices do not carry the server's objects along
            for number in range(rounds):
                bare = pull_with_sockets(context, identities, blob)
                ours = await pull_with_devices(context, identities, blob, memory or folder)
                pairs.append((bare, ours))
                say(f"round {number + 1}: bare sockets {bare:.2f} s, devices {ours:.2f} s")
            egress = {}
            for count in (50, 200):
                before = context.figures.published_bytes
                fresh = await publish(context)
                some = dict(list(identities.items())[:count])
                await pull_with_devices(context, some, fresh, memory or folder)
                egress[count] = context.figures.published_bytes - before
            relaying.cancel()
            await asyncio.gather(relaying, return_exceptions=True)
    bare = statistics.median(pair[0] for pair in pairs)
    ours = statistics.median(pair[1] for pair in pairs)
    report.publish(
        "fanout",
        figures={
            "ratio_to_bare_subscribers": round(statistics.median(b / o for b, o in pairs), 3),
            "seconds": round(ours, 2),
            "devices": devices,
            "blob_bytes": BLOB_BYTES,
            "server_bytes_at_50": egress[50],
            "server_bytes_at_200": egress[200],
        },
        peers={"bare sockets": {"seconds": round(bare, 2)}},
        packages=("lamplighter-agent", "paho-mqtt", "cryptography"),
    )


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    memory = MEMORY if MEMORY.is_dir() else None
    asyncio.run(measure(chosen.devices, chosen.rounds, report.progress, memory))


if __name__ == "__main__":
    main()
