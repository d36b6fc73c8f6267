"""Arguments that several commands read in the same way."""

import typer


def read_release(text: str) -> tuple[str, int]:
    """MODEL@RELEASE as its two parts.

    Raises:
        typer.BadParameter: If it is not of that form.
    """
    model, _, number = text.partition("@")
    if not model or not (number.isascii() and number.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not MODEL@RELEASE, as in digits@2.")
    return model, int(number)


def read_label(text: str) -> tuple[str, str]:
    """NAME=VALUE as its two parts.

    Raises:
        typer.BadParameter: If it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not of the form name=value.")
    return name, value
