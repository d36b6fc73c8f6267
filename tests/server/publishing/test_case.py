"""Cases that come from elsewhere: nothing is unpacked, and what is refused says why."""

import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.server.publishing.test_changes import ROLES

from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.names import MAX_TRUST_FILE_BYTES
from lamplighter_server.publishing.case import MAX_ENTRIES, Case, read_case, write_case

Write = Callable[[zipfile.ZipFile], None]


def made(path: Path, write: Write, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        write(archive)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(LamplighterError) as caught:
        read_case(path)
    return caught.value.code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.case"


def test_a_case_is_read_as_it_was_written(path: Path) -> None:
    root = ROLES["root"]
    case = Case((root,), dict(ROLES), {"targets": b"{}"}, {sha256(b"x"): b"x"})
    write_case(path, case)
    assert read_case(path) == case
    write_case(path, Case((), {}, dict(ROLES)))
    assert read_case(path) == Case((), {}, dict(ROLES))


@pytest.mark.parametrize(
    "name",
    [
        "../proposed/root.json",
        "/etc/passwd",
        "proposed/../root.json",
        "proposed/snapshot.json",
        "proposed/model-A.json",
        "files/../../x",
        "roots/0.json",
        "C:\\x",
    ],
)
def test_a_name_that_is_not_ours_is_refused(path: Path, name: str) -> None:
    assert refusal(made(path, lambda archive: archive.writestr(name, b""))) == "NAME_INVALID"


def test_what_is_oversized_compressed_or_doubled_is_refused(path: Path) -> None:
    def two(archive: zipfile.ZipFile) -> None:
        archive.writestr("proposed/root.json", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("proposed/root.json", b"2")

    def many(archive: zipfile.ZipFile) -> None:
        for number in range(MAX_ENTRIES + 1):
            archive.writestr(f"roots/{number + 1}.json", b"")

    bomb, big = b"0" * 10_000_000, b"0" * (MAX_TRUST_FILE_BYTES + 1)
    assert refusal(made(path, two)) == "MESSAGE_MALFORMED"
    assert refusal(made(path, many)) == "MESSAGE_TOO_LARGE"
    assert refusal(made(path, lambda a: a.writestr("current/targets.json", big))) == (
        "MESSAGE_TOO_LARGE"
    )
    squeezed = made(path, lambda a: a.writestr("files/" + sha256(bomb), bomb), zipfile.ZIP_DEFLATED)
    assert refusal(squeezed) == "MESSAGE_MALFORMED"


def test_a_file_that_is_not_what_its_name_says_is_refused(path: Path) -> None:
    name = "files/" + sha256(b"what was signed")
    assert refusal(made(path, lambda a: a.writestr(name, b"other bytes"))) == "TRUST_REFUSED"


def test_a_chain_of_roots_with_a_gap_is_refused(path: Path) -> None:
    assert refusal(made(path, lambda a: a.writestr("roots/2.json", b"{}"))) == "MESSAGE_MALFORMED"


def test_what_is_no_case_is_refused(path: Path, tmp_path: Path) -> None:
    assert refusal(path) == "NOT_FOUND"
    assert refusal(tmp_path) == "NOT_FOUND"
    path.write_bytes(b"no archive")
    assert refusal(path) == "MESSAGE_MALFORMED"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10_000), value=st.binary(min_size=1, max_size=4), cut=st.booleans())
def test_a_damaged_case_is_refused_or_read(path: Path, place: int, value: bytes, cut: bool) -> None:
    write_case(path, Case((ROLES["root"],), dict(ROLES), {}, {sha256(b"x"): b"x"}))
    raw = path.read_bytes()
    place %= len(raw)
    path.write_bytes(raw[:place] if cut else raw[:place] + value + raw[place + len(value) :])
    with suppress(LamplighterError):
        read_case(path)
