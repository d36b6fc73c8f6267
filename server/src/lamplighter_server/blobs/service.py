"""Which blobs the broker holds: those that somebody wants, and no others."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import delete, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from lamplighter_server.blobs.models import BlobWant, PublishedBlob
from lamplighter_server.blobs.wire import WireForm
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.outbox import service as outbox
from lamplighter_server.patches import service as patches


async def want(session: AsyncSession, sha256s: Iterable[str], by: str, now_utc: datetime) -> None:
    """Make `sha256s` all that `by` (`rollout:<id>` or `device:<id>`) wants, and publish them."""
    await session.execute(delete(BlobWant).where(BlobWant.wanted_by == by))
    session.add_all(BlobWant(sha256=sha256, wanted_by=by) for sha256 in sorted(set(sha256s)))
    await reconcile(session, now_utc)


async def unwant(session: AsyncSession, by: str) -> None:
    """Forget everything that `by` wanted, and clear what nobody wants any more."""
    await session.execute(delete(BlobWant).where(BlobWant.wanted_by == by))
    await _clear_unwanted(session)


async def reconcile(session: AsyncSession, now_utc: datetime) -> None:
    """Publish what is wanted and not published; clear what is published and not wanted.

    Plain files of confidential models are never published, nor patches that would tell of them,
    whoever wants them.
    """
    missing = select(BlobWant.sha256).where(
        BlobWant.sha256.not_in(select(PublishedBlob.sha256)),
        BlobWant.sha256.not_in(confidential.select_confidential()),
        BlobWant.sha256.not_in(patches.select_confidential()),
    )
    for sha256 in await session.scalars(missing.distinct().order_by(BlobWant.sha256)):
        session.add(PublishedBlob(sha256=sha256, published_utc=now_utc))
        outbox.publish_blob(session, sha256)
    await _clear_unwanted(session)


async def _clear_unwanted(session: AsyncSession) -> None:
    unwanted = select(PublishedBlob).where(
        or_(
            PublishedBlob.sha256.not_in(select(BlobWant.sha256)),
            PublishedBlob.sha256.in_(confidential.select_confidential()),
            PublishedBlob.sha256.in_(patches.select_confidential()),
        )
    )
    for blob in await session.scalars(unwanted.order_by(PublishedBlob.sha256)):
        await session.delete(blob)
        outbox.clear_blob(session, blob.sha256)


async def published(session: AsyncSession) -> list[str]:
    """The digests of all blobs that the broker shall hold."""
    return list(await session.scalars(select(PublishedBlob.sha256).order_by(PublishedBlob.sha256)))


async def known(context: Context, session: AsyncSession, sha256s: Sequence[str]) -> set[str]:
    """Those of some digests under which something can be published."""
    stored = set(filter(context.objects.has, sha256s))
    return stored | await confidential.keep_sealed(session, sha256s)


async def is_open(session: AsyncSession, sha256: str) -> bool:
    """Whether what a digest names may leave the server at all, as in `reconcile`."""
    name = literal(sha256)
    secret = or_(
        name.in_(confidential.select_confidential()), name.in_(patches.select_confidential())
    )
    return not (await session.execute(select(secret))).scalar_one()


async def find_form(context: Context, session: AsyncSession, sha256: str) -> WireForm | None:
    """What travels under a digest; None if its file is not stored."""
    source = await confidential.find_source(context, session, sha256)
    form = WireForm(context.objects, *(source or (sha256, None)))
    return form if context.objects.has(form.sha256) else None
