"""`lamplighter keys ...`: what a person with the offline keys does."""

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_facts, print_json

app = typer.Typer(no_args_is_help=True, help="The offline keys that sign releases.")

DEFAULT_KEYS_DIR: Final = Path("~/.lamplighter-keys")
PASSPHRASE_VARIABLE: Final = "LAMPLIGHTER_PASSPHRASE"  # noqa: S105 - a name, no secret

KeysDir = Annotated[
    Path,
    typer.Option(
        envvar="LAMPLIGHTER_KEYS_DIR",
        help="Where the offline keys lie; best on a medium of their own, never on the server.",
    ),
]


def ask_passphrase(*, confirm: bool = False) -> str:
    """From the environment, or from the terminal without an echo."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    answer: str = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


@app.command()
def init(context: typer.Context, keys_dir: KeysDir = DEFAULT_KEYS_DIR) -> None:
    """Make the offline root and targets keys and establish trust with the server, once.

    Example: lamplighter keys init --keys-dir /media/stick/keys
    """
    from lamplighter_server.publishing.client import init_keys

    folder = keys_dir.expanduser()
    with connect(context) as api:
        init_keys(api, folder, ask_passphrase(confirm=True))
    typer.echo(f"Keys are in {folder}. Keep them and their passphrase: devices trust nothing else.")


@app.command()
def status(
    context: typer.Context, keys_dir: KeysDir = DEFAULT_KEYS_DIR, as_json: JsonOption = False
) -> None:
    """Show which metadata the server publishes and until when it is valid.

    Example: lamplighter keys status
    """
    from tuf.api.metadata import Metadata

    from lamplighter_server.publishing import keys

    folder = keys_dir.expanduser()
    found: dict[str, dict[str, str | int]] = {}
    with connect(context) as api:
        for name in ("root", "targets", "snapshot", "timestamp"):
            signed = Metadata.from_bytes(api.get_bytes(f"/api/v1/trust/files/{name}.json")).signed
            found[name] = {
                "version": signed.version,
                "expires_utc": signed.expires.isoformat().replace("+00:00", "Z"),
            }
    report = {"roles": found, "keys_dir": str(folder), "keys_present": keys.exist(folder)}
    if as_json:
        print_json(report)
        return
    present = "here" if report["keys_present"] else "not here"
    print_facts(
        [
            *(
                (role, f"version {facts['version']}, valid until {facts['expires_utc']}")
                for role, facts in found.items()
            ),
            ("offline keys", f"{present}: {folder}"),
        ]
    )
