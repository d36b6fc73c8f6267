"""The schema's history; brought up to date at every start."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from lamplighter_protocol.errors import LamplighterError

_HERE: Final = Path(__file__).parent


async def upgrade(engine: AsyncEngine) -> None:
    """Bring the schema to the newest revision, in one transaction.

    Raises:
        LamplighterError: SCHEMA_NEWER if the database knows a revision that this code does not.
    """
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LamplighterError(
            "SCHEMA_NEWER", f"The database was made by another version: {error}."
        ) from error
