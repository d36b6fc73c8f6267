"""`lamplighter override ...`: what to do about gates that have not passed."""

from typing import Annotated, Any

import typer

from lamplighter_server.cli.api import Api, connect
from lamplighter_server.cli.output import JsonOption, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Publish in spite of gates: who asked, who agreed.")

Bundle = Annotated[str, typer.Argument(help="The bundle's digest, or how it begins.")]


@app.command()
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every override, the newest first.

    Example: lamplighter override ls
    """
    with connect(context) as api:
        found = api.get("/api/v1/overrides")
    if as_json:
        print_json(found)
        return
    print_table(
        ("Bundle", "Model", "Asked by", "Approved by", "In force", "Gates", "Reason"),
        [
            (
                item["bundle_sha256"][:12],
                item["model"],
                item["person"],
                item["approved_by"],
                "yes" if item["in_force"] else "no",
                ", ".join(item["gates"]),
                item["reason"],
            )
            for item in found
        ],
    )


@app.command()
def approve(context: typer.Context, bundle: Bundle, as_json: JsonOption = False) -> None:
    """Agree to an override that somebody else has asked for, after reading its reason.

    Example: lamplighter override approve 3fa1c22e90b7
    """
    with connect(context) as api:
        asked = _find(api, bundle)
        if not as_json:
            print_facts(
                [
                    ("model", asked["model"]),
                    ("gates", ", ".join(asked["gates"])),
                    ("asked by", asked["person"]),
                    ("reason", asked["reason"]),
                ]
            )
        path = f"/api/v1/overrides/{asked['bundle_sha256']}/approve"
        done = api.post(path, {"reason": asked["reason"]})
    if as_json:
        print_json(done)
    else:
        typer.echo(f"Approved by {done['approved_by']}; now it can be published again.")


def _find(api: Api, bundle: str) -> dict[str, Any]:
    from lamplighter_protocol.errors import LamplighterError

    found = [x for x in api.get("/api/v1/overrides") if x["bundle_sha256"].startswith(bundle)]
    if len(found) != 1:
        raise LamplighterError("NOT_FOUND", f"{len(found)} bundles begin with {bundle!r}.")
    only: dict[str, Any] = found[0]
    return only
