"""The table of threats says what is true: its tests and its codes exist."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from lamplighter_protocol.errors import CATALOGUE

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "threat-model.md"
NO_CODE: Final = "—"


class Threat(NamedTuple):
    id: str
    attack: str
    by: str
    stopped_by: str
    code: str
    test: str


def rows(first: str) -> list[list[str]]:
    """The cells of the table whose first column has this title."""
    text = PAGE.read_text(encoding="utf-8")
    lines = text[text.index(f"| {first} |") :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


THREATS: Final = [Threat(*cells) for cells in rows("Id")]
ATTACKERS: Final = {name for name, _ in rows("Name")}


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


def test_each_threat_has_its_own_id() -> None:
    assert [threat.id for threat in THREATS] == [f"T{n:02}" for n in range(1, len(THREATS) + 1)]
    assert len(THREATS) >= 40
    assert len({threat.attack for threat in THREATS}) == len(THREATS)


def test_the_page_can_be_found() -> None:
    assert "reference/threat-model.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.id)
def test_a_threat_is_stopped_where_the_table_says(threat: Threat) -> None:
    assert threat.by in ATTACKERS
    assert threat.stopped_by
    place, _, function = threat.test.strip("`").partition("::")
    path = ROOT / "tests" / place
    assert function in functions(path)
    if threat.code != NO_CODE:
        code = threat.code.strip("`")
        assert code in CATALOGUE
        assert re.search(rf"\b{code}\b", path.read_text(encoding="utf-8"))
