"""Nobody can forget the log: each column is audited, or it is exempt for a stated reason."""

import re

import pytest
from sqlalchemy.orm import Mapper

from lamplighter_server.audit.capture import audited, named_by
from lamplighter_server.audit.exempt import EXEMPT
from lamplighter_server.database import Base
from lamplighter_server.migrations import tables

MAPPERS = sorted(Base.registry.mappers, key=lambda mapper: mapper.local_table.description)
SECRET = re.compile(r"password|secret|token|telemetry_key|private|passphrase")


def columns(mapper: Mapper[object]) -> list[str]:
    return [attribute.key for attribute in mapper.column_attrs]


@pytest.mark.parametrize("mapper", MAPPERS, ids=lambda mapper: mapper.local_table.description)
def test_every_column_is_audited_or_exempt(mapper: Mapper[object]) -> None:
    table = mapper.local_table.description
    told = {*audited(mapper), *named_by(mapper)} if audited(mapper) else set()
    exempt = {name for name in columns(mapper) if f"{table}.{name}" in EXEMPT}
    if table in EXEMPT:
        assert not told, f"{table} is exempt, but declares {told}"
        return
    assert told <= set(columns(mapper)), "a declared attribute does not exist"
    undeclared = set(columns(mapper)) - told - exempt
    assert undeclared == set(), (
        f"{table}: name {undeclared} in {mapper.class_.__name__}.__audited__, or say in "
        "audit/exempt.py why the log leaves them out"
    )
    assert not told & exempt, "a column is either audited or exempt"
    assert not [name for name in told if SECRET.search(name)], "secrets are never written"


def test_nothing_is_exempt_that_does_not_exist() -> None:
    assert tables.METADATA is Base.metadata
    known = {mapper.local_table.description: columns(mapper) for mapper in MAPPERS}
    for name in EXEMPT:
        table, _, column = name.partition(".")
        assert table in known, name
        assert not column or column in known[table], name
