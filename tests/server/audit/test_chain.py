import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from lamplighter_protocol import dsse
from lamplighter_protocol.errors import LamplighterError
from lamplighter_server.audit import chain
from lamplighter_server.audit.chain import START, Entry, Head, Line, Tip
from lamplighter_server.audit.exported import Log, Row, find_envelopes, read_log, write_row

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
PUBLIC_PEM = dsse.public_pem(KEY.public_key())
SIGNER = dsse.SoftwareSigner(KEY)

values = st.none() | st.dictionaries(
    st.text(max_size=5), st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8), max_size=2
)
entries = st.builds(
    Entry, st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), values, values
)
logs = st.lists(entries, min_size=1, max_size=8)


def write(made: list[Entry], start: Tip = START) -> list[Line]:
    return list(chain.extend(start, made, NOW))


def head_of(lines: list[Line]) -> Head:
    return Head(fleet="main", sequence=len(lines), sha256=lines[-1].sha256, at_utc=NOW)


def refused(code: str, lines: list[Line], *heads: Head) -> str:
    with pytest.raises(LamplighterError) as caught:
        chain.verify(lines, heads)
    assert caught.value.code == code
    return caught.value.sentence


@given(logs, logs)
def test_an_untouched_log_is_whole_and_may_grow_beyond_its_heads(
    first: list[Entry], more: list[Entry]
) -> None:
    lines = write(first)
    head = head_of(lines)
    tip = chain.verify(lines, [head])
    assert tip == (head.sequence, head.sha256)
    grown = [*lines, *write(more, tip)]
    assert chain.verify(grown, [head, head_of(grown)]).sequence == len(grown)


def other(value: Any) -> Any:
    if isinstance(value, datetime):
        return value + timedelta(microseconds=1)
    if isinstance(value, int):
        return value + 1
    return {"other": 1} if value is None or isinstance(value, dict) else f"{value}x"


