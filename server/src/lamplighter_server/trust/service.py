"""The TUF repository that devices see: offline keys fill it, online keys keep it fresh."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import DirectorKeys, decode_director_keys
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import DIRECTOR_KEYS_TARGET
from lamplighter_protocol.trust import ModelPolicy
from lamplighter_server.context import Context
from lamplighter_server.outbox import service as outbox
from lamplighter_server.trust.files import (
    DIRECTOR_KEYS,
    FIRST_ROOT,
    Files,
    OnlineSigners,
    make_index,
    newest,
    offline_roles,
    renewed,
    require,
    with_roles,
)
from lamplighter_server.trust.models import TrustFileRow
from lamplighter_server.trust.online import OnlineKeys, OnlineRole
from lamplighter_server.trust.roles import ROOT, Roles, find_policy, find_target, read_root
from lamplighter_server.trust.verify import accept, check_content

_INDEX: Final = "index"


@dataclass(frozen=True)
class Director:
    """Who signs assignments at present, by what offline keys say."""

    epoch: int
    signer: dsse.Signer


async def bootstrap(
    context: Context, session: AsyncSession, *, root: bytes, targets: bytes, director_keys: bytes
) -> None:
    """Accept the first root and targets; the same root again changes nothing.

    Raises:
        LamplighterError: CONFLICT if another root is established already, and what
            `accept_roles` raises.
    """
    files = await _load(session)
    if not files:
        first = {"root": root, "targets": targets}
        await accept_roles(context, session, first, {}, director_keys=director_keys)
    elif files[FIRST_ROOT] != root:
        raise LamplighterError("CONFLICT", "This server already has another TUF root.")


async def accept_roles(
    context: Context,
    session: AsyncSession,
    offered: Roles,
    contents: Mapping[str, bytes],
    *,
    director_keys: bytes | None = None,
) -> None:
    """Make new offline metadata the current ones; what is in force already changes nothing.

    Args:
        context: The server.
        session: The caller's transaction.
        offered: The next version of one or more roles.
        contents: What must be signed, by target path.
        director_keys: The bytes of their target, if the offered roles name new ones.

    Raises:
        LamplighterError: TRUST_MISSING, MESSAGE_TOO_LARGE, MESSAGE_MALFORMED, SIGNATURE_INVALID,
            TRUST_EXPIRED or TRUST_REFUSED.
    """
    files = await _load(session)
    roles = offline_roles(files)
    if any(roles.get(role) != raw for role, raw in offered.items()):
        now_utc = context.clock()
        roles = accept(roles, offered, now_utc=now_utc)
        named = _check_director(context.keys, files, roles, director_keys)
        signers = _signers(context.keys, roles)
        after = with_roles({**files, DIRECTOR_KEYS: named}, offered, signers, now_utc)
        await _replace(context, session, files, after)
    for path, content in contents.items():
        check_content(find_target(roles, path), path, content)


def _check_director(keys: OnlineKeys, files: Files, roles: Roles, offered: bytes | None) -> bytes:
    """The director's keys in force after a step: as signed, ours, and in a later epoch if new."""
    raw = files.get(DIRECTOR_KEYS) if offered is None else offered
    if raw is None:
        raise LamplighterError("TRUST_REFUSED", "The director keys are missing.")
    check_content(find_target(roles, DIRECTOR_KEYS_TARGET), DIRECTOR_KEYS_TARGET, raw)
    former = files.get(DIRECTOR_KEYS)
    if raw != former:
        named = decode_director_keys(raw)
        if former is not None and named.epoch <= decode_director_keys(former).epoch:
            raise LamplighterError("TRUST_REFUSED", "New director keys need a later epoch.")
        keys.named("director", named.keys())
    return raw


def _signers(keys: OnlineKeys, roles: Roles) -> OnlineSigners:
    named = read_root(roles[ROOT]).signed.roles
    return OnlineSigners(
        snapshot=CryptoSigner(keys.named("snapshot", named["snapshot"].keyids)),
        timestamp=CryptoSigner(keys.named("timestamp", named["timestamp"].keyids)),
    )


async def propose_key(
    context: Context, session: AsyncSession, role: OnlineRole
) -> Ed25519PrivateKey:
    """The next key of an online role; it signs as soon as offline keys have named it.

    Raises:
        LamplighterError: TRUST_MISSING before bootstrap.
    """
    files = await _load(session)
    require(files, FIRST_ROOT)
    _settle(context.keys, files, offline_roles(files))  # a former rotation may just have ended
    return context.keys.propose(role)


async def renew(context: Context) -> None:
    """Renew snapshot and timestamp before half of their life is over; retire keys that were.

    Raises:
        LamplighterError: TRUST_REFUSED if the server lacks a key that offline keys have named.
    """
    async with context.database.transaction() as session:
        files = await _load(session)
        if not files:
            return
        roles = offline_roles(files)
        signers = _signers(context.keys, roles)
        await _replace(context, session, files, renewed(files, signers, context.clock()))
    _settle(context.keys, files, roles)


def _settle(keys: OnlineKeys, files: Files, roles: Roles) -> None:
    """What offline keys have named, and a transaction has stored, replaces the former key."""
    named = read_root(roles[ROOT]).signed.roles
    keys.settle("snapshot", named["snapshot"].keyids)
    keys.settle("timestamp", named["timestamp"].keyids)
    keys.settle("director", decode_director_keys(files[DIRECTOR_KEYS]).keys())


async def find_file(session: AsyncSession, name: str) -> bytes:
    """One file by name, also of the versions that are no longer published.

    A name without a version, such as `targets.json`, means the newest one.

    Raises:
        LamplighterError: NOT_FOUND.
    """
    if found := newest(await _load(session)).get(name.removesuffix(".json")):
        return found
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


async def load_roles(session: AsyncSession) -> Roles:
    """The offline roles in force; none before bootstrap."""
    return offline_roles(await _load(session))


async def load_policy(session: AsyncSession, model: str) -> ModelPolicy:
    """What offline keys say of a whole model.

    Raises:
        LamplighterError: TRUST_REFUSED if it cannot be understood.
    """
    return find_policy(await load_roles(session), model)


async def load_director(context: Context, session: AsyncSession) -> Director:
    """The director's epoch and the key that signs in it, from the signed director keys.

    Raises:
        LamplighterError: TRUST_MISSING, or TRUST_REFUSED if the server lacks that key.
    """
    signed = await load_director_keys(session)
    private = context.keys.named("director", signed.keys())
    return Director(signed.epoch, dsse.SoftwareSigner(private))


async def load_director_keys(session: AsyncSession) -> DirectorKeys:
    """The director's keys and epoch, as offline keys have signed them.

    Raises:
        LamplighterError: TRUST_MISSING.
    """
    return decode_director_keys(require(await _load(session), DIRECTOR_KEYS))


async def is_established(session: AsyncSession) -> bool:
    """Whether offline keys have signed anything over to this server."""
    return DIRECTOR_KEYS in await _load(session)


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
