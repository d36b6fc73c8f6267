"""Sees every change of an audited row and writes it to the log in the same transaction (ADR 13).

A class says with `__audited__` which of its attributes are told, and with `__audited_by__` by
which attributes a line names the row (by default, the primary key). Nobody has to call anything.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Insert,
    TextClause,
    Update,
    event,
    func,
    insert,
    inspect,
    select,
    tuple_,
)
from sqlalchemy.engine import Result
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, Session, SessionTransaction
from sqlalchemy.orm.unitofwork import UOWTransaction

from lamplighter_server.audit.chain import START, Entry, Tip, extend
from lamplighter_server.audit.changes import Change, condense, plain
from lamplighter_server.audit.models import AuditLine
from lamplighter_server.database import ACTOR, CLOCK, Base

_CHANGES: Final = "audit.changes"
_SAVEPOINTS: Final = "audit.savepoints"
#: Of the advisory lock under which a line is appended (PostgreSQL; SQLite has one writer).
_LOCK: Final = 0x1A3B_A0D1
NOT_LOADED: Final = "(not loaded)"


class AuditingSession(Session):
    """The session of every transaction that may change something."""


def audited(mapper: Mapper[Any]) -> tuple[str, ...]:
    """The attributes of a class that the log tells; empty for an exempt table."""
    return getattr(mapper.class_, "__audited__", ())


def named_by(mapper: Mapper[Any]) -> tuple[str, ...]:
    """The attributes by which a line names a row."""
    key = tuple(mapper.get_property_by_column(column).key for column in mapper.primary_key)
    return getattr(mapper.class_, "__audited_by__", key)


def append(session: Session, entries: Iterable[Entry]) -> None:
    """Write lines at the end of the chain; others wait until the transaction ends."""
    connection = session.connection()
    tip = _lock_tip(connection)
    lines = extend(tip, entries, session.info[CLOCK]())
    fields = AuditLine.__table__.columns.keys()
    rows = [{name: getattr(line, name) for name in fields} for line in lines]
    connection.execute(insert(AuditLine), rows)


def _lock_tip(connection: Connection) -> Tip:
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    newest = select(AuditLine.sequence, AuditLine.sha256).order_by(AuditLine.sequence.desc())
    last = connection.execute(newest.limit(1)).first()
    return Tip(*last) if last is not None else START


@event.listens_for(AuditingSession, "after_flush")
def _on_flush(session: Session, _work: UOWTransaction) -> None:
    """Old values are still known here, and new keys are known already."""
    changes = _changes(session)
    for row in session.new:
        changes.extend(_of_instance(inspect(row), was=False, is_=True))
    for row in session.dirty:
        changes.extend(_of_instance(inspect(row), was=True, is_=True))
    for row in session.deleted:
        changes.extend(_of_instance(inspect(row), was=True, is_=False))


@event.listens_for(AuditingSession, "do_orm_execute")
def _on_execute(state: ORMExecuteState) -> Result[Any] | None:
    """A statement for many rows at once changes no instance; its rows are read before and after."""
    statement, session = state.statement, state.session
    if isinstance(statement, TextClause):
        raise TypeError(f"the audit log cannot read a textual statement: {statement}")
    if not isinstance(statement, Insert | Update | Delete):
        return None
    mapper = _mapper_of(statement)
    if mapper is None or not audited(mapper):
        return None
    if isinstance(statement, Insert):
        raise TypeError(f"add instances of {mapper.class_.__name__}: a bulk insert is not audited")
    before = _read(session, mapper, statement.whereclause)
    result = state.invoke_statement()
    keys = tuple_(*mapper.primary_key).in_(list(before))
    after = _read(session, mapper, keys) if before and isinstance(statement, Update) else {}
    for key, values in before.items():
        now = after.get(key)
        told = {name: plain(values[name]) for name in audited(mapper)}
        will = {name: plain(now[name]) for name in audited(mapper)} if now is not None else None
        _changes(session).append(Change((mapper, *key), _subject(mapper, values), told, will))
    return result


@event.listens_for(AuditingSession, "before_commit")
def _on_commit(session: Session) -> None:
    if session.in_nested_transaction():
        return
    session.flush()
    changes = condense(session.info.pop(_CHANGES, ()))
    if changes:
        actor = str(session.info[ACTOR])
        append(
            session,
            (Entry(actor, item.action, item.subject, item.before, item.after) for item in changes),
        )


@event.listens_for(AuditingSession, "after_transaction_create")
def _on_savepoint(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.info.setdefault(_SAVEPOINTS, {})[transaction] = len(_changes(session))


@event.listens_for(AuditingSession, "after_soft_rollback")
def _on_rollback(session: Session, transaction: SessionTransaction) -> None:
    """What is undone did not happen."""
    if transaction.nested:
        del _changes(session)[session.info[_SAVEPOINTS].pop(transaction) :]
    elif transaction.parent is None:
        session.info.pop(_CHANGES, None)


def _changes(session: Session) -> list[Change]:
    changes: list[Change] = session.info.setdefault(_CHANGES, [])
    return changes


def _of_instance(state: InstanceState[Any], *, was: bool, is_: bool) -> Iterator[Change]:
    mapper = state.mapper
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name in audited(mapper):
        history = state.attrs[name].history
        if was and is_ and not history.has_changes():
            continue
        if was:
            old: Sequence[Any] = history.deleted or history.unchanged or (NOT_LOADED,)
            before[name] = plain(old[0])
        if is_:
            after[name] = plain(state.dict.get(name))
    if before or after:
        row = (mapper, *mapper.primary_key_from_instance(state.obj()))
        subject = _subject(mapper, state.dict)
        yield Change(row, subject, before if was else None, after if is_ else None)


def _read(
    session: Session, mapper: Mapper[Any], where: ColumnElement[Any] | None
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The audited values of rows by primary key, locked."""
    names = list(dict.fromkeys((*audited(mapper), *named_by(mapper))))
    keys = list(mapper.primary_key)
    query = select(*keys, *(mapper.attrs[name].columns[0] for name in names)).with_for_update()
    rows = session.execute(query if where is None else query.where(where)).all()
    return {
        tuple(row[: len(keys)]): dict(zip(names, row[len(keys) :], strict=True)) for row in rows
    }


def _subject(mapper: Mapper[Any], values: dict[str, Any]) -> str:
    names = (str(values[name]) for name in named_by(mapper))
    return "/".join((mapper.local_table.description, *names))


def _mapper_of(statement: Insert | Update | Delete) -> Mapper[Any] | None:
    table = statement.table.description  # the statement holds a copy of the table
    mappers = Base.registry.mappers
    return next((item for item in mappers if item.local_table.description == table), None)
