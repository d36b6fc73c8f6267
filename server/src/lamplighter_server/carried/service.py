"""Packs what a device shall run into a file that a person carries to it."""

import asyncio
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from typing import IO, Final, NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import PAYLOAD_TYPE, AssignedModel, Assignment
from lamplighter_protocol.bundle import decode_manifest
from lamplighter_protocol.canonical import decode
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_ENVELOPE_BYTES
from lamplighter_server.assignments import service as assignments
from lamplighter_server.blobs import service as blobs
from lamplighter_server.context import Context
from lamplighter_server.devices import service as devices
from lamplighter_server.trust import service as trust

_IN_MEMORY_BYTES: Final = 16 * 1024 * 1024


class _Chunk(NamedTuple):
    topic: str
    read: Callable[[int], bytes]
    number: int


async def pack(context: Context, session: AsyncSession, device: str) -> IO[bytes]:
    """The newest trust metadata, the device's newest assignment, and every file that it names.

    Nothing is signed for it: the file holds what the broker would send.

    Raises:
        LamplighterError: DEVICE_UNKNOWN, DEVICE_REVOKED, or NOT_FOUND if nothing is assigned to
            it or a file is no longer stored.
    """
    known = await devices.get(session, device)
    if known.revoked_utc is not None:
        raise LamplighterError("DEVICE_REVOKED", f"{device} is revoked.")
    row = await assignments.newest(session, device)
    if row is None:
        raise LamplighterError("NOT_FOUND", f"Nothing was assigned to {device} yet.")
    topics = context.topics
    messages = {topics.trust(name): raw for name, raw in await trust.published(session)}
    messages[topics.device(device, "desired")] = row.envelope
    director = await trust.load_director_keys(session)
    payload = dsse.verify(row.envelope, PAYLOAD_TYPE, director.keys())
    assignment = decode(payload, Assignment, what="It", max_bytes=MAX_ENVELOPE_BYTES)
    chunks: list[_Chunk] = []
    for item in assignment.models:
        for digest in _files(context, item):
            form = await blobs.find_form(context, session, digest)
            if form is None:
                raise LamplighterError("NOT_FOUND", f"File {digest[:12]} is not stored.")
            chunks += [
                _Chunk(topics.chunk(digest, number), form.chunk, number)
                for number in range(form.chunk_count)
            ]
    return await asyncio.to_thread(_write, messages, chunks)


def _files(context: Context, item: AssignedModel) -> Iterable[str]:
    """The digests of a release's files as they travel."""
    manifest = decode_manifest(context.objects.read(item.manifest.sha256))
    travel = {transfer.sha256: transfer.wire_sha256 for transfer in item.transfers}
    needed = [item.manifest, *manifest.blobs_for(item.variant).values()]
    return dict.fromkeys(travel.get(blob.sha256, blob.sha256) for blob in needed)


def _write(messages: dict[str, bytes], chunks: Iterable[_Chunk]) -> IO[bytes]:
    file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, raw in messages.items():
            archive.writestr(name, raw)
        for chunk in {chunk.topic: chunk for chunk in chunks}.values():
            archive.writestr(chunk.topic, chunk.read(chunk.number))
    file.seek(0)
    return file
