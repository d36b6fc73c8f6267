"""`lamplighter audit ...`."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from lamplighter_server.cli.api import Api, connect
from lamplighter_server.cli.output import JsonOption, print_json

if TYPE_CHECKING:
    from lamplighter_server.audit.chain import Line
    from lamplighter_server.audit.exported import Export

app = typer.Typer(no_args_is_help=True, help="Who changed what, in a chain that shows tampering.")

PAGE_LINES: Final = 1000
#: Longer values are cut; --json has them whole.
MAX_SHOWN: Final = 80
_DAYS: Final = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@app.command()
def ls(
    context: typer.Context,
    actor: Annotated[
        str | None, typer.Option(help="Only this one, as in user:ada, or just the name.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option(help="Only about this, as in device, device/cam-1 or cam-1.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_DAYS, help="Only from this time on (UTC).")
    ] = None,
    before: Annotated[
        int | None, typer.Option(min=1, help="Only lines below this number: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="How many lines.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List the newest lines of the log first.

    Example: lamplighter audit ls --actor ada --subject rollout --since 2026-05-01
    """
    chosen: dict[str, str | int | None] = {
        "actor": actor,
        "subject": subject,
        "since": f"{since.isoformat()}Z" if since else None,
        "before": before,
        "limit": limit,
    }
    query = {name: value for name, value in chosen.items() if value is not None}
    with connect(context) as api:
        lines = api.get("/api/v1/audit", **query)
    if as_json:
        print_json(lines)
        return
    for line in lines:
        typer.echo(
            f"{line['sequence']}  {line['at_utc']}  {line['actor']}  {line['action']}  "
            f"{line['subject']}"
        )
        for text in _told(line["before"], line["after"]):
            typer.echo(f"    {text}")
    if len(lines) == limit:
        typer.echo(f"Earlier ones: add --before {lines[-1]['sequence']}", err=True)


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where to write it; JSON, one document a row.")],
) -> None:
    """Write the whole log to a file, with every signed head and one that is signed now.

    Example: lamplighter audit export audit-2026-05.jsonl
    """
    import msgspec

    from lamplighter_server.audit.exported import Log, Row, write_row
    from lamplighter_server.files import new_file

    count = 0
    with connect(context) as api, new_file(file.absolute()) as out:
        signed = api.post("/api/v1/audit/heads", {})
        log = Log(fleet=signed["fleet"], public_pem=signed["public_pem"])
        out.write(write_row(Row(log=log)))
        for head in signed["heads"]:
            out.write(write_row(Row(head=msgspec.Raw(msgspec.json.encode(head)))))
        for line in _fetch_lines(api):
            out.write(write_row(Row(line=line)))
            count += 1
    typer.echo(f"{count} lines and {len(signed['heads'])} signed heads are in {file}.")


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="An exported log; without it, the server's own.")
    ] = None,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="Signed heads that you kept: an earlier export, or a server's log."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find any line that was edited, removed, inserted, moved or cut off the end.

    Example: lamplighter audit verify audit-2026-05.jsonl --head kept-heads.log
    """
    from lamplighter_server.audit import chain
    from lamplighter_server.audit.exported import find_envelopes, read_heads, read_log

    kept = []
    for path in head or []:
        with _open(path) as text:
            kept += find_envelopes(text.read().decode(errors="replace"))
    with ExitStack() as stack:
        if file is not None:
            found = read_log(stack.enter_context(_open(file)))
        else:
            found = _fetch_log(stack.enter_context(connect(context)))
        tip = chain.verify(found.lines, [*found.heads, *read_heads(kept, found.log.public_pem)])
    covered = max((item.sequence for item in found.heads), default=0)
    facts = {
        "fleet": found.log.fleet,
        "lines": tip.sequence,
        "sha256": tip.sha256,
        "signed_heads": len(found.heads),
        "covered_lines": covered,
        "kept_heads": len(kept),
    }
    if as_json:
        print_json(facts)
        return
    typer.echo(
        f"{tip.sequence} lines of {found.log.fleet} are whole; signed heads cover {covered} of "
        f"them, heads that you kept: {len(kept)}."
    )


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}.") from error


def _fetch_log(api: Api) -> "Export":
    import msgspec

    from lamplighter_server.audit.exported import Export, Log, read_heads

    signed = api.post("/api/v1/audit/heads", {})
    envelopes = map(msgspec.json.encode, signed["heads"])
    return Export(
        log=Log(fleet=signed["fleet"], public_pem=signed["public_pem"]),
        heads=list(read_heads(envelopes, signed["public_pem"])),
        lines=_fetch_lines(api),
    )


def _fetch_lines(api: Api) -> "Iterator[Line]":
    """Every line in the order of the chain, a page at a time."""
    import msgspec

    from lamplighter_server.audit.chain import Line

    after = 0
    while page := api.get("/api/v1/audit/chain", after=after, limit=PAGE_LINES):
        for item in page:
            yield msgspec.convert(item, Line)
        after = page[-1]["sequence"]


def _told(before: dict[str, Any] | None, after: dict[str, Any] | None) -> Iterator[str]:
    """What has changed, one value a line."""
    for name in after or before or {}:
        if before is not None and after is not None:
            yield f"{name}: {_short(before[name])} -> {_short(after[name])}"
        else:
            yield f"{name}: {_short((after or before or {})[name])}"


def _short(value: object) -> str:
    text = "-" if value in (None, "") else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
