"""Against first trust: who may enrol, and what a board believes before it knows anybody."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.link.test_enrol import Door, refused
from tests.agent.tls import Authority
from tests.server.doors.test_enrolment_door import make_request
from tests.server.pki.test_certificates import request_pem

from lamplighter_protocol.enrolment import Invitation
from lamplighter_server.pki.authority import INGEST, RELAY

Code = Callable[[httpx.Response], str]
Invite = Callable[..., Any]


async def enrol(door: httpx.AsyncClient, invitation: Invitation, **changed: Any) -> httpx.Response:
    body = make_request(invitation, X25519PrivateKey.generate(), **changed)
    return await door.post("/api/v1/enrol", content=body)


async def test_an_invitation_used_twice(
    door: httpx.AsyncClient, invite: Invite, code_of: Code
) -> None:
    invitation = await invite("cam-1")
    assert (await enrol(door, invitation)).status_code == 200
    assert code_of(await enrol(door, invitation)) == "INVITATION_USED"


async def test_an_invitation_of_another_device(
    door: httpx.AsyncClient, invite: Invite, code_of: Code
) -> None:
    stolen = await invite("cam-1")
    await invite("cam-2")
    assert code_of(await enrol(door, stolen, device="cam-2")) == "INVITATION_INVALID"


async def test_a_guessed_or_late_token(
    door: httpx.AsyncClient, invite: Invite, clock: Any, code_of: Code
) -> None:
    invitation = await invite("cam-1")
    assert code_of(await enrol(door, invitation, token="guess")) == "INVITATION_INVALID"
    clock.later(hours=25)
    assert code_of(await enrol(door, invitation)) == "INVITATION_INVALID"


@pytest.mark.parametrize("name", [RELAY, INGEST, "cam-2", "+"])
async def test_a_certificate_in_another_name(
    door: httpx.AsyncClient, invite: Invite, code_of: Code, name: str
) -> None:
    """An invited device asks to be called like another one, or like the server itself."""
    csr = request_pem(ec.generate_private_key(ec.SECP256R1()), name)
    assert code_of(await enrol(door, await invite("cam-1"), csr_pem=csr)) == "NAME_INVALID"


def test_a_server_in_the_middle(pretender: Door, tmp_path: Path) -> None:
    """It shows the invited authority, and has no certificate of it."""
    invited = Authority()
    (tmp_path / "other").mkdir()
    pretender.ca_pem = invited.save(tmp_path / "other").read_bytes()
    der = invited.certificate.public_bytes(serialization.Encoding.DER)
    assert refused(pretender, ca_sha256=hashlib.sha256(der).hexdigest()) == "SERVER_UNTRUSTED"


def test_an_authority_that_was_not_invited(pretender: Door) -> None:
    assert refused(pretender, ca_sha256="0" * 64) == "SERVER_UNTRUSTED"


def test_a_root_that_was_not_invited(pretender: Door) -> None:
    pretender.root = b'{"signed": "another root"}'
    assert refused(pretender) == "SERVER_UNTRUSTED"


def test_a_certificate_for_a_key_of_the_server(pretender: Door) -> None:
    pretender.other_key = True
    assert refused(pretender) == "SERVER_UNTRUSTED"


@pytest.mark.parametrize("url", ["http://127.0.0.1", "file:///etc/passwd", "https://[", ""])
def test_an_invitation_without_tls(pretender: Door, url: str) -> None:
    assert refused(pretender, url=url) == "INVITATION_INVALID"


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"short", b""])
async def test_a_key_agreement_with_a_known_outcome(
    door: httpx.AsyncClient, invite: Invite, code_of: Code, point: bytes
) -> None:
    """Points of low order would make a key that everybody knows."""
    answer = await enrol(door, await invite("cam-1"), agreement_public=point)
    assert code_of(answer) == "MESSAGE_MALFORMED"


async def test_a_refused_request_changes_nothing(
    door: httpx.AsyncClient, invite: Invite, code_of: Code
) -> None:
    """Who sees the token first cannot use it up with nonsense."""
    invitation = await invite("cam-1")
    assert code_of(await enrol(door, invitation, csr_pem="no")) == "MESSAGE_MALFORMED"
    assert code_of(await door.post("/api/v1/enrol", content=b"[" * 9000)) == "MESSAGE_MALFORMED"
    assert (await enrol(door, invitation)).status_code == 200
