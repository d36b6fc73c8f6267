from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
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


async def test_rollouts_from_before_users_have_an_author_and_survive_both_ways(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    insert = (
        "INSERT INTO rollout (id, model, release, status, wave, policy, created_utc, reason)"
        " VALUES ('r', 'digits', 1, 'draft', 0, '{}', '2026-05-01 12:00:00', '')"
    )
    async with database.engine.begin() as connection:
        await connection.run_sync(move, command.upgrade, "0003")
        await connection.execute(text(insert))
        await connection.run_sync(move, command.upgrade, "0004")
        found = await connection.execute(
            text("SELECT authors, revision, needs_approval, approved_by FROM rollout")
        )
        assert found.one() == ('["admin"]', 1, 0, None)
        await connection.execute(text("UPDATE rollout SET status = 'approved'"))
        await connection.run_sync(move, command.downgrade, "0003")
        assert (await connection.execute(text("SELECT id, status FROM rollout"))).one() == (
            *("r", "draft"),
        )
    await database.close()


async def test_devices_from_before_agreement_keys_survive_both_ways(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    insert = (
        "INSERT INTO device (id, labels, inventory, public_key_pem, certificate_serial,"
        " telemetry_key, enrolled_utc, online, report_counter)"
        " VALUES ('cam-1', '{}', '{}', '', '1', x'00', '2026-05-01 12:00:00', 0, 7)"
    )
    async with database.engine.begin() as connection:
        await connection.run_sync(move, command.upgrade, "0005")
        await connection.execute(text(insert))
        await connection.run_sync(move, command.upgrade, "0006")
        found = await connection.execute(text("SELECT id, agreement_public FROM device"))
        assert found.one() == ("cam-1", None)
        await connection.run_sync(move, command.downgrade, "0005")
        found = await connection.execute(text("SELECT id, report_counter FROM device"))
        assert found.one() == ("cam-1", 7)
    await database.close()


def move(connection: Connection, how: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    how(config, revision)


async def test_certificates_that_were_issued_before_can_be_revoked(tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}")
    async with database.engine.begin() as connection:
        await connection.run_sync(move, command.upgrade, "0002")
        await connection.execute(
            text(
                "INSERT INTO device (id, labels, inventory, public_key_pem, certificate_serial,"
                " telemetry_key, enrolled_utc, online, report_counter) VALUES"
                " ('cam-1', '{}', '{}', '', 'a1', x'00', '2026-05-01 12:00:00', 0, 7)"
            )
        )
        await connection.run_sync(move, command.upgrade, "head")
        found = await connection.execute(text("SELECT * FROM certificate"))
        assert found.all() == [("a1", "cam-1", "2026-05-31 12:00:00.000000", None, None)]
        await connection.run_sync(move, command.downgrade, "0002")
        kept = await connection.execute(text("SELECT id, report_counter FROM device"))
        assert kept.all() == [("cam-1", 7)]
    await database.close()
