"""`lamplighter model ...`."""

import json
from typing import Annotated, Any

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.arguments import ReleaseArgument, find_release
from lamplighter_server.cli.output import JsonOption, print_facts, print_json, print_table
from lamplighter_server.releases.alias_commands import app as alias_app
from lamplighter_server.releases.comparison import compare as compare_releases

app = typer.Typer(no_args_is_help=True, help="Look at models and their releases.")
app.add_typer(alias_app, name="alias")

Model = Annotated[str, typer.Argument(help="The model's name.")]


@app.command()
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every model.

    Example: lamplighter model ls
    """
    with connect(context) as api:
        models = api.get("/api/v1/models")
    if as_json:
        print_json(models)
        return
    print_table(
        ("Model", "Releases", "Newest", "Published"),
        [(m["model"], m["releases"], m["newest"], m["published_utc"]) for m in models],
    )


@app.command()
def show(
    context: typer.Context,
    model: Model,
    release: Annotated[int | None, typer.Argument(help="One release, for all its details.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's releases, or one release.

    Example: lamplighter model show meter-digits 2
    """
    path = f"/api/v1/models/{model}"
    with connect(context) as api:
        found = api.get(path if release is None else f"{path}/releases/{release}")
    if as_json:
        print_json(found)
    elif release is None:
        print_facts([("model", found["model"]), ("confidential", _yes(found["confidential"]))])
        called = {
            item["release"]: [
                a["alias"] for a in found["aliases"] if a["release"] == item["release"]
            ]
            for item in found["releases"]
        }
        print_table(
            ("Release", "Called", "Published", "Manifest"),
            [
                (
                    item["release"],
                    ", ".join(called[item["release"]]),
                    item["published_utc"],
                    item["manifest_sha256"][:12],
                )
                for item in found["releases"]
            ],
        )
    else:
        manifest = found["manifest"]
        print_facts(
            [
                ("model", found["model"]),
                ("release", found["release"]),
                ("published", found["published_utc"]),
                ("manifest", found["manifest_sha256"]),
                ("task", manifest["task"]),
                ("variants", ", ".join(item["name"] for item in manifest["variants"])),
                ("columns", ", ".join(item["name"] for item in manifest["columns"])),
                ("dataset", manifest["lineage"]["dataset_sha256"]),
                ("code", manifest["lineage"]["code_commit"]),
            ]
        )
        typer.echo(json.dumps(found["evidence"], indent=2))


@app.command()
def compare(
    context: typer.Context,
    one: ReleaseArgument,
    other: ReleaseArgument,
    every: Annotated[bool, typer.Option("--all", help="Also what does not differ.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Lay two releases side by side: what was measured, what they were made from.

    Example: lamplighter model compare digits@champion digits@3
    """
    names = (one, other)
    with connect(context) as api:
        places = [find_release(api, text) for text in names]
        found = [api.get(f"/api/v1/models/{m}/releases/{n}") for m, n in places]
    rows = [row for row in compare_releases(*found) if every or row.differs]
    if as_json:
        print_json([row._asdict() | {"differs": row.differs} for row in rows])
        return
    titles = [f"{model}@{number}" for model, number in places]
    print_table(("", *titles, "Change"), [(r.name, r.one, r.other, r.change) for r in rows])


@app.command()
def history(
    context: typer.Context,
    model: Model,
    device: Annotated[str | None, typer.Option(help="Only this device.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What ran where and when, as devices have signed it; the newest first.

    Example: lamplighter model history meter-digits --device pi-1
    """
    chosen = {"device": device} if device is not None else {}
    with connect(context) as api:
        found = api.get("/api/v1/history", model=model, **chosen)
    if as_json:
        print_json(found)
        return
    print_table(
        ("Device", "Release", "Variant", "Committed", "From", "Until"),
        [
            (
                *(ran["device"], ran["release"], ran["variant"], _yes(ran["committed"])),
                *(ran["from_utc"], ran["until_utc"] or "now"),
            )
            for ran in found
        ],
    )


@app.command()
def protect(context: typer.Context, model: Model, as_json: JsonOption = False) -> None:
    """Make a model confidential: only devices that are to have it can read it.

    Its releases travel encrypted, also those to come; what the broker holds of them is cleared.

    Example: lamplighter model protect meter-digits
    """
    with connect(context) as api:
        _tell(api.post(f"/api/v1/models/{model}/protect", {}), as_json)


@app.command()
def unprotect(context: typer.Context, model: Model, as_json: JsonOption = False) -> None:
    """Let a model travel as it is again; then whoever reads the broker can read it.

    Example: lamplighter model unprotect meter-digits
    """
    with connect(context) as api:
        _tell(api.post(f"/api/v1/models/{model}/unprotect", {}), as_json)


def _tell(done: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(done)
        return
    print_facts(
        [
            ("model", done["model"]),
            ("confidential", _yes(done["confidential"])),
            ("devices told", done["assigned"]),
            *((f"cannot receive it: {name}", why) for name, why in done["unable"].items()),
        ]
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"
