"""The `lamplighter` command."""

import sys


def main() -> None:
    """Run the command; an expected error becomes one line on standard error and exit status 1."""
    from lamplighter_protocol.errors import LamplighterError
    from lamplighter_server.cli.app import app

    try:
        app()
    except LamplighterError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
