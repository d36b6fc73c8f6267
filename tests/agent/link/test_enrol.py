import hashlib
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.agent.tls import Authority

from lamplighter_agent.link.enrol import enrol
from lamplighter_agent.store.identity import new_key
from lamplighter_protocol import dsse
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.certificates import name_of_key, speaks_for
from lamplighter_protocol.enrolment import (
    EnrolmentReply,
    EnrolmentRequest,
    Invitation,
    telemetry_key,
)
from lamplighter_protocol.errors import LamplighterError
from lamplighter_protocol.reported import Inventory

NOW = datetime.now(timezone.utc)
ROOT = b'{"signed": "root"}'
INVENTORY = Inventory(
    machine="aarch64", runtimes={}, ram_mb=1, python="3.11", agent_version="0", system="x"
)


class Door(http.server.ThreadingHTTPServer):
    """A small real HTTPS server with the two endpoints of enrolment."""

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.authority = Authority()
        self.ca_pem = self.authority.save(directory).read_bytes()
        self.root = ROOT
        self.refusal: tuple[int, bytes] | None = None
        self.paths: list[str] = []
        self.other_key = False
        self.knows_tokens = True
        self.telemetry_key = b""
        certificate, key = self.authority.issue("server", directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake is made in the connection's thread, which closes what was refused.
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    def handle_error(self, *_: object) -> None:
        """Refused handshakes are what the tests want."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def invitation(self) -> Invitation:
        der = self.authority.certificate.public_bytes(serialization.Encoding.DER)
        return Invitation(
            url=self.url,
            device="pi-1",
            fleet="main",
            token="once",
            ca_sha256=hashlib.sha256(der).hexdigest(),
            root_sha256=sha256(ROOT),
        )

    def reply(self, raw: bytes) -> EnrolmentReply:
        request = msgspec.json.decode(raw, type=EnrolmentRequest)
        csr = x509.load_pem_x509_csr(request.csr_pem.encode())
        assert csr.is_signature_valid
        key = new_key().public_key() if self.other_key else csr.public_key()
        agreement = X25519PrivateKey.generate()
        self.telemetry_key = telemetry_key(agreement, request.agreement_public, request.device)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(self.authority.name)
            .public_key(key)
            .serial_number(1)
            .not_valid_before(NOW)
            .not_valid_after(NOW + timedelta(days=1))
        )
        if request.own_key is not None and self.knows_tokens:
            own = dsse.load_public(request.own_key.public_pem)
            certificate = certificate.add_extension(
                x509.SubjectAlternativeName([name_of_key(own)]), critical=False
            )
        return EnrolmentReply(
            certificate_pem=certificate.sign(self.authority.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
            .decode(),
            root_json=self.root,
            agreement_public=agreement.public_key().public_bytes_raw(),
            broker_host="127.0.0.1",
            broker_port=8883,
        )


class Handler(http.server.BaseHTTPRequestHandler):
    server: Door

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def answer(self, status: int, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        assert self.path == "/api/v1/enrol/ca"
        self.answer(200, self.server.ca_pem)

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.refusal is not None:
            self.answer(*self.server.refusal)
        else:
            self.answer(200, msgspec.json.encode(self.server.reply(raw)))


@contextmanager
def serve(directory: Path) -> Iterator[Door]:
    door = Door(directory)
    thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield door
    door.shutdown()
    thread.join()
    door.server_close()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with serve(tmp_path) as door:
        yield door


def refused(door: Door, **changes: object) -> str:
    invitation = msgspec.structs.replace(door.invitation(), **changes)
    with pytest.raises(LamplighterError) as error:
        enrol(invitation, "pi-1", new_key(), X25519PrivateKey.generate(), INVENTORY, NOW)
    return error.value.code


def test_an_invitation_becomes_a_certificate_and_a_shared_key(door: Door) -> None:
    key = new_key()
    agreement = X25519PrivateKey.generate()
    enrolled = enrol(door.invitation(), "pi-1", key, agreement, INVENTORY, NOW)
    assert enrolled.telemetry_key == door.telemetry_key
    assert enrolled.reply.root_json == ROOT
    certificate = x509.load_pem_x509_certificate(enrolled.reply.certificate_pem.encode())
    assert certificate.subject.rfc4514_string() == "CN=pi-1"
    assert certificate.public_key() == key.public_key()
    assert door.paths == ["/api/v1/enrol"]


def test_a_certificate_must_name_the_key_on_the_token(door: Door) -> None:
    own = dsse.SoftwareSigner(new_key())
    keys = new_key(), X25519PrivateKey.generate()
    enrolled = enrol(door.invitation(), "pi-1", *keys, INVENTORY, NOW, own)
    certificate = x509.load_pem_x509_certificate(enrolled.reply.certificate_pem.encode())
    assert speaks_for(certificate, own.public)
    door.knows_tokens = False  # as servers from before tokens
    with pytest.raises(LamplighterError, match="SERVER_UNTRUSTED"):
        enrol(door.invitation(), "pi-1", *keys, INVENTORY, NOW, own)


def test_what_the_invitation_does_not_pin_is_not_believed(door: Door, tmp_path: Path) -> None:
    assert refused(door, ca_sha256="0" * 64) == "SERVER_UNTRUSTED"
    assert refused(door, root_sha256="0" * 64) == "SERVER_UNTRUSTED"
    door.other_key = True
    assert refused(door) == "SERVER_UNTRUSTED"
    # A man in the middle shows the invited CA certificate, but has no certificate of that CA.
    other = tmp_path / "other"
    other.mkdir()
    invited = Authority()
    door.ca_pem = invited.save(other).read_bytes()
    der = invited.certificate.public_bytes(serialization.Encoding.DER)
    assert refused(door, ca_sha256=hashlib.sha256(der).hexdigest()) == "SERVER_UNTRUSTED"
    door.ca_pem = b"garbage"
    assert refused(door) == "SERVER_UNTRUSTED"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (409, {"code": "INVITATION_USED", "sentence": "It was used."}, "INVITATION_USED"),
        (500, {"code": "SOMETHING", "sentence": "?"}, "SERVER_UNREACHABLE"),
        (502, "gateway", "SERVER_UNREACHABLE"),
        (200, {"certificate_pem": 7}, "MESSAGE_MALFORMED"),
    ],
)
def test_refusals_and_nonsense_are_expected_errors(
    door: Door, status: int, body: object, code: str
) -> None:
    door.refusal = status, json.dumps(body).encode()
    assert refused(door) == code


def test_nobody_there_and_no_https_are_expected_errors(
    door: Door, free_port: Callable[[], int]
) -> None:
    assert refused(door, url=f"https://127.0.0.1:{free_port()}") == "SERVER_UNREACHABLE"
    for url in ("http://127.0.0.1", "nonsense", "https://[", "https://x:port"):
        assert refused(door, url=url) == "INVITATION_INVALID"
