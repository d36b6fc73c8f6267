"""How answers look: a table for people, JSON with stable keys for programs."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

#: The fraction of a second in an RFC 3339 time.
_FRACTION: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+Z")

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def print_json(value: Any) -> None:  # noqa: ANN401 - JSON
    """JSON on standard output."""
    typer.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; what is missing is shown as a dash."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(cell)) for cell in row))
    Console().print(table)


def _shown(cell: object) -> str:
    """A cell for people: times to the second, what is missing as a dash."""
    text = "-" if cell in (None, "") else str(cell)
    return _FRACTION.sub(r"\1Z", text)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    shown = [(name, value) for name, value in facts if value not in (None, "")]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        typer.echo(f"{name:<{width}}  {_shown(value)}")
