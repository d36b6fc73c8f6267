from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from lamplighter_protocol.errors import LamplighterError
from lamplighter_server import migrations
from lamplighter_server.database import Database
from lamplighter_server.migrations.tables import METADATA


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, METADATA))


async def test_the_migrated_schema_is_the_models(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    for _ in range(2):  # the second time there is nothing to do
        await migrations.upgrade(database.engine)
    async with database.engine.begin() as connection:
        assert await connection.run_sync(differences) == []
        tables = await connection.run_sync(lambda c: set(inspect(c).get_table_names()))
    assert tables == METADATA.tables.keys() | {"alembic_version"}
    await database.close()


async def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    await migrations.upgrade(database.engine)
    async with database.engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LamplighterError, match="SCHEMA_NEWER"):
        await migrations.upgrade(database.engine)
    await database.close()
