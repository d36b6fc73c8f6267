"""`lamplighter data ...`, on a person's machine: no server is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamplighter_server.cli.api import connect
from lamplighter_server.cli.output import JsonOption, print_facts, print_json, print_table

if TYPE_CHECKING:
    from lamplighter_server.data.checks.findings import Finding
    from lamplighter_server.data.conversion import Progress
    from lamplighter_server.data.governance import Erasure
    from lamplighter_server.data.intake import Flags
    from lamplighter_server.data.uses import Uses

app = typer.Typer(no_args_is_help=True, help="Keep datasets: versioned, checked, erasable.")

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A .csv, .parquet, .npy or .npz, a folder of images, or dvc://PATH@REVISION.",
    ),
]
ReferenceArgument = Annotated[
    str, typer.Argument(metavar="DATASET", help="NAME for the newest, or NAME@v3.")
]
RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="COLUMN=ROLE: feature, label, group, time, identifier, personal, "
                 "drop. Repeat it."),
]  # fmt: skip


@app.command()
def add(
    source: SourceArgument,
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    role: RoleOption = None,
    retention_days: Annotated[
        int | None, typer.Option(min=1, help="After this it is not used and to be deleted.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take data in as the next version of a dataset, unless a check blocks.

    Example: lamplighter data add readings.csv --name readings --role state=label
    """
    from lamplighter_protocol.names import check_name
    from lamplighter_server.data.intake import add_source
    from lamplighter_server.data.places import find_places
    from lamplighter_server.data.view import describe_findings, describe_version

    check_name(name, "dataset")
    flags, now_utc = _flags(role, retention_days), datetime.now(UTC)
    with _progress() as on_progress:
        added = add_source(find_places(), source, name, flags, now_utc, on_progress)
    listed = describe_version(name, added.version, now_utc)
    if as_json:
        findings = describe_findings(added.taken.findings)
        print_json({**listed, "new": added.new, "findings": findings})
        return
    _tell_findings(added.taken.findings)
    left_out = added.taken.left_out
    print_facts(
        [
            ("dataset", f"{name}@v{added.version.number}"),
            ("rows", added.version.rows),
            ("sha256", added.version.sha256),
            ("left out", f"{left_out} rows of erased people" if left_out else ""),
            ("due", listed["due_utc"]),
            ("note", "" if added.new else "this content was there already"),
            ("next", f"lamplighter data show {name}"),
        ]
    )


@app.command()
def ls(as_json: JsonOption = False) -> None:
    """List every version of every dataset, and what is due to be deleted.

    Example: lamplighter data ls
    """
    from lamplighter_server.data.places import find_places
    from lamplighter_server.data.view import list_versions, state

    listed = list(list_versions(find_places().store.registers(), datetime.now(UTC)))
    if as_json:
        print_json(listed)
        return
    print_table(
        ("Dataset", "Rows", "Added", "Due", "State", "Digest"),
        [
            (
                f"{item['dataset']}@v{item['version']}",
                item["rows"],
                item["added_utc"],
                item["due_utc"],
                state(item),
                item["sha256"][:12],
            )
            for item in listed
        ],
    )


@app.command()
def show(reference: ReferenceArgument, as_json: JsonOption = False) -> None:
    """Show a version's columns, their roles and their statistics.

    Example: lamplighter data show readings@v2
    """
    import msgspec

    from lamplighter_server.data.manifest import read_reference
    from lamplighter_server.data.places import find_places
    from lamplighter_server.data.profile import read_profile
    from lamplighter_server.data.view import column_rows, describe_version

    wanted, store = read_reference(reference), find_places().store
    version = store.find(wanted)
    schema = store.manifest(version.sha256).columns
    profile = read_profile(store.read(version.profile_sha256))
    listed = describe_version(wanted.name, version, datetime.now(UTC))
    if as_json:
        columns = msgspec.to_builtins(schema.columns)
        print_json({**listed, "columns": columns, "profile": msgspec.to_builtins(profile)})
        return
    print_facts([(name, value) for name, value in listed.items() if name != "due"])
    print_facts(
        [
            ("repeated rows", profile.duplicate_rows),
            ("plots", f"of {profile.sampled} sampled rows"),
        ]
    )
    print_table(
        ("Column", "Kind", "Role", "Empty", "Values", "Distribution"), column_rows(schema, profile)
    )


