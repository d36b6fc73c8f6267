"""The TUF repository that devices see: offline keys fill it, online keys keep it fresh."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol.assignment import decode_director_keys
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET
from lamplighter_server.context import Context
from lamplighter_server.outbox import service as outbox
from lamplighter_server.trust.files import (
    DIRECTOR_KEYS,
    FIRST_ROOT,
    VERSIONED,
    Files,
    make_index,
    newest_version,
    read_root,
    read_targets,
    renewed,
    require,
    with_targets,
)
from lamplighter_server.trust.models import TrustFileRow
from lamplighter_server.trust.verify import check_root, check_target, check_targets

_INDEX: Final = "index"


async def bootstrap(
    context: Context, session: AsyncSession, *, root: bytes, targets: bytes, director_keys: bytes
) -> None:
    """Accept the first root and targets; the same root again changes nothing.

    Raises:
        LamplighterError: CONFLICT if another root is established already; MESSAGE_TOO_LARGE,
            MESSAGE_MALFORMED, SIGNATURE_INVALID, TRUST_EXPIRED or TRUST_REFUSED.
    """
    files = await _load(session)
    if files:
        if files[FIRST_ROOT] != root:
            raise LamplighterError("CONFLICT", "This server already has another TUF root.")
        return
    keys, now_utc = context.keys, context.clock()
    trusted = check_root(
        root,
        snapshot_key=keys.snapshot.public_key.keyid,
        timestamp_key=keys.timestamp.public_key.keyid,
        now_utc=now_utc,
    )
    signed = check_targets(targets, root=trusted, previous=None, now_utc=now_utc)
    check_target(signed, DIRECTOR_KEYS_TARGET, director_keys)
    named = decode_director_keys(director_keys).keys()
    if keys.director.key_id not in named:
        raise LamplighterError("TRUST_REFUSED", "The director keys do not name this server's key.")
    first = {FIRST_ROOT: root, DIRECTOR_KEYS: director_keys}
    await _replace(context, session, files, with_targets(first, targets, keys, now_utc))


async def accept_targets(
    context: Context, session: AsyncSession, raw: bytes, contents: Mapping[str, bytes]
) -> dict[str, dict[str, Any]]:
    """Make new targets the current ones, with a snapshot and a timestamp that name them.

    Args:
        context: The server.
        session: The caller's transaction.
        raw: The new targets metadata.
        contents: What must be signed, by target path.

    Returns:
        What is signed beside each of `contents` (`custom`), by target path.

    Raises:
        LamplighterError: TRUST_MISSING before bootstrap; MESSAGE_TOO_LARGE, MESSAGE_MALFORMED,
            SIGNATURE_INVALID, TRUST_EXPIRED or TRUST_REFUSED.
    """
    files, now_utc = await _load(session), context.clock()
    targets = check_targets(
        raw, root=read_root(files), previous=read_targets(files), now_utc=now_utc
    )
    signed = {path: check_target(targets, path, content) for path, content in contents.items()}
    await _replace(context, session, files, with_targets(files, raw, context.keys, now_utc))
    return signed


async def tick(context: Context) -> None:
    """Renew snapshot and timestamp before half of their life is over."""
    async with context.database.transaction() as session:
        files = await _load(session)
        await _replace(context, session, files, renewed(files, context.keys, context.clock()))


async def find_file(session: AsyncSession, name: str) -> bytes:
    """One file by name, also of the versions that are no longer published.

    `root.json`, `targets.json` and `snapshot.json` name the newest version.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    role = name.removesuffix(".json")
    if role in VERSIONED and (newest := newest_version(await _load(session), role)):
        return newest
    row = await session.get(TrustFileRow, name)
    if row is None:
        raise LamplighterError("NOT_FOUND", f"There is no trust file {name!r}.")
    return row.body


async def published(session: AsyncSession) -> list[tuple[str, bytes]]:
    """What the broker shall hold as (name, content), the index last."""
    files = await _load(session)
    return [*files.items(), (_INDEX, make_index(files))] if files else []


async def load_root(session: AsyncSession) -> bytes:
    """The first root, which invitations pin by digest.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    return require(await _load(session), FIRST_ROOT)


async def load_epoch(session: AsyncSession) -> int:
    """The director's epoch, from the signed director keys.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    return decode_director_keys(require(await _load(session), DIRECTOR_KEYS)).epoch


async def newest_delegated(session: AsyncSession) -> dict[str, bytes]:
    """The published metadata of every delegated role by role."""
    delegated = {}
    for name, body in (await _load(session)).items():
        version, _, role = name.removesuffix(".json").partition(".")
        if version.isdecimal() and role and role not in VERSIONED:
            delegated[role] = body
    return delegated


async def _load(session: AsyncSession) -> Files:
    rows = select(TrustFileRow).where(TrustFileRow.published).order_by(TrustFileRow.name)
    return {row.name: row.body for row in await session.scalars(rows)}


async def _replace(context: Context, session: AsyncSession, former: Files, files: Files) -> None:
    """Store and queue what changed, then the index, then the removal of what it names no more."""
    if files == former:
        return
    topics = context.topics
    for name in sorted(files):
        if files[name] != former.get(name):
            await session.merge(TrustFileRow(name=name, body=files[name], published=True))
            outbox.send(session, topics.trust(name), files[name], retain=True)
    outbox.send(session, topics.trust(_INDEX), make_index(files), retain=True)
    for name in sorted(former.keys() - files.keys()):
        await session.merge(TrustFileRow(name=name, body=former[name], published=False))
        outbox.send(session, topics.trust(name), b"", retain=True)
