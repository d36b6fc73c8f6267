"""Which files may travel to a device: those of what it is assigned, in the forms on offer."""

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import ENCRYPTED, AssignedModel, Assignment
from lamplighter_protocol.bundle import Manifest
from lamplighter_server.assignments import service
from lamplighter_server.context import Context
from lamplighter_server.releases import service as releases


async def may_fetch(context: Context, session: AsyncSession, device: str, wire_sha256: str) -> bool:
    """Whether the newest assignment of a device names what travels under a digest.

    Raises:
        LamplighterError: NOT_FOUND if the server has lost an assigned release.
    """
    row = await service.newest(session, device)
    if row is None:
        return False
    assignment = msgspec.json.decode(dsse.read_unverified(row.envelope), type=Assignment)
    for item in assignment.models:
        manifest = await releases.load_manifest(context, session, item.model, item.release)
        if wire_sha256 in _names(item, manifest):
            return True
    return False


def _names(assigned: AssignedModel, manifest: Manifest) -> set[str]:
    """The digests on the wire; of a file that travels sealed, not the plain one."""
    files = {blob.sha256 for blob in manifest.blobs_for(assigned.variant).values()}
    sealed = {item.sha256 for item in assigned.transfers if item.kind == ENCRYPTED}
    offered = {item.wire_sha256 for item in assigned.transfers}
    return ({assigned.manifest.sha256} | files) - sealed | offered
