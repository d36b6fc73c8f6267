"""`lamplighter drift ...`."""

from typing import Annotated

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.arguments import ReleaseArgument, find_release
from lamplighter_server.cli.output import JsonOption, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Compare what devices see with the reference.")


@app.callback()
def group() -> None:
    """Compare what devices see with the reference."""


@app.command()
def report(
    context: typer.Context,
    release: ReleaseArgument,
    site: Annotated[str | None, typer.Option(help="Only this site.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far each column of each site lies from the reference; changes nothing.

    Example: lamplighter drift report digits@2 --site harbour
    """
    with connect(context) as api:
        model, number = find_release(api, release)
        places = api.get("/api/v1/drift", model=model, release=number)
    places = [place for place in places if site in (None, place["site"])]
    if as_json:
        print_json(places)
        return
    print_table(
        ("Site", "Rows", "Column", "Measure", "Effect", "p", "Direction"),
        [
            (
                place["site"],
                place["rows"],
                column["column"],
                column["measure"],
                f"{column['effect']:.3f}",
                f"{column['p']:.2g}",
                column["direction"],
            )
            for place in places
            for column in place["columns"]
        ],
    )
