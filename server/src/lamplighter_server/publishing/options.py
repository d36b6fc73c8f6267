"""What the commands with offline keys have in common: the folder, secrets, and showing changes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from lamplighter_server.cli.api import Api
    from lamplighter_server.publishing.holder import Holder, Proposal

DEFAULT_KEYS_DIR: Final = Path("~/.lamplighter-keys")
SECRET_VARIABLES: Final = {"passphrase": "LAMPLIGHTER_PASSPHRASE", "pin": "LAMPLIGHTER_PIN"}

KeysDir = Annotated[
    Path,
    typer.Option(
        envvar="LAMPLIGHTER_KEYS_DIR",
        help="Where the offline keys lie; best on a medium of their own, never on the server.",
    ),
]


class Asker:
    """Secrets by name, each from its environment variable or asked once without an echo.

    Args:
        confirm: Ask twice for the passphrase of keys that are made; a PIN exists already.
    """

    def __init__(self, *, confirm: bool = False) -> None:
        self._confirm = confirm
        self._known: dict[str, str] = {}

    def __call__(self, name: str) -> str:
        """The secret that opens a key: `passphrase` or `pin`."""
        if name not in self._known:
            given = os.environ.get(SECRET_VARIABLES.get(name, ""))
            self._known[name] = (
                given
                if given is not None
                else typer.prompt(
                    name.capitalize() if name == "passphrase" else name.upper(),
                    hide_input=True,
                    confirmation_prompt=self._confirm and name == "passphrase",
                    err=True,
                )
            )
        return self._known[name]


def show(proposal: "Proposal") -> None:
    """Every change, on standard error, before anything is opened."""
    for line in proposal.changes:
        typer.echo(f"to be signed: {line}", err=True)


def carry_out(
    api: "Api", holder: "Holder", proposal: "Proposal", secrets: Asker | None = None
) -> None:
    """Show a proposal, sign it with the keys that are here and send it.

    Raises:
        LamplighterError: As `client.conclude`.
    """
    from lamplighter_server.publishing.client import conclude

    show(proposal)
    conclude(api, holder, proposal, secrets or Asker())
    typer.echo("Signed and in force.")
