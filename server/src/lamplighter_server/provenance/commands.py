"""`lamplighter device provenance`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from lamplighter_protocol.names import SHA256_PATTERN
from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_facts, print_json


def provenance(
    context: typer.Context,
    device: Annotated[str | None, typer.Argument(help="The device's id.")] = None,
    export: Annotated[
        Path | None, typer.Option(help="Keep the proof in a file that can be checked offline.")
    ] = None,
    verify: Annotated[
        Path | None, typer.Option(help="Check a file instead of asking the server.")
    ] = None,
    root: Annotated[
        str | None, typer.Option(help="The TUF root that you trust: a file, or its SHA-256.")
    ] = None,
    ca: Annotated[
        str | None, typer.Option(help="The authority that you trust: a PEM file, or its SHA-256.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove what a device runs: data, run, metrics, conversion, signature, assignment, report.

    Example: lamplighter device provenance --verify camera-7.json --root 1.root.json --ca ca.pem
    """
    from lamplighter_protocol.provenance import decode_provenance
    from lamplighter_server.files import write_durably
    from lamplighter_server.provenance.verify import Pins
    from lamplighter_server.provenance.verify import verify as check

    if (device is None) == (verify is None):
        raise typer.BadParameter("name a device, or a file with --verify.")
    pins = Pins(root and _root_sha256(root), ca and _ca_sha256(ca))
    if verify is not None:
        raw = _read(verify)
    else:
        with connect(context) as api:
            raw = api.get_bytes(f"/api/v1/devices/{device}/provenance")
    links = check(decode_provenance(raw), pins)
    if export is not None:
        write_durably(export.absolute(), raw, mode=0o644)
    if as_json:
        print_json([{"link": item.name, **item.facts} for item in links])
    else:
        for item in links:
            typer.echo(f"\n{item.name}")
            print_facts((f"  {name}", value) for name, value in item.facts.items())
    facts = {name: value for item in links for name, value in item.facts.items()}
    for pinned, option, name in (
        (pins.root_sha256, "--root", "root_sha256"),
        (pins.ca_sha256, "--ca", "authority_sha256"),
    ):
        if pinned is None:
            typer.echo(
                f"Not checked: {name} {facts[name]} is the file's own word. Compare it with what "
                f"you were given, or give that with {option}.",
                err=True,
            )


def _root_sha256(text: str) -> str:
    from lamplighter_protocol.canonical import sha256

    return text if _is_digest(text) else sha256(_read(Path(text)))


def _ca_sha256(text: str) -> str:
    from lamplighter_server.pki.judge import digest, read_certificate

    if _is_digest(text):
        return text
    return digest(read_certificate(_read(Path(text)).decode(errors="replace")))


def _is_digest(text: str) -> bool:
    return re.fullmatch(SHA256_PATTERN, text) is not None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}.") from error
