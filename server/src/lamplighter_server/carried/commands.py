"""`lamplighter device export`."""

from pathlib import Path
from typing import Annotated

import typer

from lamplighter_protocol.carried import SUFFIX
from lamplighter_server.cli.api import connect


def export(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    place: Annotated[Path, typer.Argument(help="A file, or a folder such as a USB stick's.")],
) -> None:
    """Write what a device shall run into a file that somebody carries to it.

    There, run `lamplighter-agent apply FILE`.

    Example: lamplighter device export pi-1 /media/stick
    """
    from lamplighter_server.files import write_durably

    with connect(context) as api:
        raw = api.get_bytes(f"/api/v1/devices/{device}/carried")
    file = place / f"{device}{SUFFIX}" if place.is_dir() else place
    write_durably(file.absolute(), raw, mode=0o644)
    typer.echo(f"{file} has {len(raw)} bytes. On the board: lamplighter-agent apply {file.name}")
