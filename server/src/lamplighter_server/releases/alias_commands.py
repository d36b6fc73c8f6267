"""`lamplighter model alias ...`."""

from typing import Annotated

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.arguments import ReleaseArgument, find_release
from lamplighter_server.cli.output import JsonOption, print_json, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Names for releases, such as champion; they go wherever MODEL@RELEASE goes.",
)


@app.command("set")
def point(
    context: typer.Context,
    alias: Annotated[str, typer.Argument(metavar="NAME", help="As in champion.")],
    release: ReleaseArgument,
    as_json: JsonOption = False,
) -> None:
    """Let a name stand for a release; what it stood for before stays published.

    Example: lamplighter model alias set champion digits@2
    """
    with connect(context) as api:
        model, number = find_release(api, release)
        done = api.put_json(f"/api/v1/models/{model}/aliases/{alias}", {"release": number})
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{model}@{alias} is {model}@{number} now.")


@app.command()
def rm(
    context: typer.Context,
    alias: Annotated[str, typer.Argument(metavar="MODEL@NAME", help="As in digits@champion.")],
    as_json: JsonOption = False,
) -> None:
    """Forget a name; the release stays.

    Example: lamplighter model alias rm digits@champion
    """
    model, _, name = alias.partition("@")
    if not model or not name:
        raise typer.BadParameter(f"{alias!r} is not MODEL@NAME, as in digits@champion.")
    with connect(context) as api:
        done = api.delete(f"/api/v1/models/{model}/aliases/{name}")
    if as_json:
        print_json(done)
    else:
        typer.echo(f"{alias} is no name any more; it was {model}@{done['release']}.")


@app.command()
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every name.

    Example: lamplighter model alias ls
    """
    with connect(context) as api:
        found = api.get("/api/v1/aliases")
    if as_json:
        print_json(found)
        return
    print_table(
        ("Name", "Release", "Since"),
        [(f"{a['model']}@{a['alias']}", a["release"], a["set_utc"]) for a in found],
    )
