"""`lamplighter keys ...`: what a person with offline keys does."""

from pathlib import Path
from typing import Annotated

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_json, print_table
from lamplighter_server.publishing import carrying, changing
from lamplighter_server.publishing.options import DEFAULT_KEYS_DIR, Asker, KeysDir, show

app = typer.Typer(no_args_is_help=True, help="The offline keys that sign releases.")
Joined = typer.Option(help="A public key file of another holder, or a URI; can be repeated.")


@app.command()
def init(
    context: typer.Context,
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
    root_threshold: Annotated[int, typer.Option(min=1, help="How many root keys must sign.")] = 1,
    root_keys: Annotated[int, typer.Option(min=0, help="How many root keys there are.")] = 0,
    root_key: Annotated[list[str] | None, Joined] = None,
    targets_threshold: Annotated[
        int, typer.Option(min=1, help="How many targets keys must sign.")
    ] = 1,
    targets_keys: Annotated[int, typer.Option(min=0, help="How many targets keys there are.")] = 0,
    targets_key: Annotated[list[str] | None, Joined] = None,
) -> None:
    """Make the offline root and targets keys and establish trust with the server, once.

    Example: lamplighter keys init --root-threshold 2 --root-keys 3
    """
    from lamplighter_protocol.dsse import key_id, load_public
    from lamplighter_server.publishing import client, steps
    from lamplighter_server.publishing.holder import Holder

    folder, secrets = keys_dir.expanduser(), Asker(confirm=True)
    with connect(context) as api:
        server = client.meet_server(api, folder)
        if server is not None:
            typer.echo(f"The server signs snapshots with {server.snapshot.keyid}", err=True)
            typer.echo(f"The server signs timestamps with {server.timestamp.keyid}", err=True)
            for pem in server.director.public_pem:
                typer.echo(
                    f"The server signs assignments with {key_id(load_public(pem))} "
                    f"(epoch {server.director.epoch})",
                    err=True,
                )
            holder = Holder(folder)
            proposal = steps.establish(
                holder,
                server,
                steps.KeyPlan(root_threshold, root_keys, tuple(root_key or ())),
                steps.KeyPlan(targets_threshold, targets_keys, tuple(targets_key or ())),
                secrets,
            )
            show(proposal)
            client.conclude(api, holder, proposal, secrets)
    typer.echo(f"Keys are in {folder}. Keep them and their passphrase: devices trust nothing else.")


@app.command()
def create(
    public_file: Annotated[Path, typer.Argument(help="Where to write the public key.")],
    uri: Annotated[
        str | None, typer.Option(help="A key that exists already: hsm:, awskms:, file: and more.")
    ] = None,
    purpose: Annotated[str, typer.Option(help="What it is for; a note to yourself.")] = "own",
    keys_dir: KeysDir = DEFAULT_KEYS_DIR,
) -> None:
    """Make a key of your own, or register one, and write its public part for others to name.

    Example: lamplighter keys create alice.pub
    """
    from lamplighter_protocol.names import check_name
    from lamplighter_server.files import write_durably
    from lamplighter_server.publishing.keys import KeyRing, public_pem

    ring, secrets = KeyRing(keys_dir.expanduser()), Asker(confirm=uri is None)
    check_name(purpose, "key")
    key = ring.adopt(purpose, uri, secrets) if uri else ring.generate(purpose)
    ring.open((), secrets)
    write_durably(public_file, public_pem(key), mode=0o644)
    typer.echo(f"The key {key.keyid} is here; give {public_file} to whoever names it.")


@app.command()
def status(
    context: typer.Context, keys_dir: KeysDir = DEFAULT_KEYS_DIR, as_json: JsonOption = False
) -> None:
    """Show each role: its version, until when it is valid, who must sign, which keys lie here.

    Example: lamplighter keys status
    """
    from lamplighter_server.publishing.status import describe_roles

    folder = keys_dir.expanduser()
    with connect(context) as api:
        roles = describe_roles(api, folder)
    if as_json:
        print_json({"roles": roles, "keys_dir": str(folder)})
        return
    print_table(
        ("Role", "Version", "Valid until", "Days left", "Signatures", "Keys (* lies here)"),
        [
            (
                role,
                facts["version"],
                facts["expires_utc"],
                facts["days_left"],
                f"{facts['threshold']} of {len(facts['keyids'])}",
                " ".join(keyid[:8] + "*" * (keyid in facts["here"]) for keyid in facts["keyids"]),
            )
            for role, facts in roles.items()
        ],
    )


app.command()(carrying.export)
app.command()(carrying.sign)
app.command("import")(carrying.import_)
app.command()(carrying.drop)
app.command()(changing.rotate)
app.command()(changing.renew)
app.command()(changing.delegate)
app.command()(changing.undelegate)
app.command()(changing.policy)
