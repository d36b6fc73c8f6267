"""Files over HTTPS: whose certificate is shown decides what is given."""

import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import select
from tests.server.serving import serving

from lamplighter_protocol import dsse
from lamplighter_protocol.assignment import ENCRYPTED
from lamplighter_protocol.blobs import DOOR_PATH
from lamplighter_protocol.canonical import sha256
from lamplighter_protocol.reported import Inventory
from lamplighter_server.assignments import service as assignments
from lamplighter_server.assignments.models import AssignmentRow
from lamplighter_server.audit import service as audit
from lamplighter_server.audit.models import AuditLine
from lamplighter_server.confidential import service as confidential
from lamplighter_server.context import Context
from lamplighter_server.devices import certificates, revocation
from lamplighter_server.devices.models import Device
from lamplighter_server.devices.refusals import FREE

Code = Callable[[httpx.Response], str]
INVENTORY = Inventory(
    machine="aarch64",
    runtimes={"onnxruntime": "1.23.2"},
    ram_mb=1,
    python="3.11",
    agent_version="0",
    system="linux",
    transfers=(ENCRYPTED,),
)
MODEL = b"model.onnx 1" * 9_000


class Site:
    """Two boards with certificates; `cam-1` is assigned release 1, `cam-2` nothing."""

    def __init__(self, server: Context, url: str, folder: Path) -> None:
        self._server = server
        self._url = url
        self._folder = folder

    async def add(self, name: str, *, known: bool = True, age: timedelta = timedelta()) -> None:
        key, authority = ec.generate_private_key(ec.SECP256R1()), self._server.authority
        issued_utc = self._server.clock() - age
        issued = authority.issue_device(name, key.public_key(), issued_utc, timedelta(days=30))
        self.save(name, issued, key)
        if not known:
            return
        async with self._server.database.transaction() as session:
            session.add(
                Device(
                    id=name,
                    labels={},
                    inventory=msgspec.to_builtins(INVENTORY),
                    public_key_pem=dsse.public_pem(key.public_key()),
                    certificate_serial=certificates.serial(issued),
                    telemetry_key=b"k" * 32,
                    enrolled_utc=self._server.clock(),
                )
            )
            await session.flush()
            certificates.record(session, name, issued)

    def save(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = certificate.public_bytes(serialization.Encoding.PEM)
        (self._folder / f"{name}.pem").write_bytes(private + public)

    async def assign(self, name: str) -> None:
        async with self._server.database.transaction() as session:
            await assignments.want(
                session,
                device=name,
                model="digits",
                release=1,
                variant="onnx-int8",
                rollout=None,
                deadline_utc=self._server.clock(),
            )
            await assignments.issue(self._server, session, [name], self._server.clock())

    async def get(self, digest: str, name: str | None = "cam-1", **headers: str) -> httpx.Response:
        """One request of a board, over TLS; without a name it shows no certificate."""
        tls = ssl.create_default_context(cafile=self._server.authority.ca_path)
        if name is not None:
            tls.load_cert_chain(self._folder / f"{name}.pem")
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        async with httpx.AsyncClient(verify=tls, base_url=self._url) as client:
            return await client.get(DOOR_PATH + digest, headers=named)


@pytest.fixture
async def site(server: Context, offline: Any, tmp_path: Path) -> Any:
    await offline.bootstrap()
    await offline.publish("digits", 1)
    await offline.publish("digits", 2)
    async with serving(server) as url:
        site = Site(server, url, tmp_path)
        for name in ("cam-1", "cam-2"):
            await site.add(name)
        await site.assign("cam-1")
        yield site


async def test_an_assigned_file_comes_whole_in_ranges_or_not_again(site: Site) -> None:
    whole = await site.get(sha256(MODEL))
    assert (whole.status_code, whole.content) == (200, MODEL)
    etag = whole.headers["etag"]
    assert etag == f'"{sha256(MODEL)}"'
    part = await site.get(sha256(MODEL), Range="bytes=65000-66000", If_Range=etag)
    assert (part.status_code, part.content) == (206, MODEL[65_000:66_001])
    assert part.headers["content-range"] == f"bytes 65000-66000/{len(MODEL)}"
    assert (await site.get(sha256(MODEL), If_None_Match=etag)).status_code == 304
    changed = await site.get(sha256(MODEL), Range="bytes=0-1", If_Range='"other"')
    assert (changed.status_code, changed.content) == (200, MODEL)


async def test_what_is_beyond_the_end_is_refused(site: Site, code_of: Code) -> None:
    answer = await site.get(sha256(MODEL), Range=f"bytes={len(MODEL)}-")
    assert (answer.status_code, code_of(answer)) == (416, "RANGE_UNSATISFIABLE")


@pytest.mark.parametrize(
    ("digest", "name"),
    [
        (sha256(MODEL), "cam-2"),
        (sha256(b"model.onnx 2" * 9_000), "cam-1"),
        ("0" * 64, "cam-1"),
    ],
)
async def test_only_what_a_device_is_assigned_is_there_for_it(
    site: Site, code_of: Code, digest: str, name: str
) -> None:
    answer = await site.get(digest, name)
    assert (answer.status_code, code_of(answer)) == (404, "NOT_FOUND")


async def test_without_a_certificate_nothing_is_given(site: Site, code_of: Code) -> None:
    answer = await site.get(sha256(MODEL), None)
    assert (answer.status_code, code_of(answer)) == (401, "CERTIFICATE_MISSING")


async def test_a_certificate_that_no_device_was_given_is_none(site: Site, code_of: Code) -> None:
    await site.add("cam-1", known=False)  # such as the server makes to end a session
    assert code_of(await site.get(sha256(MODEL))) == "CERTIFICATE_MISSING"


async def test_a_revoked_device_gets_nothing(site: Site, server: Context, code_of: Code) -> None:
    async with server.database.transaction() as session:
        await revocation.revoke(server, session, "cam-1", "stolen")
    assert code_of(await site.get(sha256(MODEL))) == "CERTIFICATE_MISSING"


async def test_an_expired_certificate_ends_the_handshake(site: Site) -> None:
    await site.add("cam-3", age=timedelta(days=31))
    with pytest.raises(httpx.HTTPError):
        await site.get(sha256(MODEL), "cam-3")


async def test_a_confidential_file_travels_sealed_or_not_at_all(
    site: Site, server: Context, code_of: Code
) -> None:
    async with server.database.transaction() as session:
        await confidential.protect(server, session, "digits")
    assert code_of(await site.get(sha256(MODEL))) == "NOT_FOUND", "assigned before, but secret now"
    await site.assign("cam-1")
    async with server.database.reading() as session:
        offer = await confidential.offer(server, session, "digits", 1)
        row = await session.get(AssignmentRow, "cam-1")
    assert offer is not None
    assert row is not None
    (sealed,) = (item for item in offer.transfers if item.sha256 == sha256(MODEL))
    assert code_of(await site.get(sha256(MODEL))) == "NOT_FOUND"
    whole = await site.get(sealed.wire_sha256)
    assert sha256(whole.content) == sealed.wire_sha256
    assert len(whole.content) == sealed.wire_size_bytes
    part = await site.get(sealed.wire_sha256, Range="bytes=65500-65600")
    assert part.content == whole.content[65_500:65_601]


async def test_a_board_that_is_refused_again_and_again_waits_and_no_other_of_its_site(
    site: Site, code_of: Code
) -> None:
    refusals = (await site.get("0" * 64, "cam-2") for _ in range(4 * FREE))
    throttled = await anext(item async for item in refusals if item.status_code == 429)
    assert code_of(throttled) == "ENROLMENT_THROTTLED"
    assert 0 < int(throttled.headers["retry-after"]) <= 10
    assert (await site.get(sha256(MODEL), "cam-1")).status_code == 200


async def test_who_was_not_believed_is_in_the_audit_log(site: Site, server: Context) -> None:
    await site.get(sha256(MODEL), None)
    await audit.tick(server)
    async with server.database.reading() as session:
        lines = (await session.scalars(select(AuditLine))).all()
    assert any("CERTIFICATE_MISSING" in repr(vars(line)) for line in lines)
