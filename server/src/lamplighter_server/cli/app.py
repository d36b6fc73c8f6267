"""The root command. Each slice brings its own commands; what is heavy is imported inside them."""

from typing import Annotated

import typer

from lamplighter_server import __version__
from lamplighter_server.alerts.commands import app as alert
from lamplighter_server.audit.commands import app as audit
from lamplighter_server.broker.commands import app as broker
from lamplighter_server.carried.commands import export
from lamplighter_server.cli.up import up
from lamplighter_server.data.commands import app as data
from lamplighter_server.demo.commands import demo
from lamplighter_server.devices.commands import app as device
from lamplighter_server.drift.commands import app as drift
from lamplighter_server.importing.commands import import_model
from lamplighter_server.overrides.commands import app as override
from lamplighter_server.people.commands import login
from lamplighter_server.people.commands import token_app as token
from lamplighter_server.people.commands import user_app as user
from lamplighter_server.provenance.commands import provenance
from lamplighter_server.publishing.commands import app as keys
from lamplighter_server.releases.commands import app as model
from lamplighter_server.rollouts.commands import app as rollout
from lamplighter_server.training.commands import train
from lamplighter_server.validation.commands import card_of, validate

app = typer.Typer(
    name="lamplighter",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Look after machine-learning models on a fleet of small devices.",
)
app.command()(up)
app.command()(demo)
app.command()(train)
app.command()(validate)
app.command()(login)
app.add_typer(user, name="user")
app.add_typer(token, name="token")
app.add_typer(keys, name="keys")
device.command()(provenance)
device.command()(export)
app.add_typer(device, name="device")
app.add_typer(data, name="data")
model.command("card")(card_of)
model.command("import")(import_model)
app.add_typer(model, name="model")
app.add_typer(override, name="override")
app.add_typer(rollout, name="rollout")
app.add_typer(alert, name="alert")
app.add_typer(drift, name="drift")
app.add_typer(audit, name="audit")
app.add_typer(broker, name="broker")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    server: Annotated[
        str | None, typer.Option(envvar="LAMPLIGHTER_SERVER", help="The server's address.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="LAMPLIGHTER_TOKEN", help="Who you are; see token create.")
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> None:
    """Options of every command."""
    context.obj = {"server": server, "token": token}
