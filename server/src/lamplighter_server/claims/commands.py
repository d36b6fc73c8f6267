"""`lamplighter device approve|reject|withdraw-claims`."""

from typing import Annotated, Any

import typer

from lamplighter_server.claims.choice import choose
from lamplighter_server.cli.api import Api, connect
from lamplighter_server.cli.arguments import read_label
from lamplighter_server.cli.output import JsonOption, print_json

Name = Annotated[str, typer.Argument(help="The name that the board asks for.")]
Fingerprint = Annotated[
    str, typer.Option(help="As the board shows it, or its first 8 digits or more.")
]


def approve(
    context: typer.Context,
    device: Name,
    fingerprint: Fingerprint = "",
    label: Annotated[
        list[str] | None, typer.Option(help="A label, as in --label site=harbour.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="For a new board under a name that is in use.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a board in that asks; without --fingerprint you are asked to compare it.

    Example: lamplighter device approve camera-7 --fingerprint 3f2a-91c0
    """
    labels = dict(read_label(text) for text in label or [])
    with connect(context) as api:
        found = choose(api.get("/api/v1/claims/pending"), device, fingerprint)
        if not fingerprint:
            _compare(found)
        reply = _decide(api, found, "approve", {"labels": labels, "replace": replace})
    if as_json:
        print_json(reply)
        return
    typer.echo(f"{device} is let in; it enrols when it asks next, within a minute.")


def reject(
    context: typer.Context, device: Name, fingerprint: Fingerprint = "", as_json: JsonOption = False
) -> None:
    """Refuse a board that asks to be let in.

    Example: lamplighter device reject camera-7
    """
    with connect(context) as api:
        found = choose(api.get("/api/v1/claims/pending"), device, fingerprint)
        reply = _decide(api, found, "reject", {})
    if as_json:
        print_json(reply)
        return
    typer.echo(f"{device} with fingerprint {found['fingerprint']} is refused.")


def withdraw_claims(context: typer.Context, as_json: JsonOption = False) -> None:
    """End every claim: no new board can ask, and those that wait are forgotten.

    Example: lamplighter device withdraw-claims
    """
    with connect(context) as api:
        reply = api.post("/api/v1/claims/withdraw", {})
    if as_json:
        print_json(reply)
        return
    typer.echo(f"Claims that were ended: {reply['claims']}. Boards that are enrolled stay.")


def _compare(found: dict[str, Any]) -> None:
    typer.echo(f"{found['device']} asks from {found['address']}: {found['board']}", err=True)
    typer.echo(f"fingerprint {found['fingerprint']}", err=True)
    typer.confirm("Does the board show the same?", abort=True, err=True)


def _decide(api: Api, found: dict[str, Any], verdict: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    return api.post(f"/api/v1/claims/pending/{found['fingerprint']}/{verdict}", body)