@app.command()
def check(
    what: Annotated[
        str, typer.Argument(metavar="DATASET|SOURCE", help="NAME, NAME@v3, or a path as ./new.csv.")
    ],
    role: RoleOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run the quality checks on a version or on data elsewhere; exit status 1 if one blocks.

    Example: lamplighter data check ./readings.csv
    """
    from lamplighter_server.data.checks.findings import blocking
    from lamplighter_server.data.intake import check_source, check_stored
    from lamplighter_server.data.manifest import read_reference
    from lamplighter_server.data.places import find_places
    from lamplighter_server.data.view import describe_findings

    places = find_places()
    if "/" in what or "." in what:
        with _progress() as on_progress:
            findings = check_source(places, what, _flags(role, None), on_progress).findings
    else:
        findings = check_stored(places, read_reference(what), datetime.now(UTC))
    if as_json:
        print_json(describe_findings(findings))
    else:
        _tell_findings(findings)
        typer.echo(f"{len(findings)} findings, {len(blocking(findings))} of them block.")
    if blocking(findings):
        raise typer.Exit(1)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="NAME or NAME@v1.")],
    after: Annotated[str, typer.Argument(metavar="B", help="NAME or NAME@v2.")],
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: rows by identifier, columns, and how far values have moved.

    Example: lamplighter data diff readings@v1 readings@v2
    """
    import msgspec

    from lamplighter_server.data.diff import compare
    from lamplighter_server.data.manifest import read_reference
    from lamplighter_server.data.places import find_places
    from lamplighter_server.data.view import diff_lines

    store = find_places().store
    first, second = (
        store.manifest(store.find(read_reference(text)).sha256) for text in (before, after)
    )
    found = compare(store, first, second)
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    for line in diff_lines(found):
        typer.echo(line)


@app.command()
def erase(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Option(prompt="Whom", help="The value in a personal column. Left out: asked for, "
                     "so that it stays out of the shell's history."),
    ],
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Remove a person's rows from every version, and say what was made from them.

    Example: lamplighter data erase --subject P-1024
    """
    import msgspec

    from lamplighter_server.data.governance import erase as remove
    from lamplighter_server.data.places import find_places
    from lamplighter_server.data.uses import find_uses, record_erasure

    places = find_places()
    with places.store.writing():
        erasure = remove(places.store, places.subjects, subject, datetime.now(UTC))
    with connect(context) as api:
        uses = {item.sha256: find_uses(places.runs, api, item.sha256) for item in erasure.rewritten}
        problems = {record_erasure(api, item) for item in erasure.rewritten} - {""}
    if as_json:
        print_json(
            {
                **msgspec.to_builtins(erasure),
                "uses": {digest: msgspec.to_builtins(found) for digest, found in uses.items()},
                "not_in_audit_log": sorted(problems),
            }
        )
        return
    _tell_erasure(erasure, uses, problems)


@app.command()
def expire(
    reference: Annotated[
        str | None,
        typer.Argument(metavar="[NAME@vNUMBER]", help="One version, due or not."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the rows of every version whose retention period has ended, or of one version.

    Example: lamplighter data expire
    """
    from lamplighter_server.data.governance import expire as delete_due
    from lamplighter_server.data.governance import give_up
    from lamplighter_server.data.manifest import read_reference
    from lamplighter_server.data.places import find_places

    store, now_utc = find_places().store, datetime.now(UTC)
    with store.writing():
        if reference is None:
            gone = delete_due(store, now_utc)
        else:
            wanted = read_reference(reference)
            if wanted.version is None:
                raise typer.BadParameter("Say which version, as in readings@v1.")
            gone = [(wanted.name, store.find(wanted))]
            give_up(store, *gone[0], now_utc)
    names = [f"{name}@v{version.number}" for name, version in gone]
    if as_json:
        print_json(names)
        return
    typer.echo(f"Deleted: {', '.join(names)}." if names else "Nothing is due.")


def _flags(roles: list[str] | None, retention_days: int | None) -> "Flags":
    from typing import get_args

    from lamplighter_server.cli.arguments import read_label
    from lamplighter_server.data.intake import Flags
    from lamplighter_server.data.schema import Role

    given: dict[str, Any] = dict(map(read_label, roles or ()))
    for column, role in given.items():
        if role not in get_args(Role):
            raise typer.BadParameter(f"{role!r} is no role; {column} may be {get_args(Role)}.")
    return Flags(given, retention_days)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """Bars on standard error, if a person looks at it."""
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    tasks: dict[str, TaskID] = {}
    with Bars(console=Console(stderr=True), transient=True) as bars:

        def tell(what: str, share: float | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=None if share is None else 1.0)
            bars.update(tasks[what], completed=share or 0.0)

        yield tell


def _tell_findings(findings: "list[Finding]") -> None:
    from lamplighter_server.data.view import finding_lines

    for line in finding_lines(findings):
        typer.echo(line, err=True)


def _tell_erasure(erasure: "Erasure", uses: "dict[str, Uses]", problems: set[str]) -> None:
    for item in erasure.rewritten:
        rest = f"{item.name}@v{item.replaced_by} holds the rest" if item.replaced_by else "no rest"
        typer.echo(f"{item.name}@v{item.version}: {item.rows_removed} rows removed; {rest}.")
        found = uses[item.sha256]
        for what in ("runs", "releases", "devices"):
            names = ", ".join(getattr(found, what))
            typer.echo(f"  {what} that used it: {names or 'none known'}")
    if not erasure.rewritten:
        typer.echo("No dataset holds this person; from now on none will take them in.")
    for problem in sorted(problems | {found.server_problem for found in uses.values()} - {""}):
        typer.echo(f"The server does not know of it, or could not be asked: {problem}", err=True)
    if erasure.unsearched:
        typer.echo(
            f"Without a personal column, so not searched: {', '.join(erasure.unsearched)}.",
            err=True,
        )
