"""`lamplighter alert ...`."""

from typing import Annotated

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_json

app = typer.Typer(no_args_is_help=True, help="What a person must know.")


@app.command()
def ls(
    context: typer.Context,
    show_all: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the open alerts, the newest first, each with the one safe command to run.

    Example: lamplighter alert ls
    """
    with connect(context) as api:
        alerts = api.get("/api/v1/alerts", resolved=str(show_all).lower())
    if as_json:
        print_json(alerts)
        return
    for alert in alerts:
        over = f", over {alert['resolved_utc']}" if alert["resolved_utc"] else ""
        typer.echo(f"{alert['opened_utc']}  {alert['kind']}{over}")
        typer.echo(f"  {alert['sentence']}")
        typer.echo(f"  Run: {alert['command']}\n")
    if not alerts:
        typer.echo("No alert is open.", err=True)
