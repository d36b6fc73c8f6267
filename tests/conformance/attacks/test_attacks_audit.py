"""Whoever owns the database or a copy of the log, against what it says of the past."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.conformance.attacks.refusal import refused
from tests.server.audit.test_chain import SIGNER, exported, head_of, write

from lamplighter_protocol import dsse
from lamplighter_server.audit import chain
from lamplighter_server.audit.chain import Entry, Line
from lamplighter_server.audit.exported import read_log

LINES = write([Entry(f"user:{who}", "create", f"device/{who}", None, {}) for who in "abcd"])
HEAD = head_of(LINES)


def edited(at: int) -> Line:
    """Another actor, with a digest that fits again."""
    line = msgspec.structs.replace(LINES[at], actor="user:eve")
    return msgspec.structs.replace(line, sha256=chain.digest(line))


@pytest.mark.parametrize("at", range(len(LINES)))
def test_a_forged_audit_line(at: int) -> None:
    with refused("AUDIT_BROKEN"):
        chain.verify([*LINES[:at], edited(at), *LINES[at + 1 :]], [HEAD])


@pytest.mark.parametrize("at", range(len(LINES) - 1))
def test_a_removed_audit_line(at: int) -> None:
    with refused("AUDIT_BROKEN"):
        chain.verify([*LINES[:at], *LINES[at + 1 :]], [HEAD])


def test_moved_audit_lines() -> None:
    with refused("AUDIT_BROKEN"):
        chain.verify([LINES[1], LINES[0], *LINES[2:]], [HEAD])


def test_a_log_written_anew() -> None:
    """Every digest fits; only a head that somebody has kept tells."""
    anew = write([Entry("user:eve", "create", f"device/{who}", None, {}) for who in "abcd"])
    with refused("AUDIT_BROKEN"):
        chain.verify(anew, [HEAD])


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_log_cut_short(length: int) -> None:
    with refused("AUDIT_TRUNCATED"):
        chain.verify(LINES[:length], [HEAD])


def test_a_head_of_another_key() -> None:
    forged = chain.sign_head(HEAD, dsse.SoftwareSigner(Ed25519PrivateKey.generate()))
    with refused("AUDIT_HEAD_INVALID"):
        read_log(exported(LINES, forged))
    read_log(exported(LINES, chain.sign_head(HEAD, SIGNER)))
