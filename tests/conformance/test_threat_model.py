"""The table of threats says what is true: each test exists, and demands the refusal it names."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple, TypeGuard

import pytest

from lamplighter_protocol.errors import CATALOGUE

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "reference" / "threat-model.md"
NO_CODE: Final = "—"
OUTSIDE: Final = ("`conformance/", "`faults/", "`system/")


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
def definitions(path: Path) -> dict[str, ast.stmt]:
    """What a module defines, by name."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {item.id: node for item in targets if isinstance(item, ast.Name)}
    return found


def used_by(path: Path, function: str) -> list[ast.stmt]:
    """A test with its decorators, and whatever of its own module it uses."""
    own, waiting, found = definitions(path), [function], dict[str, ast.stmt]()
    while waiting:
        name = waiting.pop()
        if name in own and name not in found:
            found[name] = own[name]
            inside = list(ast.walk(own[name]))
            waiting += [node.id for node in inside if isinstance(node, ast.Name)]
            waiting += [node.arg for node in inside if isinstance(node, ast.arg)]
    return list(found.values())


def names_code(nodes: list[ast.stmt], code: str) -> bool:
    """Whether one of the texts in them names the code."""
    texts = (node.value for root in nodes for node in ast.walk(root) if _is_text(node))
    return any(re.search(rf"\b{code}\b", str(text)) for text in texts)


def _is_text(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def asserts(nodes: list[ast.stmt]) -> bool:
    """Whether something is demanded: an assertion, or a block that must be refused."""
    return any(
        isinstance(node, ast.Assert)
        or (
            isinstance(node, ast.Call)
            and re.search(r"\b(raises|refus\w*|check_\w+)$", _called(node))
        )
        for root in nodes
        for node in ast.walk(root)
    )


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def test_each_threat_has_its_own_id() -> None:
    assert [threat.id for threat in THREATS] == [f"T{n:02}" for n in range(1, len(THREATS) + 1)]
    assert len(THREATS) >= 40
    assert len({threat.attack for threat in THREATS}) == len(THREATS)


def test_most_threats_are_tried_from_outside() -> None:
    """Where the attacks stand together; the others are tried beside what they attack."""
    assert sum(threat.test.startswith(OUTSIDE) for threat in THREATS) >= 60


def test_the_page_can_be_found() -> None:
    assert "reference/threat-model.md" in (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("threat", THREATS, ids=lambda threat: threat.id)
def test_a_threat_is_stopped_where_the_table_says(threat: Threat) -> None:
    assert threat.by in ATTACKERS
    assert threat.stopped_by
    place, _, function = threat.test.strip("`").partition("::")
    path = ROOT / "tests" / place
    tried = used_by(path, function)
    assert function.startswith("test_")
    assert function in definitions(path)
    assert asserts(tried)
    if threat.code != NO_CODE:
        code = threat.code.strip("`")
        assert code in CATALOGUE
        assert names_code(tried, code)
