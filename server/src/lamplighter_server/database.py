"""The engine, the declarative base and the edge where transactions are committed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import JSON, DateTime, Dialect, LargeBinary, MetaData, TypeDecorator, event
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase

from lamplighter_server.actor import SERVER, Actor
from lamplighter_server.clock import Clock, utc_now

#: Set in a session's `info` by whoever fills the outbox, so that the relay wakes after the commit.
HAS_MESSAGES: Final = "has_messages"
#: In a session's `info`: the Actor in whose name it changes something.
ACTOR: Final = "actor"
#: In a session's `info`: what tells the time of its changes.
CLOCK: Final = "clock"

_READS_ONLY: Final = "lamplighter_reads_only"


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in UTC on every database; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """Refuse naive values and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """Give UTC back."""
        return value.replace(tzinfo=UTC) if value is not None else None


class Base(DeclarativeBase):
    """All tables; constraint names are fixed so that migrations are portable."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        bytes: LargeBinary(),
        dict[str, str]: JSON(),
        dict[str, Any]: JSON(),
        list[str]: JSON(),
    }


class Database:
    """Opens transactions; nothing else commits, and the audit log sees all that they change."""

    def __init__(self, url: str, clock: Clock = utc_now) -> None:
        from lamplighter_server.audit.capture import AuditingSession  # its tables need Base

        # Errors of the database are logged: what was to be stored must not be in them.
        self.engine: AsyncEngine = create_async_engine(url, hide_parameters=True)
        if url.startswith("sqlite"):
            _make_sqlite_durable(self.engine)
        self._sessions = async_sessionmaker(
            self.engine, expire_on_commit=False, sync_session_class=AuditingSession
        )
        self._clock = clock
        readers = self.engine.execution_options(**{_READS_ONLY: True})
        self._reading = async_sessionmaker(readers, expire_on_commit=False)
        self._messages = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, actor: Actor = SERVER) -> AsyncIterator[AsyncSession]:
        """A session that commits when the block ends and rolls back when it raises."""
        async with self._sessions.begin() as session:
            session.info[ACTOR], session.info[CLOCK] = actor, self._clock
            yield session
        if session.info.get(HAS_MESSAGES):
            self._messages.set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one moment and changes nothing; it waits for no writer."""
        async with self._reading() as session:
            yield session

    async def wait_for_messages(self, timeout_s: float) -> None:
        """Wait until a transaction that filled the outbox has committed here, or the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._messages.wait()
        self._messages.clear()

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _make_sqlite_durable(engine: AsyncEngine) -> None:
    """WAL for readers beside the writer; writers queue at BEGIN instead of failing at commit."""

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:  # noqa: ANN401 - a DBAPI object
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "busy_timeout=10000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy passes its Connection
        reads_only = connection.get_execution_options().get(_READS_ONLY)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
