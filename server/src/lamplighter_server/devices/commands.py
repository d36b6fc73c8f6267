"""`lamplighter device ...`."""

from typing import Annotated, Any

import typer

from lamplighter_server.claims import commands as claims
from lamplighter_server.cli.api import connect
from lamplighter_server.cli.arguments import read_label
from lamplighter_server.cli.output import JsonOption, print_facts, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="Invite devices and look at them.")
app.command()(claims.approve)
app.command()(claims.reject)
app.command()(claims.withdraw_claims)


@app.command()
def invite(
    context: typer.Context,
    device: Annotated[
        str, typer.Argument(help="The new device's id; none with --claim.", show_default=False)
    ] = "",
    label: Annotated[
        list[str] | None, typer.Option(help="A label, as in --label site=harbour.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="For a new board under a name that is in use.")
    ] = False,
    claim: Annotated[
        bool, typer.Option("--claim", help="For any number of boards that 'approve' lets in.")
    ] = False,
    days: Annotated[
        int, typer.Option(min=1, max=3650, help="How long new boards can ask with a claim.")
    ] = 30,
    as_json: JsonOption = False,
) -> None:
    """Make a one-time invitation for a device, or a claim for many.

    With --replace the board that has the name now goes on until the new one has enrolled. A claim
    may stand in an image of many cards: with it a board can only ask, and 'device approve' decides.

    Example: lamplighter device invite camera-7 --label site=harbour
    """
    if bool(device) == claim:
        raise typer.BadParameter("Name one device, or say --claim for boards yet unnamed.")
    labels = dict(read_label(text) for text in label or [])
    with connect(context) as api:
        if claim:
            reply = api.post("/api/v1/claims", {"labels": labels, "days": days})
        else:
            body = {"device": device, "labels": labels, "replace": replace}
            reply = api.post("/api/v1/devices/invitations", body)
    if as_json:
        print_json(reply)
        return
    where, name = ("every board", " --name NAME") if claim else (device, "")
    typer.echo(f"On {where}, run before {reply['expires_utc']}:", err=True)
    typer.echo(f"lamplighter-agent enrol {reply['invitation']}{name}")


@app.command()
def label(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    labels: Annotated[
        list[str], typer.Argument(help="site=harbour sets a label, site- removes it.")
    ],
) -> None:
    """Change the labels of a device.

    Example: lamplighter device label camera-7 site=harbour ring-
    """
    removed = [text.removesuffix("-") for text in labels if "=" not in text and text.endswith("-")]
    changed = dict(read_label(text) for text in labels if text.removesuffix("-") not in removed)
    with connect(context) as api:
        found = api.post(f"/api/v1/devices/{device}/labels", {"set": changed, "remove": removed})
    typer.echo(f"{device}: {_labels(found['labels']) or 'no label'}")


@app.command()
def ls(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Retired devices too.")] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Those that ask to be let in instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List every device.

    Example: lamplighter device ls --json | jq -r '.[].id'
    """
    if pending:
        _ls_pending(context, as_json=as_json)
        return
    with connect(context) as api:
        devices = api.get("/api/v1/devices" + "?retired=true" * everything)
    if as_json:
        print_json(devices)
        return
    print_table(
        ("Device", "Labels", "Online", "Model", "Release", "Wanted", "Phase", "Last seen"),
        [
            (
                device["id"],
                _labels(device["labels"]),
                _presence(device),
                model.get("model"),
                model.get("release"),
                model.get("wanted_release"),
                model.get("phase"),
                device["last_seen_utc"],
            )
            for device in devices
            for model in device["models"] or [{}]
        ],
    )


@app.command()
def show(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    as_json: JsonOption = False,
) -> None:
    """Show what one device is, runs and last tried.

    Example: lamplighter device show camera-7
    """
    with connect(context) as api:
        found = api.get(f"/api/v1/devices/{device}")
    if as_json:
        print_json(found)
        return
    inventory = found["inventory"]
    print_facts(
        [
            ("device", found["id"]),
            ("labels", _labels(found["labels"])),
            ("online", _presence(found)),
            ("revoked", _revocation(found)),
            ("last seen", found["last_seen_utc"]),
            ("enrolled", found["enrolled_utc"]),
            ("board", f"{inventory['machine']}, {inventory['ram_mb']} MB, {inventory['system']}"),
            ("runtimes", _labels(inventory["runtimes"])),
            ("agent", inventory["agent_version"]),
            ("problem", _failure(found["problem"])),
        ]
    )
    print_table(
        (
            *("Model", "Release", "Variant", "Committed", "Wanted"),
            *("Tried", "Phase", "In shadow", "Failure"),
        ),
        [
            (
                model["model"],
                model["release"],
                model["variant"],
                "yes" if model["committed"] else "no",
                model["wanted_release"],
                model["attempted_release"],
                model["phase"],
                _shadow(model),
                _failure(model["failure"]),
            )
            for model in found["models"]
        ],
    )


@app.command()
def revoke(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever looks later.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Shut a device out: its certificates are refused and its connection is ended.

    It keeps serving what it has. A new invitation lets it back in.

    Example: lamplighter device revoke camera-7 --reason stolen
    """
    with connect(context) as api:
        reply = api.post(f"/api/v1/devices/{device}/revoke", {"reason": reason})
    if as_json:
        print_json(reply)
        return
    typer.echo(f"{device} is revoked.")


@app.command()
def retire(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="The device's id.")],
    as_json: JsonOption = False,
) -> None:
    """Revoke a device for good: it is wanted to run nothing; 'device ls --all' still lists it.

    Example: lamplighter device retire camera-7
    """
    with connect(context) as api:
        reply = api.post(f"/api/v1/devices/{device}/retire", {})
    if as_json:
        print_json(reply)
        return
    typer.echo(f"{device} is retired; its history is kept.")


def _ls_pending(context: typer.Context, *, as_json: bool) -> None:
    with connect(context) as api:
        waiting = api.get("/api/v1/claims/pending")
    if as_json:
        print_json(waiting)
        return
    print_table(
        ("Device", "Fingerprint", "Labels", "Board", "From", "Asks since"),
        [
            (
                item["device"],
                item["fingerprint"],
                _labels(item["labels"]),
                item["board"],
                item["address"],
                item["asked_utc"],
            )
            for item in waiting
        ],
    )


def _presence(device: dict[str, Any]) -> str:
    if device["retired_utc"]:
        return "retired"
    if device["revoked_utc"]:
        return "revoked"
    return "yes" if device["online"] else "no"


def _revocation(device: dict[str, Any]) -> str | None:
    if not device["revoked_utc"]:
        return None
    return f"{device['revoked_utc']} {device['revoked_reason']}".strip()


def _shadow(model: dict[str, Any]) -> str | None:
    """The release in shadow, and how often it answered otherwise than the active one."""
    if model["shadow_release"] is None:
        return None
    found = model["shadow"]
    if found is None:
        return str(model["shadow_release"])
    told = f"{found['disagreed']} of {found['compared']} rows differ"
    return f"{model['shadow_release']}: {told}"


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _failure(failure: dict[str, str] | None) -> str | None:
    return f"{failure['code']}: {failure['sentence']}" if failure else None
