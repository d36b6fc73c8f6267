"""The database itself refuses to change the log, whoever asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from lamplighter_server.app import open_context
from lamplighter_server.audit import service as audit
from lamplighter_server.context import Context
from lamplighter_server.devices.models import Invitation
from lamplighter_server.settings import Settings

VALUES = "at_utc, actor, action, subject, 'null', 'null', '', '' FROM audit_line"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Context]:
    async with open_context(Settings(data_dir=tmp_path)) as context:
        async with context.database.transaction() as session:
            session.add(
                Invitation(
                    token_sha256="0" * 64,
                    device="cam-1",
                    labels={},
                    created_utc=context.clock(),
                    expires_utc=context.clock(),
                    used_utc=None,
                )
            )
        async with context.database.transaction() as session:
            await audit.sign(context, session)
        yield context


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_line SET actor = 'user:eve'",
        "DELETE FROM audit_line",
        f"INSERT OR REPLACE INTO audit_line SELECT sequence, {VALUES}",
        f"INSERT INTO audit_line SELECT sequence + 9, {VALUES}",
        "UPDATE audit_head SET sequence = 9",
        "DELETE FROM audit_head",
        "INSERT OR REPLACE INTO audit_head VALUES (1, '2026-05-01', '')",
    ],
)
async def test_what_is_written_stays(server: Context, statement: str) -> None:
    async with server.database.engine.connect() as connection:
        with pytest.raises(IntegrityError, match="append-only"):
            await connection.execute(text(statement))


async def test_the_next_line_is_taken(server: Context) -> None:
    async with server.database.reading() as session:
        assert len(await audit.chain(session, after=0, limit=10)) == 2
        assert len(await audit.heads(session)) == 1