@given(logs, st.data())
def test_every_edit_is_found_and_named(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    at = data.draw(st.integers(0, len(lines) - 1))
    field = data.draw(st.sampled_from(Line.__struct_fields__))
    edited = msgspec.structs.replace(lines[at], **{field: other(getattr(lines[at], field))})
    sentence = refused("AUDIT_BROKEN", [*lines[:at], edited, *lines[at + 1 :]])
    assert f"Line {at + 1} " in sentence


@given(logs, st.data())
def test_an_edit_with_a_digest_that_fits_is_found(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    at = data.draw(st.integers(0, len(lines) - 1))
    edited = msgspec.structs.replace(lines[at], subject=lines[at].subject + "x")
    edited = msgspec.structs.replace(edited, sha256=chain.digest(edited))
    refused("AUDIT_BROKEN", [*lines[:at], edited, *lines[at + 1 :]], head_of(lines))


@given(logs, st.data())
def test_a_chain_that_was_written_anew_does_not_fit_a_kept_head(
    made: list[Entry], data: st.DataObject
) -> None:
    head = head_of(write(made))
    at = data.draw(st.integers(0, len(made) - 1))
    made[at] = made[at]._replace(actor=made[at].actor + "x")
    assert f"Line {len(made)} " in refused("AUDIT_BROKEN", write(made), head)


@given(logs, st.data())
def test_a_removed_line_is_found(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    at = data.draw(st.integers(0, len(lines) - 1))
    head = head_of(lines)
    last = at == len(lines) - 1
    sentence = refused(
        "AUDIT_TRUNCATED" if last else "AUDIT_BROKEN", [*lines[:at], *lines[at + 1 :]], head
    )
    assert f"Line {at + 1} is" in sentence


@given(st.lists(entries, min_size=2, max_size=8), st.data())
def test_moved_lines_are_found(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    one, two = sorted(
        data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=2, max_size=2, unique=True))
    )
    lines[one], lines[two] = lines[two], lines[one]
    assert f"Line {one + 1} " in refused("AUDIT_BROKEN", lines)


@given(logs, st.data())
def test_an_inserted_line_is_found(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    at = data.draw(st.integers(0, len(lines) - 1))
    tip = Tip(at, lines[at].previous_sha256)
    inserted = write([Entry("user:eve", "create", "user/eve", None, {})], tip)
    sentence = refused("AUDIT_BROKEN", [*lines[:at], *inserted, *lines[at:]])
    assert f"Line {at + 2} " in sentence


@given(logs, st.data())
def test_a_log_cut_below_a_known_head_is_found(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    at = data.draw(st.integers(0, len(lines) - 1))
    assert f"Line {at + 1} is missing" in refused("AUDIT_TRUNCATED", lines[:at], head_of(lines))


# ---- Files


def exported(lines: list[Line], *heads: bytes) -> list[bytes]:
    rows = [Row(log=Log(fleet="main", public_pem=PUBLIC_PEM))]
    rows += [Row(head=msgspec.Raw(head)) for head in heads]
    rows += [Row(line=line) for line in lines]
    return b"".join(map(write_row, rows)).splitlines()


@given(logs)
def test_what_was_exported_is_read_again(made: list[Entry]) -> None:
    lines = write(made)
    envelope = chain.sign_head(head_of(lines), SIGNER)
    read = read_log(exported(lines, envelope))
    assert read.heads == [head_of(lines)]
    assert chain.verify(read.lines, read.heads).sequence == len(lines)


@given(logs, st.data())
def test_no_changed_byte_of_a_file_goes_unseen(made: list[Entry], data: st.DataObject) -> None:
    lines = write(made)
    rows = exported(lines, chain.sign_head(head_of(lines), SIGNER))
    at = data.draw(st.integers(1, len(rows) - 1))
    position = data.draw(st.integers(0, len(rows[at]) - 1))
    byte = data.draw(st.binary(min_size=1, max_size=1))
    rows[at] = rows[at][:position] + byte + rows[at][position + 1 :]
    with contextlib.suppress(LamplighterError):  # any other exception would fail the test
        read = read_log(rows)
        changed = list(read.lines)
        chain.verify(changed, read.heads)
        assert changed == lines, "another byte, but the same meaning"


@pytest.mark.parametrize("rows", [[], [b"{}"], [b"nonsense"], [b"\xff"], [b'{"log": 1}']])
def test_what_is_no_log_is_refused(rows: list[bytes]) -> None:
    with pytest.raises(LamplighterError, match="AUDIT_BROKEN"):
        read_log(rows)


def test_a_head_of_another_key_is_refused() -> None:
    lines = write([Entry("user:ada", "create", "user/ada", None, {})])
    forged = chain.sign_head(head_of(lines), dsse.SoftwareSigner(Ed25519PrivateKey.generate()))
    with pytest.raises(LamplighterError, match="AUDIT_HEAD_INVALID"):
        read_log(exported(lines, forged))


@pytest.mark.parametrize(
    "shape",
    [
        lambda head, rows: head,
        lambda head, rows: f"2026-05-01 12:00:00,1 INFO audit head 1: {head}\nanother line",
        lambda head, rows: "\n".join(rows),
    ],
    ids=["alone", "in the server's log", "in an export"],
)
def test_heads_are_found_where_people_keep_them(shape: Callable[[str, list[str]], str]) -> None:
    lines = write([Entry("user:ada", "create", "user/ada", None, {})])
    envelope = chain.sign_head(head_of(lines), SIGNER)
    rows = [row.decode() for row in exported(lines, envelope)]
    assert find_envelopes(shape(envelope.decode(), rows)) == [envelope]


def test_a_file_without_heads_is_refused() -> None:
    for text in ("", "nothing here", f"{chain.PAYLOAD_TYPE} {{ cut"):
        with pytest.raises(LamplighterError, match="AUDIT_HEAD_INVALID"):
            find_envelopes(text)


def test_deep_nesting_in_a_kept_head_is_refused() -> None:
    with pytest.raises(LamplighterError, match="AUDIT_HEAD_INVALID"):
        find_envelopes(f"{chain.PAYLOAD_TYPE} " + '{"line":' * 5000)
