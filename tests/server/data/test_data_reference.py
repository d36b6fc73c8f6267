"""The page lists what the code has."""

import re
from pathlib import Path

from lamplighter_server.data.checks.findings import RULES
from lamplighter_server.data.declaration import ColumnWish, Declaration, Limits

PAGE = Path(__file__).parents[3] / "docs/reference/dataset-file.md"


def test_every_finding_and_every_key_is_explained() -> None:
    text = PAGE.read_text()
    told = {code: (word == "blocks", remedy) for code, word, remedy in re.findall(
        r"^\| `([A-Z_]+)` \| (blocks|warns) \| (.*) \|$", text, re.MULTILINE
    )}  # fmt: skip
    assert told == {code: tuple(rule) for code, rule in RULES.items()}
    for struct in (Declaration, ColumnWish, Limits):
        for name in struct.__struct_fields__:
            assert f"`{name}`" in text, name
    limits = Limits()
    for name in set(Limits.__struct_fields__) - {"allow"}:
        assert f"| `{name}` | {getattr(limits, name)} |" in text, name
