"""A model card from the evidence, as Markdown and as one HTML page without scripts. Pure.

The form follows Mitchell et al. (2019), Model Cards for Model Reporting: what it was measured on,
figures by group, with intervals, and what must not be concluded.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from lamplighter_server.validation import plots
from lamplighter_server.validation.results import Evidence, Measured
from lamplighter_server.validation.tables import MAX_CLASSES, how_to_read, tables, verdict

NOT_MEASURED: Final = "Nothing was measured on held-out rows."


class Picture(NamedTuple):
    """A plot with a heading."""

    title: str
    svg: str


def markdown(evidence: Evidence) -> str:
    """The card as Markdown."""
    lines = [f"# {_cell(evidence.title)}"]
    for text in _words(evidence):
        lines += ["", _cell(text)]
    for table in tables(evidence):
        lines += ["", f"## {_cell(table.title)}", "", _row(table.columns)]
        lines += [_row(tuple("---" for _ in table.columns)), *map(_row, table.rows)]
    return "\n".join(lines) + "\n"


def html(evidence: Evidence) -> str:
    """The card as a page that needs nothing else."""
    environment = Environment(
        loader=PackageLoader("lamplighter_server.validation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    measured = evidence.validation.measured if evidence.validation else None
    return environment.get_template("card.html").render(
        evidence=evidence,
        words=list(_words(evidence)),
        tables=list(tables(evidence)),
        pictures=list(_pictures(measured)) if measured else [],
        passed=evidence.validation is not None
        and bool(evidence.validation.gates)
        and not evidence.validation.not_passed,
    )


def _words(evidence: Evidence) -> Iterator[str]:
    validation = evidence.validation
    if validation is None:
        yield NOT_MEASURED
    else:
        yield verdict(validation)
        yield how_to_read(validation.measured)
    if evidence.bundle_sha256:
        yield f"Bundle {evidence.bundle_sha256}, made {evidence.created_utc or 'some time'}."


def _pictures(measured: Measured) -> Iterator[Picture]:
    if measured.calibration:
        yield Picture("Calibration", plots.calibration(measured.calibration))
    if measured.confusion and len(measured.classes) <= MAX_CLASSES:
        yield Picture("Confusion", plots.confusion(measured.classes, measured.confusion))
    asked = [f"selection_rate/{name}" for name in measured.classes]
    figures = ("accuracy", *(asked[1:] if len(asked) == 2 else asked[:MAX_CLASSES]))
    for column, fairness in measured.fairness.items():
        for figure in figures if measured.classes else ("mae",):
            title = f"{figure} by {column}"
            yield Picture(title, plots.groups(title, fairness.groups, figure))


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """Text that Markdown cannot take for anything else."""
    plain = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in plain)
