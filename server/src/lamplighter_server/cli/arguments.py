"""Arguments that several commands read in the same way."""

from typing import Annotated

import typer

from lamplighter_server.cli.api import Api

ReleaseArgument = Annotated[
    str, typer.Argument(metavar="MODEL@RELEASE", help="As in digits@2, or digits@champion.")
]


def find_release(api: Api, text: str) -> tuple[str, int]:
    """MODEL@RELEASE or MODEL@ALIAS as a model and a number.

    Raises:
        typer.BadParameter: If it is not of that form.
        LamplighterError: NOT_FOUND for an unknown alias, and what `Api.get` raises.
    """
    model, _, name = text.partition("@")
    if not model or not name:
        raise typer.BadParameter(f"{text!r} is not MODEL@RELEASE, as in digits@2.")
    if name.isascii() and name.isdecimal():
        return model, int(name)
    return model, api.get(f"/api/v1/models/{model}/aliases/{name}")["release"]


def read_label(text: str) -> tuple[str, str]:
    """NAME=VALUE as its two parts.

    Raises:
        typer.BadParameter: If it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not of the form name=value.")
    return name, value
