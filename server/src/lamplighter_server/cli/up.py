"""`lamplighter up`: everything on one machine, in one process and its broker."""

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer


def up(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept; ~/.lamplighter by default.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Console and API; 8080.")] = None,
    host: Annotated[
        str | None, typer.Option(help="Address of console and API; 127.0.0.1. Others need --https.")
    ] = None,
    https: Annotated[bool | None, typer.Option("--https", help="Console and API over TLS.")] = None,
    device_port: Annotated[int | None, typer.Option(help="Enrolment of devices; 8443.")] = None,
    broker_port: Annotated[int | None, typer.Option(help="The managed Mosquitto; 8883.")] = None,
    device_host: Annotated[
        str | None, typer.Option(help="Address on which devices are served; 127.0.0.1.")
    ] = None,
    public_host: Annotated[
        str | None, typer.Option(help="Name or address under which devices reach this machine.")
    ] = None,
    fleet: Annotated[str | None, typer.Option(help="Name of the fleet; main.")] = None,
    require_approval: Annotated[
        bool | None,
        typer.Option("--require-approval", help="Rollouts start after a second person's approval."),
    ] = None,
    window_s: Annotated[
        int | None, typer.Option(help="Length of the windows in which devices count; 300.")
    ] = None,
) -> None:
    """Start the server and its broker; Ctrl-C stops both.

    Example: lamplighter up --data-dir ./lamplighter
    """
    given = {
        "data_dir": data_dir,
        "http_port": port,
        "http_host": host,
        "https": https,
        "require_approval": require_approval,
        "device_port": device_port,
        "broker_port": broker_port,
        "device_host": device_host,
        "public_host": public_host,
        "fleet": fleet,
        "window_s": window_s,
    }
    os.umask(0o077)  # the database holds keys: what is made here is for its owner only
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for chatty in ("aiosqlite", "alembic", "uvicorn.error"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(_serve({name: value for name, value in given.items() if value is not None}))


async def _serve(given: dict[str, Any]) -> None:
    from pydantic import ValidationError

    from lamplighter_server.app import run_server
    from lamplighter_server.settings import Settings

    try:
        settings = Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from error

    def say_ready(link: str) -> None:
        typer.echo(
            f"Lamplighter is up. Console: {settings.console_address}\n"
            f"Sign in, once and within an hour: {link}\n"
            f"Data folder: {settings.folder}\n"
            "Next: 'lamplighter keys init', then 'lamplighter device invite ID'. "
            "Ctrl-C stops everything."
        )

    server = asyncio.ensure_future(run_server(settings, say_ready))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.cancel)
    try:
        await server
    except asyncio.CancelledError:
        typer.echo("Stopped.")
