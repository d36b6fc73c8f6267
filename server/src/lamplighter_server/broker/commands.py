"""`lamplighter broker ...`: configuration for a broker that Lamplighter does not run itself."""

from typing import Annotated

import typer

from lamplighter_protocol.names import check_name
from lamplighter_protocol.topics import Topics

app = typer.Typer(no_args_is_help=True, help="Configure a broker of your own.")


@app.callback()
def _group() -> None:
    """Keep `emqx` a subcommand."""


@app.command()
def emqx(
    fleet: Annotated[str, typer.Option(help="Name of the fleet.")] = "main",
) -> None:
    """Print the permissions of a fleet as EMQX's acl.conf.

    Example: lamplighter broker emqx --fleet main > acl.conf
    """
    from lamplighter_server.broker.emqx import acl_text

    typer.echo(acl_text(Topics(check_name(fleet, "fleet"))), nl=False)
